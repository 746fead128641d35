"""Draws and judges some made-up problems, and writes down each call; test_work_locks.py runs several of these at once.

store_worker.py STORE LOG [compares | shared]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console

from rrtf_trl.pipeline.collector import Collector
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem
from rrtf_trl.samplers import Samples
from rrtf_trl.storage import store
from rrtf_trl.storage.store import Store

STORE, LOG = sys.argv[1:3]
COMPARES = sys.argv[3:] == ["compares"]
if sys.argv[3:] == ["shared"]:  # as on a file system that machines share
    store.is_on_network = lambda path: True
PROBLEMS = [Problem(f"t/{i}", f"# {i}\n", CaseTests([{"args": [], "expected": 0}]), "f") for i in range(40)]


def log(*words: str) -> None:
    line = " ".join([*words, str(os.getpid())]) + "\n"
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


class Slow:
    """A sampler that takes its time."""

    batch_size, draws = 2, 3

    def identity(self) -> dict[str, Any]:
        return {"sampler": "slow"}

    def sample(self, problems: list[Problem]) -> Samples:
        names = [problem.task_id for problem in problems]
        for name in names:
            log("draw", name)
        time.sleep(0.05)
        fields = {"response": "", "source": "student", "model": "m", "finish_reason": "stop"}
        drawn = [
            Candidate.create(task_id=name, code=f"{name} {i // 2}", sampling={"index": i}, **fields)
            for name in names
            for i in range(self.draws)
        ]
        for name in names:
            log("drew", name)
        return Samples(drawn)

    def close(self) -> None:
        pass


class Judge:
    """Feedback that takes its time."""

    name = "judge"
    compares = COMPARES

    def identity(self) -> dict[str, Any]:
        return {"feedback": self.name, "compares": self.compares}

    def check(self, problem: Problem) -> None:
        pass

    def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
        for problem, candidate in items:
            part = candidate.candidate_id if COMPARES else candidate.code.split()[1]
            log("judge", f"{problem.task_id}#{part}")
            time.sleep(0.01)
            log("judged", f"{problem.task_id}#{part}")
            yield Judgement(candidate.candidate_id, self.name, None, 1.0)


def main() -> None:
    console = Console(soft_wrap=True)
    collector = Collector(Store(STORE), console)
    sampler, judge = Slow(), Judge()
    problems = lambda: iter(PROBLEMS)  # noqa: E731
    drawn = collector.draw("slow", sampler, problems)
    judged = collector.judge("judge", judge, lambda: collector.drawn(sampler, problems))
    for problem, candidates in collector.drawn(sampler, problems):
        assert len(collector.judgements(judge, problem, candidates)) == sampler.draws
    print("COUNTS", drawn["drawn"], drawn["reused"], judged["judged"], judged["reused"])


main()
