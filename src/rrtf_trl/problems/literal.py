"""Write plain data as Python source; run as a program, compute a reference's answers.

The program reads ``{"code", "entry_point", "inputs", "not_none"}`` as JSON from standard input, where ``inputs`` is
the Python source of a list of argument lists. It writes ``{"answers": [...]}``, each as Python source, or
``{"error": ...}`` to standard output. References are trusted as much as tests.
"""

from __future__ import annotations

import copy
import json
import math
import os
import sys
from typing import Any


def literal(value: Any) -> str:
    """Return Python source that evaluates to ``value`` without any import.

    Raises:
        ValueError: If the value, or one in it, is not plain data.
    """
    # A subclass (Counter, OrderedDict) is written as its built-in base class, which it equals.
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, complex):
        return f"complex({literal(value.real)}, {literal(value.imag)})"
    if isinstance(value, int) and value.bit_length() > 10_000:
        return hex(value)  # Python limits the decimal digits that it reads
    for kind in (int, float, str, bytes):
        if isinstance(value, kind):
            return kind.__repr__(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, frozenset):
        return f"frozenset([{', '.join(sorted(map(literal, value)))}])"
    if isinstance(value, set):
        return f"set([{', '.join(sorted(map(literal, value)))}])"
    raise ValueError(f"a value of type {type(value).__name__} is not plain data")


def _answers(job: dict[str, Any]) -> list[str]:
    scope: dict[str, Any] = {"__name__": "reference"}
    exec(compile(job["code"], "<reference>", "exec", dont_inherit=True), scope)
    function = scope[job["entry_point"]]
    answers = []
    for arguments in eval(job["inputs"]):
        answer = function(*copy.deepcopy(arguments))
        answers.append(literal(answer is not None if job["not_none"] else answer))
    return answers


def _main() -> None:
    result_to = os.dup(1)
    job = json.load(sys.stdin)
    sys.set_int_max_str_digits(0)
    with open(os.devnull) as nothing, open(os.devnull, "w") as hole:
        sys.stdin, sys.stdout = nothing, hole  # what a reference prints must not mix with the answers
        try:
            result: dict[str, Any] = {"answers": _answers(job)}
        except BaseException as error:
            result = {"error": f"{type(error).__name__}: {error}"}
    with os.fdopen(result_to, "w") as out:
        json.dump(result, out)
    os._exit(0)


if __name__ == "__main__":
    _main()
