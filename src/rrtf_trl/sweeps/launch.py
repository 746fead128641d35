"""Set up a sweep for Hydra, and report on its jobs at the end."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console

from rrtf_trl.config.grammar import override_key, parsed
from rrtf_trl.errors import UserError

from .folder import sweep_jobs
from .job import FolderOf, SweepJob, Work

_FLAGS = {"-m", "--multirun"}
# Settings of how a sweep is run, not of what is run: changing them does not change the sweep's folder.
_NOT_PART_OF_NAME = re.compile(
    r"\+*hydra(/|\.)launcher|hydra\.sweeper\.(n_trials|n_jobs|max_batch_size)=|experiment=quickstart$"
)
_LAUNCHERS = ("joblib", "submitit", "ray")
_begun: list[Path] = []


class NoteFolder(Callback):
    """Notes the sweep's folder, which Hydra passes to callbacks only."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the folder when a sweep begins."""
        _begun.append(Path(str(config.hydra.sweep.dir)))


@dataclass(frozen=True)
class Sweep:
    """A launch of a sweep.

    Args:
        job: The function that Hydra calls for each job.
        settings: Hydra's settings. They put the jobs' folders into one folder, the same for each launch of the sweep.
    """

    job: SweepJob
    settings: list[str]

    @classmethod
    def of(cls, command: str, values: list[str], flags: list[str], folder_of: FolderOf, work: Work) -> Sweep:
        """Return the sweep that a command line asks for, see :func:`is_sweep`.

        Args:
            command: The sub-command of ``rrtf``.
            values: Hydra's overrides.
            flags: Hydra's flags.
            folder_of: Returns the folder of a job's run for its configuration.
            work: Does a job's work.
        """
        decisive = [command, *sorted(value for value in values if not _NOT_PART_OF_NAME.match(value)), *flags]
        name = hashlib.sha256("\0".join(decisive).encode()).hexdigest()[:8]
        settings = [
            'hydra.sweep.dir="${at_home:${runs_dir}}/sweeps/' + f'{command}-{name}"',
            "hydra.sweep.subdir=.",
            "hydra.output_subdir=null",
            "+hydra.callbacks.rrtf._target_=rrtf_trl.sweeps.launch.NoteFolder",
        ]
        kept = [flag for flag in flags if flag not in _FLAGS]
        kept += [value for value in values if override_key(value) == "hydra.searchpath"]
        shared = frozenset(override_key(value) for value in values if not _is_swept(value))
        job = SweepJob(command, tuple(kept), shared, secrets.token_hex(4), os.getcwd(), folder_of, work)
        return cls(job, settings)

    def report(self, all_ran: bool) -> list[str]:
        """Print the jobs' outcomes; return the errors of those that failed.

        Args:
            all_ran: Whether the launcher ended without an error, and so has run all jobs.
        """
        if not _begun:
            return []
        path = Path(os.path.relpath(_begun.pop()))
        known = sweep_jobs(path)
        if all_ran and not known:
            message = (
                f"the sweep's jobs wrote nothing to {path}: on the machines where they ran, {self.job.started_in} is "
                "not this folder; share it between the machines, or set runs_dir and the files' paths to shared ones"
            )
            print(f"rrtf: {message}", file=sys.stderr)
            return [message]
        jobs = [job for job in known if job.read().launch == self.job.launch]
        outcomes = [(job, *job.outcome()) for job in jobs]
        failed = [(job, state, error) for job, state, error in outcomes if state not in ("done", "pruned")]
        console = Console(soft_wrap=True, highlight=False)
        counts = ", ".join(f"{count} {state}" for state, count in Counter(state for _, state, _ in outcomes).items())
        console.print(f"sweep: {len(jobs)} jobs{': ' if counts else ''}{counts}; {path}")
        for job, state, error in failed:
            print(f"rrtf: {job.path.name} {state}: {error or 'it was killed'}", file=sys.stderr)
            print(f"      again, alone: {job.read().command}", file=sys.stderr)
        if jobs and self.job.command == "run":
            console.print(f"all of them on one page: rrtf sweep-report {path}")
        return [error or state for _, state, error in failed]


def is_sweep(values: Sequence[str], flags: Sequence[str]) -> bool:
    """Whether a command line asks for a sweep, by Hydra's overrides and flags."""
    return bool(_FLAGS & set(flags)) or "hydra.mode=MULTIRUN" in values


def _is_swept(value: str) -> bool:
    read = parsed(value)
    return read is not None and bool(read.is_sweep_override())


def launcher_error(error: Exception) -> UserError | None:
    """Return a launcher's error as a :class:`UserError`, or ``None`` if something else raised it.

    An error in a job is not among them: the job handles it, see :class:`.job.SweepJob`.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_in = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    packages = [name.partition(".")[0] for name in (type(error).__module__, raised_in)]
    launcher = next((name for name in packages if name in _LAUNCHERS), None)
    if launcher is None:
        return None
    cause = next(filter(None, str(error).splitlines()), type(error).__name__)
    return UserError(
        f"the sweep's launcher, {launcher}, stopped: {cause} (finished work is kept: run the same command to continue)"
    )
