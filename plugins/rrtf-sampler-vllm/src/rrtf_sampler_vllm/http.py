"""Requests to a vLLM server, with the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from rrtf_trl.errors import UserError


class RequestRefused(UserError):
    """The server answered with an error.

    Args:
        address: The server's.
        reason: The server's words, in one line.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"vLLM's server {address}: {reason}")
        self.reason = reason


def get(address: str, path: str) -> Any:
    """Return what a server answers; see :func:`post` for what is raised."""
    return _ask(urllib.request.Request(f"{address}{path}"), address, seconds=60)


def post(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request with a body in JSON, and return what the server answers, however long it draws or loads.

    Args:
        address: The server's.
        path: Of the request.
        body: Its body; ``None`` sends none.

    Raises:
        RequestRefused: If it answers with an error.
        UserError: If it does not answer.
    """
    data = b"" if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    return _ask(urllib.request.Request(f"{address}{path}", data, headers, method="POST"), address)


def _ask(request: urllib.request.Request, address: str, seconds: float | None = None) -> Any:
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise RequestRefused(address, _reason(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"sampler.vllm.server: {address} does not answer: {reason}. Start vLLM's server there, or leave out "
            "sampler.vllm.server for an engine of the run's own"
        ) from None
    try:
        return json.loads(text)
    except ValueError:  # some answers have no body, or a line of text
        return text


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the server's words."""
    text = error.read().decode(errors="replace")
    try:
        answer = json.loads(text)
        text = str(answer.get("error", {}).get("message") or answer.get("detail") or text)
    except (ValueError, AttributeError):
        pass
    return f"{error.code} {' '.join(text.split())[:300]}"
