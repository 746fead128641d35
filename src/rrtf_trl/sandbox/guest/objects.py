"""References to a program's objects, and the operations that its judge may request on them.

Runs in the program's process, where the program can change all of it.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import importlib
import operator
import os
import types
from collections.abc import Callable
from typing import Any

from ..common import codec, protocol


def _next(iterator: Any) -> list[Any]:
    """Return the next item in a list; an empty list at the end, since StopIteration does not cross."""
    for item in iterator:
        return [item]
    return []


def _run_coroutine(coroutine: Any) -> Any:
    import asyncio  # here: few programs need it, and each module of the fork server makes all forks slower

    async def wait() -> Any:
        return await coroutine

    return asyncio.run(wait())


def _exit(manager: Any) -> Any:
    return type(manager).__exit__(manager, None, None, None)


def _public(module: Any) -> list[str]:
    names = getattr(module, "__all__", None)
    return list(names) if names is not None else [name for name in vars(module) if not name.startswith("_")]


def _call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": _call,
    "next": _next,
    "await": _run_coroutine,
    "enter": lambda manager: type(manager).__enter__(manager),
    "exit": _exit,
    "public": _public,
    "bool": bool,
    "str": str,
    "repr": repr,
    "format": format,
    "int": int,
    "float": float,
    "complex": complex,
    "bytes": bytes,
    "round": round,
    "len": len,
    "iter": iter,
    "reversed": reversed,
    "isinstance": isinstance,
    "issubclass": issubclass,
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "divmod": divmod,
    "pow": pow,
    **{
        name: getattr(operator, name)
        for name in (
            *("getitem", "setitem", "delitem", "contains", "index", "abs", "neg", "pos", "invert", "eq", "ne", "lt"),
            *("le", "gt", "ge", "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "lshift", "rshift"),
            *("and_", "or_", "xor"),
        )
    },
}


class Objects:
    """The references of one program; answers its judge's requests.

    Args:
        module: The program, as a module.
        channel: The channel to the judge.
    """

    def __init__(self, module: types.ModuleType, channel: protocol.Channel) -> None:
        self._module = module
        self._channel = channel
        self._pid = os.getpid()
        self._held: list[Any] = []
        self._numbers: dict[int, int] = {}

    def serve(self, request: dict[str, Any]) -> None:
        """Answer one request."""
        target, *args = request["args"]
        operation = OPERATIONS[request["op"]]
        self._channel.send(self._answer(request["id"], operation, target, args, request.get("kwargs", [])))

    def _answer(self, number: int, operation: Callable[..., Any], target: Any, args: Any, kwargs: Any) -> bytes:
        """Perform an operation on packed operands, and return the frame that answers it."""
        try:
            operands = [codec.unpack(item, self) for item in (target, *args)]
            named = {name: codec.unpack(item, self) for name, item in kwargs}
            frame = codec.dump([number, "v", codec.pack(operation(*operands, **named), self)])
        except codec.NotPlainData as error:
            frame = codec.dump([number, "r", str(error)])
        except BaseException as error:
            frame = codec.dump([number, "x", self.describe(error)])
        self.end_if_forked()
        if len(frame) > protocol.MAX_FRAME:
            return codec.dump([number, "r", f"an answer of {len(frame)} bytes"])
        return frame

    def end_if_forked(self) -> None:
        """End a process that the program forked and that returned from it: the judge drops what it sends."""
        if os.getpid() != self._pid:
            os._exit(0)

    # -- codec.References ------------------------------------------------------------------------------

    def pack(self, value: Any) -> Any:
        """Keep an object and return its reference; for a function or iterator of the tests, its own reference."""
        if type(value) in (_Callback, _Stream):
            return ["k", value._number]
        return self.refer(value)

    def refer(self, value: Any) -> list[Any]:
        """Return the reference to an object: what :meth:`kind_of` returns, and its number."""
        return [*self.kind_of(value), self._hold(value)]

    def unpack(self, payload: Any) -> Any:
        """Return what a reference of the judge refers to."""
        kind, key, *more = payload
        if kind == "g":
            return getattr(self._module, key)
        if kind == "h":
            return self._held[key]
        if kind == "n":
            return operator.attrgetter(more[0])(importlib.import_module(key))
        if kind == "k":
            return _Callback(self, key)
        if kind == "i":
            return _Stream(self, key)
        if kind == "m":
            return self._module
        raise codec.MalformedMessage("an unknown reference")

    def kind_of(self, value: Any) -> list[Any]:
        """Return an object's kind, its class's name, and the built-in bases of an exception class or a plain value."""
        if isinstance(value, type):
            bases = _builtin_bases(value) if issubclass(value, BaseException) else None
            return ["class" if bases is None else "exception", codec.type_name(value), bases]
        name = codec.type_name(type(value))
        if isinstance(value, types.ModuleType):
            return ["module", value.__name__, None]
        if isinstance(value, types.CoroutineType):
            return ["coroutine", name, None]
        if hasattr(type(value), "__next__"):
            return ["iterator", name, None]
        if isinstance(value, _FUNCTIONS):
            return ["function", name, None]
        with contextlib.suppress(codec.NotPlainData):
            return ["value", name, codec.pack(value)]
        return ["object", name, None]

    def describe(self, error: BaseException) -> list[Any]:
        """Return an exception's built-in classes, nearest first, text, arguments, and the numbers of its classes."""
        mro = type(error).__mro__
        try:
            text = f"{type(error).__name__}: {error}".removesuffix(": ")
        except BaseException:
            text = type(error).__name__
        args = None
        with contextlib.suppress(codec.NotPlainData):
            packed = codec.pack(vars(BaseException)["args"].__get__(error))
            args = packed if len(str(packed)) < 2000 else None
        return [_builtin_bases(type(error)), text[:300], args, [self._numbers.get(id(base), -1) for base in mro]]

    def _hold(self, value: Any) -> int:
        number = self._numbers.setdefault(id(value), len(self._held))
        if number == len(self._held):
            self._held.append(value)
        return number

    def ask(self, kind: str, number: int, args: Any, kwargs: Any) -> Any:
        """Have the judge call a function or take the next item of an iterator; answer its requests meanwhile."""
        if os.getpid() != self._pid:
            raise RuntimeError("only the program's first process can call functions of the tests")
        packed = [codec.pack(item, self) for item in args]
        named = [[name, codec.pack(item, self)] for name, item in kwargs.items()]
        self._channel.send(codec.dump([0, kind, [number, packed, named]]))
        while True:
            reply = codec.parse(self._channel.receive(protocol.MAX_JOB_FRAME))
            if "op" in reply:
                self.serve(reply)
            elif "error" in reply:
                names, text = reply["error"]
                raise getattr(builtins, names, Exception)(text)
            else:
                return codec.unpack(reply["value"], self)


class _Callback:
    """A function of the tests, as the program sees it."""

    def __init__(self, objects: Objects, number: int) -> None:
        self._objects, self._number = objects, number
        self.__name__ = "<lambda>"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._objects.ask("k", self._number, args, kwargs)


class _Stream:
    """An iterator of the tests, as the program sees it."""

    def __init__(self, objects: Objects, number: int) -> None:
        self._objects, self._number = objects, number

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        found = self._objects.ask("i", self._number, (), {})
        if not found:
            raise StopIteration
        return found[0]


_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    functools.partial,
)


def _builtin_bases(kind: type) -> list[str]:
    return [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"]
