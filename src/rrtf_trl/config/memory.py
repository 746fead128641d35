"""How much memory sampling and training take on a device: sums of what is kept, from a model's shape and the options.

The formulas are in docs/your-own.md. They count what grows with the model and the batch, not what torch itself
takes, and a batch as long as the options allow.
"""

from __future__ import annotations

from dataclasses import dataclass

from rrtf_trl.models.size import ModelShape

_HEAD_TOKENS, _HEAD_WIDTH = 4096, 32768
"""The fused LM head has the logits of at most so many tokens by so much of the vocabulary at a time."""


@dataclass(frozen=True)
class Parts:
    """Bytes on one device.

    Args:
        weights: The model, and in training its gradients and the optimizer's state.
        batch: What grows with the batch: key-value cache, activations, logits.
    """

    weights: float
    batch: float

    @property
    def total(self) -> float:
        """The sum, in bytes."""
        return self.weights + self.batch


def stored(shape: ModelShape, width: float, bits: int | None) -> float:
    """Return the bytes of a model's weights.

    Args:
        shape: The model.
        width: Bytes of a number that is not quantized.
        bits: Of the weights of linear layers, or ``None`` where they are not quantized.
    """
    if bits is None:
        return width * shape.parameters
    linear = shape.layers * shape.linear_weights
    return linear * (bits / 8 + 0.05) + width * max(shape.parameters - linear, 0)  # 0.05: scales


def sampling(shape: ModelShape, weights: float, width: int, sequences: int, tokens: int) -> Parts:
    """Return what drawing takes.

    Args:
        shape: The model.
        weights: Bytes of its weights.
        width: Bytes of a number that is computed with.
        sequences: Drawn at once.
        tokens: The longest of them, with its prompt.
    """
    cache = 2 * shape.layers * shape.key_value_width * width * tokens
    # The layer that reads the prompt, and of one token float32 logits, a copy at the temperature, their softmax, and
    # its cumulative sum in float64.
    layer = (4 * shape.hidden + 3 * shape.inner) * width * tokens
    return Parts(weights, sequences * (cache + layer + 24 * shape.vocabulary))


def training(
    shape: ModelShape,
    weights: float,
    trained: float,
    width: int,
    tokens: int,
    *,
    checkpointing: bool,
) -> Parts:
    """Return what a step of training takes.

    Args:
        shape: The model.
        weights: Bytes of the weights, trained or not.
        trained: How many of them are trained: each has a gradient and AdamW's two moments, in float32.
        width: Bytes of a number that is computed with; with 2, autocast has a copy of each trained weight.
        tokens: In a batch: prompts, and all of their responses.
        checkpointing: Whether activations are computed again in the backward pass.
    """
    # Each response attends to a copy of its prompt's keys and values.
    attention = 2 * shape.query_width + 6 * shape.key_value_width
    layer = tokens * (6 * 4 * shape.hidden + width * (attention + 4 * shape.inner))
    kept = shape.layers * 4 * shape.hidden * tokens + 2 * layer if checkpointing else (shape.layers + 1) * layer
    tile = min(tokens, _HEAD_TOKENS) * min(shape.vocabulary, _HEAD_WIDTH)
    gradient = shape.vocabulary * shape.hidden if trained >= shape.parameters else 0
    head = 4 * (3 * tile + 2 * shape.hidden * tokens + gradient)
    copies = 2 * trained if width == 2 else 0
    return Parts(weights + 12 * trained + copies, kept + head)


def adapter_weights(shape: ModelShape, rank: int) -> int:
    """Return how many weights LoRA of a rank has on all linear layers."""
    return rank * shape.layers * shape.linear_sides
