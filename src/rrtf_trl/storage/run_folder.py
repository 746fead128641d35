"""A run's folder: every step from prompt to weight, in files that a person can read.

config.yaml        the resolved configuration; `rrtf run --config-path RUN --config-name config` runs it again. For
                   several rounds, values that depend on the round are not resolved
run.json           the command, versions, and for each stage its key, time and counts
problems.jsonl     training problems              heldout.jsonl    held-out problems
contaminated.jsonl problems that were left out since they are held out or in a benchmark, and why
candidates.jsonl   all candidates                 judgements.jsonl their judgements
ranked.jsonl       the groups, the trainer's rows pairs.jsonl      the pairs, with their weights
standings.jsonl    each candidate's score, with the judgements of all sources
dropped.jsonl      problems and candidates that were not trained on, and why
conflicts.jsonl    candidates that two sources put in opposite orders
feedback/          a source's summary of its judgements, for instance of its bias
checkpoints/       training, resumable            train_log.jsonl  its losses
policy/            the trained model              evaluation/      samples and figures, before and after
results.json       the figures                    report.html      the report
live.json          what the run is doing now, for `rrtf watch`
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
        patient: Whether to wait for another process that works on the same run, rather than to raise.
    """

    def __init__(self, path: str | Path, patient: bool = False) -> None:
        super().__init__(path)
        self.patient = patient

    @contextmanager
    def working(self, config: str, **facts: Any) -> Iterator[None]:
        """Keep other processes out of the same run, and note whether it is done or failed.

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
        """Return whether a process is working on the run."""
        if not (self.path / ".lock").is_file():
            return False
        with (self.path / ".lock").open("r") as file:
            return not _try_lock(file, fcntl.LOCK_SH)  # NFS grants an exclusive lock only for writing

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock; the kernel releases it when the process ends, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            if not _try_lock(file):
                if not self.patient:
                    raise UserError(f"another process is working on {self.path}: wait for it, or change a setting")
                print(f"waiting for another process that works on {self.path}", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- Content -------------------------------------------------------------------------------------

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
        """Note facts of the whole run: command, versions."""
        self.write_json("run.json", {**(self.read_json("run.json") or {}), **facts})


def _try_lock(file: TextIO, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
