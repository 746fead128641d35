"""Models, tokenizers and adapters for the trainer, as TRL's trainers load them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import is_peft_model
from transformers import (
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.utils import is_liger_kernel_available, is_peft_available
from trl.trainer.utils import create_model_from_path, get_config_model_id

from rrtf_trl.assets import model_path
from rrtf_trl.models.adapters import find_adapter, load_adapter
from rrtf_trl.models.dequantize import for_processor
from rrtf_trl.models.network import only_the_hub

from .config import RRTFConfig
from .precision import base_dtype, half_precision_of, train_in_float32
from .templates import set_chat_template, set_eos_token

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel


class Policy(NamedTuple):
    """What is going to be trained.

    Args:
        model: The model.
        processing_class: Its tokenizer or processor.
        is_own_dtype: Whether the precision was chosen here: the model was loaded here, and ``dtype`` was not set.
        saved_dtype: The precision to save trained weights in, or ``None`` for that of the model.
    """

    model: PreTrainedModel | PeftModel
    processing_class: PreTrainedTokenizerBase | ProcessorMixin
    is_own_dtype: bool = False
    saved_dtype: torch.dtype | None = None


def load_policy(
    model: str | PreTrainedModel | PeftModel,
    processing_class: PreTrainedTokenizerBase | ProcessorMixin | None,
    args: RRTFConfig,
    quantization_config: BitsAndBytesConfig | None,
    peft_config: PeftConfig | None = None,
) -> Policy:
    """Return the model and its tokenizer or processor, loaded where they are not yet; an adapter is loaded trainable.

    Args:
        model: A path or hub id of a model or an adapter, ``embedded``, or a model.
        processing_class: The tokenizer or processor; ``None`` loads the model's own, and for an adapter the one that
            is saved with it, or else its base's.
        args: The options.
        quantization_config: bitsandbytes options for what is loaded, or ``None``.
        peft_config: The adapter that a model is going to get, which decides its precision, see
            :mod:`rrtf_trl.training.precision`.

    Raises:
        ValueError: If ``quantization_config`` cannot be applied, or is set twice, or ``pad_token`` is not in the
            vocabulary.
        TypeError: If ``processing_class`` is neither a tokenizer nor a processor.
        UserError: If an adapter cannot be loaded; see :mod:`rrtf_trl.models.adapters`.
    """
    if not isinstance(model, str):
        if quantization_config is not None:
            raise ValueError(
                "`quantization_config` applies to a model that the trainer loads, but yours is loaded already. Pass "
                "a path or hub id as `model`, or leave `quantization_config` out."
            )
        if args.model_init_kwargs is not None:
            warnings.warn("The model is loaded already: `model_init_kwargs` is not used.", UserWarning, stacklevel=3)
        return Policy(model, load_processor(processing_class, model, args, peft_config))
    options = _load_options(args)
    path, revision = model_path(model), options.get("revision")
    is_own_dtype = "dtype" not in options
    adapter = find_adapter(path, revision)
    if adapter is None:
        half = half_precision_of(path, revision, args.trust_remote_code) if is_own_dtype else None
        loaded = _load_model(path, revision, args, quantization_config, base_dtype(half, args, peft_config))
        saved_dtype = half if peft_config is None and quantization_config is None else None
        processing_class = load_processor(processing_class, loaded, args, peft_config)
        return Policy(loaded, processing_class, is_own_dtype, saved_dtype)
    if processing_class is None:
        source, revision = adapter.tokenizer_source
        processing_class = AutoProcessor.from_pretrained(
            source, revision=revision, trust_remote_code=args.trust_remote_code
        )

    def load_base(base: str, of_base: str | None) -> PreTrainedModel:
        half = half_precision_of(base, of_base, args.trust_remote_code) if is_own_dtype else None
        return _load_model(base, of_base, args, quantization_config, base_dtype(half, args, adapter.config))

    policy = load_adapter(adapter, load_base, tokenizer_of(_checked(processing_class)), is_trainable=True)
    return Policy(policy, load_processor(processing_class, policy, args), is_own_dtype)


def _load_options(args: RRTFConfig) -> dict[str, Any]:
    assert not isinstance(args.model_init_kwargs, str), "the base class parses it"
    options = dict(args.model_init_kwargs or {})
    dtype = options.pop("dtype", None) or options.pop("torch_dtype", None)
    return options if dtype is None else {**options, "dtype": dtype}


def _load_model(
    path: str,
    revision: str | None,
    args: RRTFConfig,
    quantization_config: BitsAndBytesConfig | None,
    dtype: torch.dtype,
) -> PreTrainedModel:
    options = {"dtype": dtype, **_load_options(args), "revision": revision or "main"}
    if quantization_config is not None:
        if "quantization_config" in options:
            raise ValueError("`quantization_config` is set twice: as an argument and in `model_init_kwargs`.")
        is_cpu = args.device.type == "cpu"
        options["quantization_config"] = for_processor(quantization_config) if is_cpu else quantization_config
    if args.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        options["device_map"] = None
    options.setdefault("trust_remote_code", args.trust_remote_code)
    with only_the_hub():
        return create_model_from_path(path, **options)


def load_processor(
    processing_class: PreTrainedTokenizerBase | ProcessorMixin | None,
    model: PreTrainedModel | PeftModel,
    args: RRTFConfig,
    peft_config: PeftConfig | None = None,
) -> PreTrainedTokenizerBase | ProcessorMixin:
    """Return the tokenizer or processor, by default the model's own, with the template and tokens of the options.

    Args:
        processing_class: The tokenizer or processor, or ``None``.
        model: The model, which gets the same padding and end-of-sequence tokens.
        args: Reads ``chat_template_path``, ``eos_token`` and ``pad_token``.
        peft_config: The adapter that the model is going to get, which trains tokens that a chat template adds.

    Raises:
        TypeError: If ``processing_class`` is neither a tokenizer nor a processor.
        ValueError: If ``pad_token`` or ``eos_token`` is not in the vocabulary, or ``chat_template_path`` has no
            template, or one that the model cannot use.
    """
    if processing_class is None:
        name = get_config_model_id(model.config)
        processing_class = AutoProcessor.from_pretrained(
            name, revision=_load_options(args).get("revision"), trust_remote_code=args.trust_remote_code
        )
    tokenizer = tokenizer_of(_checked(processing_class))
    if args.chat_template_path is not None:
        set_chat_template(model, tokenizer, processing_class, args.chat_template_path, peft_config)
    if args.eos_token is not None:
        set_eos_token(model, tokenizer, args.eos_token)
    pad_token = args.pad_token or tokenizer.pad_token or tokenizer.eos_token
    if pad_token not in tokenizer.get_vocab():
        raise ValueError(
            f"`pad_token` {pad_token!r} is not in the tokenizer's vocabulary. Name a token that is, or add it first."
        )
    tokenizer.pad_token = pad_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    return processing_class


def _checked(processing_class: Any) -> PreTrainedTokenizerBase | ProcessorMixin:
    if not isinstance(processing_class, PreTrainedTokenizerBase | ProcessorMixin):
        raise TypeError(
            f"`processing_class` must be a tokenizer or a processor, got `{type(processing_class).__name__}`."
        )
    return processing_class


def base_model(model: Any) -> Any:
    """Return the model without its adapter."""
    return model.get_base_model() if is_peft_model(model) else model


def tokenizer_of(processing_class: PreTrainedTokenizerBase | ProcessorMixin) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a processor, with its chat template, or a tokenizer itself."""
    if not isinstance(processing_class, ProcessorMixin):
        return processing_class
    tokenizer = processing_class.tokenizer
    tokenizer.chat_template = tokenizer.chat_template or processing_class.chat_template
    return tokenizer


