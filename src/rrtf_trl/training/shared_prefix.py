"""Computes a prompt once for all of its responses, in models for which that is exact.

:func:`share_prefixes` looks at a model and, where it can, prepares it: called with ``shared_prefix=`` a layout, its
attention is :func:`~rrtf_trl.training.prefix_attention.shared_prefix_attention`, and the backbone returns the hidden
states of the scored positions alone, which is what TRL's fused LM head then sees. Called without, the model is what it
was. All of this is done with hooks, so that every wrapper (DDP, FSDP, PEFT) still sees one forward of one model.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import is_peft_model
from torch import Tensor, nn

from .packing import PackedCollator
from .prefix_attention import NAME
from .prefix_layout import PrefixLayout

logger = logging.getLogger(__name__)

# All of these compute the same; what another one does, nobody knows.
_REPLACEABLE = (None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
_LAYER_TYPES = {"full_attention", "sliding_attention"}
_TRIAL: list[dict[str, Any]] = [
    {"prompt_ids": [3, 1, 2], "response_ids": [[4], [5, 6], [6, 5, 7]]},
    {"prompt_ids": [7, 5], "response_ids": [[2, 1, 3, 4], [6, 7]]},
]


def share_prefixes(model: Any, choice: str, with_images: bool = False) -> bool:
    """Prepare a model with TRL's fused LM head to compute each prompt once, and say whether that could be done.

    Args:
        model: A causal language model, or a PEFT model of one.
        choice: ``auto``: do it where it is exact, and else log why not; ``true``; ``false``.
        with_images: Whether prompts have images, which are not shared.

    Raises:
        ValueError: If ``choice`` is ``true`` and it cannot be done; the message says why.
    """
    if choice == "false":
        return False
    base = model.get_base_model() if is_peft_model(model) else model
    reason = "the rows have images" if with_images else _adapter_in_the_way(model) or _architecture_in_the_way(base)
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
    """Hooks that use our attention while a module runs with a layout, and the model's own at all other times.

    They are on the backbone, where masks are made, and on each attention layer, which runs a second time, outside
    of the backbone, when gradient checkpointing computes it again.
    """

    def __init__(self, model: Any) -> None:
        self.config, self.backbone = model.config, model.base_model
        self.before: list[str | None] = []
        self.handles: list[Any] = []
        for module in {self.backbone, *_attention_layers(self.backbone)}:
            self.handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            self.handles.append(module.register_forward_hook(self._leave, with_kwargs=True, always_call=True))
        self.handles.append(self.backbone.register_forward_hook(_gather_scored, with_kwargs=True))
        # Another trainer of the same model has hooks there already.
        if hasattr(self.backbone, "_prefix_switch"):
            self.backbone._prefix_switch.remove()
        self.backbone._prefix_switch = self

    def _enter(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if module is self.backbone and self.before:  # Ctrl-C in an earlier forward: no hook ran after it
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
    # transformers asks it of a layer that calls an attention function to say whether it is causal.
    return [module for module in backbone.modules() if hasattr(module, "is_causal")]


# -- Deciding --------------------------------------------------------------------------------------------


def _adapter_in_the_way(model: Any) -> str | None:
    for adapter in getattr(model, "peft_config", {}).values():
        name = type(adapter).__name__
        if adapter.is_prompt_learning or adapter.is_adaption_prompt:
            return f"{name} adds virtual tokens to each sequence"
        if str(getattr(adapter, "peft_type", "")).endswith("XLORA") or getattr(
            adapter, "alora_invocation_tokens", None
        ):
            return f"the weights of {name} depend on the whole sequence"
    return None


def _architecture_in_the_way(model: Any) -> str | None:
    """Return why the model's tokens may see more, or less, than causal attention under a layout lets them."""
    config, name = model.config, type(model).__name__
    layers = _attention_layers(model.base_model)
    if config.get_text_config() is not config:
        return f"{name} takes more than text"
    if getattr(model, "_is_stateful", False):
        return f"{name} hands a state from token to token (state-space, recurrent or linear attention layers)"
    other = sorted(set(getattr(config, "layer_types", None) or ()) - _LAYER_TYPES)
    if other:
        return f"{name} has layers of {', '.join(other)}"
    if any(isinstance(module, nn.Conv1d) for module in model.base_model.modules()):
        return f"{name} mixes neighbouring tokens by convolution"
    if any(getattr(layer, "sinks", None) is not None for layer in layers):
        return f"{name} has attention sinks"
    if not getattr(model, "_supports_attention_backend", False) or not layers:
        return f"the attention of {name} does not go through transformers' attention interface"
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
    """Compare a few tokens under a layout with one sequence at a time; return how they differ.

    The last word on models that look right: remote code, or families to come.
    """
    if any(parameter.is_meta or hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return None  # the weights are on other processes: there is nothing to try it on
    backbone, name = model.base_model, type(model).__name__
    training = {module: module.training for module in backbone.modules()}
    # bitsandbytes casts biases in their first forward; what the model looks like is not the trial's to change.
    biases = {p: p.data for name, p in backbone.named_parameters() if name.endswith("bias")}
    try:
        for module in training:
            # Dropout would differ, so out of training with all but bitsandbytes' layers: on some CPUs their first call
            # out of training repacks the weights into a form that passes no gradients on any more.
            module.training = type(module).__module__.startswith("bitsandbytes")
        with torch.no_grad():
            shared, alone, layout = _run_trial(backbone, model.get_input_embeddings().weight)
    except Exception as error:  # whatever it is, the padded path does without it
        return f"a trial on {name} failed ({type(error).__name__}: {error})"
    finally:
        for module, flag in training.items():
            module.training = flag
        for parameter, data in biases.items():
            parameter.data = data
    expected = {layer: _window(model.config, layer) for layer in _attention_layers(backbone)}
    if layout.windows != expected:
        return f"the layers of {name} do not hand everything on to their attention functions"
    # Rounding is what differs: less of it in float32, and more where weights or activations are quantized.
    exact = shared.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(shared.device.type)
    tolerance = 1e-3 if exact and not getattr(model, "is_quantized", False) else 0.1
    distance = ((shared - alone).norm(dim=-1) / alone.norm(dim=-1)).max().item()
    return None if distance < tolerance else f"a trial on {name} gave other numbers (relative error {distance:.1e})"


def _run_trial(backbone: Any, embeddings: Tensor) -> tuple[Tensor, Tensor, PrefixLayout]:
    """Return float `[S, D]` twice, hidden states under a layout and one sequence at a time, and that layout."""
    examples = [{**row, "scores": [0.0] * len(row["response_ids"]), "from_teacher": []} for row in _TRIAL]
    batch = {name: tensor.to(embeddings.device) for name, tensor in PackedCollator()(examples).items()}
    layout = PrefixLayout.of(batch)
    tokens, positions = batch["input_ids"] % len(embeddings), batch["position_ids"]
    shared = backbone(input_ids=tokens, position_ids=positions, shared_prefix=layout, use_cache=False)
    alone = []
    chosen = backbone.config._attn_implementation
    if chosen not in (None, "sdpa"):  # others compile a kernel for each length, or take no float32
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
