"""A job of a sweep. Hydra's launchers call it in this process, in another one, or on another machine."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rrtf_trl.config.error_messages import error_message
from rrtf_trl.config.grammar import override_key
from rrtf_trl.config.groups import SEVERAL, drop_unused
from rrtf_trl.config.home import at_home
from rrtf_trl.errors import Pruned
from rrtf_trl.storage.run_folder import RunFolder

from .folder import JobFolder, JobNote, State, job_name

FolderOf = Callable[[DictConfig], RunFolder]
Work = Callable[[DictConfig, RunFolder, str], object]


@dataclass(frozen=True)
class JobResult:
    """The value that a job returns to its sweeper.

    Args:
        state: ``done``, ``failed`` or ``pruned``.
        figures: The possible objectives of a search, by name, see :func:`figures`.
    """

    state: State
    figures: dict[str, float]


@dataclass(frozen=True)
class SweepJob:
    """The function that is called with each job's configuration.

    It can be pickled. It never raises an :class:`Exception`: a failing job writes its error to its folder and to
    standard error, and the other jobs run.

    Args:
        command: The sub-command of ``rrtf``.
        flags: Hydra's flags and settings that a job also needs when it is run alone.
        shared: The keys of the settings that all jobs have.
        launch: A unique name of this launch of the sweep.
        started_in: The sweep's working directory, in which each job runs, on any machine.
        folder_of: Returns the run's folder for a configuration.
        work: Does the work in it; the last argument is the command to note.
    """

    command: str
    flags: tuple[str, ...]
    shared: frozenset[str]
    launch: str
    started_in: str
    folder_of: FolderOf
    work: Work

    def __call__(self, config: DictConfig) -> JobResult:
        """Run the job and return its result."""
        if Path(self.started_in).is_dir():
            os.chdir(self.started_in)
        hydra = HydraConfig.get()
        overrides = [str(override) for override in hydra.overrides.task]
        varied = [override for override in overrides if override_key(override) not in self.shared]
        config = at_home(config)
        used = drop_unused(config, overrides) if self._chooses(varied) else overrides
        command = shlex.join(["rrtf", self.command, *self.flags, *used])
        folder = JobFolder(Path(hydra.sweep.dir) / job_name(varied))
        note = JobNote(overrides, varied, command, self.launch)
        with _labelled(folder.path.name, "BasicLauncher" not in str(hydra.launcher.get("_target_"))):
            print(f"job: {shlex.join(varied)}", flush=True)
            try:
                run = self.folder_of(config)
                run.patient = True
                note = replace(note, run=os.path.relpath(run.path, folder.path))
                folder.write(note)
                (folder / "error.txt").unlink(missing_ok=True)
                self.work(config, run, command)
                return JobResult("done", figures(run))
            except Pruned as error:
                print(f"pruned: {error}", flush=True)
                return JobResult("pruned", {})
            except Exception as error:
                message = error_message(error) or f"{type(error).__name__}: {error}".strip()
                folder.write(replace(note, error=message))
                (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
                print(f"rrtf: {message}", file=sys.stderr, flush=True)
                return JobResult("failed", {})

    @staticmethod
    def _chooses(varied: list[str]) -> bool:
        """Whether the sweep's jobs differ in what they choose; one that all of them lack is refused as in a run."""
        return any(override_key(override) in (*SEVERAL, "experiment") for override in varied)


def figures(run: RunFolder) -> dict[str, float]:
    """Return the possible objectives of a search, by name.

    For each figure in ``results.json`` these are the value after training, as ``greedy pass@1``, and the paired gain,
    as ``greedy pass@1 gain``; and ``seconds``, the duration of training.
    """
    found: dict[str, float] = {}
    for name, row in (run.read_json("results.json") or {}).items():
        if isinstance(row, dict) and "trained" in row:
            found[name] = row["trained"]["value"]
            found[f"{name} gain"] = row["gain"]["value"]
    seconds = run.stage("train").get("seconds")
    return found if seconds is None else {**found, "seconds": seconds}


@contextlib.contextmanager
def _labelled(label: str, several: bool) -> Any:
    """Begin each line of output with the job's name, if several jobs write to one terminal."""
    if not several:
        yield
        return
    out, err = _Labelled(sys.stdout, label), _Labelled(sys.stderr, label)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class _Labelled:
    """A text stream that puts a label before each line."""

    encoding = "utf-8"

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream, self._label = stream, label
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = re.split(r"(?<=\n)", self._line + text)
        for line in lines:
            self._stream.write(f"[{self._label}] {line}")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()
