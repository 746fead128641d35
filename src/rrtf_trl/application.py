"""The edge where configuration is read: from Hydra's config to a pipeline of plain objects."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import os
import re
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import hydra
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl import search_path
from rrtf_trl.assets import model_path
from rrtf_trl.builtin import config_dir
from rrtf_trl.errors import UserError, explain
from rrtf_trl.evaluation import Evaluation
from rrtf_trl.live import published
from rrtf_trl.pipeline import Pipeline, Stage, stages
from rrtf_trl.plugins import plugins
from rrtf_trl.records import content_hash
from rrtf_trl.run_folder import RunFolder
from rrtf_trl.samplers.weights import model_identity
from rrtf_trl.store import Store
from rrtf_trl.train_stage import train_stage

# A run has a folder of its own that is found again: Hydra's dated one, and its log files, would stand beside it.
_ONE_RUN = ["hydra.run.dir=.", "hydra.output_subdir=null"]
_SWEEP = ["hydra.sweep.dir=${runs_dir}/sweeps/${now:%Y-%m-%d_%H-%M-%S}"]
_QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
_OVERRIDE = re.compile(r"~|\+{0,2}[^-=][^=]*=")

EXTRAS = {"peft": "peft", "bitsandbytes": "bnb"}
"""Packages that only some configurations need, and the extra of rrtf-trl that brings each."""


def run_application(command: str, arguments: list[str]) -> int:
    """Compose the configuration from Hydra's ``arguments`` and run the pipeline up to a stage, once for each job."""
    until: Stage = "report" if command == "run" else cast(Stage, command)
    return hydra_application(command, arguments, "config", lambda config, said: run_config(config, until, said))


def hydra_application(
    command: str, arguments: list[str], config_name: str, work: Callable[[DictConfig, str], object]
) -> int:
    """Compose a configuration from Hydra's ``arguments`` and do the work of a command, once for each job.

    Args:
        command: The sub-command of ``rrtf``.
        arguments: What follows it.
        config_name: The configuration to start from.
        work: Called with the configuration, and the command line as it was said.

    Returns:
        The exit status.
    """
    # Hydra prints errors in its own way and exits; with this it hands them on, see `rrtf_trl.errors`.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    said = list(sys.argv)
    settings = _SWEEP if {"-m", "--multirun"} & set(arguments) else _ONE_RUN
    # Hydra wants the overrides in one piece: `rrtf run a=1 --multirun b=2` should do what it says.
    said_values = [argument for argument in arguments if _OVERRIDE.match(argument)]
    search_path.install()
    folders = [*plugins().config_folders(), *_user_config_dirs(arguments)]
    values = [value for argument in said_values for value in _spelled_out(argument, folders)]
    flags = [argument for argument in arguments if not _OVERRIDE.match(argument)]
    sys.argv = [f"rrtf {command}", *settings, *_QUIET, *values, *flags]
    failed = 0

    def job(config: DictConfig) -> None:
        nonlocal failed
        try:
            work(config, shlex.join(["rrtf", command, *arguments]))
        except Exception as error:
            message = explain(error)
            if message is None:
                raise
            print(f"rrtf: {message}", file=sys.stderr)
            failed += 1  # in a sweep, the other jobs still have their turn

    try:
        hydra.main(config_path=str(config_dir()), config_name=config_name, version_base="1.3")(job)()
    finally:
        sys.argv = said
    return 1 if failed else 0


def _spelled_out(override: str, folders: list[Path]) -> list[str]:
    """Take ``model=PATH_OR_HUB_ID`` and ``benchmark=FILE`` for what they mean, where no choice is named so."""
    group, _, value = override.partition("=")
    choice = {"model": "hub", "benchmark": "files"}.get(group)
    is_path = "/" in value or Path(value).exists() or Path(value).suffix in (".jsonl", ".json", ".gz", ".parquet")
    if choice is None or not is_path or any((folder / group / f"{value}.yaml").is_file() for folder in folders):
        return [override]
    return [f"{group}={choice}", f"{group}.path={value}"]


def _user_config_dirs(arguments: list[str]) -> list[Path]:
    """The folders that Hydra's ``--config-dir DIR`` and ``--config-path DIR`` name, in all their spellings."""
    names = ("--config-dir", "-cd", "--config-path", "-cp")
    apart = [following for flag, following in itertools.pairwise(arguments) if flag in names]
    joined = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] in names]
    return [Path(folder) for folder in apart + joined if folder]


