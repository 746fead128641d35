"""Proxies for objects of the program in the tests; each use of a proxy is a request to the program.

An answer that is plain data is compared by the judge. An object of a class of the program's runs the program's own
methods. A test may use such an object (call its methods, read its attributes, iterate, index, print), and what that
returns is judged as any answer; but the object must never get the expected value, since it could then judge itself.
Therefore ``==``, ``<`` and the like between a proxy and plain data are never requested; arithmetic and ``in`` only of
objects that the test made from a class that the reference has too; and methods of an object that was not expected are
called without arguments only.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol, TypeVar

Reference = list[Any]
_T = TypeVar("_T")
BORROWED, UNKNOWN, EXPECTED, MADE = -1, 0, 1, 2
"""The origin of an object: an attribute of one that was not expected; not expected itself; expected, as the reference
returns one too; made by the test from a class that the reference has too."""


class Asker(Protocol):
    """What sends requests to the program."""

    def ask(self, operation: str, target: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Have the program perform an operation, and return the answer."""

    def unsupported(self, text: str) -> BaseException:
        """Note that the test needs what cannot be judged; return the exception to raise."""


class Proxy:
    """Represents an object of the program.

    Args:
        asker: Sends the requests.
        reference: The program's reference to the object.
        kind: ``function``, ``class``, ``iterator``, ``coroutine``, ``module`` or ``object``.
        type_name: The name of its class.
        origin: Its origin; for functions and classes, that of what they return.
    """

    __slots__ = ("_asker", "_kind", "_origin", "_reference", "_type_name")

    def __init__(self, asker: Asker, reference: Reference, kind: str, type_name: str, origin: int) -> None:
        set_here = object.__setattr__
        set_here(self, "_asker", asker)
        set_here(self, "_reference", reference)
        set_here(self, "_kind", kind)
        set_here(self, "_type_name", type_name)
        set_here(self, "_origin", origin)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the object, in the program."""
        return self._asker.ask("call", self, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__", "__dict__"):
            raise AttributeError(name)  # protocols such as copying, pickling, arrays
        return self._asker.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._asker.ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._asker.ask("delattr", self, name)

    def __hash__(self) -> int:
        return hash(str(self._reference))

    def __brief__(self) -> str:
        """Return the text that :func:`..common.messages.short` uses."""
        return f"<{self._kind} {self._type_name}>"

    def __bool__(self) -> bool:
        return True if self._kind != "object" else self._as("bool", bool)

    def __contains__(self, item: object) -> bool:
        return bool(self._arithmetic("contains", self, item))

    def __iter__(self) -> Iterator[Any]:
        if self._kind == "iterator":
            return self
        answer = self._asker.ask("iter", self)
        return answer if isinstance(answer, Proxy) else iter(answer)

    def __next__(self) -> Any:
        found = self._asker.ask("next", self)
        if not isinstance(found, list) or len(found) > 1:
            raise self._asker.unsupported("an iterator that returns no items")
        if not found:
            raise StopIteration
        return found[0]

    def __enter__(self) -> Any:
        return self._asker.ask("enter", self)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._asker.ask("exit", self)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._asker.ask("await", self)
        yield

    def __format__(self, specification: str) -> str:
        return self._as("format", str, specification)

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Proxy) and bool(self._asker.ask("isinstance", value, self))

    def __subclasscheck__(self, value: object) -> bool:
        return isinstance(value, Proxy) and bool(self._asker.ask("issubclass", value, self))

    def _as(self, operation: str, kind: type[_T], *args: Any) -> _T:
        answer = self._asker.ask(operation, self, *args)
        if not isinstance(answer, kind):
            raise self._asker.unsupported(f"an object whose {operation} returns another type")
        return answer

    def _compare(self, operation: str, other: object) -> bool:
        if isinstance(other, Proxy) and other._reference == self._reference and operation in ("eq", "ne"):
            return operation == "eq"
        if isinstance(other, Proxy):
            return bool(self._asker.ask(operation, self, other))
        if operation in ("eq", "ne") and (other is None or self._kind != "object"):
            return operation == "ne"  # as functions, classes and iterators compare, by identity
        text = f"compares an object of the program's own class {self._type_name} with plain data"
        raise self._asker.unsupported(f"the test {text}, so the program would judge itself")

    def _arithmetic(self, operation: str, left: object, right: object) -> Any:
        for side in (left, right):
            if not isinstance(side, Proxy) and self._origin < MADE:
                text = f"passes plain data to an operator of an object of the program's own class {self._type_name}"
                raise self._asker.unsupported(f"the test {text}, so the program would judge itself")
        return self._asker.ask(operation, left, right)


class ProxyCoroutine(Proxy, collections.abc.Coroutine[Any, Any, Any]):
    """A coroutine of the program, which runs to its end when the test first awaits it."""

    __slots__ = ()

    def send(self, value: object) -> Any:
        """Run it; its answer is the value of StopIteration, as a coroutine's is."""
        raise StopIteration(self._asker.ask("await", self))

    def __next__(self) -> Any:
        return self.send(None)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # event loops probe coroutines' internals

    def throw(self, *error: Any) -> Any:
        """Raise the exception: a test that cancels the coroutine ends it."""
        raise error[0]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def _define() -> None:
    """Define those operators of proxies that all work in the same way."""

    def forward(operation: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: self._arithmetic(operation, self, other)

    def backward(operation: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: self._arithmetic(operation, other, self)

    def ask(operation: str) -> Callable[..., Any]:
        return lambda self, *args: self._asker.ask(operation, self, *args)

    def compare(operation: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: self._compare(operation, other)

    def convert(operation: str, kind: type) -> Callable[[Any], Any]:
        return lambda self: self._as(operation, kind)

    binary = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift"
    for name in binary.split():
        setattr(Proxy, f"__{name}__", forward(name))
        setattr(Proxy, f"__r{name}__", backward(name))
    for name in ("and", "or", "xor"):
        setattr(Proxy, f"__{name}__", forward(name + "_"))
        setattr(Proxy, f"__r{name}__", backward(name + "_"))
    for name in ("getitem", "setitem", "delitem", "abs", "neg", "pos", "invert", "round", "reversed"):
        setattr(Proxy, f"__{name}__", ask(name))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(Proxy, f"__{name}__", compare(name))
    kinds: dict[str, type] = {kind.__name__: kind for kind in (str, int, float, complex, bytes)}
    for name, kind in {**kinds, "repr": str, "len": int, "index": int}.items():
        setattr(Proxy, f"__{name}__", convert(name, kind))


_define()