def add_adapter(policy: Policy, args: RRTFConfig, peft_config: PeftConfig | None) -> PreTrainedModel | PeftModel:
    """Return the model with the adapter of ``peft_config``, or with its own, ready for training.

    Raises:
        ImportError: If peft is needed and missing.
        ValueError: If the model has an adapter already, or cannot train with this one.
    """
    model = policy.model
    quantized = getattr(model, "is_loaded_in_4bit", False) or getattr(model, "is_loaded_in_8bit", False)
    if peft_config is not None:
        if not is_peft_available():
            raise ImportError("`peft_config` needs the peft package: pip install 'rrtf-trl[peft]'")
        from peft import PeftConfig, get_peft_model

        if not isinstance(peft_config, PeftConfig):
            raise TypeError(
                "`peft_config` must be a `peft.PeftConfig` such as `peft.LoraConfig`, got "
                f"`{type(peft_config).__name__}`."
            )
        if is_peft_model(model):
            raise ValueError(
                "The model has an adapter already and `peft_config` asks for another. Merge the first one into the "
                "model, or leave `peft_config` out to continue training it."
            )
        on_cpu = next(model.parameters()).device.type == "cpu"
        if getattr(peft_config, "use_dora", False) and getattr(model, "is_loaded_in_8bit", False) and on_cpu:
            raise ValueError(
                "DoRA on 8-bit weights does not train on a CPU: bitsandbytes loses the scale of its weights after the "
                "first step. Use 4-bit weights, or LoRA (`use_dora=False`)."
            )
        # ZeRO-3 gathers parameters into buffers of one dtype: the adapter keeps that of the model.
        options = {"autocast_adapter_dtype": False} if is_zero3(args) and not quantized else {}
        model = get_peft_model(model, peft_config, **options)
    if is_peft_model(model) and args.gradient_checkpointing:
        if is_zero3(args):  # with an adapter it recomputes correctly only with the reentrant implementation
            args.gradient_checkpointing_kwargs = {**(args.gradient_checkpointing_kwargs or {}), "use_reentrant": True}
        model.enable_input_require_grads()
    if quantized:
        # QLoRA (arXiv 2305.14314) computes in bf16. DoRA's magnitudes stay in float32: bf16 would lose their updates.
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "lora_magnitude_vector" not in name:
                parameter.data = parameter.data.to(torch.bfloat16)
    elif is_peft_model(model) and policy.is_own_dtype and not is_zero3(args):
        train_in_float32(model)
    return model


