"""What the tests of the vLLM plugin share: problems, an adapter's folder, and where the real engine is."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.assets import model_path
from rrtf_trl.records import CaseTests, Problem

PROBLEMS = [Problem(f"t/{i}", f"# {i}\ndef f(x):\n", CaseTests([{"args": [1], "expected": 2}]), "f") for i in range(3)]

PYTHON = os.environ.get("RRTF_VLLM_PYTHON")
"""The interpreter of an environment with vLLM, where it is not this one's (``scripts/vllm_env.sh`` makes one)."""

NEEDS_ENGINE = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None and importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed, and RRTF_VLLM_PYTHON names no interpreter that has it",
    ),
]


def save_adapter(folder: Path, **options: Any) -> Path:
    """Write an adapter's folder as PEFT does, as far as it is read."""
    from transformers import AutoTokenizer

    base = model_path("embedded")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 8, "modules_to_save": None, **options}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
