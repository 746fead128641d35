"""A worker of the sandbox: takes jobs from the caller, has each judged, and answers with its outcome.

The worker keeps one fork server on the candidate's side, and forks a process of its own for each job's tests
(:mod:`.verdicts`), so tests that hang or crash cost that job alone. It answers a job exactly once, whatever
happens to either of them, and ends with all that it started when the caller goes away.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import subprocess
import time
import traceback
from typing import Any

from . import codec, isolation, kernel, protocol
from .session import Broken, Limits, end_program
from .verdicts import Verdict, judge

_WARM = [
    "collections",
    "copy",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "random",
    "re",
    "string",
    "typing",
    "unicodedata",
]
_MAX_VERDICT = 64 * 1024
_TEST_MEMORY_MB = 4096
_GRACE = 3.0
"""Seconds after the deadline in which the process that runs the tests should have said so itself."""


def main(caller_fd: int) -> int:
    """Serve jobs from the socket ``caller_fd`` until it closes; return the exit status."""
    stream = socket.socket(fileno=caller_fd)
    stream.set_inheritable(False)
    caller = protocol.Channel(stream)
    kernel.hide_memory()
    settings = json.loads(caller.receive())
    worker = _Worker(caller, settings)
    for name in _WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    try:
        worker.serve()
    except (protocol.Closed, _CallerGone):
        return 0
    finally:
        worker.stop()
    return 0


class _CallerGone(Exception):
    """There is nobody left to answer to."""


class _Worker:
    def __init__(self, caller: protocol.Channel, settings: dict[str, Any]) -> None:
        self._caller = caller
        self._settings = settings
        self._namespaces: bool = settings["namespaces"]
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._isolation = "none"
        self._start_server()

    def serve(self) -> None:
        while True:
            self._caller.wait(self._check_caller)
            job = codec.decode(self._caller.receive(protocol.MAX_JOB_FRAME))
            start = time.monotonic()
            verdict = self._judge(job)
            outcome = {
                **verdict,
                "seq": job["seq"],
                "seconds": time.monotonic() - start,
                "isolation": self._isolation,
            }
            self._caller.send(json.dumps(outcome).encode())

    def _judge(self, job: dict[str, Any]) -> Verdict:
        """Judge a job; where our own side fails, once more on a new fork server."""
        failure = ""
        for _ in range(2):
            try:
                control = self._start_server()
                try:
                    return self._run_tests(job, control)
                finally:
                    end_program(control)
            except Broken as error:
                failure = str(error)
                self.stop()
        return {"state": "infrastructure", "passed": 0, "total": 0, "message": failure}

    def _run_tests(self, job: dict[str, Any], control: socket.socket) -> Verdict:
        timeout = self._settings["timeout"]
        limits = Limits(
            cpu=timeout,
            deadline=time.monotonic() + 3 * timeout + 1,
            memory_mb=self._settings["memory_mb"],
            output_bytes=self._settings["output_kb"] * 1024,
        )
        result, result_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            _test_process(job, control, limits, result_write)
        os.close(result_write)
        try:
            data = self._await_verdict(result, limits.deadline + _GRACE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            os.close(result)
        if data is not None and data.endswith(b"\n"):
            verdict: Verdict = json.loads(data)
            if verdict.pop("retry", False):
                raise Broken(verdict["message"])
            return verdict
        if data is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
            return {"state": "timeout", "passed": 0, "total": 0, "message": "the tests did not end in time"}
        raise Broken(f"the process that ran the tests ended with {os.waitstatus_to_exitcode(status)}")

    def _await_verdict(self, result: int, deadline: float) -> bytes | None:
        """Read the verdict until its writer closes; None where the deadline passes first."""
        poll, data = select.poll(), b""
        poll.register(result, select.POLLIN)
        poll.register(self._caller.stream, select.POLLRDHUP)  # not POLLIN: the next job may be waiting there
        while (left := deadline - time.monotonic()) > 0:
            self._check_caller()
            for number, _ in poll.poll(min(left, protocol.HEARTBEAT) * 1000):
                if number != result:
                    raise _CallerGone
                part = os.read(result, _MAX_VERDICT)
                data += part
                if not part:
                    return data
        return None

    def _check_caller(self) -> None:
        # A process that the caller forked may hold the socket open after the caller's death.
        if os.getppid() != self._settings["caller"]:
            raise _CallerGone

    def _start_server(self) -> socket.socket:
        if self._control is not None:
            return self._control
        attempts = [True, False] if self._namespaces else [False]
        reason = ""
        for namespaces in attempts:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            arguments = f"{theirs.fileno()}, {namespaces}"
            code = f"from rrtf_trl.sandbox.forkserver import main; sys.exit(main({arguments}))"
            with theirs:
                self._server = subprocess.Popen(
                    isolation.python_command(code),
                    env=self._settings["environment"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            self._control = ours
            ours.settimeout(60)
            with contextlib.suppress(OSError, ValueError):
                hello = json.loads(ours.recv(4096))
                if "isolation" in hello:
                    self._isolation = hello["isolation"]
                    self._namespaces = namespaces  # what did not work once will not the next time
                    return ours
                reason = hello.get("refused", "")
            self.stop()
        raise Broken(f"the fork server did not start: {reason or 'no word from it'}")

    def stop(self) -> None:
        """End the fork server and all below it."""
        if self._control is not None:
            self._control.close()  # it cleans up after a program that still runs, and ends
            self._control = None
        if self._server is not None:
            try:
                self._server.wait(5)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None


def _test_process(job: dict[str, Any], control: socket.socket, limits: Limits, result: int) -> None:
    """Run the tests of one job and write the verdict to ``result``; never returns."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        gc.disable()  # a short life; collecting would only copy pages that are shared with the worker
        cpu = int(limits.deadline - time.monotonic()) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        memory = _TEST_MEMORY_MB * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        try:
            verdict = judge(job, control, limits)
        except Broken as error:
            verdict = {
                "state": "infrastructure",
                "passed": 0,
                "total": 0,
                "message": str(error),
                "retry": True,
            }
        except BaseException:
            text = traceback.format_exc()[-1000:]
            verdict = {"state": "infrastructure", "passed": 0, "total": 0, "message": text, "retry": True}
        data = json.dumps(verdict).encode() + b"\n"
        while data:
            data = data[os.write(result, data) :]
    finally:
        os._exit(0)
