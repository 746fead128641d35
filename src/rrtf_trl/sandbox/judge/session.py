"""The tests' use of one program: operations, and the interpretation of its answers.

An answer can only be plain data, an exception by the name of a built-in, or a reference to an object of the
program's; :mod:`.conversation` sends and receives.
"""

from __future__ import annotations

import builtins
import sys
from dataclasses import dataclass
from json import dumps  # by name: tests may patch the module
from typing import Any

from ..common import codec
from ..common.faults import Fault, Limits
from ..common.messages import short
from .callbacks import Callbacks, standard_name
from .conversation import Answer, Conversation
from .exceptions import ProgramExceptions
from .fork_client import ForkServerClient
from .proxies import BORROWED, EXPECTED, MADE, UNKNOWN, Proxy, ProxyCoroutine
from .replay import load_failure

_KINDS = {"function", "class", "iterator", "coroutine", "module", "object", "value", "exception"}
_ARITHMETIC = {"add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow"}


@dataclass(frozen=True)
class Facts:
    """What is known of a program from its reference.

    Args:
        has_reference: Whether there is one.
        classes: Its classes.
        names: All names that it defines.
    """

    has_reference: bool = False
    classes: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def origin(self, name: str, kind: str) -> int:
        """Return the origin of objects that a function or class of the program returns, as far as it is known."""
        if kind != "class":
            return UNKNOWN
        if not self.has_reference:
            return EXPECTED
        return MADE if name in self.classes else UNKNOWN


