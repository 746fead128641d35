"""The train stage of a run: configuration in, trained policy out, progress on the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rrtf_trl.monitoring.progress import Meter, meter
from rrtf_trl.monitoring.status_file import current_status
from rrtf_trl.storage.run_folder import RunFolder

from .hooks import Hooks

if TYPE_CHECKING:
    from transformers import TrainerCallback

_SHOWN = {
    "rank_loss": "rank loss",
    "sft_loss": "sft loss",
    "ranking_accuracy": "ranking accuracy",
    "entropy": "entropy",
}


def train_stage(
    model: str,
    args: Any,
    quantization_config: Any,
    peft_config: Any,
    console: Console,
    config: Mapping[str, Any],
    folder: RunFolder,
    hooks: Hooks,
) -> list[dict[str, float]]:
    """Train on the folder's ``ranked.jsonl`` and save to its ``policy/``; return the log.

    Args:
        model: Path or hub id of the model to start from.
        args: The ``RRTFConfig``.
        quantization_config: bitsandbytes options, or ``None``.
        peft_config: Adapter to train, or ``None``.
        console: Where progress goes.
        config: The run's configuration, for the hooks.
        folder: The run's folder.
        hooks: Return further callbacks.
    """
    from rrtf_trl.training.run import train_policy

    with meter(console, "train", 0, "steps") as counter:
        callbacks = [
            _console_progress(console, counter),
            *hooks.trainer_callbacks(run=folder, config=config, console=console, progress=counter),
        ]
        return train_policy(
            model,
            folder / "ranked.jsonl",
            args,
            folder / "policy",
            folder / "pairs.jsonl",
            quantization_config=quantization_config,
            peft_config=peft_config,
            callbacks=callbacks,
        )


def _console_progress(console: Console, counter: Meter) -> TrainerCallback:
    """Return a callback that counts steps on the run's own meter, and prints each log entry as one line."""
    from transformers import TrainerCallback

    class ConsoleProgress(TrainerCallback):  # defined here since its base is heavy to import
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            counter.set_total(state.max_steps)
            counter.advance(state.global_step, cached=True)
            if state.global_step:
                console.print(f"train: resuming from the checkpoint at step {state.global_step}", highlight=False)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            counter.advance()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kw: Any) -> None:
            status = current_status()
            if status is not None and logs:
                status.log(state.global_step, state.max_steps, logs)
            shown = [f"{text} {logs[name]:.3f}" for name, text in _SHOWN.items() if logs and name in logs]
            if shown:
                console.print(
                    f"train: step {state.global_step}/{state.max_steps}  {'  '.join(shown)}", highlight=False
                )

    return ConsoleProgress()
