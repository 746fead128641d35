"""Fuzz what a sandbox's judge reads from programs, with atheris (pip install atheris).

    python scripts/fuzz_sandbox.py codec|session [-max_total_time=60] [libFuzzer's options]

``codec`` feeds bytes to the decoder; ``session`` plays a hostile program on the other end of the channel, whose
frames are the fuzzer's. Whatever they are, the judge may only answer with its own exceptions, and never takes
bytes for more than plain data and proxies.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["rrtf_trl.sandbox"]):
    from rrtf_trl.sandbox.common import codec, protocol
    from rrtf_trl.sandbox.common.faults import Broken, Diverged, Fault, Limits, LoadError
    from rrtf_trl.sandbox.common.report import Report
    from rrtf_trl.sandbox.judge import session, trace
    from rrtf_trl.sandbox.judge.conversation import Conversation
    from rrtf_trl.sandbox.judge.proxies import Proxy

_PLAIN = (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, type, type(None))


class _Server:
    """A fork server with a program that has sent already all that it will send."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent

    def run(self, files: tuple[int, ...] = ()) -> socket.socket:
        """Start."""
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.send(self._sent[:60000])
            theirs.shutdown(socket.SHUT_WR)
            self._kept = theirs.dup()
        return ours

    def end(self) -> Report:
        """End."""
        return Report(0, 0.0, 10)


_SCALARS: list[Any] = [None, True, 0, -1, 1, 2**63, 1.5, float("nan"), "", "f", "len", "object", "Exception", "\ud800"]
_TAGS = [*"ltsfdicbBrTDFMnhx", "", 0]
_WORDS = [*"0123456789abcdefx<>|-: .", "<i4", "int", "datetime 2020-01-01", "timedelta 1 2 3", "0x1f", "1/3", "NaN"]


def _item(provider: Any, depth: int = 0) -> Any:
    """JSON that looks like what a program sends, in most places."""
    choice = provider.ConsumeIntInRange(0, 5)
    if depth > 6 or choice == 0:
        return provider.PickValueInList(_SCALARS)
    if choice == 1:
        return "".join(provider.PickValueInList(_WORDS) for _ in range(provider.ConsumeIntInRange(0, 4)))
    inner = [_item(provider, depth + 1) for _ in range(provider.ConsumeIntInRange(0, 4))]
    if choice == 2:
        return inner
    if choice == 3:
        kind = provider.PickValueInList(
            ["object", "class", "function", "iterator", "coroutine", "exception", "k", "g"]
        )
        return ["h", [kind, provider.PickValueInList(_SCALARS), inner or None, provider.ConsumeIntInRange(-1, 3)]]
    return [provider.PickValueInList(_TAGS), inner]


def fuzz_codec(data: bytes) -> None:
    """Decode; what comes out can be encoded and decoded again, and is the same."""
    if data[:1] == b"j":
        data = json.dumps(_item(atheris.FuzzedDataProvider(data[1:]))).encode()
    with contextlib.suppress(codec.MalformedMessage):
        value = codec.decode(data)
        with contextlib.suppress(codec.NotPlainData):
            again = codec.decode(codec.encode(value))
            assert type(again) is type(value)
            assert again == value or "nan" in repr(value) or "array" in repr(value)


def fuzz_session(data: bytes) -> None:
    """Load a program, call it, and use what it gives; its answers are pieces of the data."""
    provider = atheris.FuzzedDataProvider(data)
    sent = bytes(4)  # the greeting
    for number in range(provider.ConsumeIntInRange(0, 6)):
        if number == 0 and provider.ConsumeBool():
            body = b'[1,"l",{"f":["function","f",null,0]}]'
        elif provider.ConsumeIntInRange(0, 9):
            kind = provider.PickValueInList(["v", "v", "x", "r", "l", "f", "k", "i", "w"])
            payload = {"f": _item(provider)} if kind == "l" else _item(provider)
            body = json.dumps([0 if kind in "ki" else number + 1, kind, payload]).encode()
        else:
            body = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 200))
        sent += len(body).to_bytes(4, "big") + body
    server: Any = _Server(sent)
    limits = Limits(cpu=1.0, wall=1.0, memory_mb=100, output_bytes=100)
    numbers = itertools.count(1)
    Conversation.new_number = staticmethod(lambda: next(numbers))  # type: ignore[method-assign]  # guessed
    one = session.JudgeSession(server, limits, trace.no_trace())
    try:
        found = one.load("", ["f"])
        function = found.get("f")
        answer = function(1, [2], len) if callable(function) else None
        assert isinstance(answer, (*_PLAIN, Proxy)) or type(answer).__module__ in ("numpy", "decimal", "fractions",
                                                                                     "datetime"), answer  # fmt: skip
        if isinstance(answer, Proxy):
            list(answer)
            answer.name(3)
    except (Fault, LoadError, Diverged, Broken):
        pass
    except Exception as error:  # what a program may raise in a test: built-in exceptions, or a stand-in for its own
        assert type(error).__module__ in ("builtins", "rrtf_trl.sandbox.judge.exceptions"), error
        assert not isinstance(error, AssertionError)
    finally:
        one.conversation.end()
        server._kept.close()


def main() -> None:
    """Choose a target and hand over to atheris."""
    targets = {"codec": fuzz_codec, "session": fuzz_session}
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        raise SystemExit(__doc__)
    target = targets[sys.argv.pop(1)]
    protocol.MAX_FRAME = 2**16
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
