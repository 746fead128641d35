"""Dropout, of a model and of its adapter, which is disabled unless the user keeps it."""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn
from trl.trainer.utils import disable_dropout_in_model


def disable_dropout(model: nn.Module) -> None:
    """Disable dropout, as TRL's DPOTrainer does, and warn where that is an adapter's, which somebody has asked for.

    Beside the layers that are set to 0 there, these are the rates that Llama and similar models pass to functions, and
    those that adapters such as LoHa and BOFT keep in themselves.
    """
    asked = sorted({one for config in getattr(model, "peft_config", {}).values() for one in _rates(config)})
    disable_dropout_in_model(model)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            is_rate = name.endswith("dropout") or (name == "p" and "Dropout" in type(module).__name__)
            if is_rate and isinstance(value, float):
                setattr(module, name, 0.0)
            elif is_rate and isinstance(value, dict):  # by the adapter's name
                value.update(dict.fromkeys(value, 0.0))
    if asked:
        warnings.warn(
            f"The adapter's {', '.join(asked)} has no effect: `disable_dropout=True`, the default as in DPOTrainer, "
            "disables all dropout, so that the log-probabilities compared are those of the policy. Set "
            "`disable_dropout=False` to keep it.",
            UserWarning,
            stacklevel=3,
        )


def _rates(config: Any) -> list[str]:
    return [
        f"{name}={value}"
        for name, value in vars(config).items()
        if name.endswith("dropout") and isinstance(value, int | float) and value > 0
    ]