class JudgeSession:
    """One program in one process, started on creation.

    Args:
        server: An idle fork server.
        limits: What the program may use.
        facts: What its functions may return.
    """

    def __init__(self, server: ForkServerClient, limits: Limits, facts: Facts) -> None:
        self._facts = facts
        self._module = Proxy(self, ["m", ""], "module", "module", EXPECTED)
        self._answering: tuple[str, Any] = ("", None)
        self._last_call: tuple[str, Any, Any] | None = None
        self._last_answer: tuple[Any] | None = None
        self.calls = 0
        self.conversation = Conversation(server, limits, self._serve)
        """Sends the requests and receives the answers."""
        self._exceptions = ProgramExceptions(self.conversation.fail)
        self._callbacks = Callbacks(self, self.conversation.fail)

    # -- The program -----------------------------------------------------------------------------------

    def load(self, code: str) -> None:
        """Have the program executed as a module.

        Raises:
            LoadError: If it does not compile, or its module ends in an exception.
            Fault: If the process ends, hangs or breaks the protocol.
        """
        conversation = self.conversation
        request = b'{"id":%d,"names":[],"code":%b}'
        conversation.send(request % (conversation.first, dumps(code).encode("ascii")))
        kind, payload = conversation.answer(conversation.first)
        if kind == "f":
            raise load_failure(payload, conversation)
        if kind != "l":
            raise conversation.fail("refused", "a reply of the wrong shape")

    # -- Operations ------------------------------------------------------------------------------------

    def ask(self, operation: str, target: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Have the program perform an operation and return the answer, by value or as a proxy.

        Raises:
            Exception: A built-in exception that the program raised.
            Fault: Any other failure to answer.
        """
        conversation = self.conversation
        conversation.raise_if_ended()
        self.calls += 1
        name = target._reference[1] if isinstance(target, Proxy) and target._reference[0] == "g" else ""
        if operation == "call":
            self._last_call, self._last_answer = (name or "the object", args, kwargs), None
            if target._origin == BORROWED and (args or kwargs):
                text = (
                    "the test passes data to a method of an object that came where the reference returns plain "
                    "data, or there is no reference that returns one too"
                )
                raise conversation.fail("unsupported", f"{text}, so the program would judge itself")
        try:
            answer = self._request(operation, target, args, kwargs)
        except codec.NotPlainData as error:
            raise conversation.fail("refused", f"the test passes {error}, which cannot cross to the program") from None
        value = self._read(answer, operation, target)
        self._last_answer = (value,)
        return value

    def attribute(self, name: str) -> Any:
        """Return an attribute of the program's module: a proxy, a plain value, or an exception class's stand-in."""
        value = self.ask("getattr", self._module, name)
        if isinstance(value, Proxy):
            return self._proxy(value._kind, name, None, ["g", name], self._facts.origin(name, value._kind))
        return value

    def public_names(self) -> list[str]:
        """Return the names that ``from solution import *`` imports.

        They must not hide other names of the tests: with a reference, they are those that it has too; without
        one, they are no names of built-ins, modules or tests.
        """
        names = self.ask("public", self._module)
        names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        known = self._facts.names
        if known:
            return [name for name in names if name in known]
        reserved = sys.stdlib_module_names | {"pytest", "solution"}
        return [
            name
            for name in names
            if not hasattr(builtins, name) and name not in reserved and not name.lower().startswith(("test", "pytest"))
        ]

    def set_attribute(self, name: str, value: Any) -> None:
        """Set an attribute of the program's module."""
        self.ask("setattr", self._module, name, value)

    def unsupported(self, text: str) -> Fault:
        """Note that the test needs what cannot be judged; return the fault to raise."""
        return self.conversation.fail("unsupported", text)

    def last_call(self) -> str:
        """Return the latest call and its answer, for messages; empty before the first call."""
        if self._last_call is None:
            return ""
        name, args, kwargs = self._last_call
        shown = [short(arg, 60) for arg in args] + [f"{key}={short(value, 60)}" for key, value in kwargs.items()]
        answer = f" returned {short(self._last_answer[0])}" if self._last_answer is not None else ""
        return f"{name}({', '.join(shown)}){answer}"

    @property
    def got(self) -> str | None:
        """The latest answer, for messages; None where there is none."""
        return short(self._last_answer[0]) if self._last_answer is not None else None

    def _request(self, operation: str, target: Any, args: Any, kwargs: Any) -> Answer:
        number = self.conversation.new_number()
        request = {
            "id": number,
            "op": operation,
            "args": [codec.pack(item, self) for item in (target, *args)],
            "kwargs": [[key, codec.pack(value, self)] for key, value in kwargs.items()],
        }
        self.conversation.send(codec.dump(request))
        return self.conversation.answer(number)

    def _serve(self, kind: str, payload: Any) -> bytes:
        self._answering = ("", None)
        return self._callbacks.serve(kind, payload)

    def _read(self, answer: Answer, operation: str, target: Any) -> Any:
        kind, payload = answer
        if kind == "v":
            self._answering = (operation, target)
            try:
                return codec.unpack(payload, self)
            except codec.MalformedMessage as error:
                raise self.conversation.fail("refused", f"the program wrote to the judge's channel: {error}") from None
            except MemoryError:
                raise self.conversation.fail("refused", "an answer too large to read") from None
        if kind == "r":
            raise self.conversation.fail("unsupported", f"the answer is {str(payload)[:100]}, which is not plain data")
        if kind == "x":
            raise self._exceptions.exception(payload)
        raise self.conversation.fail("refused", "a reply of the wrong shape")

    # -- codec.References ------------------------------------------------------------------------------

    def pack(self, value: Any) -> Any:
        """Return a reference for the program: to its own object, or to a function or iterator of the tests."""
        if isinstance(value, Proxy):
            return value._reference
        number = self._exceptions.number_of(value)
        if number is not None:
            return ["h", number]
        by_name = standard_name(value)
        return ["n", *by_name] if by_name is not None else self._callbacks.refer(value)

    def unpack(self, payload: Any) -> Any:
        """Return the proxy for a reference of the program."""
        if type(payload) is list and len(payload) == 2 and payload[0] == "k":
            return self._callbacks.find(payload[1])
        if type(payload) is list and len(payload) == 4:
            kind, name, bases, number = payload
            if kind in _KINDS and type(name) is str and type(number) is int and number >= 0:
                return self._proxy(kind, name[:60], bases, ["h", number], self._origin_of_answer())
        raise codec.MalformedMessage("an unknown reference")

    def _origin_of_answer(self) -> int:
        """Return the origin of an object in the answer that is being read."""
        operation, target = self._answering
        if not isinstance(target, Proxy):
            return UNKNOWN
        origin: int = target._origin
        if operation == "call" and target._reference[0] == "g" and target._kind != "class":
            return UNKNOWN
        if operation == "getattr" and origin == UNKNOWN:
            return BORROWED
        if operation in _ARITHMETIC or (operation == "call" and target._kind == "class"):
            return origin
        return min(origin, EXPECTED)

    def _proxy(self, kind: str, name: str, bases: Any, reference: list[Any], origin: int) -> Any:
        if kind == "exception":
            return self._exceptions.stand_in(name, bases, reference[1])
        make = ProxyCoroutine if kind == "coroutine" else Proxy
        return make(self, reference, kind, name, origin)
