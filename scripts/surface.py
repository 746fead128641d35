"""Print the surface that users and plugins hold on to, as JSON: commands, options and hooks.

A test compares it with `tests/project/surface.json`. A change there is a decision: write it into CHANGELOG.md, and run
`python scripts/surface.py > tests/project/surface.json`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

from omegaconf import OmegaConf
from transformers import TrainingArguments

import rrtf_trl
from rrtf_trl import RRTFConfig
from rrtf_trl.plugins import KINDS, Plugins, hookspecs
from rrtf_trl.plugins.builtin import rrtf_commands
from rrtf_trl.plugins.contract import HOOKS
from rrtf_trl.plugins.folders import config_dir


def surface() -> dict[str, Any]:
    """Return the surface: what a change of which is felt outside."""
    ours = Plugins("none")
    theirs = {field.name for field in dataclasses.fields(TrainingArguments)}
    return {
        "contract": hookspecs.CONTRACT,
        "hooks": {name: list(inspect.signature(getattr(hookspecs, name)).parameters) for name in HOOKS},
        "names": {kind: sorted(ours.registered(kind)) for kind in KINDS if kind != "command"},
        "commands": {name: command.help for name, command in rrtf_commands().items()},
        "public": sorted(rrtf_trl.__all__),
        "RRTFConfig": {
            field.name: _default(field) for field in dataclasses.fields(RRTFConfig) if field.name not in theirs
        },
        "conf": {
            str(path.relative_to(config_dir())): OmegaConf.to_container(OmegaConf.load(path))
            for path in sorted(config_dir().rglob("*.yaml"))
        },
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def as_text(found: dict[str, Any]) -> str:
    """Return the surface as the file has it."""
    return json.dumps(found, indent=1, default=str, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(as_text(surface()), end="")
