"""A source of feedback in 20 lines: of two answers with the same verdict, the shorter one stands higher.

Run it: `python examples/feedback_source.py problems.train.limit=16`. As a package it is a plugin, with a name and a
configuration of its own: `rrtf plugins new` writes one.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rrtf_trl.cli.run import run_application
from rrtf_trl.records import Candidate, Judgement, Problem


class Brevity:
    """Scores an answer by how short it is; between 0 and 1, larger is better."""

    name = "brevity"

    def identity(self) -> dict[str, Any]:
        """Return all that decides a judgement: verdicts are kept under it."""
        return {"feedback": self.name, "version": 1}

    def check(self, problem: Problem) -> None:
        """Judge every problem."""

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        """Yield one judgement for each answer, as they come."""
        for _, candidate in items:
            score = 1 / (1 + len(candidate.code.split()))
            yield Judgement(candidate.candidate_id, self.name, None, score, {"words": len(candidate.code.split())})


def main(overrides: Sequence[str]) -> int:
    """Rank the quick start's answers by tests, then by brevity."""
    mine = "+feedback.brevity={_target_: __main__.Brevity}"
    return run_application("rank", [mine, "ranking.order=[brevity]", *overrides])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
