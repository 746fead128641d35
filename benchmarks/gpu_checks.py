"""All that needs a GPU, in one call: the tests that are skipped elsewhere, then throughput at the sizes people train.

    python benchmarks/gpu_checks.py --out FOLDER [--minutes 9]

Needs the packages of `rrtf-trl[bnb,dev]`, and `liger-kernel` for the test of it. Writes each step's output to FOLDER
as it comes; a step that the time does not suffice for is said to be left out. The exit status is 1 where a step
failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
_THROUGHPUT = [sys.executable, str(HERE / "train_throughput.py"), "--prompt", "512", "--response", "128"]
STEPS = {
    "tests": [sys.executable, "-m", "pytest", str(HERE.parent / "tests/training"), "-q", "-rs", "-k", "on_the_gpu"],
    "0.5b-full": [*_THROUGHPUT, "--shape", "0.5b", "--responses", "4", "8", "--rounds", "2", "--out", "{out}"],
    "7b-4bit": [*_THROUGHPUT, "--shape", "7b", "--weights", "4bit", "--responses", "8", "--rounds", "1",
                "--recompute", "--out", "{out}"],
    "7b-lora": [*_THROUGHPUT, "--shape", "7b", "--weights", "lora", "--responses", "8", "--rounds", "1",
                "--recompute", "--out", "{out}"],
    "1.5b-full": [*_THROUGHPUT, "--shape", "1.5b", "--responses", "8", "--rounds", "2", "--out", "{out}"],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--minutes", type=float, default=9, help="time for all of it")
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU here: these are the checks that need one")
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    end = time.monotonic() + 60 * options.minutes
    for name in options.only:
        left = end - time.monotonic()
        if left < 30:
            print(f"== {name}: left out, no time", flush=True)
            continue
        command = [part.format(out=options.out / name) for part in STEPS[name]]
        with (options.out / f"{name}.log").open("w") as log:
            try:
                code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=left).returncode
            except subprocess.TimeoutExpired:
                code = None
        if code != 0:
            failed.append(name)
        tail = "\n".join((options.out / f"{name}.log").read_text().splitlines()[-12:])
        print(f"== {name}: {'out of time' if code is None else f'exit status {code}'}\n{tail}", flush=True)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
