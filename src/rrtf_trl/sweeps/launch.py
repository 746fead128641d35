"""The start and the end of a sweep: what Hydra is told, and what is said of the jobs when they are through."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console

from rrtf_trl.config.overrides import override_key
from rrtf_trl.errors import UserError

from .folder import sweep_jobs
from .job import FolderOf, SweepJob, Work

_FLAGS = {"-m", "--multirun"}
# How a sweep is run, and not what it is of: with these changed it goes on in the same folder.
_NO_MATTER = re.compile(
    r"\+*hydra(/|\.)launcher|hydra\.sweeper\.(n_trials|n_jobs|max_batch_size)=|experiment=quickstart$"
)
_LAUNCHERS = ("joblib", "submitit", "ray")
_begun: list[Path] = []


class NoteFolder(Callback):
    """Hydra's call when a sweep begins, which alone knows the sweep's folder."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the folder."""
        _begun.append(Path(str(config.hydra.sweep.dir)))


@dataclass(frozen=True)
class Sweep:
    """A start of a sweep.

    Args:
        job: What Hydra calls for each job.
        settings: Hydra's settings: one folder for each sweep, the same whenever it is started again, in which jobs
            make their own.
    """

    job: SweepJob
    settings: list[str]

    @classmethod
    def of(cls, command: str, values: list[str], flags: list[str], folder_of: FolderOf, work: Work) -> Sweep | None:
        """Return the sweep that a command line asks for, or ``None`` where it asks for one run.

        Args:
            command: The sub-command of ``rrtf``.
            values: Hydra's overrides.
            flags: Its flags.
            folder_of: Gives the folder of a job's results.
            work: Does a job's work.
        """
        if not _FLAGS & set(flags) and "hydra.mode=MULTIRUN" not in values:
            return None
        decisive = [command, *sorted(value for value in values if not _NO_MATTER.match(value)), *flags]
        name = hashlib.sha256("\0".join(decisive).encode()).hexdigest()[:8]
        settings = [
            "hydra.sweep.dir=${runs_dir}/sweeps/" + f"{command}-{name}",
            "hydra.sweep.subdir=.",
            "hydra.output_subdir=null",
            "+hydra.callbacks.rrtf._target_=rrtf_trl.sweeps.launch.NoteFolder",
        ]
        kept = [flag for flag in flags if flag not in _FLAGS]
        kept += [value for value in values if override_key(value) == "hydra.searchpath"]
        shared = frozenset(override_key(value) for value in values if not _is_swept(value))
        job = SweepJob(command, tuple(kept), shared, secrets.token_hex(4), os.getcwd(), folder_of, work)
        return cls(job, settings)

    def tell(self, went_through: bool) -> list[str]:
        """Say what became of the jobs; return the errors of those that failed.

        Args:
            went_through: Whether the launcher says that all jobs were run.
        """
        if not _begun:
            return []
        path = Path(os.path.relpath(_begun.pop()))
        known = sweep_jobs(path)
        if went_through and not known:
            lost = (
                f"the sweep's jobs left nothing in {path}: where its launcher ran them, {self.job.started_in} is not "
                "this folder; share it between the machines, or set runs_dir and the files' paths to what is shared"
            )
            print(f"rrtf: {lost}", file=sys.stderr)
            return [lost]
        jobs = [job for job in known if job.read().launch == self.job.launch]
        outcomes = [(job, *job.outcome()) for job in jobs]
        failed = [(job, state, error) for job, state, error in outcomes if state not in ("done", "pruned")]
        console = Console(soft_wrap=True, highlight=False)
        counts = ", ".join(
            f"{sum(found == state for _, found, _ in outcomes)} {state}"
            for state in dict.fromkeys(state for _, state, _ in outcomes)
        )
        console.print(f"sweep: {len(jobs)} jobs{': ' if counts else ''}{counts}; {path}")
        for job, state, error in failed:
            print(f"rrtf: {job.path.name} {state}: {error or 'it was killed'}", file=sys.stderr)
            print(f"      again, alone: {job.read().command}", file=sys.stderr)
        if jobs and self.job.command == "run":
            console.print(f"all of them on one page: rrtf sweep-report {path}")
        return [error or state for _, state, error in failed]


def _is_swept(value: str) -> bool:
    try:
        return bool(OverridesParser.create().parse_override(value).is_sweep_override())
    except OverrideParseException:
        return False


def launcher_error(error: Exception) -> UserError | None:
    """Return what to tell of an error that a launcher raised, or ``None`` for one that is of something else.

    What goes wrong in a job does not come here: it is the job's, see :class:`.job.SweepJob`.
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
        f"the sweep's launcher, {launcher}, stopped: {cause} (what was done is kept: the same command goes on)"
    )
