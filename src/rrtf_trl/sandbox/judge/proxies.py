"""Objects of the program, as the tests see them: proxies, each use of which asks the program.

An answer that is plain data is compared by the judge, so the program has no say in it. An object of the
program's own class has: its methods are the program's word. So a test may use such an object (call its
methods, read its attributes, iterate, index, print), and what comes back is judged as any answer is; but the
expected value must not be handed to it to judge by itself. Therefore ``==``, ``<`` and the like between a
proxy and plain data are never asked; arithmetic and ``in`` only of objects that the test itself made from a
class that the reference has too; and a method of an object that came where nobody can say that one should come
is called without arguments only.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol, TypeVar

Reference = list[Any]
_T = TypeVar("_T")
BORROWED, UNKNOWN, EXPECTED, MADE = -1, 0, 1, 2
"""How an object came: as an attribute of one that nobody expected; unexpected itself; as one does of the reference;
by the test, which made it from a class that the reference has too."""


class Asker(Protocol):
    """What carries an operation to the program."""

    def ask(self, operation: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Have the program carry out an operation, and return the answer."""

    def unsupported(self, text: str) -> BaseException:
        """Note that the test needs what cannot be judged, and return the exception to raise."""


class Proxy:
    """Stands for something in the program.

    Args:
        asker: Carries the operations.
        reference: What the program knows it by.
        kind: ``function``, ``class``, ``iterator``, ``coroutine``, ``module`` or ``object``.
        type_name: The name of its class.
        origin: How it came; for functions and classes, how what they give comes.
    """

    __slots__ = ("_asker", "_kind", "_origin", "_reference", "_type_name")

    def __init__(self, asker: Asker, reference: Reference, kind: str, type_name: str, origin: int) -> None:
        set_here = object.__setattr__
        set_here(self, "_asker", asker)
        set_here(self, "_reference", reference)
        set_here(self, "_kind", kind)
        set_here(self, "_type_name", type_name)
        set_here(self, "_origin", origin)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it, in the program."""
        return self._asker.ask("call", self, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__", "__dict__"):
            raise AttributeError(name)  # protocols that were not asked for: copying, pickling, arrays
        return self._asker.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._asker.ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._asker.ask("delattr", self, name)

    def __eq__(self, other: object) -> bool:
        return self._compare("eq", other)

    def __ne__(self, other: object) -> bool:
        return self._compare("ne", other)

    def __lt__(self, other: object) -> bool:
        return self._compare("lt", other)

    def __le__(self, other: object) -> bool:
        return self._compare("le", other)

    def __gt__(self, other: object) -> bool:
        return self._compare("gt", other)

    def __ge__(self, other: object) -> bool:
        return self._compare("ge", other)

    def __hash__(self) -> int:
        return hash(str(self._reference))

    def __brief__(self) -> str:
        """What :func:`..common.messages.short` prints."""
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
            raise self._asker.unsupported("an iterator that gives no items")
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

    def __str__(self) -> str:
        return self._as("str", str)

    def __repr__(self) -> str:
        return self._as("repr", str)

    def __format__(self, specification: str) -> str:
        return self._as("format", str, specification)

    def __len__(self) -> int:
        return self._as("len", int)

    def __int__(self) -> int:
        return self._as("int", int)

    def __index__(self) -> int:
        return self._as("index", int)

    def __float__(self) -> float:
        return self._as("float", float)

    def __complex__(self) -> complex:
        return self._as("complex", complex)

    def __bytes__(self) -> bytes:
        return self._as("bytes", bytes)

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Proxy) and bool(self._asker.ask("isinstance", value, self))

    def __subclasscheck__(self, value: object) -> bool:
        return isinstance(value, Proxy) and bool(self._asker.ask("issubclass", value, self))

    def _as(self, operation: str, kind: type[_T], *args: Any) -> _T:
        answer = self._asker.ask(operation, self, *args)
        if not isinstance(answer, kind):
            raise self._asker.unsupported(f"an object whose {operation} gives another type")
        return answer

    def _compare(self, operation: str, other: object) -> bool:
        if isinstance(other, Proxy) and other._reference == self._reference and operation in ("eq", "ne"):
            return operation == "eq"
        if isinstance(other, Proxy):
            return bool(self._asker.ask(operation, self, other))
        if operation in ("eq", "ne") and (other is None or self._kind != "object"):
            return operation == "ne"  # as functions, classes and iterators compare, by identity
        text = f"compares an object of the program's own class {self._type_name} with plain data"
        raise self._asker.unsupported(f"the test {text}, which would be the program's word")

    def _arithmetic(self, operation: str, left: object, right: object) -> Any:
        for side in (left, right):
            if not isinstance(side, Proxy) and self._origin < MADE:
                text = f"gives plain data to an object of the program's own class {self._type_name} to reckon with"
                raise self._asker.unsupported(f"the test {text}, which would be the program's word")
        return self._asker.ask(operation, left, right)


class ProxyCoroutine(Proxy, collections.abc.Coroutine[Any, Any, Any]):
    """A coroutine of the program, which runs to its end where the test first waits for it."""

    __slots__ = ()

    def send(self, value: object) -> Any:
        """Run it; the answer comes as the value of StopIteration, as that of a coroutine does."""
        raise StopIteration(self._asker.ask("await", self))

    def __next__(self) -> Any:
        return self.send(None)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # event loops look for the insides of coroutines

    def throw(self, *error: Any) -> Any:
        """A test that cancels it means that it should not go on."""
        raise error[0]

    def close(self) -> None:
        """Nothing is held."""


def _define() -> None:
    """Give proxies the operators, which all work in the same way."""

    def forward(operation: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: self._arithmetic(operation, self, other)

    def backward(operation: str) -> Callable[[Any, Any], Any]:
        return lambda self, other: self._arithmetic(operation, other, self)

    def ask(operation: str) -> Callable[..., Any]:
        return lambda self, *args: self._asker.ask(operation, self, *args)

    binary = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift"
    for name in binary.split():
        setattr(Proxy, f"__{name}__", forward(name))
        setattr(Proxy, f"__r{name}__", backward(name))
    for name in ("and", "or", "xor"):
        setattr(Proxy, f"__{name}__", forward(name + "_"))
        setattr(Proxy, f"__r{name}__", backward(name + "_"))
    for name in ("getitem", "setitem", "delitem", "abs", "neg", "pos", "invert", "round", "reversed"):
        setattr(Proxy, f"__{name}__", ask(name))


_define()
