"""The same comparison for policies of several sizes, each pre-trained here; on a GPU where there is one.

    python benchmarks/study/sizes.py --sizes 1m 4m              # hours on a CPU
    python benchmarks/study/sizes.py --sizes 1m 4m 25m 100m     # with a GPU

What is there already is not made again. `benchmarks/study/write.py` then writes the tables.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

SIZES = {
    "1m": {"hidden-size": 128, "layers": 4, "heads": 4, "documents": 60_000, "learning-rate": 3e-3},
    "4m": {"hidden-size": 256, "layers": 5, "heads": 4, "documents": 60_000, "learning-rate": 2e-3},
    "25m": {"hidden-size": 512, "layers": 8, "heads": 8, "documents": 120_000, "learning-rate": 1e-3},
    "100m": {"hidden-size": 768, "layers": 13, "heads": 12, "documents": 240_000, "learning-rate": 6e-4},
}
ARMS = (
    "SFT, best answer if it passes",
    "RRTF default",
    "DPO, 2 pairs of a passing answer",
    "RRTF, means",
    "RRHF",
    "GRPO",
)


def main() -> None:
    """Pre-train a policy of each size, and compare the losses on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=SIZES, nargs="+", default=["1m", "4m"])
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
    parser.add_argument("--work", type=Path, default=Path("runs/study"))
    options = parser.parse_args()
    here = Path(__file__).parent
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for size in options.sizes:
        policy = options.work / f"policy-{size}"
        if not policy.exists():
            given = [part for name, value in SIZES[size].items() for part in (f"--{name}", str(value))]
            _run(here.parents[1] / "scripts/pretrain_policy.py", "--levels", "1", "2", "3", "--device", device,
                 "--output", str(policy), *given)  # fmt: skip
        _run(here / "run.py", "--policy", str(policy), "--teacher", str(options.work / f"teacher-{size}"),
             "--part", "losses", "--only", *ARMS, "--seeds", *options.seeds, "--work", str(options.work))  # fmt: skip


def _run(script: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, str(script), *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
