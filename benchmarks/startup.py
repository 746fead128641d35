"""How long `rrtf` takes to start with plugins installed, before any heavy import.

Lays down N plugins as pip leaves them (a package, its metadata, an entry point, a configuration folder), and times
`rrtf --help` in new processes: with none, with all, and a bare Python, in turns; the median of each.

    python benchmarks/startup.py --plugins 20 --repeat 15 --out benchmarks/results/startup.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CODE = """\
from rrtf_trl import hookimpl

RRTF_CONTRACT = 1


@hookimpl
def rrtf_feedback():
    return {{"bench{n}": "rrtf_bench{n}.judge:Judge"}}


@hookimpl
def rrtf_config_paths():
    return ["pkg://rrtf_bench{n}.conf"]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the start of rrtf with plugins installed.")
    parser.add_argument("--plugins", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.plugins):
            install(Path(folder), number)
        rrtf = [sys.executable, "-m", "rrtf_trl.cli", "--help"]
        with_plugins = {"PYTHONPATH": folder}
        contestants: dict[str, tuple[list[str], dict[str, str]]] = {
            "python": ([sys.executable, "-c", "pass"], {}),
            "rrtf": (rrtf, {}),
            f"rrtf with {options.plugins} plugins": (rrtf, with_plugins),
            f"rrtf plugins with {options.plugins} plugins": ([*rrtf[:-1], "plugins", "--json"], with_plugins),
        }
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(options.repeat + 1):
            for name, (command, extra) in contestants.items():
                start = time.perf_counter()
                done = subprocess.run(command, env={**os.environ, **extra}, capture_output=True, check=True)
                if turn:  # the first one fills the caches
                    times[name].append(time.perf_counter() - start)
                assert not done.stderr, done.stderr.decode()
    figures = {name: round(statistics.median(found), 3) for name, found in times.items()}
    for name, seconds in figures.items():
        print(f"{name:32} {seconds:.3f} s")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


def install(site: Path, number: int) -> None:
    """Lay down one plugin."""
    package = site / f"rrtf_bench{number}"
    (package / "conf" / "feedback").mkdir(parents=True)
    (package / "__init__.py").write_text(CODE.format(n=number))
    (package / "judge.py").write_text("import torch  # heavy, and not needed to start\n")
    (package / "conf" / "feedback" / f"bench{number}.yaml").write_text(f"_target_: rrtf_bench{number}.judge.Judge\n")
    info = site / f"rrtf_bench{number}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rrtf-bench{number}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rrtf_trl]\nbench{number} = rrtf_bench{number}\n")


if __name__ == "__main__":
    main()
