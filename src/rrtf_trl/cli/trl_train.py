"""`rrtf trl-train`: run RRTFTrainer by flags or a YAML file, as `trl dpo` runs DPOTrainer.

The options are those of TRL's ``ScriptArguments``, ``RRTFConfig``, ``ModelConfig`` and
``DatasetMixtureConfig``. Options of ``accelerate launch`` (``--num_processes 2``, ``--accelerate_config zero3``)
start it under accelerate; so does ``accelerate launch -m rrtf_trl.cli.trl_train``.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any

import datasets
from accelerate.commands.launch import launch_command, launch_command_parser
from trl import (
    DatasetMixtureConfig,
    ModelConfig,
    ScriptArguments,
    TrlParser,
    get_dataset,
    get_peft_config,
    get_quantization_config,
)
from trl.cli.accelerate_config import resolve_accelerate_config_argument

from rrtf_trl.errors import UserError
from rrtf_trl.files.dataset import builder_of, load_dataset
from rrtf_trl.files.paths import user_path
from rrtf_trl.training.config import RRTFConfig
from rrtf_trl.training.trainer import RRTFTrainer


def main(argv: Sequence[str] | None = None, launch: bool = True) -> int:
    """Run the command; return the exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted.

    Args:
        argv: The arguments, by default those of this process.
        launch: Whether options of ``accelerate launch`` start processes; false in the started processes.
    """
    try:
        _run(list(sys.argv[1:] if argv is None else argv), launch)
    except KeyboardInterrupt:
        print(
            "\nStopped. `--resume_from_checkpoint CHECKPOINT` continues from a checkpoint in the output folder.",
            file=sys.stderr,
        )
        return 130
    except UserError as error:
        print(f"rrtf trl-train: {error}", file=sys.stderr)
        return 1
    return 0


def _run(arguments: list[str], launch: bool) -> None:
    parser = TrlParser((ScriptArguments, RRTFConfig, ModelConfig, DatasetMixtureConfig), prog="rrtf trl-train")
    try:
        *options, from_file, from_flags = parser.parse_args_and_config(
            arguments, return_remaining_strings=True, separate_remaining_strings=True
        )
    except (ValueError, TypeError, OSError) as error:
        raise UserError(str(error)) from error
    _refuse_unknown(from_file + from_flags, parser)
    if not launch or not from_file + from_flags:
        _train(*options)
        return
    try:
        launcher = resolve_accelerate_config_argument(from_file + from_flags)
    except ValueError as error:
        raise UserError(str(error)) from error
    command = ["--module", *launcher, "rrtf_trl.cli.trl_train", *_without(arguments, from_flags)]
    launch_command(launch_command_parser().parse_args(command))


def _train(script: Any, args: RRTFConfig, model: Any, mixture: Any) -> None:
    model_options = args.model_init_kwargs
    assert not isinstance(model_options, str), "the base class parses it"
    args.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
        **(model_options or {}),
    }
    if model.model_name_or_path is None:
        raise UserError("no model to train. Name one with `--model_name_or_path`.")
    try:
        dataset = _load(script, mixture)
        evaluates = args.eval_strategy != "no"
        trainer = RRTFTrainer(
            model=model.model_name_or_path,
            args=args,
            train_dataset=_split(dataset, script.dataset_train_split, "--dataset_train_split"),
            eval_dataset=_split(dataset, script.dataset_test_split, "--dataset_test_split") if evaluates else None,
            quantization_config=get_quantization_config(model),
            peft_config=get_peft_config(model),
        )
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UserError(f"training cannot start: {error}") from error
    if script.ignore_bias_buffers:
        trainer.model._ddp_params_and_buffers_to_ignore = [
            name for name, buffer in trainer.model.named_buffers() if str(buffer.dtype) == "torch.bool"
        ]
    trainer.train(resume_from_checkpoint=args.resume_from_checkpoint)
    trainer.save_model(args.output_dir)
    trainer.accelerator.print(f"Model saved to {args.output_dir}.")
    if args.push_to_hub:
        is_local = script.dataset_name is None or user_path(script.dataset_name).exists()
        trainer.push_to_hub(dataset_name=None if is_local else script.dataset_name)
        trainer.accelerator.print(f"Model pushed to the hub as {trainer.hub_model_id}.")
    trainer.end()
    if args.world_size > 1 and args.device.type == "cpu":
        # When the model is freed, gloo's threads and Python's can deadlock.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _load(script: Any, mixture: Any) -> Any:
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # `load_dataset` tells a server that it was called
    if mixture.datasets:
        for each in mixture.datasets:
            path = user_path(each.path)
            if path.is_file() and each.data_files is None:  # TRL does not accept it by its path
                each.path, each.data_files = builder_of(path), str(path)
        return get_dataset(mixture)
    if not script.dataset_name:
        raise ValueError("no data to train on. Name a data set with `--dataset_name`, or list `datasets` in the YAML.")
    return load_dataset(script.dataset_name, script.dataset_config, script.dataset_streaming)


def _split(dataset: Any, name: str, flag: str) -> Any:
    if name not in dataset:
        raise ValueError(f"the data set has no split {name!r}, only {', '.join(dataset)}. Choose one with `{flag}`.")
    return dataset[name]


def _refuse_unknown(remaining: list[str], parser: Any) -> None:
    """Raise :class:`UserError` for an option of neither this command nor ``accelerate launch``."""
    launcher = {name for action in launch_command_parser()._actions for name in action.option_strings}
    for position, text in enumerate(remaining):
        flag = text.partition("=")[0]
        is_value = not flag.startswith("--") and position > 0  # of the option before it
        if is_value or flag in launcher | {"--accelerate_config"}:
            continue
        near = difflib.get_close_matches(flag, list(parser._option_string_actions), n=1)
        raise UserError(f"no option {flag}" + (f"; did you mean {near[0]}?" if near else ""))


def _without(arguments: list[str], remaining: list[str]) -> list[str]:
    """Return ``arguments`` without the ordered sub-sequence ``remaining``."""
    left = list(remaining)
    return [text for text in arguments if not (left and text == left[0] and left.pop(0))]


if __name__ == "__main__":
    sys.exit(main(launch=False))
