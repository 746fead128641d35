"""The edge where configuration is read: from Hydra's config to a pipeline of plain objects."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Collection, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import hydra.version
from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl import distributed, search_path
from rrtf_trl.build import build_evaluation, build_pipeline
from rrtf_trl.builtin import config_dir
from rrtf_trl.configuration import completion
from rrtf_trl.configuration.types import check_own
from rrtf_trl.errors import UserError, explain
from rrtf_trl.live import published
from rrtf_trl.pipeline import Stage, stages
from rrtf_trl.plugins import plugins
from rrtf_trl.records import content_hash
from rrtf_trl.run_folder import RunFolder
from rrtf_trl.sweeps.job import FolderOf, Work
from rrtf_trl.sweeps.launch import Sweep, launcher_error

# A run has a folder of its own that is found again: Hydra's dated one, and its log files, would stand beside it.
_ONE_RUN = ["hydra.run.dir=.", "hydra.output_subdir=null"]
_QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
ROUNDS_OWN = ("round", "model.path")
"""What :func:`run_config` sets anew in each round."""

_OVERRIDE = re.compile(r"~|\+{0,2}[^-=][^=]*=")


def run_application(command: str, arguments: list[str]) -> int:
    """Compose the configuration from Hydra's ``arguments`` and run the pipeline up to a stage, once for each job."""
    until: Stage = "report" if command == "run" else cast(Stage, command)
    status = hydra_application(command, arguments, "config", run_folder, partial(run_config, until=until))
    if status == 0:  # else the launcher ends the others
        distributed.tell(do="end")
    return status


def hydra_application(command: str, arguments: list[str], config_name: str, folder_of: FolderOf, work: Work) -> int:
    """Compose a configuration from Hydra's ``arguments`` and do the work of a command, once for each job.

    Args:
        command: The sub-command of ``rrtf``.
        arguments: What follows it.
        config_name: The configuration to start from.
        folder_of: Gives the folder of the results for a configuration.
        work: Does the work; called with the configuration, that folder, and the command line as it was said.

    Returns:
        The exit status.
    """
    # Hydra prints errors in its own way and exits; with this it hands them on, see `rrtf_trl.errors`.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Hydra 1.4 warns of what 1.5 will do without; 1.3 needs it.
    warnings.filterwarnings(
        "ignore", message=r"\s*(hydra\.utils\.instantiate\(\) resolved|The version_base parameter)"
    )
    hydra.version.setbase("1.3")
    search_path.install()
    # Hydra wants the overrides in one piece: `rrtf run a=1 --multirun b=2` should do what it says.
    overrides = [argument for argument in arguments if _OVERRIDE.match(argument)]
    flags = [argument for argument in arguments if not _OVERRIDE.match(argument)]
    parser = get_args_parser()
    parser.prog = f"rrtf {command}"
    chosen = parser.parse_args([*overrides, *flags])
    if chosen.experimental_rerun is not None:
        raise UserError("--experimental-rerun: nothing is kept for it; a run goes on with the command in its run.json")
    folders = [*plugins().config_folders(), *user_config_dirs(chosen)]
    values = [value for override in chosen.overrides for value in spelled_out(override, folders)]
    sweep = Sweep.of(command, values, flags, folder_of, work)
    if distributed.processes() > 1:
        if sweep is not None:
            raise UserError(
                "a sweep starts its own processes: leave accelerate or torchrun away, or run its jobs alone"
            )
        if config_name != "config":
            spelled = "evaluate benchmark=..." if command == "evaluate" else command
            raise UserError(f"`rrtf {spelled}` works in one process: leave accelerate or torchrun away")
    chosen.overrides = [*(_ONE_RUN if sweep is None else sweep.settings), *_QUIET, *values]
    failed: list[str] = []
    went_through = False

    def alone(config: DictConfig) -> None:
        try:
            work(config, folder_of(config), shlex.join(["rrtf", command, *arguments]))
        except Exception as error:
            message = explain(error)
            if message is None:
                raise
            print(f"rrtf: {message}", file=sys.stderr)
            failed.append(message)

    completes = chosen.shell_completion or chosen.help or chosen.hydra_help  # help tells how to install completion
    try:
        with completion.as_one_command() if completes else contextlib.nullcontext():
            # What `hydra.main` does with the arguments of the process, which are not always these: it takes no others.
            _run_hydra(
                args=chosen,
                args_parser=parser,
                task_function=alone if sweep is None else sweep.job,
                config_path=str(config_dir()),
                config_name=config_name,
            )
        went_through = True
    except Exception as error:
        of_launcher = launcher_error(error) if sweep is not None else None
        if of_launcher is None:
            raise
        raise of_launcher from error
    finally:
        if sweep is not None:
            failed += sweep.tell(went_through)
    return 1 if failed else 0


def spelled_out(override: str, folders: list[Path]) -> list[str]:
    """Take ``model=PATH_OR_HUB_ID`` and ``benchmark=FILE`` for what they mean, where no choice is named so."""
    group, _, value = override.partition("=")
    choice = {"model": "hub", "benchmark": "files"}.get(group)
    is_path = "/" in value or Path(value).exists() or Path(value).suffix in (".jsonl", ".json", ".gz", ".parquet")
    if (
        choice is None
        or not value
        or not is_path
        or any((folder / group / f"{value}.yaml").is_file() for folder in folders)
    ):
        return [override]
    return [f"{group}={choice}", f"{group}.path={value}"]


