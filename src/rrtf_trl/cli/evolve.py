"""`rrtf evolve`: make harder problems from a file of tasks, by Hydra's overrides."""

from __future__ import annotations

import shlex
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console

from rrtf_trl.config.home import at_home
from rrtf_trl.config.overrides import settings
from rrtf_trl.errors import UserError
from rrtf_trl.monitoring.progress import meter
from rrtf_trl.plugins import plugins
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.problems.evolution.evolve import Evolution
from rrtf_trl.problems.evolution.generations import Summary, eliminated_file, evolve
from rrtf_trl.problems.evolution.seeds import read_seeds

_USAGE = "rrtf evolve tasks=T.jsonl out=E.jsonl client.model=MODEL [client.base_url=URL] [KEY=VALUE ...]"


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status, 0."""
    if {"-h", "--help"} & set(arguments):
        evolve_options, client = ((config_dir() / name).read_text() for name in ("evolve.yaml", "chat/server.yaml"))
        print(f"usage: {_USAGE}\n\nOptions, with defaults:\n\n{evolve_options}\nOptions of client:\n\n{client}")
        return 0
    flags = [argument for argument in arguments if "=" not in argument and not argument.startswith("~")]
    if flags:
        raise UserError(f"rrtf evolve takes KEY=VALUE, not {shlex.join(flags)}; usage: {_USAGE}")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = at_home(compose("evolve", settings(arguments, plugins().config_folders(), "evolve")))
    required = {"tasks": config, "out": config, "client.model": config.client}
    missing = [key for key, node in required.items() if OmegaConf.is_missing(node, key.rpartition(".")[2])]
    if missing:
        raise UserError(f"{', '.join(missing)} must be set; usage: {_USAGE}")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    options = {name: node for name, node in plain.items() if name not in ("tasks", "out", "runs_dir")}
    evolution: Evolution = instantiate(options, _convert_="all")
    console = Console(stderr=True, soft_wrap=True)
    total = sum(1 for _ in read_seeds(config.tasks)) * max(1, evolution.generations)
    Path(config.out).parent.mkdir(parents=True, exist_ok=True)
    with meter(console, "evolve", total, "tasks") as progress:
        summary = evolve(evolution, config.tasks, config.out, progress.advance)
    if spending := evolution.client.describe_spending():
        console.print(spending, highlight=False)
    _print_summary(summary, Path(config.out))
    return 0


def _print_summary(summary: Summary, out: Path) -> None:
    strength = f", their tests kill {summary.killed} of {summary.mutants} mutants" if summary.mutants else ""
    print(f"{summary.seeds} tasks, {summary.made} made of them, {summary.kept} kept{strength}")
    if summary.benchmarks:
        print(
            "decontaminated against "
            + ", ".join(f"{name} ({count} problems)" for name, count in summary.benchmarks.items())
        )
    if summary.missing:
        print(summary.missing)
    for reason, count in summary.reasons.most_common():
        print(f"{count:6}  {reason}")
    print(f"kept: {out}\neliminated: {eliminated_file(out)}")
