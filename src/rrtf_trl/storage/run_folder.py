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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rrtf_trl.errors import Pruned, UserError
from rrtf_trl.files.folder import Folder
from rrtf_trl.records import Problem

from .failure import failure_message


class RunFolder(Folder):
    """A run's files, the lock on them, and the notes of finished stages.

    Args:
        path: The folder; made when something is first written to it.
        patient: Whether to wait for another process that works on the same run.
    """

    def __init__(self, path: str | Path, patient: bool = False) -> None:
        super().__init__(path)
        self.patient = patient

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
                message = failure_message(error) or f"{type(error).__name__}: {error}"
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

    # -- What is in it -------------------------------------------------------------------------------------

    def problems(self, name: str) -> Iterator[Problem]:
        """Yield the problems of ``problems.jsonl`` or ``heldout.jsonl``."""
        return map(Problem.from_json, self.read_jsonl(name))

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
