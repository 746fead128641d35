from importlib.metadata import version as installed_version

project = "rrtf-trl"
author = "The rrtf-trl authors"
copyright = "2026, the rrtf-trl authors"
release = installed_version("rrtf-trl")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "rrtf-trl"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
