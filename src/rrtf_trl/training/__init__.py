"""Training on rows of (prompt, responses, scores), independent of the pipeline."""

from .config import RRTFConfig
from .data import RankedCollator
from .losses import LossInputs, LossOutput, imitation_loss, ordered_pairs, rrtf_loss, token_loss, with_imitation
from .packing import PackedCollator
from .trainer import RRTFTrainer

__all__ = [
    "LossInputs",
    "LossOutput",
    "PackedCollator",
    "RRTFConfig",
    "RRTFTrainer",
    "RankedCollator",
    "imitation_loss",
    "ordered_pairs",
    "rrtf_loss",
    "token_loss",
    "with_imitation",
]
