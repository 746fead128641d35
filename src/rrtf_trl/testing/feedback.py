"""The tests that every feedback source must pass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from rrtf_trl.feedback import Feedback
from rrtf_trl.records import Candidate, Judgement, Problem, to_json

from .build import Contract, assert_plain_json, pickled

Items = list[tuple[Problem, Candidate]]


class FeedbackContract(Contract):
    """Subclass it as ``TestMine`` and set ``choice``; see :class:`rrtf_trl.testing.build.Contract`.

    Args:
        most_ahead: How many items it may read before it yields the first judgement.
        volatile: Keys of ``detail`` that may differ between calls, such as seconds.
    """

    group = "feedback"
    most_ahead = 1024
    volatile: tuple[str, ...] = ()

    def test_it_keeps_the_protocol(self, problems: list[Problem]) -> None:
        """It is a :class:`Feedback` source, and accepts ordinary problems."""
        source = self.build()
        assert isinstance(source, Feedback)
        for problem in problems:
            source.check(problem)

    def test_its_identity_is_plain_json_and_constant(self, candidates: Items) -> None:
        """The key of the store's rows is JSON, equal for each instance, before and after work."""
        source = self.build()
        identity = source.identity()
        assert_plain_json(identity)
        list(source.judge(candidates[:2]))
        assert source.identity() == identity == self.build().identity()

    def test_each_item_gets_one_judgement(self, candidates: Items) -> None:
        """It has the source's name and a finite score or none, and can be written as JSON."""
        source = self.build()
        found = list(source.judge(iter(candidates)))
        assert sorted(j.candidate_id for j in found) == sorted(c.candidate_id for _, c in candidates)
        for judgement in found:
            assert judgement.feedback == source.name
            assert judgement.score is None or math.isfinite(judgement.score)
            assert judgement.score is not None or judgement.detail.get("abstained"), "an abstention has a reason"
            assert_plain_json(to_json(judgement))
            assert Judgement(**to_json(judgement)) == judgement

    def test_no_items_give_no_judgements(self) -> None:
        """It is not an error."""
        assert list(self.build().judge(iter(()))) == []

    def test_it_judges_the_same_way_twice(self, candidates: Items) -> None:
        """Twice by one source, and by a second one."""
        source = self.build()
        assert self._rows(source, candidates) == self._rows(source, candidates) == self._rows(self.build(), candidates)

    def test_batches_do_not_matter_nor_does_a_resumed_run(self, candidates: Items) -> None:
        """Judged problem by problem, each by a new source, candidates get the same judgements as all together."""
        by_problem = [list(group) for _, group in itertools.groupby(candidates, key=lambda item: item[0].task_id)]
        apart = [row for group in reversed(by_problem) for row in self._rows(self.build(), group)]
        assert sorted(apart, key=_by_id) == self._rows(self.build(), candidates)

    def test_it_reads_items_as_it_needs_them(self, candidates: Items) -> None:
        """It yields the first judgement before it has read all items, which may be millions."""
        count = 0

        def endless() -> Iterator[tuple[Problem, Candidate]]:
            nonlocal count
            for round_ in itertools.count():
                for problem, candidate in candidates:
                    count += 1
                    assert count <= self.most_ahead, f"it read {count} items and yielded no judgement"
                    fresh = {**to_json(candidate), "candidate_id": f"{candidate.candidate_id}{round_}"}
                    yield problem, Candidate.from_json(fresh)

        judging = self.build().judge(endless())
        next(judging)
        judging.close()

    def test_check_refuses_problems_that_it_cannot_judge(self, problems: list[Problem]) -> None:
        """``check`` raises only ``ValueError``, with a message that names the problem."""
        source = self.build()
        prompt = [{"role": "user", "content": "Read a number and print it."}]
        tests = {"kind": "stdio", "stdio": [{"input": "1\n", "output": "1\n"}]}
        odd = Problem.from_json({"task_id": "testing/odd", "prompt": prompt, "tests": tests})
        try:
            source.check(odd)
        except ValueError as error:
            assert odd.task_id in str(error)  # noqa: PT017  (it need not raise)

    def test_it_can_be_sent_to_another_process(self, candidates: Items) -> None:
        """A pickled copy, before and after work, judges the same."""
        source = self.build()
        fresh = pickled(source)
        rows = self._rows(source, candidates)
        for copy in (fresh, pickled(source)):
            assert copy.identity() == source.identity()
            assert self._rows(copy, candidates) == rows

    def _rows(self, source: Any, items: Items) -> list[dict[str, Any]]:
        rows = [to_json(judgement) for judgement in source.judge(iter(items))]
        for row in rows:
            row["detail"] = {name: value for name, value in row["detail"].items() if name not in self.volatile}
        return sorted(rows, key=_by_id)


def _by_id(row: dict[str, Any]) -> str:
    return str(row["candidate_id"])
