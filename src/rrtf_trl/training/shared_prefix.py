"""Computes what responses have in common once, their prompt above all, in models for which that is exact.

:func:`share_prefixes` inspects a model and, if possible, prepares it: called with ``tree=``, its attention is that of
:mod:`~rrtf_trl.training.tree_attention`, and the backbone returns only the hidden states of the
``scored_positions``, to which TRL's fused LM head is applied. Called without, the model computes what it did. Every
wrapper (DDP, FSDP, PEFT) still runs one forward of one model.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor, nn

from .loading import base_model
from .packing import PackedCollator
from .tree import Tree
from .tree_attention import has_trees, with_trees

logger = logging.getLogger(__name__)

# Implementations that are known to compute the same.
_REPLACEABLE = (None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
_LAYER_TYPES = {"full_attention", "sliding_attention"}
_TRIAL: list[dict[str, Any]] = [
    {"prompt_ids": [3, 1, 2], "response_ids": [[4], [5, 6], [6, 5, 7], [6, 5, 1, 2]]},
    {"prompt_ids": [7, 5], "response_ids": [[2, 1, 3, 4], [6, 7]]},
]


def share_prefixes(model: Any, choice: str, with_images: bool = False) -> bool:
    """Prepare a model with TRL's fused LM head to compute what responses share once; return whether it is possible.

    Args:
        model: A causal language model, or a PEFT model of one.
        choice: ``auto``: share where it is exact, otherwise log why not; ``true``; ``false``.
        with_images: Whether prompts have images, which are not shared.

    Raises:
        ValueError: If ``choice`` is ``true`` and it is not possible; the message states why.
    """
    if choice == "false":
        return False
    base = base_model(model)
    if (earlier := getattr(base.base_model, "_rrtf_preparation", None)) is not None:  # by a trainer of the same model
        earlier.undo()
    reason = "the rows have images" if with_images else _adapter_obstacle(model) or _architecture_obstacle(base)
    if reason is None:
        prepared = _Preparation(base)
        reason = _failed_trial(base)
        if reason is not None:
            prepared.undo()
    # A trial runs on what each process has: all share, or none.
    reasons = [one for one in gather_object([reason]) if one is not None]
    if not reasons:
        return True
    if reason is None:
        prepared.undo()
        reason = f"on another process {reasons[0]}"
    if choice == "true":
        raise ValueError(f'`share_prefix` is true, but {reason}. Use `share_prefix="auto"`.')
    if PartialState().is_main_process:
        logger.warning("Prompts are computed again for each response, with padding: %s.", reason)
    return False


# -- Preparing a model -----------------------------------------------------------------------------------


class _Preparation:
    """What is changed in a model: its attention, and two hooks on its backbone.

    Args:
        model: Its attention becomes :func:`.tree_attention.tree_attention`, which is another one without a tree.
    """

    def __init__(self, model: Any) -> None:
        self._config, self._before = model.config, model.config._attn_implementation
        backbone = model.base_model
        backbone._rrtf_preparation = self
        is_eager = self._before == "eager" or getattr(model.config, "attn_logit_softcapping", None) is not None
        model.config._attn_implementation = with_trees("eager" if is_eager else "sdpa")
        self._handles = [
            backbone.register_forward_pre_hook(_prevent_mask, with_kwargs=True),
            backbone.register_forward_hook(_gather_scored, with_kwargs=True),
        ]

    def undo(self) -> None:
        for handle in self._handles:
            handle.remove()
        if has_trees(self._config._attn_implementation):
            self._config._attn_implementation = self._before


def _prevent_mask(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Have transformers build no mask, which would be `[T, T]`: what has four dimensions is passed on."""
    if kwargs.get("tree") is None:
        return None
    if not has_trees(module.config._attn_implementation):
        raise ValueError(
            f'The model\'s attention was changed to "{module.config._attn_implementation}" after the trainer was '
            "made. Choose it before, or make a new trainer."
        )
    return args, {**kwargs, "attention_mask": kwargs["input_ids"].new_empty(1, 1, 1, 0)}


