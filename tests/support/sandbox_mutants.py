"""Programs that are wrong by one token, and what a plain, trusted execution says of them."""

from __future__ import annotations

import ast
import io
import os
import random
import resource
import select
import signal
import time
import tokenize
from collections.abc import Callable
from typing import Any

_SWAPS = {
    **{"+": "-", "-": "+", "*": "+", "//": "*", "/": "*", "%": "//", "**": "*", "<": "<=", "<=": "<", ">": ">="},
    **{">=": ">", "==": "!=", "!=": "==", "+=": "-=", "-=": "+=", "*=": "+=", "and": "or", "or": "and"},
    **{"not": "", "in": "not in", "True": "False", "False": "True", "min": "max", "max": "min", "any": "all"},
    **{"all": "any", "break": "pass", "continue": "pass", "append": "extend", "if": "while", "sorted": "list"},
    **{"return": "yield", "sum": "len", "is": "is not", "&": "|", "|": "&", "^": "&", "<<": ">>", ">>": "<<"},
}


def mutants(program: str, count: int, seed: int) -> list[str]:
    """Return up to ``count`` programs that differ from ``program`` in one token and still compile."""
    chance = random.Random(seed)
    lines = program.splitlines(keepends=True)
    changes: list[tuple[int, int, int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        (row, start), (last, end) = token.start, token.end
        if row != last:
            continue
        if token.type == tokenize.NUMBER:
            changes += [(row, start, end, f"({token.string} + 1)"), (row, start, end, "0")]
        elif token.string in _SWAPS:
            changes.append((row, start, end, _SWAPS[token.string]))
    chance.shuffle(changes)
    found: list[str] = []
    for row, start, end, text in changes:
        line = lines[row - 1]
        changed = "".join([*lines[: row - 1], line[:start] + text + line[end:], *lines[row:]])
        try:
            ast.parse(changed)
        except SyntaxError:
            continue
        if changed != program and changed not in found:
            found.append(changed)
        if len(found) == count:
            break
    return found


def plain_check(program: str, reference: str, test: str, entry: str) -> Callable[[], None]:
    """HumanEval's check, with the reference's helpers, called with the program's function."""

    def run() -> None:
        own: dict[str, Any] = {"__name__": "solution"}
        exec(program, own)
        scope: dict[str, Any] = {"__name__": "tests"}
        exec(reference, scope)
        function = own[entry]
        scope[entry] = function
        exec(test, scope)
        scope["check"](function)

    return run


def plain_asserts(program: str, setup: str, asserts: list[str]) -> Callable[[], None]:
    """MBPP's asserts, in the program's own namespace."""

    def run() -> None:
        own: dict[str, Any] = {"__name__": "solution"}
        exec(program, own)
        exec(setup, own)
        for line in asserts:
            exec(line, own)

    return run


def passes(run: Callable[[], None], seconds: float) -> bool | None:
    """Whether ``run`` returns, in a process of its own; None where it is too slow to be sure of."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nothing, number)
            resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            run()
            os.write(write, b"passed")
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    start = time.monotonic()
    ready, _, _ = select.select([read], [], [], 4 * seconds)
    said = os.read(read, 10) if ready else b""
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, _, usage = os.wait4(pid, 0)
    os.close(read)
    if said != b"passed":
        return False
    slow = usage.ru_utime + usage.ru_stime > seconds / 2 or time.monotonic() - start > 2 * seconds
    return None if slow else True
