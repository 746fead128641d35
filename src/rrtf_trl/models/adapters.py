"""Saved PEFT adapters: what is their base, and how they are put on it, the same for sampling and training."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrtf_trl.errors import UserError

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_OWN_TOKENIZER = "tokenizer_config.json"


@dataclass(frozen=True)
class Adapter:
    """A saved adapter.

    Args:
        path: Its folder, or hub id.
        revision: Of a hub id.
        config: Its configuration.
        base: Path or hub id of its base model.
    """

    path: str
    revision: str | None
    config: PeftConfig
    base: str

    @property
    def tokenizer_source(self) -> tuple[str, str | None]:
        """The path or hub id, and the revision, of its tokenizer: its own where it has one, otherwise its base's."""
        from transformers.utils import cached_file

        own = cached_file(
            self.path,
            _OWN_TOKENIZER,
            revision=self.revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if own is not None:
            return self.path, self.revision
        base = find_adapter(self.base, self.config.revision)
        return base.tokenizer_source if base is not None else (self.base, self.config.revision)


def find_adapter(model: str, revision: str | None = None) -> Adapter | None:
    """Return the adapter that a path or hub id holds, or ``None`` where it is no adapter.

    A base that is named by a relative path is looked for where the process runs, as PEFT does, and beside the adapter.

    Args:
        model: The path or hub id.
        revision: Of a hub id.

    Raises:
        UserError: If PEFT is not installed, its configuration cannot be read, or its base is not named or not there.
    """
    from transformers.utils.peft_utils import find_adapter_config_file

    file = find_adapter_config_file(model, revision=revision)
    if file is None:
        return None
    try:
        from peft import PeftConfig
    except ImportError:
        raise UserError(f"{model} is an adapter, which needs the peft package: pip install 'rrtf-trl[peft]'") from None
    try:
        config = PeftConfig.from_pretrained(str(Path(file).parent))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} cannot be read as an adapter's configuration: {error}") from error
    name = config.base_model_name_or_path
    remedy = f"Set base_model_name_or_path in {file} to the folder or hub id of the model that it was trained on."
    if not name:
        raise UserError(f"adapter {model} names no base model. {remedy}")
    return Adapter(model, revision, config, _base_of(model, name, remedy))


def _base_of(adapter: str, name: str, remedy: str) -> str:
    """Return the path or hub id of an adapter's base model."""
    places = [Path(name), Path(adapter) / name, Path(adapter).parent / name]
    for place in places if Path(adapter).is_dir() else places[:1]:
        if place.is_dir() and place.resolve() != Path(adapter).resolve():
            return str(place)
    is_hub_id = re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name)
    if not is_hub_id:
        raise UserError(f"adapter {adapter}: its base model is not there: no folder {name}. {remedy}")
    return name


def load_adapter(
    adapter: Adapter,
    load_base: Callable[[str, str | None], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    *,
    is_trainable: bool,
) -> PeftModel:
    """Return an adapter on its base.

    The base gets as many embeddings as the adapter was saved with; where the adapter has none of its own, enough for
    all tokens of the tokenizer. New ones that the adapter does not have are the same in each call.

    Args:
        adapter: The adapter.
        load_base: Loads a model from its path or hub id, and revision.
        tokenizer: The adapter's tokenizer.
        is_trainable: Whether the adapter is going to be trained: its weights are float32 then, as PEFT makes them, and
            have the base's dtype otherwise.

    Raises:
        UserError: If the base cannot be loaded, or the adapter does not fit it.
    """
    import torch
    from peft import PeftModel
    from peft.utils import load_peft_weights

    base = _load_base(adapter, load_base, tokenizer)
    options = {} if adapter.revision is None else {"revision": adapter.revision}
    rows = _embeddings(adapter, load_peft_weights(adapter.path, device="cpu", **options), base, tokenizer)
    if rows != base.get_input_embeddings().weight.shape[0]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            base.resize_token_embeddings(rows)
    try:
        return PeftModel.from_pretrained(
            base, adapter.path, is_trainable=is_trainable, autocast_adapter_dtype=is_trainable, **options
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"adapter {adapter.path} does not fit its base model {adapter.base}: {reason}") from error


def _load_base(
    adapter: Adapter, load_base: Callable[[str, str | None], PreTrainedModel], tokenizer: PreTrainedTokenizerBase
) -> Any:
    """Load the base of an adapter; where that is an adapter itself, it is merged into its own base."""
    below = find_adapter(adapter.base, adapter.config.revision)
    if below is not None:
        model = load_adapter(below, load_base, tokenizer, is_trainable=False)
        if getattr(model, "is_quantized", False):
            raise UserError(
                f"adapter {adapter.path}: its base {adapter.base} is an adapter too, which quantized weights cannot "
                "take in exactly. Merge that one into its base, and name the result as base_model_name_or_path."
            )
        return model.merge_and_unload()
    try:
        return load_base(adapter.base, adapter.config.revision)
    except OSError as error:
        raise UserError(
            f"adapter {adapter.path}: its base model {adapter.base} cannot be loaded: {str(error).splitlines()[0]} "
            f"Bring it back, or set base_model_name_or_path in {adapter.path}/adapter_config.json to where it is."
        ) from error


def _embeddings(adapter: Adapter, weights: dict[str, Any], base: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many embeddings the base needs for an adapter of these weights."""
    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    names = {name.rpartition(".")[2] for name, module in base.named_modules() if any(module is end for end in ends)}
    saved = {
        tensor.shape[0]
        for key, tensor in weights.items()
        if key.endswith(".weight") and names.intersection(key.split(".")) and ("lora_" not in key or "lora_B" in key)
    }
    if saved:
        return int(max(saved))
    indices = getattr(adapter.config, "trainable_token_indices", None) or []
    trained = [index for some in (indices.values() if isinstance(indices, dict) else [indices]) for index in some]
    return int(max(ends[0].weight.shape[0], len(tokenizer), *(index + 1 for index in trained)))
