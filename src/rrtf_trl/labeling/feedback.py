"""People's labels as feedback: read from the file that ``rrtf label`` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rrtf_trl.files.paths import user_path
from rrtf_trl.records import Candidate, Judged, Judgement, Problem, code_after_prompt, content_hash

from .aggregate import METHODS, CandidateScore, Method, aggregate
from .agreement import agreement
from .items import answer_id, prompt_key
from .label_file import read_labels


class HumanLabels:
    """Judges candidates by people's labels.

    A candidate is found by content: its problem's prompt, and its code or its response as labelled, without white
    space at either end. So a label holds in every run that samples the same response, and imported labels do too. The
    score is the aggregate of the labels, in [0, 1]; equal scores are ties. A candidate without a label gets no score.

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
        self.labels = user_path(labels)
        self.aggregation = aggregation
        self._ledger = read_labels(self.labels)
        labelled = self._ledger.labels()
        self._scores: dict[str, CandidateScore] = aggregate(labelled, aggregation)
        self._labelled = {prompt_key(label.item.prompt) for label in labelled}
        self._offered = {prompt_key(item.prompt) for item in self._ledger.items.values()}
        self._skipped_by: dict[str, set[str]] = {}
        for person in self._ledger.annotators.values():
            for item_id in person.skipped:
                prompt = prompt_key(self._ledger.items[item_id].prompt)
                self._skipped_by.setdefault(prompt, set()).add(person.name)
        scores = [(key, asdict(score)) for key, score in sorted(self._scores.items())]
        skipped = {prompt: sorted(names) for prompt, names in self._skipped_by.items()}
        self._digest = content_hash(scores, sorted(self._labelled), sorted(self._offered), skipped)

    def identity(self) -> dict[str, Any]:
        """Return the source's name, the aggregation, and a hash of all labels."""
        return {"feedback": self.name, "labels": self._digest, "aggregation": self.aggregation}

    def check(self, problem: Problem) -> None:
        """Accept any problem: where it has no labels, the source abstains."""

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each item, in order; an abstention where there is no label."""
        for problem, candidate in items:
            found = self._find(problem, candidate)
            detail: dict[str, Any]
            if found is None:
                score, detail = None, {"abstained": self._why_abstained(problem)}
            else:
                score = found.score
                detail = {
                    "annotators": sorted({str(vote["annotator"]) for vote in found.votes}),
                    "votes": found.votes,
                    "agreement": found.agreement,
                }
            yield Judgement(candidate.candidate_id, self.name, state=None, score=score, detail=detail)

    def summarize(self, groups: Iterable[list[Judged]]) -> tuple[str, dict[str, Any]]:
        """Return how many candidates people judged and how far they agree, as a line and as figures."""
        scores = [item.judgement.score for group in groups for item in group]
        found = agreement(self._ledger)
        abstained = scores.count(None)
        line = f"{len(scores) - abstained} judged by {len(found.people)} people, {abstained} without a label"
        if found.alpha_ranks is not None:
            line += f", agreement on ranks {found.alpha_ranks:.2f} (Krippendorff's alpha)"
        return line, {"judged": len(scores) - abstained, "abstained": abstained, **asdict(found)}

    def _find(self, problem: Problem, candidate: Candidate) -> CandidateScore | None:
        texts = (code_after_prompt(problem.prompt, candidate.code), candidate.code, candidate.response)
        scores = (self._scores.get(answer_id(problem.prompt, text)) for text in texts)
        return next(filter(None, scores), None)

    def _why_abstained(self, problem: Problem) -> str:
        key = prompt_key(problem.prompt)
        if key in self._labelled:
            return "this candidate was not among those that people ranked"
        if key in self._skipped_by:
            return f"skipped by {', '.join(sorted(self._skipped_by[key]))}"
        if key in self._offered:
            return "nobody has ranked the candidates of this problem yet"
        return "this problem is not in the labels file"
