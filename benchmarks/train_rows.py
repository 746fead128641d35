"""What a step on a run's own rows costs, beside an earlier version of this project.

    python benchmarks/train_rows.py runs/NAME/ranked.jsonl MODEL [--before ../before/src] [--rounds 3]

Rows are as ragged as the run's candidates are, which `train_throughput.py` does not show. The versions take turns,
each in a process of its own on one core; what counts is processor time, which other work on the machine disturbs
little, and of it the ratio in each round. Writes lines of Markdown.
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
from typing import Any

STEPS = 14


def main() -> None:
    """Compare, or be one contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="a run's ranked.jsonl")
    parser.add_argument("model")
    parser.add_argument("--before", type=Path, help="the folder src of an earlier version")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16, help="groups a step")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options)))
        return
    now = Path(__file__).parents[1] / "src"
    versions = {"now": now, **({"before": options.before} if options.before else {})}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in versions}
    for _ in range(options.rounds):
        for name, source in versions.items():
            found[name].append(run(source))
    print("| version | tokens of a row | processor seconds of a step | peak memory |\n| --- | --- | --- | --- |")
    for name, results in found.items():
        seconds = statistics.median(one["seconds"] for one in results)
        memory = statistics.median(one["peak_mb"] for one in results)
        print(f"| {name} | {results[0]['tokens']:,.0f} | {seconds:.2f} | {memory:,.0f} MB |")
    if "before" in found:
        ratios = [old["seconds"] / new["seconds"] for old, new in zip(found["before"], found["now"], strict=True)]
        losses = {round(one["loss"], 5) for results in found.values() for one in results}
        print(f"\nbefore / now: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; training losses: {losses}")


def run(source: Path) -> dict[str, Any]:
    """Measure in a process of its own, with the version of ``source``."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    command = [sys.executable, __file__, *sys.argv[1:], "--one"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train a few steps, of which the first does not count."""
    import resource

    import torch
    from datasets import Dataset
    from transformers import TrainerCallback

    from rrtf_trl import RRTFConfig, RRTFTrainer

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = time.process_time()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            times.append(time.process_time() - self.start)

    torch.set_num_threads(1)
    lines = options.rows.read_text().splitlines()[: STEPS * options.batch]
    rows = [{name: row[name] for name in ("prompt", "responses", "scores")} for row in map(json.loads, lines)]
    with tempfile.TemporaryDirectory() as folder:
        args = RRTFConfig(
            folder,
            per_device_train_batch_size=options.batch,
            max_length=options.max_length,
            bf16=False,
            gradient_checkpointing=False,
            num_train_epochs=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = RRTFTrainer(options.model, args=args, train_dataset=Dataset.from_list(rows), callbacks=[Clock()])
        tokens = [batch["input_ids"].numel() for batch in trainer.get_train_dataloader()]
        trainer.train()
    return {
        "tokens": statistics.mean(tokens),
        "seconds": statistics.median(times[1:]),
        "loss": trainer.state.log_history[-1]["train_loss"],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
