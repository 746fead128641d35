"""`rrtf config`: show a configuration, list the options, compare two runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich import box
from rich.console import Console
from rich.table import Table

from rrtf_trl.config import search_path
from rrtf_trl.config.diff import differences
from rrtf_trl.config.home import at_home
from rrtf_trl.config.instantiate import quiet_libraries
from rrtf_trl.config.options import choices
from rrtf_trl.config.overrides import settings
from rrtf_trl.config.show import as_markdown, as_text
from rrtf_trl.plugins import plugins
from rrtf_trl.plugins.folders import config_dir


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="rrtf config", description="Show a configuration, list the options, compare two runs."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="the whole configuration for some settings")
    show.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for `rrtf run`")
    show.add_argument(
        "--config-name", "-cn", default="config", help="config (`rrtf run`), evaluate, quantize or evolve"
    )
    options = commands.add_parser("options", help="every option: type, default and description")
    options.add_argument("groups", nargs="*", metavar="GROUP", help="only these groups; config is that of a run")
    options.add_argument("--markdown", action="store_true", help="as a page of the documentation")
    for command in (show, options):
        command.add_argument("--config-dir", "-cd", metavar="FOLDER", help="your own folder of configuration")
    diff = commands.add_parser("diff", help="the differences between two runs")
    diff.add_argument("runs", nargs=2, metavar="RUN", help="folder of a run or of a sweep's job, or its config.yaml")
    chosen = parser.parse_args(arguments)
    search_path.install()
    if chosen.command == "show":
        return _show(chosen.overrides, chosen.config_name, chosen.config_dir)
    if chosen.command == "options":
        return _options(chosen.groups, chosen.markdown, chosen.config_dir)
    return _diff(*map(Path, chosen.runs))


def _show(arguments: list[str], name: str, user_dir: str | None) -> int:
    overrides = settings(arguments, _folders(user_dir), name)
    if user_dir:
        overrides.append(f"hydra.searchpath=[file://{Path(user_dir).resolve()}]")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose(name, overrides)
    print(OmegaConf.to_yaml(OmegaConf.create(OmegaConf.to_container(at_home(config), resolve=True))), end="")
    return 0


def _options(groups: list[str], markdown: bool, user_dir: str | None) -> int:
    quiet_libraries()
    found = choices(_folders(user_dir), groups)
    for line in as_markdown(found) if markdown else as_text(found):
        print(line)
    return 0


def _folders(user_dir: str | None) -> list[Path]:
    return [*plugins().config_folders(), *([Path(user_dir)] if user_dir else [])]


def _diff(one: Path, other: Path) -> int:
    console = Console(soft_wrap=True)
    rows = differences(one, other)
    if not rows:
        console.print("the two have the same configuration", highlight=False)
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for path in (one, other):
        table.add_column(path.name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table, markup=False, highlight=False)
    return 0
