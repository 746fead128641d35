"""Quantized inference, the paper's Table 4: size, speed and pass@1 of each form.

Its folder has ``exports/FORM`` (to deploy), ``samples/FORM.greedy.jsonl``, and the table as ``table.json`` and
``table.md``. What is there already is not done again.
"""

from __future__ import annotations

import functools
import itertools
import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError
from rrtf_trl.evaluation import Evaluation, Measurement, estimate
from rrtf_trl.export.forms import FORMS
from rrtf_trl.export.speed import Spec, measure_speed
from rrtf_trl.export.transformers_forms import merge
from rrtf_trl.feedback.base import Feedback
from rrtf_trl.files.atomic import write_whole_folder
from rrtf_trl.models.identity import model_identity
from rrtf_trl.records import Problem, to_json
from rrtf_trl.samplers import Sampler, TransformersSampler
from rrtf_trl.samplers.engine import EngineSampler
from rrtf_trl.storage.run_folder import RunFolder

from .collector import Collector
from .measure import measure

Row = dict[str, Any]


@dataclass
class QuantizationTable:
    """Exports a policy in several forms and measures each.

    Args:
        model: Path or hub id; a LoRA adapter is merged first.
        forms: Names in ``FORMS``; the first that can be made is the full model, with which the others are compared.
        problems: The problems of the benchmark.
        tests: Judges the candidates.
        max_new_tokens: Most tokens of a response.
        batch_size: Problems at a time.
        new_tokens: Tokens of a timed response.
        repeats: Timed responses in a process.
        rounds: Processes for each form, alternating with the other forms.
        collector: Draws and judges.
        folder: Gets the exports, samples and table.

    Raises:
        ValueError: If a form is not known.
    """

    model: str
    forms: list[str]
    problems: Iterable[Problem]
    tests: Feedback
    max_new_tokens: int
    batch_size: int
    new_tokens: int
    repeats: int
    rounds: int
    collector: Collector
    folder: RunFolder

    def __post_init__(self) -> None:
        unknown = [name for name in self.forms if name not in FORMS]
        if unknown or not self.forms:
            raise ValueError(f"forms: {unknown or 'none'} not known; there are {', '.join(FORMS)}")

    def run(self) -> list[Row]:
        """Export and measure; return a row for each form, those that were skipped with the reason."""
        self.folder.write_jsonl("problems.jsonl", map(to_json, self._checked()))
        source = self._source()
        rows: dict[str, Row] = {name: {"form": name, "what": FORMS[name].what} for name in self.forms}
        ready: list[str] = []
        for name in self.forms:
            reason = FORMS[name].missing() or self._attempt(lambda name=name: self._export(name, source))
            reason = reason or self._attempt(lambda name=name: rows[name].update(self._measure(name, source)))
            if reason:
                rows[name]["skipped"] = reason
                self.collector.console.print(f"{name}: skipped: {reason}", highlight=False, markup=False)
            else:
                ready.append(name)
        timings: dict[str, list[dict[str, float]]] = {name: [] for name in ready}
        for _, name in itertools.product(range(self.rounds), ready):
            reason = self._attempt(lambda name=name: timings[name].append(self._time(name, source)))
            if reason and reason not in rows[name].get("note", ""):
                rows[name]["note"] = " ".join(filter(None, [rows[name].get("note"), reason]))
        for name in ready:
            rows[name] |= self._agreement(name, ready[0])
            for figure in ("memory_mb", "ms_per_token"):
                if timings[name]:
                    rows[name][figure] = round(statistics.median(found[figure] for found in timings[name]), 3)
        return list(rows.values())

    # -- Steps -----------------------------------------------------------------------------------------------

    def _checked(self) -> Iterator[Problem]:
        for problem in self.problems:
            try:
                self.tests.check(problem)
            except ValueError as error:
                raise InputError(f"benchmark: {error}") from None
            yield problem

    def _source(self) -> Path:
        """Return a folder with the whole model as safetensors: its own, or one with its adapter merged."""
        own = Path(self.model)
        if own.is_dir() and not (own / "adapter_config.json").is_file():
            return own
        self._whole("merged", lambda folder: merge(self.model, folder))
        return self.folder / "exports" / "merged"

    def _export(self, name: str, source: Path) -> None:
        form = FORMS[name]
        texts = [self._calibration_texts()] if form.calibrated else []
        self._whole(name, lambda folder: form.export(source, folder, *texts))

    def _whole(self, name: str, export: Any) -> None:
        """Write an export, whole or not at all, unless there is one of this model."""
        target = self.folder / "exports" / name
        mark = target.with_name(f"{name}.of")
        identity = model_identity(self.model)
        if target.is_dir() and mark.is_file() and mark.read_text() == identity:
            return
        self.collector.console.print(f"export {name} ...", highlight=False)
        with write_whole_folder(target) as part:
            part.rmdir()  # some exporters want to make it themselves
            export(part)
        mark.write_text(identity)

    def _measure(self, name: str, source: Path) -> Row:
        """Draw and judge greedy candidates of a form; return its figures."""
        exported = self.folder / "exports" / name
        evaluation = Evaluation(
            sampler=lambda **_: self._sampler(name, source),
            measurements={"greedy": Measurement()},
        )
        found = measure(
            name,
            str(exported),
            evaluation,
            lambda: self.folder.problems("problems.jsonl"),
            self.tests,
            self.collector,
            self.folder,
            f"samples/{name}.",
        )["greedy"]
        solved = estimate(found.counts, 1)
        assert solved is not None
        size = sum(file.stat().st_size for file in exported.rglob("*") if file.is_file())
        row: Row = {"size_mb": round(size / 2**20, 3), "pass@1": vars(solved), "problems": len(found.counts)}
        notes = [note.read_text().strip() for note in sorted(exported.glob("*.txt")) if "unknown-to" in note.name]
        return row | ({"note": " ".join(notes)} if notes else {})

    def _sampler(self, name: str, source: Path) -> Sampler:
        """Return a sampler of greedy candidates by a form of the model in ``source``."""
        form, exported = FORMS[name], self.folder / "exports" / name
        if form.load is None:
            return TransformersSampler(
                str(exported),
                n=1,
                temperatures=[0.0],
                max_new_tokens=self.max_new_tokens,
                batch_size=self.batch_size,
                **form.options(),
            )
        loader = functools.partial(form.load, exported, source)
        identity = f"{model_identity(str(source))} as {name}"
        return EngineSampler(form.engine, source, identity, loader, self.max_new_tokens, self.batch_size)

    def _time(self, name: str, source: Path) -> dict[str, float]:
        self.collector.console.print(f"time {name} ...", highlight=False)
        problem = next(self.folder.problems("problems.jsonl"))
        prompt = problem.prompt if isinstance(problem.prompt, str) else problem.prompt[-1]["content"]
        spec = Spec(name, str(self.folder / "exports" / name), str(source), prompt, self.new_tokens, self.repeats)
        return measure_speed(spec)

    def _agreement(self, name: str, full: str) -> Row:
        """Return the fraction of responses equal to the full model's, and of its tokens up to the first difference."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._source())
        responses = equal = tokens = common = 0
        of_full = {row["task_id"]: row["response"] for row in self._samples(full)}
        for row in self._samples(name):
            if row["task_id"] not in of_full:
                continue
            left, right = (
                tokenizer(text, add_special_tokens=False)["input_ids"]
                for text in (row["response"], of_full[row["task_id"]])
            )
            responses += 1
            equal += left == right
            tokens += len(right)
            common += sum(
                1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
            )
        return {
            "same_answers": round(equal / responses, 4) if responses else None,
            "same_tokens": round(common / tokens, 4) if tokens else None,
        }

    def _samples(self, name: str) -> Iterator[dict[str, Any]]:
        with (self.folder / "samples" / f"{name}.greedy.jsonl").open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def _calibration_texts(self, count: int = 128) -> list[str]:
        """Return prompts of the benchmark with their references; the table says that they calibrate."""
        found = itertools.islice(self.folder.problems("problems.jsonl"), count)
        return [f"{problem.prompt}{problem.reference or ''}" for problem in found]

    def _attempt(self, work: Any) -> str | None:
        """Do a step of one form; return why it failed, so that the other forms are still measured."""
        try:
            work()
        except (KeyboardInterrupt, InputError):
            raise
        except Exception as error:
            text = str(error).strip()
            return f"failed: {type(error).__name__}: {text.splitlines()[0] if text else 'no message'}"
        return None
