"""The attention function of models that share what responses have in common, in transformers' registry.

With a tree it attends in a packed row (a batch of :class:`~rrtf_trl.training.packing.PackedCollator`): each token to
those before it in its own response and prompt. Without one it is an attention function of transformers.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .tree import Tree
from .tree_flex import attend_by_blocks, computing_dtype, flex_works
from .tree_spans import attend_by_spans

_PREFIX = "rrtf_tree_"


def with_trees(implementation: str) -> str:
    """Return the registered name of attention that is another one, ``eager`` or ``sdpa``, where there is no tree."""
    return f"{_PREFIX}{implementation}"


def has_trees(implementation: str | None) -> bool:
    """Return whether an implementation is one of :func:`with_trees`."""
    return str(implementation).startswith(_PREFIX)


def tree_attention(
    other: str,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attend as the tree of the row says, or as ``other`` does; the signature is that of transformers' functions.

    Args:
        other: The implementation where there is no tree.
        module: The attention layer.
        query: float `[1, H, T, D]`.
        key: float `[1, H_kv, T, D]`, H_kv a divisor of H.
        value: float `[1, H_kv, T, D_v]`.
        attention_mask: Not used where there is a tree.
        kwargs: ``tree``, the :class:`Tree`; ``dropout``, ``scaling`` and ``softcap``; and ``sliding_window``, without
            which the layer's attribute of that name counts.

    Returns:
        float `[1, T, H, D_v]`, and ``None`` for the weights.
    """
    if kwargs.get("tree") is None:
        attend = _eager(module) if other == "eager" else ALL_ATTENTION_FUNCTIONS[other]
        return attend(module, query, key, value, attention_mask, **kwargs)  # type: ignore[no-any-return]
    return _attend_in_tree(module, query, key, value, **kwargs)  # type: ignore[no-any-return]


# Under `torch_compile` each row's tree would be a graph of its own, until the compiler gives up: the model is compiled
# around attention. FlexAttention is compiled in any case.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attend_in_tree(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *, tree: Tree, **kwargs: Any
) -> tuple[Tensor, None]:
    unsupported = [name for name in ("s_aux", "position_bias") if kwargs.get(name) is not None]
    if unsupported:
        raise ValueError(
            f"Shared prompts do not support the {', '.join(unsupported)} of {type(module).__name__}. Use "
            '`share_prefix="false"`.'
        )
    window = kwargs["sliding_window"] if "sliding_window" in kwargs else getattr(module, "sliding_window", None)
    tree.windows[module] = window
    softcap, dropout = kwargs.get("softcap"), kwargs.get("dropout", 0.0)
    options: dict[str, Any] = {"window": window, "scaling": kwargs.get("scaling"), "softcap": softcap}
    dtype, heads = computing_dtype(query), (query.size(1), key.size(1))
    if not dropout and flex_works(query.device, dtype, heads, (query.size(3), value.size(3)), softcap):
        out = attend_by_blocks(tree, query.to(dtype), key.to(dtype), value.to(dtype), **options)
    else:
        out = attend_by_spans(tree, query, key, value, dropout=dropout, **options)
    return out.transpose(1, 2), None


def _eager(module: nn.Module) -> Any:
    """Return the function of that name beside a layer's class, or beside the one that it inherits from."""
    files = (sys.modules[one.__module__] for one in type(module).__mro__)
    return next(file.eager_attention_forward for file in files if hasattr(file, "eager_attention_forward"))


for _name in ("eager", "sdpa"):
    AttentionInterface.register(with_trees(_name), partial(tree_attention, _name))
    AttentionMaskInterface.register(with_trees(_name), ALL_MASK_ATTENTION_FUNCTIONS[_name])
