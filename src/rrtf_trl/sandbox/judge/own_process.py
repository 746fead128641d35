"""Runs tests in a process of their own: those that leave something behind, and pytest files."""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from json import dumps, loads  # by name: tests may patch the module

from ..common.faults import BadTests, Broken
from ..common.protocol import HEARTBEAT
from ..isolation import linux
from .results import ProgramResult


def judge_apart(
    run: Callable[[str], ProgramResult], seconds: float, meanwhile: Callable[[], None]
) -> ProgramResult | None:
    """Return what ``run`` returns in a fork of this process, which is then killed; None where it takes too long.

    Args:
        run: Judges a program; its argument is a new folder.
        seconds: Time that it may take.
        meanwhile: Called every few seconds.

    Raises:
        BadTests: If ``run`` does.
        Broken: If it raises anything else, or its process ends early.
    """
    if "pytest" not in sys.modules:
        with contextlib.suppress(ImportError):
            importlib.import_module("pytest")  # once here, and not in every child
    folder = tempfile.mkdtemp(prefix="rrtf-tests-")
    pipe, pipe_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(run, folder, pipe_write)
    os.close(pipe_write)
    try:
        data = _read(pipe, time.monotonic() + seconds, meanwhile)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(pipe)
        shutil.rmtree(folder, ignore_errors=True)
    if data is None:
        return None
    if not data.endswith(b"\n"):
        raise Broken("the process that ran the tests ended early")
    row = loads(data)
    if "broken" in row:
        raise Broken(row["broken"])
    if "bad_tests" in row:
        raise BadTests(row["bad_tests"])
    return ProgramResult(**row)


def _child(run: Callable[[str], ProgramResult], folder: str, pipe: int) -> None:
    """Run tests and write the result to ``pipe``; never returns."""
    try:
        if sys.platform == "linux":
            linux.die_with_parent(signal.SIGKILL)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        try:
            row = run(folder).to_json()
        except BadTests as error:
            row = {"bad_tests": str(error)}
        except BaseException as error:
            row = {"broken": f"{error}; {traceback.format_exc()[-600:]}"}
        data = dumps(row).encode() + b"\n"
        while data:
            data = data[os.write(pipe, data) :]
    finally:
        os._exit(0)


def _read(pipe: int, deadline: float, meanwhile: Callable[[], None]) -> bytes | None:
    """Read until the writer ends; return None where the deadline passes first."""
    poll, data = select.poll(), b""
    poll.register(pipe, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        meanwhile()
        if poll.poll(min(left, HEARTBEAT) * 1000):
            part = os.read(pipe, 65536)
            data += part
            if not part:
                return data
    return None
