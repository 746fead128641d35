"""The tests that every executor must pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from rrtf_trl.pipeline.executor import Executor, LocalExecutor
from rrtf_trl.records import Candidate, Judgement, Problem, to_json
from rrtf_trl.samplers import Samples

from .build import Contract

Items = list[tuple[Problem, Candidate]]


class Echo:
    """A sampler and a feedback source in one; judging the code ``raise`` fails."""

    name = "echo"
    batch_size = 1
    draws = 1

    def identity(self) -> dict[str, Any]:
        """Return its name."""
        return {"echo": 1}

    def check(self, problem: Problem) -> None:
        """Accept any problem."""

    def sample(self, problems: list[Problem]) -> Samples:
        """Return the task's id as the response."""
        return Samples(
            [
                Candidate.create(
                    task_id=problem.task_id,
                    response=problem.task_id,
                    code=problem.task_id,
                    source="student",
                    model="echo",
                    sampling={},
                    finish_reason="stop",
                )
                for problem in problems
            ]
        )

    def judge(self, items: Any) -> Iterator[Judgement]:
        """Score by length."""
        for problem, candidate in items:
            if candidate.code == "raise":
                raise ValueError(f"cannot judge {problem.task_id}")
            yield Judgement(candidate.candidate_id, self.name, None, float(len(candidate.code)), {})

    def close(self) -> None:
        """Do nothing."""


class ExecutorContract(Contract):
    """Subclass it as ``TestMine`` and set ``choice``; see :class:`rrtf_trl.testing.build.Contract`.

    Args:
        most_ahead: How many units or items it may read before it yields the first result.
    """

    group = "executor"
    most_ahead = 4096

    def test_it_keeps_the_protocol(self) -> None:
        """It is an :class:`Executor`, and can be closed without work."""
        executor = self.build()
        assert isinstance(executor, Executor)
        executor.close()

    def test_it_draws_what_the_sampler_would_draw_here(self, problems: list[Problem]) -> None:
        """Results are in the order of the units."""
        units = [problems[:1], problems[1:3], problems[3:], problems[:2]] * 3
        executor = self.build()
        found = list(executor.sample(Echo(), iter(units)))
        executor.close()
        assert [s.candidates for s in found] == [s.candidates for s in LocalExecutor().sample(Echo(), units)]

    def test_it_judges_as_the_source_would_here(self, candidates: Items) -> None:
        """Each item is judged once."""
        executor = self.build()
        found = [to_json(judgement) for judgement in executor.judge(Echo(), iter(candidates))]
        executor.close()
        here = [to_json(judgement) for judgement in Echo().judge(candidates)]
        assert sorted(found, key=str) == sorted(here, key=str)

    def test_it_reads_work_as_it_needs_it(self, candidates: Items, problems: list[Problem]) -> None:
        """It yields the first result before it has read all work, which may be much."""
        executor = self.build()
        for results in (
            executor.sample(Echo(), self._endless([[problem] for problem in problems])),
            executor.judge(Echo(), self._endless(candidates)),
        ):
            next(results)
            getattr(results, "close", lambda: None)()
        executor.close()

    def test_an_error_of_a_source_is_raised_with_its_message(self, candidates: Items) -> None:
        """The caller sees the source's own message."""
        problem, candidate = candidates[0]
        bad = Candidate.from_json({**to_json(candidate), "candidate_id": "bad", "code": "raise"})
        executor = self.build()
        with pytest.raises(Exception, match="cannot judge testing/double"):
            list(executor.judge(Echo(), iter([*candidates, (problem, bad)])))
        executor.close()

    def _endless(self, items: list[Any]) -> Iterator[Any]:
        for count, item in enumerate(itertools.cycle(items)):
            assert count <= self.most_ahead, f"it read {count} pieces of work and yielded no result"
            yield item
