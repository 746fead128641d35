"""Which settings make the quick start's policy better? Base, SFT, RRHF and RRTF at equal budget, over seeds.

    python benchmarks/quickstart_settings.py --seeds 0 1 2

Each contestant is `rrtf evaluate` on the quick start's problems, with the same samples, verdicts, epochs and
batches; they differ in nothing but the trainer's options below. A seed decides the training problems, the
samples and the training; the held-out problems and their decoding are the same for all. Writes
`benchmarks/results/quickstart_settings.md` and `.json`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

_IMITATE_ALL = "trainer.sft_min_score=null"
_RANK_ALL = "trainer.rank_min_score=null"
_AS_MUCH = "trainer.rank_weight=1.0"
CONTESTANTS: dict[str, list[str]] = {
    "SFT on the best answer": ["trainer.rank_weight=0", _IMITATE_ALL],
    "SFT on the best answer if it passes": ["trainer.rank_weight=0"],
    # Ranking reads all answers of a problem, SFT one: three epochs of ranking cost as much as some 18 of SFT.
    "the same, for as many tokens as ranking reads": [
        "trainer.rank_weight=0",
        "trainer.max_responses=2",
        "trainer.num_train_epochs=18",
    ],
    "RRHF": ["trainer.loss_type=rrhf", _AS_MUCH, _IMITATE_ALL, _RANK_ALL],
    "RRTF as printed: pairs and tokens summed": [
        _AS_MUCH,
        "trainer.pair_reduction=sum",
        "trainer.sft_reduction=sum",
        _IMITATE_ALL,
        _RANK_ALL,
    ],
    "RRTF, pairs summed": [_AS_MUCH, "trainer.pair_reduction=sum", _IMITATE_ALL, _RANK_ALL],
    "RRTF, pairs averaged": [_AS_MUCH, _IMITATE_ALL, _RANK_ALL],
    "RRTF, pairs averaged, imitating passing answers only": [_AS_MUCH, _RANK_ALL],
    "the same, best against the rest": [_AS_MUCH, "trainer.pairs=best_vs_rest", _RANK_ALL],
    "the same, all pairs, ranking weighted 0.3": [_RANK_ALL],
    "RRTF, imitating passing answers only and ranking them above the rest, weighted 0.3 (the quick start)": [],
}
FIGURES = ("greedy pass@1", "sampled pass@1", "sampled pass@4")


def main() -> None:
    """Run every contestant with every seed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs-dir", default="runs/quickstart_settings", help="samples are shared and kept here")
    parser.add_argument("--only", nargs="*", help="contestants whose names contain one of these")
    parser.add_argument("--out", default="benchmarks/results/quickstart_settings")
    parser.add_argument("overrides", nargs="*", help="settings for all contestants, as for `rrtf run`")
    options = parser.parse_args()
    chosen = {
        name: settings
        for name, settings in CONTESTANTS.items()
        if not options.only or any(part in name for part in options.only)
    }
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for seed in options.seeds:
        for name, settings in chosen.items():
            results = run([*options.overrides, *settings, f"seed={seed}"], options.runs_dir)
            rows[name].append({"seed": seed, "settings": settings, "results": results})
            shown = ", ".join(f"{figure} {results[figure]['trained']['value']:.3f}" for figure in FIGURES)
            print(f"seed {seed}  {name}: {shown}", flush=True)
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    out.with_suffix(".md").write_text(table(rows, options.overrides))
    print(table(rows, options.overrides))


def run(overrides: list[str], runs_dir: str) -> dict[str, Any]:
    """Run `rrtf evaluate` with these overrides and return the run's results."""
    command = [sys.executable, "-m", "rrtf_trl.cli", "evaluate", f"runs_dir={runs_dir}", *overrides]
    # Threads that wait by spinning take the cores from whatever else runs beside them.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}")
    folder = done.stdout.strip().splitlines()[-1].split(": ", 1)[1]
    results: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text())
    return results


def table(rows: dict[str, list[dict[str, Any]]], overrides: list[str]) -> str:
    """Return the results as Markdown: the mean over seeds, and each seed's figure."""
    first = next(iter(rows.values()))
    seeds = [entry["seed"] for entry in first]
    sampled = first[0]["results"]["sampled pass@1"]
    temperature = sampled["decoding"]["temperatures"][0]
    command = shlex.join(["python", "benchmarks/quickstart_settings.py", "--seeds", *map(str, seeds), *overrides])
    lines = [
        "# Which settings make the quick start's policy better?",
        "",
        f"`{command}`",
        "",
        f"{datetime.date.today()}, {os.cpu_count()} CPU cores ({platform.machine()}), Python "
        f"{platform.python_version()}. {sampled['problems']} held-out problems; greedy, and {sampled['n']} samples at "
        f"T {temperature:g}. Mean over {len(seeds)} seeds, and each seed in brackets. The 95% interval of one figure, "
        "over problems, is about ±4 points for greedy and ±3 for sampled.",
        "",
        "| | " + " | ".join(FIGURES) + " |",
        "| --- | " + " | ".join("---" for _ in FIGURES) + " |",
    ]
    base = first[0]["results"]
    lines.append("| base | " + " | ".join(f"{base[figure]['base']['value']:.3f}" for figure in FIGURES) + " |")
    for name, entries in rows.items():
        cells = []
        for figure in FIGURES:
            values = [entry["results"][figure]["trained"]["value"] for entry in entries]
            each = ", ".join(f"{value:.3f}" for value in values)
            cells.append(f"{statistics.mean(values):.3f} ({each})")
        settings = " ".join(entries[0]["settings"])
        lines.append(f"| {name}{f' `{settings}`' if settings else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
