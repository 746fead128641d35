"""The options of TRL's ``DPOConfig`` that mean nothing to RRTF, so that a DPO script constructs unchanged."""

from __future__ import annotations

import difflib
import warnings
from contextlib import suppress
from dataclasses import dataclass, field

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
"""The names that ``loss_type`` of ``DPOConfig`` takes."""


def _unused(of_what: str) -> dict[str, str]:
    return {"help": f"No effect, with a warning: {of_what} of DPO."}


@dataclass
class DPOOptions(_BaseConfig):
    """Options of ``DPOConfig`` that are accepted and have no effect; setting one warns.

    They belong to the reference model and to the losses of DPO, and RRTF has neither; ``padding_free`` has no
    effect in TRL 1.16 either.
    """

    beta: float | None = field(default=None, metadata=_unused("the pull towards the reference model"))
    label_smoothing: float | None = field(
        default=None, metadata=_unused("label smoothing of the robust and exo_pair losses")
    )
    f_divergence_type: str | None = field(default=None, metadata=_unused("the divergence from the reference model"))
    f_alpha_divergence_coef: float | None = field(
        default=None, metadata=_unused("the divergence from the reference model")
    )
    ld_alpha: float | None = field(default=None, metadata=_unused("the weight of the longer response's tail"))
    discopop_tau: float | None = field(default=None, metadata=_unused("the temperature of the discopop loss"))
    loss_weights: list[float] | None = field(default=None, metadata=_unused("the weights of several losses"))
    use_weighting: bool | None = field(default=None, metadata=_unused("the pair weights of WPO"))
    precompute_ref_log_probs: bool | None = field(
        default=None, metadata=_unused("the reference model's log-probabilities")
    )
    precompute_ref_batch_size: int | None = field(default=None, metadata=_unused("the reference model's batch size"))
    sync_ref_model: bool | None = field(default=None, metadata=_unused("updates of the reference model"))
    ref_model_mixup_alpha: float | None = field(default=None, metadata=_unused("updates of the reference model"))
    ref_model_sync_steps: int | None = field(default=None, metadata=_unused("updates of the reference model"))
    padding_free: bool | None = field(
        default=None, metadata=_unused("batches without padding (TRL 1.16 switches it off too)")
    )

    def __post_init__(self) -> None:
        unused = [name for name in DPOOptions.__annotations__ if getattr(self, name)]
        if unused:
            warnings.warn(
                f"{', '.join(f'`{name}`' for name in unused)}: no effect on RRTF, which has no reference model and "
                "none of DPO's losses. Leave out what you do not need; RRTF's own options are `rank_weight`, "
                "`sft_weight`, `pairs` and those beside them.",
                UserWarning,
                stacklevel=3,
            )
        super().__post_init__()


def resolve_loss_type(loss_type: str | list[str]) -> str:
    """Return the one loss that a DPO script's ``loss_type`` asks for.

    ``"sigmoid"``, which a DPO script says where it wants the usual, becomes ``"rrtf"`` with a warning. Any
    other loss of DPO was chosen for what it does, so it is refused.

    Raises:
        ValueError: If it is another loss of DPO, or several, or none that there is.
        TypeError: If a plugin's loss does not take the arguments of one.
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
    near = difflib.get_close_matches(names[0], losses, n=1)
    raise ValueError(
        f"`loss_type` must be one of {', '.join(losses)}, got {names[0]!r}."
        + (f" Did you mean {near[0]!r}?" if near else "")
        + " A loss of your own gets its name from a plugin, see docs/plugins.md."
    )
