"""Measure a model from Python: greedy pass@1 and sampled pass@4 with intervals, on problems of your choice.

Run it: `python examples/evaluate_model.py [MODEL]`. `rrtf evaluate` does it on benchmarks, with tables and a folder.
"""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from rrtf_trl.assets import EMBEDDED
from rrtf_trl.evaluation import Evaluation, Measurement, figures
from rrtf_trl.feedback import UnitTests
from rrtf_trl.pipeline.collector import Collector
from rrtf_trl.pipeline.measure import measure
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.samplers import TransformersSampler
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store


def main(model: str) -> None:
    """Measure it on twelve held-out exercises."""
    evaluation = Evaluation(
        sampler=partial(TransformersSampler, max_new_tokens=128),
        measurements={"greedy": Measurement(), "sampled": Measurement(n=4, temperature=0.8, ks=(1, 4))},
    )
    with TemporaryDirectory() as folder:
        found = measure(
            label="",
            model=model,
            evaluation=evaluation,
            problems=lambda: exercises("heldout", 12),
            tests=UnitTests(timeout=2.0),
            collector=Collector(Store(Path(folder) / "store.sqlite"), Console()),
            folder=RunFolder(folder),
            path="",
        )
    for name, row in figures(found, evaluation.measurements).items():
        print(f"{name}: {row['value']:.1%} ({row['low']:.1%} to {row['high']:.1%}) of {row['problems']} problems")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else EMBEDDED)