def user_config_dirs(chosen: argparse.Namespace) -> list[Path]:
    """The folders that Hydra's ``--config-dir DIR`` and ``--config-path DIR`` name."""
    return [Path(folder) for folder in (chosen.config_dir, chosen.config_path) if folder]


def run_folder(config: DictConfig) -> RunFolder:
    """Return the folder of the run that a configuration describes."""
    check_own(config)
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return RunFolder(Path(config.runs_dir) / run_name(cast(dict[str, Any], plain)))


def run_config(config: DictConfig, folder: RunFolder, command: str, until: Stage) -> None:
    """Run one configuration up to the stage ``until``, in its folder."""
    console = Console(soft_wrap=True)
    if config.rounds == 1:
        _run_in(folder, config, until, command, console)
        return
    if until != "report":
        raise UserError(f"rounds={config.rounds}: only `rrtf run` goes in rounds; a stage alone takes rounds=1")

    def one_round(number: int, model: str) -> RunFolder:
        round_config = OmegaConf.merge(config, {"rounds": 1, "round": number, "model": {"path": model}})
        within = RunFolder(folder / "rounds" / str(number))
        live.stage(f"round {number}")
        _run_in(within, cast(DictConfig, round_config), until, command, console)
        return within

    from rrtf_trl.rounds import run_rounds

    stopping = instantiate(config.early_stopping)
    names = [f"round {number}" for number in range(1, config.rounds + 1)]
    with (
        folder.working(OmegaConf.to_yaml(resolved_but_for_rounds(config)), command=command, versions=versions()),
        published(folder, names) as live,
    ):
        run_rounds(folder, config.rounds, config.model.path, one_round, build_evaluation(config), stopping, console)


def resolved_but_for_rounds(config: DictConfig) -> DictConfig:
    """Resolve what is the same in all rounds; what refers to a round's own keys is for each to resolve."""
    written = dict(_leaves(OmegaConf.to_container(config, resolve=False)))
    found = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
    following = set(ROUNDS_OWN)
    while more := {key for key, value in written.items() if key not in following and _refers(key, value, following)}:
        following |= more
    for key in following.difference(ROUNDS_OWN):
        OmegaConf.update(found, key, written[key], merge=False)
    return found


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, f"{path}.{name}".lstrip("."))
    else:
        yield path, node


def _refers(key: str, value: Any, others: Collection[str]) -> bool:
    """Whether the unresolved value of a key names one of some others, a node around it, or one within.

    Each word of an interpolation counts as a name, for a resolver may look any up. One taken for a name that is none
    does no harm: what refers to it is resolved later.
    """
    _, _, interpolated = str(value).partition("${")
    for name in re.split(r"[\s${}:,'\"\[\]]+", interpolated):
        dots = len(name) - len(name.lstrip("."))
        whole = ".".join([*key.split(".")[:-dots], name[dots:]]) if dots else name
        if any(f"{other}.".startswith(f"{whole}.") or f"{whole}.".startswith(f"{other}.") for other in others):
            return True
    return False


def _run_in(folder: RunFolder, config: DictConfig, until: Stage, command: str, console: Console) -> None:
    started = time.monotonic()
    console.print(f"run: {folder.path}", highlight=False)  # loading the libraries takes some seconds
    pipeline = build_pipeline(config, folder, console, until)
    try:
        with (
            folder.working(OmegaConf.to_yaml(config, resolve=True), command=command, versions=versions()),
            published(folder, stages(until)),
        ):
            pipeline.run(until)
            _tell_results(folder, console, until, time.monotonic() - started)
    finally:
        pipeline.executor.close()
        pipeline.store.close()


def run_name(config: dict[str, Any]) -> str:
    """Return the name of a run's folder: the same configuration is the same run, wherever it is kept and done."""
    # With more rounds, those that are there go on.
    indecisive = ("runs_dir", "name", "executor", "rounds", "early_stopping")
    decisive = _without_budgets({key: value for key, value in config.items() if key not in indecisive})
    return f"{config['name']}-{content_hash(decisive)[:8]}{'-rounds' if config['rounds'] > 1 else ''}"


def _without_budgets(node: Any) -> Any:
    """Leave out what may be spent: a run that stopped for want of budget goes on, in its folder, with a larger one."""
    if isinstance(node, dict):
        return {key: _without_budgets(value) for key, value in node.items() if key != "budget"}
    return node


def versions(*more: str) -> dict[str, str]:
    """Return the versions of what decides a run's figures, and of ``more`` packages, those that are installed."""
    names = ("rrtf-trl", "trl", "transformers", "torch", "peft", "bitsandbytes", "hydra-core")
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (*names, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _tell_results(folder: RunFolder, console: Console, until: Stage, seconds: float) -> None:
    from rrtf_trl.report.table import results_table

    results = folder.read_json("results.json")
    if until in ("evaluate", "report") and results:
        console.print(results_table(results))
    if until == "report":
        console.print(f"report: {folder / 'report.html'}", highlight=False)
    console.print(f"done in {seconds:.0f} s: {folder.path}", highlight=False)
