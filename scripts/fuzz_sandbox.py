"""Fuzz what a sandbox's judge reads from programs, with atheris (pip install atheris).

    python scripts/fuzz_sandbox.py codec|session|script [-max_total_time=60] [libFuzzer's options]

``codec`` feeds bytes to the decoder; ``session`` and ``script`` play a hostile program on the other end of the
channel, whose frames are the fuzzer's: for files that pytest runs in the judge, and for all other tests. Whatever they
are, the judge may only answer with its own exceptions, and never takes bytes for more than plain data and proxies.
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
    from rrtf_trl.sandbox.common import codec, protocol, unpacking
    from rrtf_trl.sandbox.common.compare import same
    from rrtf_trl.sandbox.common.faults import Broken, Fault, Limits, LoadError
    from rrtf_trl.sandbox.common.report import Report
    from rrtf_trl.sandbox.judge import replay, session
    from rrtf_trl.sandbox.judge.compiled_tests import CompiledTests
    from rrtf_trl.sandbox.judge.conversation import Conversation
    from rrtf_trl.sandbox.judge.proxies import Proxy

_HOMES = ("builtins", "collections", "datetime", "decimal", "fractions", "numpy", "pathlib", "uuid", "zoneinfo")
"""The modules of the types of plain data."""


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
_TAGS = [*unpacking._UNPACK, "z", "x", "", 0]
_WORDS = [*"0123456789abcdefx<>|-: .", "<i4", "<M8[0D]", "int", "datetime", "timedelta", "PosixPath", "0x1f", "NaN"]


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
            assert same(value, again, 0) or "nan" in repr(value).lower()


def _sent(provider: Any, kinds: list[str], first: Any) -> bytes:
    """Frames of a program: most are answers of these kinds to the requests, in order."""
    sent = bytes(4)  # the greeting
    for number in range(provider.ConsumeIntInRange(0, 8)):
        if number == 0 and provider.ConsumeBool():
            body = json.dumps([1, "l", first]).encode()
        elif provider.ConsumeIntInRange(0, 9):
            kind = provider.PickValueInList(kinds)
            body = json.dumps([0 if kind in "ki" else number + 1, kind, _item(provider)]).encode()
        else:
            body = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 200))
        sent += len(body).to_bytes(4, "big") + body
    return sent


_LIMITS = Limits(cpu=1.0, wall=1.0, memory_mb=100, output_bytes=100)


def _number_requests() -> None:
    """Let the program know the numbers of requests, as if it had guessed them."""
    numbers = itertools.count(1)
    Conversation.new_number = staticmethod(lambda: next(numbers))  # type: ignore[method-assign]


def fuzz_session(data: bytes) -> None:
    """Load a program, call it, and use what it gives; its answers are pieces of the data."""
    server: Any = _Server(_sent(atheris.FuzzedDataProvider(data), ["v", "v", "x", "r", "l", "f", "k", "i", "w"], None))
    _number_requests()
    one = session.JudgeSession(server, _LIMITS, session.Facts())
    try:
        one.load("")
        function = one.attribute("f")
        answer = function(1, [2], len) if callable(function) else None
        # A stand-in for an exception class of the program's makes exceptions of the judge's own.
        assert isinstance(answer, Proxy | Exception) or type(answer).__module__.split(".")[0] in _HOMES, answer
        if isinstance(answer, Proxy):
            list(answer)
            answer.name(3)
    except (Fault, LoadError, Broken):
        pass
    except Exception as error:  # what a program may raise in a test: built-in exceptions, or a stand-in for its own
        assert type(error).__module__ in ("builtins", "rrtf_trl.sandbox.judge.exceptions"), error
        assert not isinstance(error, AssertionError)
    finally:
        one.conversation.end()
        server._kept.close()


_TESTS = CompiledTests(
    {
        "kind": "asserts",
        "tests": {
            "setup": "one = f(1)",
            "asserts": ["assert f(2) == 4", "for x in f(3):\n    assert x in [1, 2] and one", "assert not f([4])[0]"],
        },
        "entry_point": "f",
        "context": "",
        "helpers": [],
        "trust": "strict",
    },
    b"",
)


def fuzz_script(data: bytes) -> None:
    """Collect a program's answers to a script, and decide by them; nothing but the judge's own faults ends that."""
    kinds = ["v", "v", "v", "n", "n", "c", "u", "g", "x", "e", "e", "r", "k"]
    server: Any = _Server(_sent(atheris.FuzzedDataProvider(data), kinds, ["f"]))
    _number_requests()
    script, encoded = _TESTS.script()
    conversation = Conversation(server, _LIMITS, lambda kind, payload: b"")
    answers: list[replay.UnitAnswers] = []
    try:
        conversation.send(replay.request(encoded, "", ["f"], conversation.first))
        conversation.answer(conversation.first)
        replay.collect(script, conversation, answers)
    except (Fault, LoadError, Broken):
        pass
    finally:
        conversation.end()
        server._kept.close()
    for one in answers:
        replay.decide(script, one, "f", in_place=False, variables={})


def main() -> None:
    """Choose a target and hand over to atheris."""
    targets = {"codec": fuzz_codec, "session": fuzz_session, "script": fuzz_script}
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        raise SystemExit(__doc__)
    target = targets[sys.argv.pop(1)]
    protocol.MAX_FRAME = 2**16
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
