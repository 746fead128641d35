"""From a configuration to the objects that it describes; beyond here nothing knows of Hydra."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.evaluation import Evaluation
from rrtf_trl.feedback import Feedback
from rrtf_trl.models.identity import model_identity
from rrtf_trl.pipeline.pipeline import Pipeline, Stage
from rrtf_trl.pipeline.train_stage import train_stage
from rrtf_trl.plugins import PluginHooks
from rrtf_trl.records import content_hash
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store

from . import helper_processes
from .overrides import override_key
from .plan import plan
from .types import check_types

_TRAINING = ("train", "evaluate", "report")
_OF_TRAINING = ("trainer", "quantization", "adapter")

EXTRAS = {"peft": "peft", "bitsandbytes": "bnb"}
"""Packages that only some configurations need, and the extra of rrtf-trl that brings each."""


def build_pipeline(config: DictConfig, folder: RunFolder, console: Console, until: Stage = "report") -> Pipeline:
    """Build the pipeline that a configuration describes, as far as the stage ``until`` needs it."""
    quiet_libraries()
    key = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    policy = model_path(config.model.path)
    check_choices(config)
    check_types(config, leave_out=() if until in _TRAINING else _OF_TRAINING)
    decisive = [key["trainer"], key["quantization"], key["adapter"], model_identity(policy)]
    if helper_processes.processes() > 1:
        decisive.append(helper_processes.processes())  # of which each has its own batches
    feedback = chosen(config, "feedback")
    ranking = instantiate(config.ranking, _convert_="all")
    ranking.check(list(feedback))
    return Pipeline(
        folder=folder,
        store=Store(Path(config.runs_dir) / "store.sqlite"),
        problems={split: instantiate(config.problems[split], _convert_="all") for split in ("train", "heldout")},
        samplers=chosen(config, "sampler"),
        feedback=feedback,
        ranking=ranking,
        model=policy,
        train=_train_stage(config, key, policy, folder, console) if until in _TRAINING else _no_training,
        train_key=content_hash(decisive),
        evaluation=build_evaluation(config),
        console=console,
        decontaminator=_built(config.decontamination),
        executor=instantiate(config.executor, _convert_="all"),
        config=key,
        hooks=PluginHooks(),
        plan=list(plan(config)) if until in ("train", "report") else (),
        tests=feedback.get("unit_tests") or _tests_of_evaluation(config),
    )


def _tests_of_evaluation(config: DictConfig) -> Feedback:
    """Build the unit tests of a run whose feedback has none; what an experiment sets of theirs holds."""
    options = OmegaConf.to_container(config.feedback.get("unit_tests") or OmegaConf.create(), resolve=True)
    return cast(Feedback, instantiate({"_target_": "rrtf_trl.feedback.UnitTests", **options}, _convert_="all"))  # type: ignore[dict-item]


def _train_stage(
    config: DictConfig, key: dict[str, Any], policy: str, folder: RunFolder, console: Console
) -> Callable[[RunFolder], list[dict[str, float]]]:
    """Build what trains, here and in the processes that help."""
    # They join before this process goes on: the trainer's options meet those of the others when they are made.
    helper_processes.tell(do="build", config=key, folder=str(folder.path), policy=policy)
    train = train_callable(config, key, policy, folder, console)

    def train_together(folder: RunFolder) -> list[dict[str, float]]:
        helper_processes.tell(do="train")
        return train(folder)

    return train_together


def train_callable(
    config: DictConfig, key: dict[str, Any], policy: str, folder: RunFolder, console: Console
) -> Callable[[RunFolder], list[dict[str, float]]]:
    """Build what trains in one process; only here are torch and TRL loaded."""
    precision = {}
    if config.trainer.get("bf16") and not config.trainer.get("use_cpu") and not has_accelerator():
        console.print("train: there is no GPU here, so it is in float32", highlight=False)
        precision = {"bf16": False}
    args = instantiate(
        config.trainer, output_dir=str(folder / "checkpoints"), disable_tqdm=True, _convert_="all", **precision
    )
    if args.world_size != helper_processes.processes():
        raise UserError(
            f"{helper_processes.processes()} processes were started and do not train together; on processors alone "
            "they do with +trainer.use_cpu=true"
        )
    return partial(
        train_stage,
        policy,
        args,
        _built(config.quantization),
        _built(config.adapter),
        console,
        key,
        hooks=PluginHooks(),
    )


def has_accelerator() -> bool:
    """Return whether torch has a GPU, or another accelerator, here."""
    import torch  # heavy

    return bool(torch.accelerator.is_available())


def _no_training(folder: RunFolder) -> list[dict[str, float]]:
    raise AssertionError("the run was to end before its training")


def _built(node: DictConfig | None) -> Any:
    """Build what a node describes; one without ``_target_`` is what an experiment sets of something not chosen."""
    return instantiate(node, _convert_="all") if node and "_target_" in node else None


def chosen(config: DictConfig, group: str) -> dict[str, Any]:
    """Build what is chosen of a group of which several may be.

    Raises:
        UserError: If nothing is, or the command line sets something of what is not chosen. What an experiment sets of
            it is left aside.
    """
    built = {name: thing for name, node in config[group].items() if (thing := _built(node)) is not None}
    if not built:
        raise UserError(f"{group}: choose at least one, as {group}=[NAME,...]")
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    for key in map(override_key, overrides):
        name = key.removeprefix(f"{group}.").partition(".")[0]
        if key.startswith(f"{group}.") and name not in built:
            raise UserError(f"{key}: {name} is not chosen; add it: {group}=[{','.join([*built, name])}]")
    return built


def build_evaluation(config: DictConfig) -> Evaluation:
    """Build what says how a model is measured."""
    node = config.evaluation
    return Evaluation(
        sampler=instantiate(node.sampler, _convert_="all"),
        measurements=instantiate(node.measurements, _convert_="all"),
        seed=node.seed,
        prompt_form=node.prompt_form,
    )


def check_choices(config: DictConfig) -> None:
    """Refuse, before any work, choices that do not go together, or need a package that is not installed."""
    needed = {"peft": config.get("adapter"), "bitsandbytes": config.quantization}
    for package, wanted in needed.items():
        if wanted is not None and importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed: pip install 'rrtf-trl[{EXTRAS[package]}]'")
    has_tests = "_target_" in (config.feedback.get("unit_tests") or {})
    if not has_tests and "trainer" not in config:
        raise UserError("feedback: unit_tests must be among them, since evaluation goes by the tests")
    if "adapter" in config and config.quantization is not None and config.adapter is None:
        raise UserError("quantized weights cannot be trained themselves: add adapter=lora")
    limits = {
        f"trainer.{name}": OmegaConf.select(config, f"trainer.{name}") for name in ("sft_min_score", "rank_min_score")
    }
    in_force = [name for name, limit in limits.items() if limit is not None]
    if not has_tests and in_force:
        raise UserError(
            "feedback: unit_tests must be among them, or no limit set from which score on an answer is good enough, "
            f"for without tests no score says so: {' '.join(f'{name}=null' for name in in_force)}"
        )
    too_high = [f"{name}={limit:g}" for name, limit in limits.items() if limit is not None and limit > 1]
    if OmegaConf.select(config, "ranking.combine") == "weighted" and too_high:
        raise UserError(
            f"{' and '.join(too_high)}: with ranking.combine=weighted scores lie between 0 and 1, and no answer would "
            "be good enough. Say from which score on one is, or null for no such limit"
        )


def quiet_libraries() -> None:
    """Keep the libraries' own bars and notes off the console; their errors still come."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)  # it has a slower way for what it misses
