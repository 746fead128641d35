"""The judge's end of a fork server: starts it, sends it orders, and ends it."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
from json import loads  # by name: tests may patch the module

from ..common.faults import Broken
from ..common.interpreter import ENVIRONMENT, python_command
from ..common.report import REPORT_FORMAT, Report
from ..isolation import tiers

_PATIENCE = 30
"""Seconds for the fork server to start, or to clean up after a program."""


class Unavailable(Exception):
    """This machine does not offer the required tier; the message states why."""


class ForkServerClient:
    """One isolated fork server, which starts on creation.

    Args:
        choice: The tiers to try, in this order.
        cpu_seconds: Processor time of a program, seconds.
        memory_mb: Address space of a process, MiB.
        empty: An empty folder.

    Raises:
        Unavailable: If the machine offers none of the tiers.
        Broken: If it does not start for another reason.
    """

    _control: socket.socket
    _process: subprocess.Popen[bytes]

    def __init__(self, choice: list[tiers.Tier], cpu_seconds: int, memory_mb: int, empty: str) -> None:
        reasons = []
        for tier in choice:
            self._start(f"{tier!r}, {cpu_seconds}, {memory_mb}, {empty!r}")
            hello = self._hello()
            if "refused" not in hello:
                self.tier: str = hello["tier"]
                self.isolation: str = hello["isolation"]
                self.pid = self._process.pid
                """The process from which all that programs start descends."""
                return
            reasons.append(f"{tier}: {hello['refused']}")
            self.stop()
        raise Unavailable("; ".join(reasons) or tiers.why_no_tier())

    def run(self, files: tuple[int, ...] = ()) -> socket.socket:
        """Start a program's process and return the channel to it.

        Args:
            files: For a whole program, its stdin and stdout as open descriptors.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [b"p" if files else b"r"], [theirs.fileno(), *files])
            except OSError as error:
                ours.close()
                raise Broken(f"the fork server has ended: {error}") from error
        self._running = True
        return ours

    def end(self) -> Report | None:
        """Have the running program killed and cleaned up; return how it ended, or None if none runs."""
        if not self._running:
            return None
        self._running = False
        data = b""
        try:
            self._control.send(b"e")
            while len(data) < REPORT_FORMAT.size:
                part = self._control.recv(REPORT_FORMAT.size - len(data))
                if not part:
                    raise Broken("the fork server has ended")
                data += part
        except BlockingIOError:
            raise Broken("the fork server does not answer") from None
        except OSError as error:
            raise Broken(f"the fork server has ended: {error}") from error
        return Report(*REPORT_FORMAT.unpack(data))

    def stop(self) -> None:
        """End the fork server and all its descendants."""
        self._control.close()  # it then cleans up after a running program, and ends
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self, arguments: str) -> None:
        self._running = False
        self._control, theirs = socket.socketpair()
        code = f"from rrtf_trl.sandbox.guest.fork_server import main; sys.exit(main({theirs.fileno()}, {arguments}))"
        with theirs:
            self._process = subprocess.Popen(
                python_command(code),
                # Bind symbols once, and not in each child's copy of the tables.
                env={**ENVIRONMENT, "LD_BIND_NOW": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        patience = struct.pack("@ll", _PATIENCE, 0)  # a timeout of the kernel's needs no further system call
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)

    def _hello(self) -> dict[str, str]:
        line = b""
        with contextlib.suppress(OSError):
            while not line.endswith(b"\n"):
                part = self._control.recv(1)
                if not part:
                    break
                line += part
        if not line.endswith(b"\n"):
            self.stop()
            raise Broken("the fork server did not start: it sent nothing")
        hello: dict[str, str] = loads(line)
        return hello