def _gather_scored(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
    """Have the LM head applied to the states that predict a token of a response."""
    if kwargs.get("tree") is not None:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden.index_select(1, kwargs["scored_positions"].to(hidden.device))


def _attention_layers(backbone: nn.Module) -> list[nn.Module]:
    # transformers requires this attribute of layers that call an attention function.
    return [module for module in backbone.modules() if hasattr(module, "is_causal")]


# -- Deciding --------------------------------------------------------------------------------------------


def _adapter_obstacle(model: Any) -> str | None:
    for adapter in getattr(model, "peft_config", {}).values():
        name = type(adapter).__name__
        if adapter.is_prompt_learning or adapter.is_adaption_prompt:
            return f"{name} adds virtual tokens to each sequence"
        if str(getattr(adapter, "peft_type", "")).endswith("XLORA") or getattr(
            adapter, "alora_invocation_tokens", None
        ):
            return f"the weights of {name} depend on the whole sequence"
    return None


def _architecture_obstacle(model: Any) -> str | None:
    """Return why the model may not compute the same in one row as one sequence at a time, or ``None``."""
    config, name = model.config, type(model).__name__
    layers = _attention_layers(model.base_model)
    if config.get_text_config() is not config:
        return f"{name} takes more than text"
    if getattr(model, "_is_stateful", False):
        return f"{name} passes a state from token to token (state-space, recurrent or linear attention layers)"
    other = sorted(set(getattr(config, "layer_types", None) or ()) - _LAYER_TYPES)
    if other:
        return f"{name} has layers of {', '.join(other)}"
    if any(isinstance(module, nn.Conv1d) for module in model.base_model.modules()):
        return f"{name} mixes adjacent tokens by convolution"
    if any(getattr(layer, "sinks", None) is not None for layer in layers):
        return f"{name} has attention sinks"
    if not getattr(model, "_supports_attention_backend", False) or not layers:
        return f"the attention of {name} does not use transformers' attention interface"
    if not getattr(config, "is_causal", True) or not all(layer.is_causal for layer in layers):
        return f"the attention of {name} is not causal"
    if "position_ids" not in inspect.signature(model.base_model.forward).parameters:
        return f"{name} takes no positions"
    if config._attn_implementation not in _REPLACEABLE:
        return (
            f'its attention was chosen to be "{config._attn_implementation}", for which there is no shared form; load '
            'the model with `attn_implementation="sdpa"`'
        )
    return None


def _failed_trial(model: Any) -> str | None:
    """Compare a few tokens in one row with one sequence at a time; return how they differ, or ``None``.

    This decides for models that the other checks accept: remote code, or future architectures.
    """
    if any(parameter.is_meta or hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return None  # the weights are on other processes: no trial is possible
    backbone, name = model.base_model, type(model).__name__
    training = {module: module.training for module in backbone.modules()}
    # bitsandbytes casts biases in the first forward; the trial must leave the model unchanged.
    biases = {p: p.data for name, p in backbone.named_parameters() if name.endswith("bias")}
    try:
        for module in training:
            # Dropout would differ, so evaluation mode for all but bitsandbytes' layers: on some CPUs their first call
            # in evaluation mode repacks the weights into a form without gradients.
            module.training = type(module).__module__.startswith("bitsandbytes")
        with torch.no_grad():
            shared, alone, tree = _run_trial(backbone, model.get_input_embeddings().weight)
    except Exception as error:  # of any kind: padded batches remain possible
        return f"a trial on {name} failed ({type(error).__name__}: {error})"
    finally:
        for module, flag in training.items():
            module.training = flag
        for parameter, data in biases.items():
            parameter.data = data
    expected = {layer: _window(model.config, layer) for layer in _attention_layers(backbone)}
    if tree.windows != expected:
        return f"the layers of {name} do not pass all arguments on to their attention functions"
    # Only rounding may differ: less in float32, more where weights or activations are quantized.
    exact = shared.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(shared.device.type)
    tolerance = 1e-3 if exact and not getattr(model, "is_quantized", False) else 0.1
    distance = ((shared - alone).norm(dim=-1) / alone.norm(dim=-1)).max().item()
    if distance < tolerance:
        return None
    return f"a trial on {name} gave different results (relative error {distance:.1e})"


def _run_trial(backbone: Any, embeddings: Tensor) -> tuple[Tensor, Tensor, Tree]:
    """Return hidden states float `[S, D]` of the trial's tokens in one row, one sequence at a time, and the tree."""
    device, size = embeddings.device, len(embeddings)
    examples = [{**row, "scores": [0.0] * len(row["response_ids"]), "from_teacher": []} for row in _TRIAL]
    batch = PackedCollator()(examples)
    tree, positions = batch["tree"], batch["scored_positions"].to(device)
    tokens, depths = (batch[name].to(device) for name in ("input_ids", "position_ids"))
    states = backbone(
        input_ids=tokens % size, position_ids=depths, tree=tree, scored_positions=positions, use_cache=False
    )
    alone = []
    chosen = backbone.config._attn_implementation
    backbone.config._attn_implementation = "eager"  # some others do not support float32, or compile for each length
    try:
        for row in _TRIAL:
            start = len(row["prompt_ids"])
            for response in row["response_ids"]:
                ids = torch.tensor([row["prompt_ids"] + response], device=device) % size
                alone.append(backbone(input_ids=ids, use_cache=False).last_hidden_state[0, start - 1 : -1])
    finally:
        backbone.config._attn_implementation = chosen
    together = states.last_hidden_state[0].index_select(0, batch["member_scores"].to(device))
    return together, torch.cat(alone), tree


def _window(config: Any, layer: nn.Module) -> int | None:
    types = getattr(config, "layer_types", None)
    slides = types is None or types[layer.layer_idx] == "sliding_attention"
    window: int | None = getattr(config, "sliding_window", None)
    return window if slides else None
