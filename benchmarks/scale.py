"""What a row costs, in time and in memory, from a thousand candidates to a million.

Draws, judges and ranks N candidates, 8 a problem, by a sampler and two sources that take no time: what is left is the
store, the collector, the ranking and the run's files. Each N has a process of its own.

    python benchmarks/scale.py --candidates 1000 10000 100000 1000000 --out benchmarks/results/scale.json

With ``--run`` it is a run as far as its rank stage, a first one and the same again, which has nothing to do.

    python benchmarks/scale.py --run --candidates 1000 30000
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rrtf_trl.records import Problem

DRAWS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure time and memory a row.")
    parser.add_argument("--candidates", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--run", action="store_true", help="go through a run to its rank stage, and once more")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps((measure_run if options.run else measure)(Path(folder), options.one)))
        return
    rows = []
    for number in options.candidates:
        command = [sys.executable, __file__, "--one", str(number), *(["--run"] if options.run else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
        if options.out:
            options.out.write_text(json.dumps(rows, indent=2) + "\n")


def workload(number: int) -> tuple[Callable[[], Iterator[Problem]], Any, list[Any]]:
    """Return problems for so many candidates, a sampler and two sources that take no time."""
    from rrtf_trl.records import Candidate, Judgement, Problem
    from rrtf_trl.samplers import Samples

    class Sampler:
        batch_size, draws = 32, DRAWS

        def identity(self) -> dict[str, Any]:
            return {"sampler": "scale"}

        def sample(self, problems: list[Problem]) -> Samples:
            return Samples([_candidate(problem, index) for problem in problems for index in range(DRAWS)])

        def close(self) -> None:
            pass

    class Tests:
        def __init__(self, name: str) -> None:
            self.name = name

        def identity(self) -> dict[str, Any]:
            return {"feedback": self.name}

        def check(self, problem: Problem) -> None:
            pass

        def judge(self, items: Iterable[tuple[Problem, Candidate]]) -> Iterator[Judgement]:
            for _, candidate in items:
                index = candidate.sampling["index"]
                state: Any = ("passed" if index % 2 else "partial") if self.name == "unit_tests" else None
                yield Judgement(candidate.candidate_id, self.name, state, index / DRAWS, {"passed": index, "total": 8})

    def _candidate(problem: Problem, index: int) -> Candidate:
        body = f"    value = {index}\n" * 6 + f"    return value + {problem.task_id[2:]}\n"
        return Candidate.create(
            task_id=problem.task_id,
            response=body,
            code=str(problem.prompt) + body,
            source="student",
            model="scale",
            sampling={"temperature": 1.0, "index": index},
            finish_reason="stop",
        )

    def problems() -> Iterator[Problem]:
        tests = {"kind": "cases", "cases": [{"args": [1], "expected": 1}]}
        for task in range(number // DRAWS):
            prompt = f'def f(x):\n    """Return x plus {task}, after some words that a prompt has."""\n'
            yield Problem.from_json({"task_id": f"t/{task}", "prompt": prompt, "entry_point": "f", "tests": tests})

    return problems, Sampler(), [Tests("unit_tests"), Tests("other")]


def measure_run(folder: Path, number: int) -> dict[str, Any]:
    """Run to the rank stage with so many candidates, and again; return rows a second of both, and what was written."""
    from rich.console import Console

    from rrtf_trl.pipeline.pipeline import Pipeline
    from rrtf_trl.ranking import Ranking
    from rrtf_trl.storage.run_folder import RunFolder
    from rrtf_trl.storage.store import Store

    problems, sampler, sources = workload(number)

    class Problems:
        def __iter__(self) -> Iterator[Problem]:
            return problems()

    unused: Any = None
    rates: dict[str, dict[str, float]] = {"rows_a_second": {}, "rows_a_processor_second": {}}
    for which in ("first", "again"):
        run = Pipeline(
            folder=RunFolder(folder / "run"),
            store=Store(folder / "store.sqlite"),
            problems={"train": Problems(), "heldout": [replace(next(problems()), prompt="def f(x): # held out")]},
            samplers={"scale": sampler},
            feedback={source.name: source for source in sources},
            ranking=Ranking(),
            model="none",
            train=unused,
            train_key="none",
            evaluation=unused,
            console=Console(file=io.StringIO()),
        )
        start, ticks = time.perf_counter(), time.process_time()
        run.run("rank")
        rates["rows_a_second"][which] = round(number / (time.perf_counter() - start))
        rates["rows_a_processor_second"][which] = round(number / (time.process_time() - ticks))
        run.store.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    names = ("candidates.jsonl", "judgements.jsonl", "ranked.jsonl", "standings.jsonl")
    digests = {name: RunFolder(folder / "run").digest(name) for name in names}
    return {"candidates": number, **rates, "mb_at_peak": round(peak, 1), "digests": digests}


def measure(folder: Path, number: int) -> dict[str, Any]:
    """Go through all stages with so many candidates; return microseconds a row of each, and the peak of memory."""
    from rich.console import Console

    from rrtf_trl.pipeline.collector import Collector
    from rrtf_trl.pipeline.rank_stage import rank_stage
    from rrtf_trl.ranking import Ranking
    from rrtf_trl.ranking.trainable import JudgedByAll
    from rrtf_trl.records import Candidate, Judgement, to_json
    from rrtf_trl.storage.run_folder import RunFolder
    from rrtf_trl.storage.store import Store

    problems, sampler, sources = workload(number)
    store, run = Store(folder / "store.sqlite"), RunFolder(folder / "run")
    collector = Collector(store, Console(file=io.StringIO()))
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    processor: dict[str, float] = {}
    wall: dict[str, float] = {}

    def timed(stage: str, work: Any) -> None:
        start, ticks = time.perf_counter(), time.process_time()
        work()
        wall[stage] = round(1e6 * (time.perf_counter() - start) / number, 1)
        processor[stage] = round(1e6 * (time.process_time() - ticks) / number, 1)

    def drawn() -> Iterator[tuple[Problem, list[Candidate]]]:
        return collector.drawn(sampler, problems)

    def judged() -> Iterator[tuple[Problem, list[JudgedByAll]]]:
        for problem, candidates in drawn():
            judgements_by_source = [collector.judgements(source, problem, candidates) for source in sources]
            named: list[Mapping[str, Judgement]]
            named = [{j.feedback: j for j in row} for row in zip(*judgements_by_source, strict=True)]
            yield problem, list(zip(candidates, named, strict=True))

    timed("sample", lambda: collector.draw("scale", sampler, problems))
    timed("feedback", lambda: [collector.judge(source.name, source, drawn) for source in sources])
    timed("files", lambda: run.write_jsonl("candidates.jsonl", (to_json(c) for _, found in drawn() for c in found)))
    timed("rank", lambda: rank_stage(run, Ranking(), judged(), Console(file=io.StringIO())))
    timed("again", lambda: collector.judge("unit_tests", sources[0], drawn))
    store.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / number
    return {
        "candidates": number,
        "processor_us_a_row": processor,
        "wall_us_a_row": wall,
        "mb_at_start": round(started, 1),
        "mb_at_peak": round(peak, 1),
        "bytes_on_disk_a_row": round(size),
    }


if __name__ == "__main__":
    main()
