"""The current state of a run, written once a second to ``live.json`` in its folder, for `rrtf watch` and others.

    {"pid", "host", "process_started"}        the process, to distinguish a killed run from a slow one
    {"started", "updated", "ended", "error"}  times (seconds since 1970, UTC); ended is "done", "failed" or "stopped"
    {"stages", "stage", "work"}               all stages, the active one, and its progress
    {"log", "samples", "memory"}              the last entries of training's log, the last candidates, memory use

No stage reads the file, and a run continues if it cannot be written.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from rrtf_trl.files.folder import Folder
from rrtf_trl.records import Candidate

FILE = "live.json"

_SECONDS = 1.0
_LOGGED = 60  # entries of training's log that are kept
_SAMPLES = 3
_LONGEST = 1000  # characters of a candidate's code

_current: ContextVar[Status | None] = ContextVar("status", default=None)


def current_status() -> Status | None:
    """Return the status of the run in this context, or ``None``."""
    return _current.get()


class Status:
    """The status of one run; its methods are cheap, because a thread writes the file.

    Args:
        folder: The run's folder.
        stages: The names of its stages in order, as in ``run.json``; empty if there is only one.
    """

    def __init__(self, folder: Folder, stages: Sequence[str]) -> None:
        import psutil

        self._folder = folder
        self._process = psutil.Process()
        self._facts: dict[str, Any] = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process_started": self._process.create_time(),
            "started": time.time(),
            "ended": None,
            "error": None,
            "stages": list(stages),
            "stage": None,
            "work": None,
        }
        self._log: deque[dict[str, float]] = deque(maxlen=_LOGGED)
        self._samples: deque[dict[str, Any]] = deque(maxlen=_SAMPLES)
        self._ended = threading.Event()

    def stage(self, name: str | None) -> None:
        """Set the active stage."""
        self._facts["stage"] = name
        self._facts["work"] = None

    def work(self, label: str, done: int, total: int, new: int, unit: str, started: float) -> None:
        """Set the progress of the active stage.

        Args:
            label: The name of the work.
            done: The number of finished items.
            total: The number of all items.
            new: How many of ``done`` were finished since ``started``.
            unit: What the items are.
            started: When the work began, in seconds since 1970.
        """
        self._facts["work"] = {
            "label": label, "done": done, "total": total, "new": new, "unit": unit, "started": started,
        }  # fmt: skip

    def log(self, step: int, total: int, logs: dict[str, Any]) -> None:
        """Add what training logged at a step."""
        values = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        self._log.append({**values, "step": step, "steps": total})

    def sample(self, candidate: Candidate, state: str | None = None) -> None:
        """Add a candidate, with the state of its tests if that is known."""
        self._samples.append(
            {
                "task_id": candidate.task_id,
                "source": candidate.source,
                "state": state,
                "code": candidate.code[:_LONGEST],
            }
        )

    def _write(self) -> None:
        facts = {
            **self._facts,
            "updated": time.time(),
            "log": list(self._log),
            "samples": list(self._samples),
            "memory": self._memory_if_known(),
        }
        with suppress(OSError):
            self._folder.write_json(FILE, facts)

    def _memory_if_known(self) -> dict[str, Any]:
        """Return the memory use; empty if that fails, for instance for a GPU after an error."""
        try:
            return self._memory()
        except Exception:
            return {}

    def _memory(self) -> dict[str, Any]:
        import psutil

        children = 0
        processes = self._process.children(recursive=True)
        for child in processes:
            with suppress(psutil.Error):
                children += child.memory_info().rss
        memory: dict[str, Any] = {
            "process": self._process.memory_info().rss,
            "children": children,
            "child_processes": len(processes),
            "machine": psutil.virtual_memory().total,
            "machine_free": psutil.virtual_memory().available,
        }
        torch: Any = sys.modules.get("torch")  # not imported only for this
        if torch is not None and getattr(torch, "cuda", None) is not None and torch.cuda.is_initialized():
            memory["gpus"] = [
                {"used": total - free, "total": total}
                for free, total in (torch.cuda.mem_get_info(index) for index in range(torch.cuda.device_count()))
            ]
        return memory

    def _write_repeatedly(self) -> None:
        while not self._ended.wait(_SECONDS):
            with suppress(Exception):  # a child process that ends, a deque that grows meanwhile
                self._write()


@contextmanager
def published(folder: Folder, stages: Sequence[str] = ()) -> Iterator[Status]:
    """Update ``live.json`` in a run's folder while the block runs, and note at the end how it ended."""
    status = Status(folder, stages)
    status._write()
    token = _current.set(status)
    thread = threading.Thread(target=status._write_repeatedly, name="rrtf-live", daemon=True)
    thread.start()
    try:
        yield status
        status._facts["ended"] = "done"
    except KeyboardInterrupt:
        status._facts["ended"] = "stopped"
        raise
    except BaseException as error:
        status._facts.update(ended="failed", error=f"{type(error).__name__}: {error}"[:2000])
        raise
    finally:
        _current.reset(token)
        status._ended.set()
        thread.join()
        if status._facts["ended"] == "done":
            status._facts.update(stage=None, work=None)
        status._write()