def run_config(config: DictConfig, until: Stage, command: str) -> RunFolder:
    """Run one resolved configuration up to the stage ``until``; return its folder."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    folder = RunFolder(Path(config.runs_dir) / run_name(cast(dict[str, Any], plain)))
    console = Console(soft_wrap=True)
    if config.rounds == 1:
        return _run_in(folder, config, until, command, console)
    if until != "report":
        raise UserError(f"rounds={config.rounds}: only `rrtf run` goes in rounds; a stage alone takes rounds=1")

    def one_round(number: int, model: str) -> RunFolder:
        round_config = OmegaConf.merge(config, {"rounds": 1, "round": number, "model": {"path": model}})
        within = RunFolder(folder / "rounds" / str(number))
        told.stage(f"round {number}")
        return _run_in(within, cast(DictConfig, round_config), until, command, console)

    from rrtf_trl.rounds import run_rounds

    stopping = instantiate(config.early_stopping)
    names = [f"round {number}" for number in range(1, config.rounds + 1)]
    with folder.locked(), published(folder, names) as told:
        _describe(folder, config, command)
        run_rounds(folder, config.rounds, config.model.path, one_round, build_evaluation(config), stopping, console)
    return folder


def _run_in(folder: RunFolder, config: DictConfig, until: Stage, command: str, console: Console) -> RunFolder:
    started = time.monotonic()
    console.print(f"run: {folder.path}", highlight=False)  # loading the libraries takes some seconds
    pipeline = build_pipeline(config, folder, console)
    with folder.locked(), published(folder, stages(until)):
        _describe(folder, config, command)
        try:
            pipeline.run(until)
        finally:
            pipeline.executor.close()
            pipeline.store.close()
        _tell_results(folder, console, until, time.monotonic() - started)
    return folder


def _describe(folder: RunFolder, config: DictConfig, command: str) -> None:
    with folder.writing("config.yaml") as file:
        # What follows the number of the round is for each round to resolve.
        file.write(OmegaConf.to_yaml(config, resolve=config.rounds == 1))
    folder.describe(command=command, versions=versions())


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


def build_pipeline(config: DictConfig, folder: RunFolder, console: Console) -> Pipeline:
    """Build the pipeline that a configuration describes."""
    quiet_libraries()
    key = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    policy = model_path(config.model.path)
    check_extras(config)
    quantization = instantiate(config.quantization)
    adapter = instantiate(config.adapter, _convert_="all")
    check_types("trainer", key["trainer"])
    decisive = [key["trainer"], key["quantization"], key["adapter"], model_identity(policy)]
    feedback = _chosen(config.feedback)
    ranking = instantiate(config.ranking, _convert_="all")
    ranking.check(list(feedback))
    return Pipeline(
        folder=folder,
        store=Store(Path(config.runs_dir) / "store.sqlite"),
        problems={split: instantiate(config.problems[split], _convert_="all") for split in ("train", "heldout")},
        samplers=_chosen(config.sampler),
        feedback=feedback,
        ranking=ranking,
        model=policy,
        train=partial(
            train_stage,
            policy,
            instantiate(config.trainer, output_dir=str(folder / "checkpoints"), disable_tqdm=True, _convert_="all"),
            quantization,
            adapter,
            console,
            key,
        ),
        train_key=content_hash(decisive),
        evaluation=build_evaluation(config),
        console=console,
        # An experiment may set its kinds where decontamination=none has left nothing to set them on.
        decontaminator=instantiate(config.decontamination, _convert_="all")
        if "_target_" in (config.decontamination or {})
        else None,
        executor=instantiate(config.executor, _convert_="all"),
        config=key,
    )


def _chosen(group: DictConfig) -> dict[str, Any]:
    """Build what is chosen of a group; an experiment may have options for what is not, and they are no choice."""
    chosen = ((str(name), node) for name, node in group.items() if node and "_target_" in node)
    return {name: instantiate(node, _convert_="all") for name, node in chosen}


def build_evaluation(config: DictConfig) -> Evaluation:
    """Build what says how a model is measured."""
    node = config.evaluation
    return Evaluation(
        sampler=instantiate(node.sampler, _convert_="all"),
        measurements=instantiate(node.measurements, _convert_="all"),
        seed=node.seed,
        prompt_form=node.prompt_form,
    )


def check_extras(config: DictConfig) -> None:
    """Refuse, before any work, what a package that is not installed would be needed for."""
    needed = {"peft": config.get("adapter"), "bitsandbytes": config.quantization}
    for package, wanted in needed.items():
        if wanted is not None and importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed: pip install 'rrtf-trl[{EXTRAS[package]}]'")
    if "_target_" not in (config.feedback.get("unit_tests") or {}):
        raise UserError("feedback: unit_tests must be among them, since ranking and evaluation go by the tests")
    if "adapter" in config and config.quantization is not None and config.adapter is None:
        raise UserError("quantized weights cannot be trained themselves: add adapter=lora")


def check_types(name: str, node: dict[str, Any]) -> None:
    """Refuse values of the wrong type for the dataclass that a config node names, before any work.

    Raises:
        UserError: If a value cannot be one of its field; the message names the key.
    """
    hints = get_type_hints(get_class(node["_target_"]))
    for key, value in node.items():
        allowed = set(get_args(hints.get(key))) or {hints.get(key)}
        plain = allowed & {bool, int, float, str}
        if value is None or not plain or allowed - plain - {type(None)}:
            continue
        fits = type(value) in plain or (type(value) is int and float in plain)
        if not fits:
            expected = " or ".join(sorted(kind.__name__ for kind in plain))
            raise UserError(f"{name}.{key}: expected {expected}, got {value!r}")


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


def quiet_libraries() -> None:
    """Keep the libraries' own bars and notes off the console; their errors still come."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)  # it has a slower way for what it misses


def _tell_results(folder: RunFolder, console: Console, until: Stage, seconds: float) -> None:
    from rrtf_trl.report.table import results_table

    results = folder.read_json("results.json")
    if until in ("evaluate", "report") and results:
        console.print(results_table(results))
    if until == "report":
        console.print(f"report: {folder / 'report.html'}", highlight=False)
    console.print(f"done in {seconds:.0f} s: {folder.path}", highlight=False)
