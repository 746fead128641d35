"""Sends requests to a SandboxFusion server, with retries after errors."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


class NotAnswered(RuntimeError):
    """The server could not run a program, after all tries; the message says why."""


@dataclass(frozen=True)
class Ran:
    """The result of a program.

    Args:
        status: ``Finished``, ``Error`` or ``TimeLimitExceeded``.
        code: Its exit status, or ``None``.
        stdout: Its standard output.
        stderr: Its standard error.
        seconds: Its run time.
    """

    status: str
    code: int | None
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True)
class Client:
    """A server.

    Args:
        url: Its address, without ``/run_code``.
        timeout: Seconds that a program may run.
        memory_mb: Memory that it may take.
        retries: Tries after an error of the server.
        first_wait: Seconds before the first of them; each next one waits twice as long.
    """

    url: str
    timeout: float
    memory_mb: int
    retries: int
    first_wait: float = 0.5

    def run(self, code: str, stdin: str = "") -> Ran:
        """Run a Python program.

        Raises:
            NotAnswered: If the server did not, after all tries.
        """
        body = {
            "code": code,
            "language": "python",
            "stdin": stdin,
            "run_timeout": self.timeout,
            "memory_limit_MB": self.memory_mb,
        }
        cause = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.first_wait * 2 ** (attempt - 1))
            try:
                return _read(self._post(json.dumps(body).encode()))
            except (OSError, ValueError, KeyError, TypeError) as error:
                cause = f"{type(error).__name__}: {error}"
                if isinstance(error, urllib.error.HTTPError) and error.code in (400, 401, 403, 404, 422):
                    break  # a retry would fail in the same way
        raise NotAnswered(f"{self.url}/run_code: {cause}")

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url.rstrip('/')}/run_code", body, headers)
        with urllib.request.urlopen(request, timeout=3 * self.timeout + 30) as reply:
            return json.loads(reply.read())


def _read(reply: Any) -> Ran:
    if reply["status"] == "SandboxError":
        raise ValueError(f"the server's sandbox failed: {reply.get('message', '')}")
    run = reply["run_result"]
    return Ran(
        status=str(run["status"]),
        code=run.get("return_code"),
        stdout=run.get("stdout") or "",
        stderr=run.get("stderr") or "",
        seconds=float(run.get("execution_time") or 0.0),
    )