def is_zero3(args: RRTFConfig) -> bool:
    """Whether DeepSpeed keeps a part of each weight in each process."""
    return args.deepspeed_plugin is not None and args.deepspeed_plugin.zero_stage == 3


def keep_fused_head(args: RRTFConfig) -> None:
    """Make Liger, if it is enabled, leave the LM head unchanged, as TRL's trainers do.

    Raises:
        ValueError: If its fused cross-entropy is enabled, which would replace the model's forward.
        ImportError: If it is not installed, which transformers would find out only after all rows are tokenized.
    """
    if not args.use_liger_kernel:
        return
    if not is_liger_kernel_available():
        raise ImportError(
            "`use_liger_kernel=True` needs the liger-kernel package, version 0.3.0 or newer, and a GPU: pip install "
            "liger-kernel. Or leave it out: it changes speed and memory, no result."
        )
    warnings.warn(
        "`use_liger_kernel=True` is deprecated in TRL, which drops it in 2.0. Use "
        '`model_init_kwargs={"use_kernels": True}` instead.',
        FutureWarning,
        stacklevel=3,
    )
    options = args.liger_kernel_config or {}
    if options.get("fused_linear_cross_entropy"):
        raise ValueError(
            '`liger_kernel_config={"fused_linear_cross_entropy": True}` replaces the model\'s forward, which the '
            "trainer needs for its own fused LM head. Leave it out."
        )
    args.liger_kernel_config = {**options, "fused_linear_cross_entropy": False}


def router_loss_weight(model: PreTrainedModel | PeftModel, args: RRTFConfig) -> float:
    """Return the weight of the load-balancing loss, 0 where the model has none.

    Raises:
        ValueError: If ``router_aux_loss_coef`` is set for a model that has none.
    """
    config = model.config.get_text_config()
    has_router = hasattr(config, "output_router_logits")
    if args.router_aux_loss_coef and not has_router:
        raise ValueError(
            f"`router_aux_loss_coef` is {args.router_aux_loss_coef}, but {type(model).__name__} is not a mixture of "
            "experts that returns its router's logits. Leave it out."
        )
    if not has_router:
        return 0.0
    default: float = getattr(config, "router_aux_loss_coef", 0.0)
    return default if args.router_aux_loss_coef is None else args.router_aux_loss_coef
