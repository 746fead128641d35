"""The options of TRL's ``DPOConfig`` that RRTF accepts without effect, so that DPO scripts run unchanged."""

from __future__ import annotations

import difflib
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from trl.trainer.base_config import _BaseConfig

from rrtf_trl import registry

from .losses import find_loss

DPO_LOSSES = (
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
)
"""The values of ``loss_type`` in ``DPOConfig``."""


def option(default: Any, description: str, **metadata: Any) -> Any:
    """Return the dataclass field of an option; command lines show its description."""
    return field(default=default, metadata={"help": description, **metadata})


def _unused(meaning: str) -> Any:
    return option(None, f"No effect, with a warning: {meaning} of DPO.")


@dataclass
class DPOOptions(_BaseConfig):
    """Options of ``DPOConfig`` that have no effect; setting one warns.

    They are for the reference model and the losses of DPO, which RRTF does not have; ``padding_free`` has no
    effect in TRL 1.16 either.
    """

    beta: float | None = _unused("the pull towards the reference model")
    label_smoothing: float | None = _unused("label smoothing of the robust and exo_pair losses")
    f_divergence_type: str | None = _unused("the divergence from the reference model")
    f_alpha_divergence_coef: float | None = _unused("the divergence from the reference model")
    ld_alpha: float | None = _unused("the weight of the longer response's tail")
    discopop_tau: float | None = _unused("the temperature of the discopop loss")
    loss_weights: list[float] | None = _unused("the weights of several losses")  # noqa: RUF009
    use_weighting: bool | None = _unused("the pair weights of WPO")
    precompute_ref_log_probs: bool | None = _unused("the reference model's log-probabilities")
    precompute_ref_batch_size: int | None = _unused("the reference model's batch size")
    sync_ref_model: bool | None = _unused("updates of the reference model")
    ref_model_mixup_alpha: float | None = _unused("updates of the reference model")
    ref_model_sync_steps: int | None = _unused("updates of the reference model")
    padding_free: bool | None = _unused("batches without padding (TRL 1.16 switches it off too)")

    def __post_init__(self) -> None:
        unused = [name for name in DPOOptions.__annotations__ if getattr(self, name)]
        if unused:
            warnings.warn(
                f"{', '.join(f'`{name}`' for name in unused)}: no effect on RRTF, which has no reference model and "
                "none of DPO's losses. Leave out what you do not need; RRTF's own options are `rank_weight`, "
                "`sft_weight`, `pairs` and others, see `RRTFConfig`. The `beta` of a loss that has one is set by "
                "`loss_kwargs`.",
                UserWarning,
                stacklevel=3,
            )
        super().__post_init__()


def resolve_loss_type(loss_type: str | list[str]) -> str:
    """Return the loss to train with for the value of ``loss_type``.

    ``"sigmoid"``, DPO's default, becomes ``"rrtf"`` with a warning. The other losses of DPO are refused: a script
    that sets one relies on what it does.

    Raises:
        ValueError: If it is another loss of DPO, several losses, or an unknown one.
        TypeError: If a plugin's loss does not have the parameters of a loss.
    """
    names = [loss_type] if isinstance(loss_type, str) else list(loss_type)
    if len(names) != 1:
        raise ValueError(
            f"`loss_type` must be one loss, got {names}. RRTF adds imitation to ranking by itself: leave `loss_type` "
            "and `loss_weights` out, and weigh the two terms with `rank_weight` and `sft_weight`."
        )
    with suppress(KeyError):
        find_loss(names[0])
        return names[0]
    if names[0] == "sigmoid":
        warnings.warn(
            '`loss_type="sigmoid"` is the loss of DPO; training with `loss_type="rrtf"`.', UserWarning, stacklevel=4
        )
        return "rrtf"
    if names[0] in DPO_LOSSES:
        raise ValueError(
            f'`loss_type="{names[0]}"` is a loss of TRL\'s DPOTrainer, which RRTFTrainer does not have. Leave '
            "`loss_type` out to train with RRTF, or keep DPOTrainer."
        )
    losses = list(registry.names("loss"))
    similar = difflib.get_close_matches(names[0], losses, n=1)
    raise ValueError(
        f"`loss_type` must be one of {', '.join(losses)}, got {names[0]!r}."
        + (f" Did you mean {similar[0]!r}?" if similar else "")
        + " A loss of your own comes from a plugin, see docs/plugins.md."
    )
