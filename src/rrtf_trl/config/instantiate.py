"""Builds the objects that a configuration describes; the objects do not depend on Hydra."""

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
from rrtf_trl.pipeline.executor import LocalExecutor
from rrtf_trl.pipeline.pipeline import Pipeline
from rrtf_trl.pipeline.train_stage import train_stage
from rrtf_trl.plugins.hooks import PluginHooks
from rrtf_trl.records import content_hash
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store

from . import helper_processes
from .grammar import override_key
from .groups import refuse_unused
from .plan import plan
from .types import check_types

_TRAINING = ("train", "evaluate", "report")
_OF_TRAINING = ("trainer", "quantization", "adapter")
_OF_LOADING = ("revision", "attn_implementation", "device_map")

EXTRAS = {"peft": "peft", "bitsandbytes": "bnb"}
"""Packages that only some configurations need, and the extra of rrtf-trl that brings each."""


def build_pipeline(config: DictConfig, folder: RunFolder, console: Console, until: str = "report") -> Pipeline:
    """Build the pipeline that a configuration describes, with what the stages up to ``until`` need.

    It is built in the helper processes too, if there are any.
    """
    quiet_libraries()
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    policy = model_path(config.model.path)
    check_choices(config)
    check_types(config, leave_out=() if until in _TRAINING else _OF_TRAINING)
    # They must start before the trainer's options are built here, which waits for all processes.
    helper_processes.send(do="build", config=plain, folder=str(folder.path), until=until)
    decisive = [
        plain["trainer"],
        plain["quantization"],
        plain["adapter"],
        model_identity(policy, config.model.get("revision")),
    ]
    if options := {name: plain["model"][name] for name in _OF_LOADING if plain["model"].get(name) is not None}:
        decisive.append(options)
    if helper_processes.processes() > 1:
        decisive.append(helper_processes.processes())  # each has its own batches
    executor = instantiate(config.executor, _convert_="all")
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
        train=_train_stage(config, plain, policy, folder, console) if until in _TRAINING else _no_training,
        train_key=content_hash(decisive),
        evaluation=build_evaluation(config),
        console=console,
        decontaminator=_built(config.decontamination),
        executor=executor,
        call_helpers=_call_helpers if isinstance(executor, LocalExecutor) else lambda stage: None,
        config=plain,
        hooks=PluginHooks(),
        plan=list(plan(config)) if until in ("train", "report") else (),
        tests=feedback.get("unit_tests") or _tests_of_evaluation(config),
    )


def _call_helpers(stage: str) -> None:
    helper_processes.send(do="help", stage=stage)


def _tests_of_evaluation(config: DictConfig) -> Feedback:
    """Build the unit tests of a run whose feedback has none, with the options set for ``feedback.unit_tests``."""
    node = OmegaConf.merge({"_target_": "rrtf_trl.feedback.UnitTests"}, config.feedback.get("unit_tests") or {})
    check_types(OmegaConf.create({"feedback": {"unit_tests": node}}))
    return cast(Feedback, instantiate(node, _convert_="all"))


def _train_stage(
    config: DictConfig, plain: dict[str, Any], policy: str, folder: RunFolder, console: Console
) -> Callable[[RunFolder], list[dict[str, float]]]:
    """Build the training function, which the helper processes join."""
    train = train_callable(config, plain, policy, folder, console)

    def train_together(folder: RunFolder) -> list[dict[str, float]]:
        helper_processes.send(do="train")
        return train(folder)

    return train_together


def train_callable(
    config: DictConfig, plain: dict[str, Any], policy: str, folder: RunFolder, console: Console
) -> Callable[[RunFolder], list[dict[str, float]]]:
    """Build the training function of one process; imports torch and TRL."""
    options = {name: value for name in _OF_LOADING if (value := config.model.get(name)) is not None}
    options |= config.trainer.get("model_init_kwargs") or {}
    precision: dict[str, Any] = {"model_init_kwargs": options} if options else {}
    if config.trainer.get("bf16") and not config.trainer.get("use_cpu") and not has_accelerator():
        console.print("train: in float32, because there is no GPU", highlight=False)
        precision["bf16"] = False
        if config.adapter is not None:  # the base too
            precision["model_init_kwargs"] = {"dtype": "float32", **options}
    args = instantiate(
        config.trainer, output_dir=str(folder / "checkpoints"), disable_tqdm=True, _convert_="all", **precision
    )
    if args.world_size != helper_processes.processes():
        raise UserError(
            f"{helper_processes.processes()} processes were started, but they do not train together; without GPUs, "
            "add +trainer.use_cpu=true"
        )
    return partial(
        train_stage,
        policy,
        args,
        _built(config.quantization),
        _built(config.adapter),
        console,
        plain,
        hooks=PluginHooks(),
    )


