"""What a run is doing now, once a second in its folder as ``live.json``, for `rrtf watch` and whoever else looks.

    {"pid", "host", "process_started"}        who works, to tell a run that is killed from one that is slow
    {"started", "updated", "ended", "error"}  times (seconds since 1970, UTC); ended is "done", "failed" or "stopped"
    {"stages", "stage", "work"}               all stages, the one at work, and what is counted in it
    {"log", "samples", "memory"}              the last of training's log, the last answers, what is used

The file is for looking at: no stage reads it, and a run does not stop where it cannot be written.
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
_LOGGED = 60  # steps of training that are kept
_SAMPLES = 3
_LONGEST = 1000  # characters of a sample

_current: ContextVar[Status | None] = ContextVar("status", default=None)


def current_status() -> Status | None:
    """Return what tells of the run that is at work here, ``None`` where none is."""
    return _current.get()


class Status:
    """Tells of one run; its methods are cheap, for the file is written by a thread of its own.

    Args:
        folder: The run's folder.
        stages: Its stages in order, as they are called in ``run.json``; empty where there is but one.
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
        self._over = threading.Event()

    def stage(self, name: str | None) -> None:
        """Tell which stage is at work."""
        self._facts["stage"] = name
        self._facts["work"] = None

    def work(self, label: str, done: int, total: int, new: int, unit: str, started: float) -> None:
        """Tell what has been done of it.

        Args:
            label: What is counted.
            done: How many are there.
            total: How many there will be.
            new: How many of ``done`` were made since ``started``.
            unit: The name of one of them.
            started: When, in seconds since 1970.
        """
        self._facts["work"] = {
            "label": label, "done": done, "total": total, "new": new, "unit": unit, "started": started,
        }  # fmt: skip

    def log(self, step: int, total: int, logs: dict[str, Any]) -> None:
        """Tell what training logged at a step."""
        values = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        self._log.append({**values, "step": step, "steps": total})

    def sample(self, candidate: Candidate, state: str | None = None) -> None:
        """Show an answer, with what happened when it met the tests where that is known."""
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
        """What is used; nothing where asking fails, as it does for a GPU whose process has met an error."""
        try:
            return self._memory()
        except Exception:
            return {}

    def _memory(self) -> dict[str, Any]:
        import psutil

        children = 0
        found = self._process.children(recursive=True)
        for child in found:
            with suppress(psutil.Error):
                children += child.memory_info().rss
        memory: dict[str, Any] = {
            "process": self._process.memory_info().rss,
            "children": children,
            "child_processes": len(found),
            "machine": psutil.virtual_memory().total,
            "machine_free": psutil.virtual_memory().available,
        }
        torch: Any = sys.modules.get("torch")  # it is not loaded for this
        if torch is not None and getattr(torch, "cuda", None) is not None and torch.cuda.is_initialized():
            memory["gpus"] = [
                {"used": total - free, "total": total}
                for free, total in (torch.cuda.mem_get_info(index) for index in range(torch.cuda.device_count()))
            ]
        return memory

    def _beat(self) -> None:
        while not self._over.wait(_SECONDS):
            with suppress(Exception):  # a process that ends while it is looked at, a deque that grows
                self._write()


@contextmanager
def published(folder: Folder, stages: Sequence[str] = ()) -> Iterator[Status]:
    """Keep ``live.json`` of a run's folder true while the block runs; at its end it says how that went."""
    status = Status(folder, stages)
    status._write()
    token = _current.set(status)
    thread = threading.Thread(target=status._beat, name="rrtf-live", daemon=True)
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
        status._over.set()
        thread.join()
        if status._facts["ended"] == "done":
            status._facts.update(stage=None, work=None)
        status._write()
