from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

CONF = Path(__file__).parents[1] / "conf"

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


class Configs(SphinxDirective):
    """Every file of ``conf/``, under its group."""

    def run(self) -> list[nodes.Node]:
        found = {path: path.relative_to(CONF).parent.as_posix() for path in sorted(CONF.rglob("*.yaml"))}
        return [self._group(group, [p for p in found if found[p] == group]) for group in sorted(set(found.values()))]

    def _group(self, group: str, paths: list[Path]) -> nodes.Node:
        title = "the commands" if group == "." else group
        section = nodes.section(ids=[f"conf-{nodes.make_id(title)}"])
        section += nodes.title(text=title)
        for path in paths:
            self.env.note_dependency(str(path))
            name = path.relative_to(CONF).as_posix()
            section += nodes.paragraph("", "", nodes.strong(text=name))
            section += nodes.literal_block(text=path.read_text(encoding="utf-8"), language="yaml")
        return section


def setup(app: Any) -> None:
    app.add_directive("configs", Configs)
