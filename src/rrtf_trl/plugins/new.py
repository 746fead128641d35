"""`rrtf plugins new`: write a package that adds a sampler or a feedback source, and passes its tests at once."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from rrtf_trl.errors import UserError

from .hookspecs import CONTRACT
from .manager import plugins

_TEMPLATES = Path(__file__).parent / "templates"
_TITLES = {"feedback": "feedback source", "sampler": "sampler"}
_COMMANDS = {
    "feedback": "rrtf run 'feedback=[unit_tests,{}]'",
    "sampler": "rrtf run 'sampler=[transformers,{}]'",
}
KINDS = tuple(_TITLES)
"""The kinds of packages."""


def write_package(kind: str, name: str, folder: Path) -> Path:
    """Write the package ``rrtf-KIND-NAME`` into a folder of that name; return it.

    Args:
        kind: ``feedback`` or ``sampler``.
        name: The choice's name on the command line.
        folder: Where the new folder is created.

    Raises:
        UserError: If the name is not valid or in use, or the folder exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"{name!r} is not a valid name: use small letters, digits and _, and begin with a letter")
    if (registered := plugins().registered(kind).get(name)) is not None:
        raise UserError(f"{registered.plugin.owner} already has the {kind} {name!r}: choose another name")
    target = folder / f"rrtf-{kind}-{name.replace('_', '-')}"
    if target.exists():
        raise UserError(f"{target} exists already: remove it, or choose another name")
    package = f"rrtf_{kind}_{name}"
    values = {
        "kind": kind,
        "name": name,
        "dashed": name.replace("_", "-"),
        "package": package,
        "module": "judge" if kind == "feedback" else "draw",
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "title": _TITLES[kind],
        "Title": _TITLES[kind].capitalize(),
        "command": _COMMANDS[kind].format(name),
        "contract": CONTRACT,
    }
    for root in (_TEMPLATES / "common", _TEMPLATES / kind):
        for template in sorted(root.rglob("*.txt")):
            path = str(template.relative_to(root).with_suffix(""))
            path = path.replace("package/module", f"package/{values['module']}").replace("package/", f"src/{package}/")
            path = path.replace("name.yaml", f"{name}.yaml").replace("test_name", f"test_{name}")
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_text(Template(template.read_text()).substitute(values))
    return target
