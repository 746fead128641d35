"""From judgements to ranked groups: the paper's rules, and their options.

The rules of PanGu-Coder2 (arXiv 2307.14936, section 3.2): four states in order, each with a score; in the
same state a teacher's answer stands above the student's; data is dropped where the teacher stands below.
The paper does not print the scores, so they are a map that can be set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rrtf_trl.records import Candidate, Judgement, Problem, RankedGroup

_PAPER_STATES = ("compile_error", "runtime_error", "partial", "passed")
_RUNTIME_FAILURES = ("timeout", "memory", "refused")


@dataclass(frozen=True)
class Dropped:
    """Something that does not go into training, and why.

    Args:
        task_id: The problem.
        reason: One of ``no_order``, ``teacher_below``, ``too_few`` for a whole problem; ``truncated`` or
            ``repeated`` for single candidates.
        candidate_ids: The candidates concerned.
    """

    task_id: str
    reason: str
    candidate_ids: list[str]


@dataclass
class Ranking:
    """Turns the judged candidates of a problem into one ranked group.

    Args:
        scores: A score for each of ``compile_error``, ``runtime_error``, ``partial``, ``passed``; ``timeout``,
            ``memory`` and ``refused`` count as ``runtime_error`` unless given.
        partial_slope: Added to ``partial`` in proportion to the tests passed. RLTF scores −0.3 + 1.3 · ratio.
        teacher_bonus: How much a teacher's answer stands above the student's best in the same state; 0 leaves
            them equal.
        drop_teacher_below: Drop a problem where the best teacher's answer scores below the student's best.

    Raises:
        ValueError: If a state has no score, or the scores are out of the paper's order.
    """

    scores: dict[str, float] = field(
        default_factory=lambda: {"compile_error": 0.0, "runtime_error": 1.0, "partial": 2.0, "passed": 3.0}
    )
    partial_slope: float = 0.0
    teacher_bonus: float = 0.5
    drop_teacher_below: bool = True

    def __post_init__(self) -> None:
        self.scores = dict(self.scores)
        unknown = sorted(self.scores.keys() - {*_PAPER_STATES, *_RUNTIME_FAILURES})
        missing = [state for state in _PAPER_STATES if state not in self.scores]
        if unknown or missing:
            raise ValueError(
                f"ranking.scores needs {', '.join(_PAPER_STATES)} and may have {', '.join(_RUNTIME_FAILURES)}: "
                f"missing {missing or 'none'}, unknown {unknown or 'none'}"
            )
        for state in _RUNTIME_FAILURES:
            self.scores.setdefault(state, self.scores["runtime_error"])
        ordered = [self.scores[state] for state in _PAPER_STATES]
        if ordered != sorted(ordered) or ordered[0] == ordered[-1]:
            raise ValueError(f"ranking.scores must not fall from compile_error to passed, got {ordered}")
        if self.partial_slope < 0 or self.scores["partial"] + self.partial_slope > self.scores["passed"]:
            raise ValueError(
                f"ranking.partial_slope={self.partial_slope} would score a partial pass above a full one: it must be "
                f"between 0 and passed − partial = {self.scores['passed'] - self.scores['partial']:g}"
            )
        if self.teacher_bonus < 0:
            raise ValueError(f"ranking.teacher_bonus must not be negative, got {self.teacher_bonus}")

    def rank(
        self, problem: Problem, judged: Sequence[tuple[Candidate, Judgement]]
    ) -> tuple[RankedGroup | None, list[Dropped]]:
        """Rank the candidates of one problem.

        Args:
            problem: The problem.
            judged: Its candidates with their judgements, in a fixed order.

        Returns:
            The group, or ``None`` where nothing can be learned from the order; and what was dropped.
        """
        kept, dropped = _trainable(problem, judged)
        ids = [candidate.candidate_id for candidate, _ in kept]
        if len(kept) < 2:
            return None, [*dropped, Dropped(problem.task_id, "too_few", ids)]
        scores = self._scores(kept)
        if self.drop_teacher_below and self._teacher_below(kept, scores):
            return None, [*dropped, Dropped(problem.task_id, "teacher_below", ids)]
        if min(scores) == max(scores):
            return None, [*dropped, Dropped(problem.task_id, "no_order", ids)]
        group = RankedGroup(
            prompt=problem.prompt,
            responses=[training_text(problem, candidate) for candidate, _ in kept],
            scores=scores,
            sources=[candidate.source for candidate, _ in kept],
            task_id=problem.task_id,
            candidate_ids=ids,
        )
        return group, dropped

    def _scores(self, kept: list[tuple[Candidate, Judgement]]) -> list[float]:
        own = [self._own_score(judgement) for _, judgement in kept]
        scores = list(own)
        for index, (candidate, judgement) in enumerate(kept):
            if candidate.source == "student" or self.teacher_bonus == 0:
                continue
            rivals = [own[i] for i, (c, j) in enumerate(kept) if c.source == "student" and j.state == judgement.state]
            if rivals:
                # Above the student's best in this state, yet never level with the state above.
                above = [score for score in own if score > max(rivals)] + [max(rivals) + 2 * self.teacher_bonus]
                lifted = max(rivals) + min(self.teacher_bonus, (min(above) - max(rivals)) / 2)
                scores[index] = max(own[index], lifted)
        return scores

    def _own_score(self, judgement: Judgement) -> float:
        assert judgement.state is not None, "unit tests give every candidate a state"
        assert judgement.score is not None, "unit tests never abstain"
        slope = self.partial_slope * judgement.score if judgement.state == "partial" else 0.0
        return self.scores[judgement.state] + slope

    @staticmethod
    def _teacher_below(kept: list[tuple[Candidate, Judgement]], scores: list[float]) -> bool:
        student = [score for (candidate, _), score in zip(kept, scores, strict=True) if candidate.source == "student"]
        teacher = [score for (candidate, _), score in zip(kept, scores, strict=True) if candidate.source != "student"]
        return bool(student and teacher) and max(teacher) < max(student)


def training_text(problem: Problem, candidate: Candidate) -> str:
    """Return what the policy is trained to say: the extracted code alone, as in the paper.

    Where the prompt is text that the code continues, it is what follows the prompt.
    """
    if isinstance(problem.prompt, str):
        return candidate.code.removeprefix(problem.prompt)
    return candidate.code


def _trainable(
    problem: Problem, judged: Sequence[tuple[Candidate, Judgement]]
) -> tuple[list[tuple[Candidate, Judgement]], list[Dropped]]:
    """Leave out answers that were cut off, are empty, or repeat another; a teacher's copy is the one kept."""
    truncated: list[str] = []
    repeated: list[str] = []
    first: dict[str, int] = {}
    kept: list[tuple[Candidate, Judgement]] = []
    for candidate, judgement in judged:
        text = training_text(problem, candidate)
        if candidate.finish_reason == "length" or not text.strip():
            truncated.append(candidate.candidate_id)
        elif text not in first:
            first[text] = len(kept)
            kept.append((candidate, judgement))
        elif candidate.source != "student" and kept[first[text]][0].source == "student":
            repeated.append(kept[first[text]][0].candidate_id)
            kept[first[text]] = (candidate, judgement)
        else:
            repeated.append(candidate.candidate_id)
    dropped = [
        Dropped(problem.task_id, reason, ids)
        for reason, ids in (("truncated", truncated), ("repeated", repeated))
        if ids
    ]
    return kept, dropped
