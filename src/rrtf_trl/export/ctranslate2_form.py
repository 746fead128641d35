"""CTranslate2, the fastest form of the paper's Table 4."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rrtf_trl.models.engine import Generate


def convert(quantization: str) -> Callable[[Path, Path], None]:
    """Return a function that converts a model, with weights in ``int8``, ``float16``, ``bfloat16``, ..."""

    def export(model: Path, folder: Path) -> None:
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(model)).convert(str(folder), quantization=quantization, force=True)
        _name_all_special_tokens(folder / "config.json", model)

    return export


def _name_all_special_tokens(config: Path, model: Path) -> None:
    """Replace special tokens that the tokenizer lacks by the end token: CTranslate2 refuses to start on a null."""
    from transformers import AutoTokenizer

    end = AutoTokenizer.from_pretrained(model).eos_token
    settings: dict[str, Any] = json.loads(config.read_text())
    missing = {key: end for key, value in settings.items() if value is None and key.endswith("_token")}
    config.write_text(json.dumps({**settings, **missing}, indent=2) + "\n")


def load(folder: Path, source: Path) -> Generate:
    """Load a converted model.

    Args:
        folder: The converted model's folder.
        source: The original model's folder, which has the tokenizer.
    """
    import ctranslate2
    from transformers import AutoTokenizer

    ctranslate2.set_log_level(40)  # logging.ERROR; it warns where the CPU lacks the data type
    device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    generator = ctranslate2.Generator(str(folder), device=device)
    tokenizer = AutoTokenizer.from_pretrained(source)

    def generate(ids: list[int], new_tokens: int, ignore_end: bool) -> list[int]:
        result = generator.generate_batch(
            [tokenizer.convert_ids_to_tokens(ids)],
            max_length=new_tokens,
            min_length=new_tokens if ignore_end else 0,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=tokenizer.eos_token,
            return_end_token=True,
        )
        return list(result[0].sequences_ids[0])

    return generate
