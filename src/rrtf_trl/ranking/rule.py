"""The ranking of a run: the score of a state, which source orders candidates of the same state, what is dropped.

PanGu-Coder2 (arXiv 2307.14936, section 3.2) has four states in order, each with a score; in the same state a teacher's
candidate ranks above the student's; data is dropped where the teacher ranks below. The paper prints no scores, so
they can be set. Its teachers are "stronger models or human experts", so people's labels and a judge's grades can
count too, beside the tests or without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from rrtf_trl.errors import UserError
from rrtf_trl.records import Candidate, Dropped, Judgement, Problem, RankedGroup

from .combine import SAMPLE, TESTS, Conflict, SourceScores, Standing, conflicts, lexicographic, paper, tested, weighted
from .trainable import JudgedByAll, TrainOn, trainable, training_text

Combination = Literal["lexicographic", "weighted", "paper"]

_PAPER_STATES = ("compile_error", "runtime_error", "partial", "passed")
_RUNTIME_FAILURES = ("timeout", "memory", "refused")
_PEOPLE_THEN_TEACHER = ("human", "teacher")
_PAPER_NEEDS_TESTS = (
    "ranking.combine=paper ranks by the states of candidates in their tests: add unit_tests to `feedback=[...]`, or "
    "choose ranking.combine=lexicographic, which ranks by any source"
)


@dataclass(frozen=True)
class Ranked:
    """The result for one problem.

    Args:
        group: The trainer's row, or ``None`` where nothing can be learned from the order.
        dropped: What is not trained on, and why.
        standings: Each candidate's score and the scores that led to it; empty where fewer than two were left.
        conflicts: Where sources disagree.
    """

    group: RankedGroup | None
    dropped: list[Dropped]
    standings: list[Standing] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)


@dataclass
class Ranking:
    """Turns the judged candidates of a problem into one ranked group.

    Args:
        scores: A score for each of ``compile_error``, ``runtime_error``, ``partial``, ``passed``; ``timeout``,
            ``memory`` and ``refused`` have that of ``runtime_error`` by default.
        partial_slope: Times the fraction of tests passed, added to ``partial``. RLTF scores −0.3 + 1.3 · fraction.
        combine: ``lexicographic``: by the tests, equal candidates by the sources of ``order`` one after the other;
            without tests by these alone, and the scores are the steps of their order, from 0 to 1. ``weighted``: by
            the weighted mean of all. ``paper``: by the tests, a teacher's candidate above the student's in the same
            state; no other source counts.
        order: For ``lexicographic``: the sources that break ties, most important first; ``sample`` puts a teacher's
            candidate above the student's. By default people, the teacher, other feedback sources, ``sample``.
        weights: For ``weighted``: the weight of each source; ``unit_tests`` and ``sample`` are among the names.
        tie_break: How far apart candidates with equal test scores may be, or with ``paper`` how far a teacher's
            candidate is above the student's; 0 leaves them equal.
        drop_teacher_below: Drop a problem where the tests put the teacher's best candidate below the student's best.
        train_on: ``response``: the responses as they came. ``code``: their programs alone, as in the paper. ``auto``:
            responses to chat messages, code after a prompt that is text.

    Raises:
        ValueError: If a state has no score, the scores are out of the paper's order, or an option does not go with
            ``combine``.
    """

    scores: dict[str, float] = field(
        default_factory=lambda: {"compile_error": 0.0, "runtime_error": 1.0, "partial": 2.0, "passed": 3.0}
    )
    partial_slope: float = 0.0
    combine: Combination = "lexicographic"
    order: list[str] | None = None
    weights: dict[str, float] | None = None
    tie_break: float = 0.5
    drop_teacher_below: bool = True
    train_on: TrainOn = "auto"

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
        if self.tie_break < 0:
            raise ValueError(f"ranking.tie_break must not be negative, got {self.tie_break}")
        if self.combine not in get_args(Combination):
            raise ValueError(
                f"ranking.combine must be one of {', '.join(get_args(Combination))}, got {self.combine!r}"
            )
        if self.train_on not in get_args(TrainOn):
            raise ValueError(f"ranking.train_on must be one of {', '.join(get_args(TrainOn))}, got {self.train_on!r}")
        if self.order is not None and self.combine != "lexicographic":
            raise ValueError("ranking.order goes with ranking.combine=lexicographic only")
        if (self.weights is not None) != (self.combine == "weighted"):
            raise ValueError("ranking.weights and ranking.combine=weighted go together: give both or neither")
        if self.weights is not None and (min(self.weights.values(), default=0) < 0 or not sum(self.weights.values())):
            raise ValueError(f"ranking.weights must be numbers >= 0, one of them above, got {self.weights}")

    @property
    def passing_score(self) -> float | None:
        """The score of a candidate that passes its tests; ``None`` with ``weighted``, where no score means that.

        It holds only where there are tests.
        """
        return None if self.combine == "weighted" else self.scores["passed"]

    def check(self, sources: Sequence[str]) -> None:
        """Check that the options go with a run's feedback sources.

        Args:
            sources: The names of the sources.

        Raises:
            UserError: If ``order`` or ``weights`` has another name, or ``combine`` is ``paper`` without tests.
        """
        if self.combine == "paper" and TESTS not in sources:
            raise UserError(_PAPER_NEEDS_TESTS)
        known = {*sources, SAMPLE}
        for option, names in (("order", self.order), ("weights", self.weights)):
            unknown = sorted(set(names or ()) - known)
            if unknown:
                raise UserError(
                    f"ranking.{option}: {', '.join(unknown)} is no source of feedback of this run, which has "
                    f"{', '.join(sources)} (and {SAMPLE}). Add it to `feedback=[...]`, or leave it out."
                )

    def rank(self, problem: Problem, judged: Sequence[JudgedByAll]) -> Ranked:
        """Rank the candidates of one problem.

        Args:
            problem: The problem.
            judged: Its candidates with their judgements, in a fixed order; each has one by every source.

        Raises:
            UserError: If ``combine`` is ``paper`` and a candidate was not tested.
        """
        kept, dropped = trainable(problem, judged, self.train_on)
        ids = [candidate.candidate_id for candidate, _ in kept]
        if len(kept) < 2:
            return Ranked(None, [*dropped, Dropped(problem.task_id, "too_few", ids)])
        by_source = [self._source_scores(*candidate) for candidate in kept]
        sources = [name for name in by_source[0] if name != SAMPLE]
        scores = self._scores(kept, by_source, sources)
        standings = [Standing(*row) for row in zip(ids, scores, map(dict, by_source), strict=True)]
        found = conflicts(problem.task_id, dict(zip(ids, by_source, strict=True)), sources)
        reason = self._reason_to_drop(kept, by_source, scores)
        if reason is not None:
            return Ranked(None, [*dropped, Dropped(problem.task_id, reason, ids)], standings, found)
        texts = [training_text(problem, candidate, self.train_on) for candidate, _ in kept]
        unchanged = [text == candidate.response for text, (candidate, _) in zip(texts, kept, strict=True)]
        drawn = [candidate if same else None for same, (candidate, _) in zip(unchanged, kept, strict=True)]
        tokens = [candidate.token_ids if candidate else None for candidate in drawn]
        logprobs = [candidate.logprobs if candidate else None for candidate in drawn]
        group = RankedGroup(
            prompt=problem.prompt,
            responses=texts,
            scores=scores,
            sources=[candidate.source for candidate, _ in kept],
            task_id=problem.task_id,
            candidate_ids=ids,
            token_ids=tokens if any(tokens) else None,
            logprobs=logprobs if any(logprobs) else None,
        )
        return Ranked(group, dropped, standings, found)

    def _source_scores(self, candidate: Candidate, judgements: Mapping[str, Judgement]) -> SourceScores:
        scores = {name: judgement.score for name, judgement in judgements.items()}
        if TESTS in judgements:
            scores[TESTS] = self._test_score(judgements[TESTS])
        return {**scores, SAMPLE: float(candidate.source != "student")}

    def _test_score(self, judgement: Judgement) -> float:
        assert judgement.state is not None, "unit tests give every candidate a state"
        assert judgement.score is not None, "unit tests never abstain"
        slope = self.partial_slope * judgement.score if judgement.state == "partial" else 0.0
        return self.scores[judgement.state] + slope

    def _state(self, judgement: Judgement) -> str:
        """Return the state; ``runtime_error`` for a kind of it that has the same score."""
        state = str(judgement.state)
        fails_alike = state in _RUNTIME_FAILURES and self.scores[state] == self.scores["runtime_error"]
        return "runtime_error" if fails_alike else state

    def _scores(self, kept: list[JudgedByAll], by_source: list[SourceScores], sources: list[str]) -> list[float]:
        if self.combine == "paper":
            if not tested(by_source):
                raise UserError(_PAPER_NEEDS_TESTS)
            states = [self._state(judgements[TESTS]) for _, judgements in kept]
            return paper(by_source, states, self.tie_break)
        if self.combine == "weighted":
            assert self.weights is not None
            return weighted(by_source, self.weights, (min(self.scores.values()), max(self.scores.values())))
        others = [name for name in sources if name not in (TESTS, *_PEOPLE_THEN_TEACHER)]
        order = [*_PEOPLE_THEN_TEACHER, *others, SAMPLE] if self.order is None else self.order
        return lexicographic(by_source, order, self.tie_break)

    def _reason_to_drop(
        self, kept: list[JudgedByAll], by_source: list[SourceScores], scores: list[float]
    ) -> str | None:
        if self.drop_teacher_below and tested(by_source) and self._is_teacher_below(kept, by_source, scores):
            return "teacher_below"
        return "no_order" if min(scores) == max(scores) else None

    def _is_teacher_below(self, kept: list[JudgedByAll], by_source: list[SourceScores], scores: list[float]) -> bool:
        # The paper's rule has put a teacher's candidate above the student's in the same state: below is a lower state.
        by_tests = scores if self.combine == "paper" else [candidate[TESTS] or 0.0 for candidate in by_source]
        best: dict[bool, float] = {}
        for (candidate, _), score in zip(kept, by_tests, strict=True):
            is_student = candidate.source == "student"
            best[is_student] = max(score, best.get(is_student, score))
        return len(best) == 2 and best[False] < best[True]
