"""CTranslate2, the fastest form of the paper's Table 4."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rrtf_trl.models.engine import Generate


def convert(quantization: str) -> Callable[[Path, Path], None]:
    """Return what converts a model, with weights in ``int8``, ``float16``, ``bfloat16``, ..."""

    def export(model: Path, folder: Path) -> None:
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(model)).convert(str(folder), quantization=quantization, force=True)
        _name_all_special_tokens(folder / "config.json", model)

    return export


def _name_all_special_tokens(config: Path, model: Path) -> None:
    """Put the end token where the tokenizer has none of a kind: the engine does not start on a null."""
    from transformers import AutoTokenizer

    end = AutoTokenizer.from_pretrained(model).eos_token
    found: dict[str, Any] = json.loads(config.read_text())
    named = {key: end if value is None and key.endswith("_token") else value for key, value in found.items()}
    config.write_text(json.dumps(named, indent=2) + "\n")


def load(folder: Path, source: Path) -> Generate:
    """Load a converted model.

    Args:
        folder: Of the converted model.
        source: Of the model with its tokenizer.
    """
    import ctranslate2
    from transformers import AutoTokenizer

    ctranslate2.set_log_level(40)  # logging.ERROR: it warns of the type that it computes in where the CPU has no other
    device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    generator = ctranslate2.Generator(str(folder), device=device)
    tokenizer = AutoTokenizer.from_pretrained(source)

    def generate(ids: list[int], new_tokens: int, go_on: bool) -> list[int]:
        result = generator.generate_batch(
            [tokenizer.convert_ids_to_tokens(ids)],
            max_length=new_tokens,
            min_length=new_tokens if go_on else 0,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=tokenizer.eos_token,
            return_end_token=True,
        )
        return list(result[0].sequences_ids[0])

    return generate
