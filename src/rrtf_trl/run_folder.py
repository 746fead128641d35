"""A run's folder: every step from prompt to weight, in files that a person can read.

config.yaml        the resolved configuration; `rrtf run --config-path RUN --config-name config` runs it again. Where
                   it is that of several rounds, what follows their number or their policy is not resolved
run.json           the command, versions, and for each stage its key, time and counts
problems.jsonl     what was trained on            heldout.jsonl    what was evaluated on
contaminated.jsonl which problems were left out, for they are in what is measured, and why
candidates.jsonl   which answers                  judgements.jsonl which verdicts
ranked.jsonl       the groups, the trainer's rows pairs.jsonl      which pairs, with their weights
standings.jsonl    each answer's score, with what every source said of it
dropped.jsonl      what did not go into training, and why
conflicts.jsonl    answers that two sources put in opposite orders
feedback/          what a source of judgements tells of itself, for instance how biased it is
checkpoints/       training, resumable            train_log.jsonl  its losses
policy/            the trained model              evaluation/      samples and figures, before and after
results.json       the figures                    report.html      all of it as one page
live.json          what it is doing now, for `rrtf watch`
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rrtf_trl.errors import Pruned, UserError, explain
from rrtf_trl.records import Problem


class RunFolder:
    """Paths, atomic writes, and the notes of finished stages.

    Args:
        path: The folder; made when something is first written to it.
        patient: Whether to wait for another process that works on the same run.
    """

    def __init__(self, path: str | Path, patient: bool = False) -> None:
        self.path = Path(path)
        self.patient = patient

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.path / name

    @contextmanager
    def working(self, config: str, **facts: Any) -> Iterator[None]:
        """Keep other processes out of the same run, and note what becomes of it.

        Args:
            config: The resolved configuration, for ``config.yaml``.
            facts: For ``run.json``, such as the command.
        """
        with self._locked():
            with self.writing("config.yaml") as file:
                file.write(config)
            self.describe(**facts, outcome={"state": "running"})
            try:
                yield
            except Exception as error:
                message = explain(error) or f"{type(error).__name__}: {error}"
                self.describe(outcome={"state": "pruned" if isinstance(error, Pruned) else "failed", "error": message})
                raise
            self.describe(outcome={"state": "done"})

    def is_locked(self) -> bool:
        """Return whether a process works on the run."""
        if not (self.path / ".lock").is_file():
            return False
        with (self.path / ".lock").open("r") as file:
            return not _try_lock(file, fcntl.LOCK_SH)  # NFS gives an exclusive lock only to who may write

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock, which goes with the process, however that ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            if not _try_lock(file):
                if not self.patient:
                    raise UserError(f"another process is working on {self.path}: wait for it, or change a setting")
                print(f"waiting for another process that works on {self.path}", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- Files: written whole or not at all --------------------------------------------------------------

    @contextmanager
    def writing(self, name: str) -> Iterator[TextIO]:
        """Open a file for writing that takes its name only when the block ends without an error."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)

    def write_json(self, name: str, value: Any) -> None:
        """Write one JSON file."""
        with self.writing(name) as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")

    def write_jsonl(self, name: str, rows: Iterable[dict[str, Any]]) -> int:
        """Write rows as they come, one a line, and return how many."""
        count = 0
        with self.writing(name) as file:
            for row in rows:
                file.write(json_line(row))
                count += 1
        return count

    def read_json(self, name: str) -> Any:
        """Return what a JSON file holds, or ``None`` where there is none."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def read_jsonl(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a file of this run."""
        with (self.path / name).open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def problems(self, name: str) -> Iterator[Problem]:
        """Yield the problems of ``problems.jsonl`` or ``heldout.jsonl``."""
        return map(Problem.from_json, self.read_jsonl(name))

    def digest(self, name: str) -> str:
        """Return a hash of a file's content."""
        with (self.path / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    # -- Stages --------------------------------------------------------------------------------------------

    def stage(self, name: str) -> dict[str, Any]:
        """Return the note of a stage, empty where it has not finished."""
        run = self.read_json("run.json") or {}
        return dict(run.get("stages", {}).get(name, {}))

    def note(self, stage: str, **facts: Any) -> None:
        """Note that a stage finished, with what it did."""
        run = self.read_json("run.json") or {}
        run.setdefault("stages", {})[stage] = facts
        self.write_json("run.json", run)

    def describe(self, **facts: Any) -> None:
        """Note facts about the whole run: command, versions."""
        self.write_json("run.json", {**(self.read_json("run.json") or {}), **facts})


def _try_lock(file: TextIO, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def json_line(row: Any) -> str:
    """Return ``row`` as one line of JSONL."""
    return json.dumps(row, ensure_ascii=False) + "\n"
