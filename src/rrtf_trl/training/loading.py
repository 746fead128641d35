"""Models, tokenizers and adapters for the trainer, as TRL's trainers load them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from accelerate.utils import is_peft_model
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import is_peft_available
from trl.trainer.utils import create_model_from_path, get_config_model_id

from .config import RRTFConfig

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel


def load_model(
    model: str | PreTrainedModel | PeftModel, args: RRTFConfig, quantization_config: BitsAndBytesConfig | None
) -> PreTrainedModel | PeftModel:
    """Return the model, loaded where it is given as a path or hub id.

    Raises:
        ValueError: If ``quantization_config`` cannot be applied, or is given twice.
    """
    if not isinstance(model, str):
        if quantization_config is not None:
            raise ValueError(
                "`quantization_config` applies to a model that the trainer loads, but yours is loaded already. Give "
                "`model` as a path or hub id, or leave `quantization_config` out."
            )
        if args.model_init_kwargs is not None:
            warnings.warn("The model is loaded already: `model_init_kwargs` is not used.", UserWarning, stacklevel=3)
        return model
    assert not isinstance(args.model_init_kwargs, str), "the base class parses it"
    options = dict(args.model_init_kwargs or {})
    if quantization_config is not None:
        if "quantization_config" in options:
            raise ValueError("`quantization_config` is given twice: as an argument and in `model_init_kwargs`.")
        options["quantization_config"] = quantization_config
    if args.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        options["device_map"] = None
    options.setdefault("trust_remote_code", args.trust_remote_code)
    return create_model_from_path(model, **options)


def load_tokenizer(
    processing_class: PreTrainedTokenizerBase | None, model: PreTrainedModel | PeftModel, args: RRTFConfig
) -> PreTrainedTokenizerBase:
    """Return the tokenizer, by default the model's own; both agree on the padding token afterwards.

    Raises:
        TypeError: If ``processing_class`` is no tokenizer.
    """
    if processing_class is None:
        name = get_config_model_id(model.config)
        processing_class = AutoTokenizer.from_pretrained(name, trust_remote_code=args.trust_remote_code)
    if not isinstance(processing_class, PreTrainedTokenizerBase):
        raise TypeError(f"`processing_class` must be a tokenizer, got `{type(processing_class).__name__}`.")
    if processing_class.pad_token is None:
        processing_class.pad_token = processing_class.eos_token
    model.config.get_text_config().pad_token_id = processing_class.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = processing_class.pad_token_id
    return processing_class


def add_adapter(
    model: PreTrainedModel | PeftModel, args: RRTFConfig, peft_config: PeftConfig | None
) -> PreTrainedModel | PeftModel:
    """Return the model with the adapter of ``peft_config``, or with its own, ready for training.

    Raises:
        ImportError: If peft is needed and missing.
        ValueError: If the model has an adapter already.
    """
    quantized = getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)
    if peft_config is not None:
        if not is_peft_available():
            raise ImportError("`peft_config` needs the peft package: pip install 'rrtf-trl[peft]'")
        from peft import get_peft_model

        if is_peft_model(model):
            raise ValueError(
                "The model has an adapter already and `peft_config` asks for another. Merge the first one into the "
                "model, or leave `peft_config` out to go on training it."
            )
        model = get_peft_model(model, peft_config)
    if is_peft_model(model) and args.gradient_checkpointing:
        model.enable_input_require_grads()
    if quantized:
        # QLoRA (arXiv 2305.14314) computes in bf16. DoRA's magnitudes stay in float32: bf16 would lose their updates.
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "lora_magnitude_vector" not in name:
                parameter.data = parameter.data.to(torch.bfloat16)
    return model
