"""`rrtf run`, and a command for each stage, which also runs the earlier stages that have not been run yet."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import cast

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.config import helper_processes
from rrtf_trl.config.instantiate import build_evaluation, build_pipeline
from rrtf_trl.config.round_values import resolved_but_for_rounds
from rrtf_trl.config.run_name import run_folder
from rrtf_trl.errors import UserError
from rrtf_trl.models.memory import importing
from rrtf_trl.monitoring.results_table import results_table
from rrtf_trl.monitoring.status_file import published
from rrtf_trl.pipeline.rounds import run_rounds
from rrtf_trl.pipeline.stages import COMMANDS, stages_until
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.versions import versions

from .evaluate import main as evaluate_benchmark
from .helper_process import help_run
from .hydra_command import hydra_application


def run_application(command: str, arguments: list[str]) -> int:
    """Compose the configuration from Hydra's ``arguments`` and run the pipeline up to a stage, once for each job."""
    until = "report" if command == "run" else command
    status = hydra_application(command, arguments, "config", run_folder, partial(run_config, until=until))
    if status == 0:  # otherwise the launcher ends the helpers
        helper_processes.send(do="end")
    return status


def run_config(config: DictConfig, folder: RunFolder, command: str, until: str) -> None:
    """Run one configuration up to the stage ``until``, in its folder."""
    console = Console(soft_wrap=True)
    if config.rounds == 1:
        _run_in(folder, config, until, command, console)
        return
    if until != "report":
        raise UserError(f"rounds={config.rounds}: only `rrtf run` runs rounds; a stage alone needs rounds=1")

    def one_round(number: int, model: str) -> RunFolder:
        round_config = OmegaConf.merge(config, {"rounds": 1, "round": number, "model": {"path": model}})
        round_folder = RunFolder(folder / "rounds" / str(number))
        status.stage(f"round {number}")
        _run_in(round_folder, cast(DictConfig, round_config), until, command, console)
        return round_folder

    stopping = instantiate(config.early_stopping)
    names = [f"round {number}" for number in range(1, config.rounds + 1)]
    with (
        folder.working(OmegaConf.to_yaml(resolved_but_for_rounds(config)), command=command, versions=versions()),
        published(folder, names) as status,
    ):
        run_rounds(folder, config.rounds, config.model.path, one_round, build_evaluation(config), stopping, console)


def _run_in(folder: RunFolder, config: DictConfig, until: str, command: str, console: Console) -> None:
    started = time.monotonic()
    console.print(f"run: {folder.path}", highlight=False)  # loading the libraries takes some seconds
    with importing():
        pipeline = build_pipeline(config, folder, console, until)
    try:
        with (
            folder.working(OmegaConf.to_yaml(config, resolve=True), command=command, versions=versions()),
            published(folder, stages_until(until)),
        ):
            pipeline.run(until)
            _show_results(folder, console, until, time.monotonic() - started)
    finally:
        pipeline.executor.close()
        pipeline.store.close()


def _show_results(folder: RunFolder, console: Console, until: str, seconds: float) -> None:
    results = folder.read_json("results.json")
    if until in ("evaluate", "report") and results:
        console.print(results_table(results))
    if until == "report":
        console.print(f"report: {folder / 'report.html'}", highlight=False)
    console.print(f"done in {seconds:.0f} s: {folder.path}", highlight=False)


def _stage(command: str, overrides: list[str]) -> int:
    # For tab completion, the line is in the environment.
    settings = os.environ["COMP_LINE"].split() if "COMP_LINE" in os.environ else overrides
    if command == "evaluate" and any(value.lstrip("+").startswith("benchmark") for value in settings):
        return evaluate_benchmark(overrides)
    if helper_processes.processes() > 1 and not helper_processes.is_first():
        return help_run()
    return run_application(command, overrides)


# The targets in plugins/builtin.py: `rrtf run` and a command for each stage.
globals().update({name: partial(_stage, name) for name in ("run", *COMMANDS)})
