"""What people said of the answers, as feedback: read from the file that ``rrtf label`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rrtf_trl.records import Candidate, Judged, Judgement, Problem, content_hash

from .aggregate import METHODS, Method, Opinion, aggregate
from .agreement import agreement
from .items import answer_id, prompt_key
from .label_file import read_labels


class HumanLabels:
    """Judges candidates by people's labels.

    A candidate is found by content: its problem's prompt, and its code or its response, as labelled, white space at
    either end aside. So labels hold in every run that draws the same answer, and imported ones too. The score is the
    aggregate of the labels, in [0, 1]; equal scores are ties. A candidate that nobody labelled gets no score.

    Args:
        labels: The labels file.
        aggregation: ``borda`` or ``bradley_terry``, see :mod:`rrtf_trl.labeling.aggregate`.

    Raises:
        InputError: If the file is missing or a row of it is wrong.
        ValueError: If there is no such aggregation.
    """

    name = "human"

    def __init__(self, labels: str | Path, aggregation: Method = "borda") -> None:
        if aggregation not in METHODS:
            raise ValueError(f"aggregation must be one of {', '.join(METHODS)}, got {aggregation!r}")
        self.labels = Path(labels)
        self.aggregation = aggregation
        found = self._ledger = read_labels(self.labels)
        given = found.labels()
        self._opinions: dict[str, Opinion] = aggregate(given, aggregation)
        self._labelled = {prompt_key(label.item.prompt) for label in given}
        self._offered = {prompt_key(item.prompt) for item in found.items.values()}
        self._skippers: dict[str, set[str]] = {}
        for person in found.annotators.values():
            for item_id in person.skipped:
                self._skippers.setdefault(prompt_key(found.items[item_id].prompt), set()).add(person.name)
        said = [(key, asdict(self._opinions[key])) for key in sorted(self._opinions)]
        skipped = {key: sorted(names) for key, names in self._skippers.items()}
        self._digest = content_hash(said, sorted(self._labelled), sorted(self._offered), skipped)

    def identity(self) -> dict[str, Any]:
        """Return the source's name, the aggregation, and a hash of all that people said."""
        return {"feedback": self.name, "labels": self._digest, "aggregation": self.aggregation}

    def check(self, problem: Problem) -> None:
        """Accept any problem: one without labels is abstained from."""

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, in order; an abstention where there is no label."""
        for problem, candidate in items:
            opinion = self._opinion(problem, candidate)
            if opinion is None:
                score, detail = None, self._abstained(problem)
            else:
                score = opinion.score
                detail = {
                    "annotators": sorted({str(vote["annotator"]) for vote in opinion.votes}),
                    "votes": opinion.votes,
                    "agreement": opinion.agreement,
                }
            yield Judgement(candidate.candidate_id, self.name, state=None, score=score, detail=detail)

    def summarize(self, groups: Iterable[list[Judged]]) -> tuple[str, dict[str, Any]]:
        """Say how many candidates people judged, and how far they agree."""
        scores = [item.judgement.score for group in groups for item in group]
        found = agreement(self._ledger)
        abstained = scores.count(None)
        line = f"{len(scores) - abstained} judged by {len(found.people)} people, {abstained} without a label"
        if found.alpha_ranks is not None:
            line += f", agreement on ranks {found.alpha_ranks:.2f} (Krippendorff's alpha)"
        return line, {"judged": len(scores) - abstained, "abstained": abstained, **asdict(found)}

    def _opinion(self, problem: Problem, candidate: Candidate) -> Opinion | None:
        head = problem.prompt if isinstance(problem.prompt, str) else ""
        for text in (candidate.code.removeprefix(head), candidate.code, candidate.response):
            opinion = self._opinions.get(answer_id(problem.prompt, text))
            if opinion is not None:
                return opinion
        return None

    def _abstained(self, problem: Problem) -> dict[str, Any]:
        key = prompt_key(problem.prompt)
        if key in self._labelled:
            return {"abstained": "this answer was not among those that people ranked"}
        if key in self._skippers:
            return {"abstained": f"skipped by {', '.join(sorted(self._skippers[key]))}"}
        if key in self._offered:
            return {"abstained": "nobody has ranked the answers to this problem yet"}
        return {"abstained": "this problem is not in the labels file"}
