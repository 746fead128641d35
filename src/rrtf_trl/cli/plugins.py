"""`rrtf plugins`: list the installed plugins and their faults, or write a new one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rrtf_trl.plugins.manager import KINDS, plugins
from rrtf_trl.plugins.new import KINDS as KINDS_OF_PACKAGES
from rrtf_trl.plugins.new import write_package
from rrtf_trl.plugins.plugin import Plugin

_EPILOG = "RRTF_PLUGINS=a,b loads only these plugins, RRTF_PLUGINS=-a all but this one, RRTF_PLUGINS=none none."


def main(arguments: Sequence[str]) -> int:
    """List the plugins; return the exit status: 1 if one has a fault."""
    parser = argparse.ArgumentParser(prog="rrtf plugins", description="List the plugins.", epilog=_EPILOG)
    parser.add_argument("--json", action="store_true", help="as JSON, with the tracebacks")
    new = parser.add_subparsers(dest="what", metavar="new").add_parser(
        "new", help="write a package that adds a sampler or a feedback source"
    )
    new.add_argument("kind", choices=KINDS_OF_PACKAGES)
    new.add_argument("name", help="the choice's name on the command line")
    new.add_argument("--dir", type=Path, default=Path(), metavar="FOLDER", help="where to create its folder (.)")
    options = parser.parse_args(arguments)
    if options.what == "new":
        return _new(options.kind, options.name, options.dir)
    manager = plugins()
    for kind in KINDS:
        manager.registered(kind)
    manager.config_paths()
    if options.json:
        print(json.dumps([_as_json(plugin) for plugin in manager.all], indent=2))
    else:
        _print_plugins(manager.all)
    return int(any(plugin.faults for plugin in manager.all))


def _new(kind: str, name: str, folder: Path) -> int:
    target = write_package(kind, name, folder)
    print(f"{target}: a working package. Put your code into {next(target.glob('src/*'))}, then run")
    print(f"  pip install -e '{target}[test]' && pytest {target}")
    return 0


def _as_json(plugin: Plugin) -> dict[str, Any]:
    groups = sorted({name.rpartition("/")[0] for name in plugin.configs if "/" in name})
    return {**asdict(plugin), "hooks": sorted(plugin.hooks), "config_groups": groups}


def _print_plugins(found: list[Plugin]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    for plugin in found:
        colour = {"loaded": "green", "failed": "red"}.get(plugin.status, "yellow")
        console.print(
            f"[bold]{escape(plugin.name)}[/] {escape(plugin.version)}  {escape(plugin.distribution)}  "
            f"[{colour}]{plugin.status}[/]"
        )
        for kind, names in plugin.names.items():
            console.print(f"  {kind.replace('_', ' ')}: {escape(', '.join(names))}")
        other = sorted(set(plugin.hooks) - set(KINDS.values()))
        if other:
            console.print(f"  hooks: {', '.join(other)}")
        groups = _as_json(plugin)["config_groups"]
        if groups:
            console.print(f"  config groups: {escape(', '.join(groups))}")
        for fault in plugin.faults:
            console.print(f"  [red]{escape(fault.cause)}[/]")
            if fault.traceback:
                console.print("    " + escape(fault.traceback.rstrip()).replace("\n", "\n    "), style="dim")
