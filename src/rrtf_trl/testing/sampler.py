"""The tests that every sampler must pass."""

from __future__ import annotations

from typing import Any

from rrtf_trl.records import Candidate, Problem, to_json
from rrtf_trl.samplers import Sampler, Samples

from .build import Contract, assert_plain_json, pickled


class SamplerContract(Contract):
    """Subclass it as ``TestMine`` and set ``choice``; see :class:`rrtf_trl.testing.build.Contract`."""

    group = "sampler"

    def test_it_keeps_the_protocol(self) -> None:
        """It is a :class:`Sampler`."""
        sampler = self.build()
        assert isinstance(sampler, Sampler)
        assert sampler.batch_size >= 1
        assert sampler.draws >= 1

    def test_its_identity_is_plain_json_and_constant(self, problems: list[Problem]) -> None:
        """The key of the store's rows is JSON, equal for each instance, before and after work."""
        sampler = self.build()
        identity = sampler.identity()
        assert_plain_json(identity)
        sampler.sample(problems[:1])
        assert sampler.identity() == identity == self.build().identity()
        sampler.close()

    def test_every_problem_is_drawn_or_skipped_with_a_reason(self, problems: list[Problem]) -> None:
        """Candidates are in the order of the problems, at most ``draws`` for each."""
        sampler = self.build()
        samples = sampler.sample(problems)
        sampler.close()
        assert isinstance(samples, Samples)
        order = [problem.task_id for problem in problems]
        drawn = [candidate.task_id for candidate in samples.candidates]
        assert set(drawn) | set(samples.skipped) == set(order)
        assert drawn == sorted(drawn, key=order.index), "the candidates are not in the order of the problems"
        assert all(drawn.count(task) <= sampler.draws for task in order)
        assert all(isinstance(reason, str) and reason for reason in samples.skipped.values())

    def test_its_candidates_are_records(self, problems: list[Problem]) -> None:
        """They are equal after a round trip through JSON."""
        sampler = self.build()
        for candidate in sampler.sample(problems).candidates:
            assert_plain_json(to_json(candidate))
            assert Candidate.from_json(to_json(candidate)) == candidate
        sampler.close()

    def test_the_same_problems_give_the_same_candidates(self, problems: list[Problem]) -> None:
        """Twice from one sampler, from a second one, and after ``close``."""
        sampler = self.build()
        first = _rows(sampler.sample(problems))
        assert _rows(sampler.sample(problems)) == first
        sampler.close()
        assert _rows(sampler.sample(problems)) == first, "it draws other candidates after close()"
        sampler.close()
        other = self.build()
        assert _rows(other.sample(problems)) == first
        other.close()

    def test_a_resumed_run_draws_what_the_whole_one_does(self, problems: list[Problem]) -> None:
        """A sampler that starts with the second batch draws the same for it as one that started with the first."""
        whole = self.build()
        whole.sample(problems[:2])
        second = _rows(whole.sample(problems[2:]))
        whole.close()
        resumed = self.build()
        assert _rows(resumed.sample(problems[2:])) == second
        resumed.close()

    def test_it_can_be_sent_to_another_process(self, problems: list[Problem]) -> None:
        """A pickled copy, before and after work, draws the same."""
        sampler = self.build()
        fresh = pickled(sampler)
        first = _rows(sampler.sample(problems))
        for copy in (fresh, pickled(sampler)):
            assert copy.identity() == sampler.identity()
            assert _rows(copy.sample(problems)) == first
            copy.close()
        sampler.close()


def _rows(samples: Samples) -> tuple[list[Any], dict[str, str]]:
    return [to_json(candidate) for candidate in samples.candidates], samples.skipped
