"""Computes a prompt once for all of its responses, in models for which that is exact.

:func:`share_prefixes` inspects a model and, if possible, prepares it: called with ``shared_prefix=`` a layout, its
attention is :func:`~rrtf_trl.training.prefix_attention.shared_prefix_attention`, and the backbone returns only the
hidden states of the scored positions, to which TRL's fused LM head is applied. Called without, the model is unchanged.
Hooks do this, so that every wrapper (DDP, FSDP, PEFT) still runs one forward of one model.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn

from .loading import base_model
from .packing import PackedCollator
from .prefix_attention import NAME
from .prefix_layout import PrefixLayout

logger = logging.getLogger(__name__)

# Implementations that are known to compute the same.
_REPLACEABLE = (None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
_LAYER_TYPES = {"full_attention", "sliding_attention"}
_TRIAL: list[dict[str, Any]] = [
    {"prompt_ids": [3, 1, 2], "response_ids": [[4], [5, 6], [6, 5, 7]]},
    {"prompt_ids": [7, 5], "response_ids": [[2, 1, 3, 4], [6, 7]]},
]


def share_prefixes(model: Any, choice: str, with_images: bool = False) -> bool:
    """Prepare a model with TRL's fused LM head to compute each prompt once; return whether that is possible.

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
    reason = "the rows have images" if with_images else _adapter_obstacle(model) or _architecture_obstacle(base)
    if reason is None:
        switch = _Switch(base)
        reason = _failed_trial(base)
        if reason is None:
            return True
        switch.remove()
    if choice == "true":
        raise ValueError(f'`share_prefix` is true, but {reason}. Use `share_prefix="auto"`.')
    if PartialState().is_main_process:
        logger.warning("Prompts are computed again for each response, with padding: %s.", reason)
    return False


# -- Preparing a model -----------------------------------------------------------------------------------


class _Switch:
    """Hooks that select our attention while a module runs with a layout, and the model's own otherwise.

    They are on the backbone, which builds masks, and on each attention layer, which gradient checkpointing runs again
    outside of the backbone.
    """

    def __init__(self, model: Any) -> None:
        self.config, self.backbone = model.config, model.base_model
        self.before: list[str | None] = []
        self.handles: list[Any] = []
        for module in {self.backbone, *_attention_layers(self.backbone)}:
            self.handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            self.handles.append(module.register_forward_hook(self._leave, with_kwargs=True, always_call=True))
        self.handles.append(self.backbone.register_forward_hook(_gather_scored, with_kwargs=True))
        # An earlier trainer of the same model may have left its hooks.
        if hasattr(self.backbone, "_prefix_switch"):
            self.backbone._prefix_switch.remove()
        self.backbone._prefix_switch = self

    def _enter(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if module is self.backbone and self.before:  # an earlier forward was interrupted before its hooks ran
            self.config._attn_implementation = self.before[0]
            self.before.clear()
        if kwargs.get("shared_prefix") is not None:
            self.before.append(self.config._attn_implementation)
            self.config._attn_implementation = NAME

    def _leave(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if kwargs.get("shared_prefix") is not None:
            self.config._attn_implementation = self.before.pop()

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()


def _gather_scored(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
    layout: PrefixLayout | None = kwargs.get("shared_prefix")
    if layout is not None:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden.index_select(1, layout.scored_positions.to(hidden.device))


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
    """Return why the model may not compute the same under a layout as one sequence at a time, or ``None``."""
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
    """Compare a few tokens under a layout with one sequence at a time; return how they differ, or ``None``.

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
            shared, alone, layout = _run_trial(backbone, model.get_input_embeddings().weight)
    except Exception as error:  # of any kind: padded batches remain possible
        return f"a trial on {name} failed ({type(error).__name__}: {error})"
    finally:
        for module, flag in training.items():
            module.training = flag
        for parameter, data in biases.items():
            parameter.data = data
    expected = {layer: _window(model.config, layer) for layer in _attention_layers(backbone)}
    if layout.windows != expected:
        return f"the layers of {name} do not pass all arguments on to their attention functions"
    # Only rounding may differ: less in float32, more where weights or activations are quantized.
    exact = shared.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(shared.device.type)
    tolerance = 1e-3 if exact and not getattr(model, "is_quantized", False) else 0.1
    distance = ((shared - alone).norm(dim=-1) / alone.norm(dim=-1)).max().item()
    if distance < tolerance:
        return None
    return f"a trial on {name} gave different results (relative error {distance:.1e})"


def _run_trial(backbone: Any, embeddings: Tensor) -> tuple[Tensor, Tensor, PrefixLayout]:
    """Return hidden states float `[S, D]` under a layout, the same one sequence at a time, and the layout."""
    examples = [{**row, "scores": [0.0] * len(row["response_ids"]), "from_teacher": []} for row in _TRIAL]
    batch = {name: tensor.to(embeddings.device) for name, tensor in PackedCollator()(examples).items()}
    layout = PrefixLayout.of(batch)
    tokens, positions = batch["input_ids"] % len(embeddings), batch["position_ids"]
    shared = backbone(input_ids=tokens, position_ids=positions, shared_prefix=layout, use_cache=False)
    alone = []
    chosen = backbone.config._attn_implementation
    if chosen not in (None, "sdpa"):  # others compile a kernel per length, or do not support float32
        backbone.config._attn_implementation = "eager"
    try:
        for row in _TRIAL:
            start = len(row["prompt_ids"])
            for response in row["response_ids"]:
                ids = torch.tensor([row["prompt_ids"] + response], device=embeddings.device) % len(embeddings)
                alone.append(backbone(input_ids=ids, use_cache=False).last_hidden_state[0, start - 1 : -1])
    finally:
        backbone.config._attn_implementation = chosen
    return shared.last_hidden_state[0], torch.cat(alone), layout


def _window(config: Any, layer: nn.Module) -> int | None:
    types = getattr(config, "layer_types", None)
    slides = types is None or types[layer.layer_idx] == "sliding_attention"
    window: int | None = getattr(config, "sliding_window", None)
    return window if slides else None
