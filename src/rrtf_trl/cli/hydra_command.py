"""The edge where configuration is read: from Hydra's config to a pipeline of plain objects."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.config import completion, search_path
from rrtf_trl.config import helper_processes as distributed
from rrtf_trl.config.error_messages import error_message
from rrtf_trl.config.instantiate import build_evaluation, build_pipeline
from rrtf_trl.config.overrides import spelled_out, user_config_dirs, with_quickstart
from rrtf_trl.config.plan import plan
from rrtf_trl.config.types import check_own
from rrtf_trl.errors import UserError
from rrtf_trl.monitoring.status_file import published
from rrtf_trl.pipeline.pipeline import Stage, stages
from rrtf_trl.plugins import plugins
from rrtf_trl.plugins.folders import config_dir
from rrtf_trl.records import content_hash
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.versions import versions
from rrtf_trl.sweeps.job import FolderOf, Work
from rrtf_trl.sweeps.launch import Sweep, launcher_error

# A run has a folder of its own that is found again: Hydra's dated one, and its log files, would stand beside it.
_ONE_RUN = ["hydra.run.dir=.", "hydra.output_subdir=null"]
_QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
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
    said = list(sys.argv)
    # Hydra wants the overrides in one piece: `rrtf run a=1 --multirun b=2` should do what it says.
    said_values = [argument for argument in arguments if _OVERRIDE.match(argument)]
    search_path.install()
    folders = [*plugins().config_folders(), *user_config_dirs(arguments)]
    values = [value for argument in said_values for value in spelled_out(argument, folders)]
    flags = [argument for argument in arguments if not _OVERRIDE.match(argument)]
    if config_name == "config":
        values = with_quickstart(values, flags)
    failed: list[str] = []
    went_through = False

    def alone(config: DictConfig) -> None:
        try:
            work(config, folder_of(config), shlex.join(["rrtf", command, *arguments]))
        except Exception as error:
            message = error_message(error)
            if message is None:
                raise
            print(f"rrtf: {message}", file=sys.stderr)
            failed.append(message)

    sweep = Sweep.of(command, values, flags, folder_of, work)
    if distributed.processes() > 1:
        if sweep is not None:
            raise UserError(
                "a sweep starts its own processes: leave accelerate or torchrun away, or run its jobs alone"
            )
        if config_name != "config":
            said_as = "evaluate benchmark=..." if command == "evaluate" else command
            raise UserError(f"`rrtf {said_as}` works in one process: leave accelerate or torchrun away")
    settings = _ONE_RUN if sweep is None else sweep.settings
    completes = bool(completion.FLAGS & set(flags))
    if completes and "COMP_LINE" in os.environ:
        os.environ["COMP_LINE"] = completion.without_command(os.environ["COMP_LINE"])
    sys.argv = ["rrtf" if completes else f"rrtf {command}", *settings, *_QUIET, *values, *flags]
    try:
        hydra.main(config_path=str(config_dir()), config_name=config_name, version_base="1.3")(
            alone if sweep is None else sweep.job
        )()
        went_through = True
    except Exception as error:
        told = launcher_error(error) if sweep is not None else None
        if told is None:
            raise
        raise told from error
    finally:
        sys.argv = said
        if sweep is not None:
            failed += sweep.tell(went_through)
    return 1 if failed else 0


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
        told.stage(f"round {number}")
        _run_in(within, cast(DictConfig, round_config), until, command, console)
        return within

    from rrtf_trl.pipeline.rounds import run_rounds

    stopping = instantiate(config.early_stopping)
    names = [f"round {number}" for number in range(1, config.rounds + 1)]
    with (
        folder.working(OmegaConf.to_yaml(resolved_but_for_rounds(config)), command=command, versions=versions()),
        published(folder, names) as told,
    ):
        run_rounds(folder, config.rounds, config.model.path, one_round, build_evaluation(config), stopping, console)


def resolved_but_for_rounds(config: DictConfig) -> DictConfig:
    """Resolve what is the same in all rounds; what follows their number or their policy is for each to resolve."""
    here = OmegaConf.to_container(config, resolve=True)
    another = OmegaConf.merge(config, {"round": config.round + 1, "model": {"path": f"{config.model.path}/another"}})
    said = OmegaConf.to_container(config, resolve=False)
    found: DictConfig = OmegaConf.create(_where_same(here, OmegaConf.to_container(another, resolve=True), said))
    found.model.path = config.model.path
    return found


def _where_same(one: Any, other: Any, else_: Any) -> Any:
    if isinstance(one, dict) and isinstance(else_, dict):
        return {key: _where_same(value, other[key], else_[key]) for key, value in one.items()}
    return one if one == other else else_


def _run_in(folder: RunFolder, config: DictConfig, until: Stage, command: str, console: Console) -> None:
    started = time.monotonic()
    console.print(f"run: {folder.path}", highlight=False)  # loading the libraries takes some seconds
    pipeline = build_pipeline(config, folder, console, until)
    if until in ("train", "report"):
        for line in plan(config):
            console.print(line, highlight=False, markup=False)
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


def _tell_results(folder: RunFolder, console: Console, until: Stage, seconds: float) -> None:
    from rrtf_trl.monitoring.results_table import results_table

    results = folder.read_json("results.json")
    if until in ("evaluate", "report") and results:
        console.print(results_table(results))
    if until == "report":
        console.print(f"report: {folder / 'report.html'}", highlight=False)
    console.print(f"done in {seconds:.0f} s: {folder.path}", highlight=False)
