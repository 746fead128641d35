"""A sweep's folder: the settings of each job, and its run.

    runs/sweeps/NAME/multirun.yaml      Hydra's own record
                     JOB/job.json       the job's settings, and the command that runs it alone
                         error.txt      the traceback, if it failed
                         run            a link to the run's folder

A job is named after the settings that not all jobs have, and a run after its whole configuration. So a sweep that is
started again finds its jobs and their runs, and two sweeps with a common configuration share its run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rrtf_trl.storage.run_folder import RunFolder

State = Literal["done", "failed", "pruned", "running", "stopped"]
_LONGEST_NAME = 120


@dataclass(frozen=True)
class JobNote:
    """The content of ``job.json``.

    Args:
        overrides: All settings of the job, as on the command line.
        varied: The settings that not all jobs have.
        command: The command that runs the job alone.
        launch: The name of the launch that ran the job last, see :class:`.job.SweepJob`.
        run: Its run's folder relative to the job's; ``None`` if it failed before it had one.
        error: Why the job failed, in one message.
    """

    overrides: list[str]
    varied: list[str]
    command: str
    launch: str
    run: str | None = None
    error: str | None = None


class JobFolder(RunFolder):
    """A job of a sweep."""

    def write(self, note: JobNote) -> None:
        """Write the note, and the link to the run."""
        self.write_json("job.json", asdict(note))
        link = self / "run"
        link.unlink(missing_ok=True)
        if note.run is not None:
            link.symlink_to(note.run, target_is_directory=True)

    def read(self) -> JobNote:
        """Return the note."""
        return JobNote(**self.read_json("job.json"))

    def run(self) -> RunFolder | None:
        """Return the job's run, or ``None`` if it has none."""
        run = self.read().run
        return None if run is None else RunFolder(Path(os.path.normpath(self.path / run)))

    def outcome(self) -> tuple[State, str | None]:
        """Return the job's state and error, if any, by the run's own notes: it may have been run again by itself."""
        note, run = self.read(), self.run()
        noted: dict[str, Any] = ((run.read_json("run.json") or {}) if run else {}).get("outcome", {})
        state: State = noted.get("state", "stopped")
        if state in ("done", "pruned"):
            return state, None
        if run is not None and run.is_locked():
            return "running", None
        if note.error is not None:
            return "failed", note.error
        return ("failed", noted.get("error")) if state == "failed" else ("stopped", None)


def sweep_jobs(path: Path) -> list[JobFolder]:
    """Return the jobs of a sweep, by name."""
    return [JobFolder(file.parent) for file in sorted(path.glob("*/job.json"))]


def job_name(varied: Sequence[str]) -> str:
    """Return the name of a job's folder: its varied settings, shortened with a hash if no file name can hold them."""
    plain = ",".join(varied) or "only"
    name = re.sub(r"[^\w.,=+@~\[\]-]", "_", plain)
    if name == plain and len(name) <= _LONGEST_NAME and not name.startswith("."):
        return name
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{name.lstrip('.')[:_LONGEST_NAME]}-{digest}"
