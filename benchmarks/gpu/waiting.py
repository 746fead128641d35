"""The part that finds where the loss waits for the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .setting import Finding, Setting
from .steps import make_trainer, ragged_rows

LOSSES = ["rrtf", "rrhf", "list_mle", "lipo", "simpo", "dpo_pl", "asymre", "nft", "real", "tree_credit"]
"""All built-in losses but ``topr``, whose rows need log-probabilities of a sampler."""


def no_waiting(setting: Setting) -> Finding:
    """The loss and its metrics make the processor wait for the GPU nowhere, at once and in parts."""
    model = setting.model("tiny")
    rows = ragged_rows(2, 5, 24, 16)
    calls: list[str] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append(function.__name__)
            if setting.on_gpu:
                torch.cuda.set_sync_debug_mode("error")
            try:
                return function(*arguments)
            finally:
                if setting.on_gpu:
                    torch.cuda.set_sync_debug_mode("default")

        return call

    waits = []
    for loss in LOSSES:
        for limit in (None, 64):  # in parts, the loss is called in another place
            options = {"loss_type": loss, "rank_min_score": 2.0, "max_tokens_per_forward": limit}
            trainer = make_trainer(setting, model, rows, **options)
            for name in ("_inputs_of", "_loss_of"):
                setattr(trainer, name, watched(getattr(trainer, name)))
            before = len(calls)
            try:
                trainer.train()
            except RuntimeError as error:
                if "synchroniz" not in str(error):
                    raise
                waits.append(f"{loss}{' in parts' if limit else ''}: in {calls[-1]} ({str(error).splitlines()[0]})")
            if len(calls) - before < 2:
                raise AssertionError("the trainer computes its loss elsewhere: this part watches nothing")
    if not setting.on_gpu:
        return Finding(f"{len(calls)} calls were watched, on a processor, where nothing waits", None)
    return Finding("; ".join(waits) or f"no wait in {len(calls)} calls of {', '.join(LOSSES)}", not waits)