def has_accelerator() -> bool:
    """Return whether torch has a GPU, or another accelerator, here."""
    import torch  # heavy

    return bool(torch.accelerator.is_available())


def _no_training(folder: RunFolder) -> list[dict[str, float]]:
    raise AssertionError("the run ends before training")


def _built(node: DictConfig | None) -> Any:
    """Build a node's object, or return ``None``; a node without ``_target_`` has options of something not chosen."""
    return instantiate(node, _convert_="all") if node and "_target_" in node else None


def chosen(config: DictConfig, group: str) -> dict[str, Any]:
    """Build the choices of a group that allows several.

    Options that an experiment sets for something not chosen are ignored, except those of ``feedback.unit_tests``:
    evaluation uses them.

    Raises:
        UserError: If nothing is chosen, or the command line sets an option of something that is not used.
    """
    built = {name: thing for name, node in config[group].items() if (thing := _built(node)) is not None}
    if not built:
        raise UserError(f"{group}: choose at least one, as {group}=[NAME,...]")
    if HydraConfig.initialized():
        refuse_unused(config, HydraConfig.get().overrides.task)
    return built


def build_evaluation(config: DictConfig) -> Evaluation:
    """Build the evaluation: its sampler, which is the policy's where the run has one, and its measurements."""
    node = config.evaluation
    return Evaluation(
        sampler=instantiate(_of_policy(config) or node.sampler, _convert_="all"),
        measurements=instantiate(node.measurements, _convert_="all"),
        seed=node.seed,
        prompt_form=node.prompt_form,
    )


_DECODING = ("n", "temperatures", "top_ps", "seed", "max_new_tokens")


def _of_policy(config: DictConfig) -> DictConfig | None:
    """Return what builds the sampler of the policy for evaluation, if it is another than transformers'.

    Raises:
        UserError: If the command line sets an option of a sampler that only counts in a run.
    """
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    for key in map(override_key, overrides):
        group, _, option = key.partition(".")
        name, _, option = option.partition(".")
        if (
            group == "sampler"
            and option
            and "trainer" not in config
            and (name == "transformers" or option in _DECODING)
        ):
            raise UserError(f"{key}: how an evaluation draws is set by evaluation.*, for instance evaluation.{option}")
    chosen_nodes = {name: node for name, node in (config.get("sampler") or {}).items() if "_target_" in node}
    of_policy = [name for name, node in chosen_nodes.items() if node.get("source") == "student" and "model" in node]
    if not of_policy or of_policy[0] == "transformers":
        return None
    options = {name: value for name, value in chosen_nodes[of_policy[0]].items() if name not in (*_DECODING, "model")}
    return OmegaConf.create({**options, "max_new_tokens": config.evaluation.max_new_tokens, "_partial_": True})


def check_choices(config: DictConfig) -> None:
    """Raise :class:`UserError` if choices do not fit together or need a package that is not installed."""
    needed = {"peft": config.get("adapter"), "bitsandbytes": config.quantization}
    for package, wanted in needed.items():
        if wanted is not None and importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed: pip install 'rrtf-trl[{EXTRAS[package]}]'")
    has_tests = "_target_" in (config.feedback.get("unit_tests") or {})
    if not has_tests and "trainer" not in config:
        raise UserError("feedback: unit_tests must be among them, since evaluation uses the tests")
    if "adapter" in config and config.quantization is not None and config.adapter is None:
        raise UserError("quantized weights cannot be trained themselves: add adapter=lora")
    limits = {
        f"trainer.{name}": OmegaConf.select(config, f"trainer.{name}") for name in ("sft_min_score", "rank_min_score")
    }
    in_force = [name for name, limit in limits.items() if limit is not None]
    if not has_tests and in_force:
        raise UserError(
            "feedback: unit_tests must be among them, or the score limits must be off, since without tests no score "
            f"means that a candidate passes: {' '.join(f'{name}=null' for name in in_force)}"
        )
    too_high = [f"{name}={limit:g}" for name, limit in limits.items() if limit is not None and limit > 1]
    if OmegaConf.select(config, "ranking.combine") == "weighted" and too_high:
        raise UserError(
            f"{' and '.join(too_high)}: with ranking.combine=weighted scores are between 0 and 1, and no candidate "
            "would reach the limit. Set a limit between 0 and 1, or null for none"
        )


def quiet_libraries() -> None:
    """Turn off the libraries' progress bars and notes; their errors are still shown."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")  # of `load_dataset`, kept by another server than the hub
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)  # it warns about optional parts that are missing
