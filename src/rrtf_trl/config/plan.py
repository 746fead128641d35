"""The plan of a run, in a few lines: model, samples, training and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from rrtf_trl.assets import model_path
from rrtf_trl.models.size import ModelSize, model_shape, model_size

from .memory_plan import memory_plan


def plan(config: DictConfig) -> Iterator[str]:
    """Yield lines with the model, the number of samples and tokens, the precision, and the memory.

    Memory is estimated from the sizes in the model's files and the options, and compared with what is free.

    Args:
        config: The run's configuration.
    """
    size = model_size(model_path(config.model.path))
    parts = [_parameters(size)] if size else []
    parts.append(_training_mode(config))
    yield f"model: {config.model.path} ({', '.join(parts)})"
    judges = [str(name) for name, node in config.feedback.items() if "_target_" in node]
    yield f"samples: {', '.join(_samplers(config)) or 'none'}; judged by {', '.join(judges)}"
    trainer = config.trainer
    step = trainer.per_device_train_batch_size * trainer.gradient_accumulation_steps
    yield (
        f"training: {trainer.num_train_epochs:g} epochs in steps of {step} problems, at most {trainer.max_length} "
        f"tokens a sequence, learning rate {trainer.learning_rate:g}"
    )
    longest = max(_longest_responses(config), default=0)
    if trainer.max_length is not None and longest >= trainer.max_length:
        yield (
            f"training: responses may have {longest} tokens, and with their prompts none of more than "
            f"trainer.max_length={trainer.max_length} is trained on: raise it, or draw shorter ones"
        )
    shape = model_shape(model_path(config.model.path))
    if size is not None and shape is not None:
        plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
        yield from memory_plan(plain, shape, size.dtype)


def _longest_responses(config: DictConfig) -> Iterator[int]:
    """Yield the most tokens that each chosen sampler draws, where it has that option."""
    for node in config.sampler.values():
        tokens = node.get("max_new_tokens") if "_target_" in node else None
        if isinstance(tokens, int):
            yield tokens


def _parameters(size: ModelSize) -> str:
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if size.parameters >= unit:
            return f"{size.parameters / unit:.1f} {name} parameters in {size.dtype}"
    return f"{size.parameters:,} parameters in {size.dtype}"


def _training_mode(config: DictConfig) -> str:
    precision = "bfloat16" if OmegaConf.select(config, "trainer.bf16") else "float32"
    if config.quantization is not None:
        return f"an adapter on quantized weights is trained, computing in {precision}"
    return f"{'an adapter' if config.adapter is not None else 'all weights'} trained, computing in {precision}"


def _samplers(config: DictConfig) -> Iterator[str]:
    for name, node in config.sampler.items():
        options: Any = OmegaConf.to_container(node, resolve=False)
        if "_target_" not in options:
            continue  # an experiment sets its options, and it is not chosen
        n, tokens = options.get("n"), options.get("max_new_tokens")
        temperatures = options.get("temperatures")
        if not isinstance(n, int):
            yield str(name)
            continue
        draws = n * (len(temperatures) if isinstance(temperatures, list) else 1)
        cap = f" of at most {tokens} tokens" if isinstance(tokens, int) else ""
        yield f"{draws} a problem{cap} by {name}"
