"""What a failed test wanted, for people."""

from __future__ import annotations

import ast
import types

from ..common.messages import short


def _failing_frame(error: BaseException, filename: str) -> tuple[types.FrameType, int] | None:
    """The innermost frame of the tests' own code that an exception went through, and its line."""
    found, trace = None, error.__cause__.__traceback__ if error.__cause__ else error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            found = trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next
    return found


def failing_line(error: BaseException, source: str) -> str:
    """The line of a check that an exception went through; empty where there is none."""
    lines, trace, text = source.splitlines(), error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<check>" and 0 < trace.tb_lineno <= len(lines):
            text = lines[trace.tb_lineno - 1].strip()
        trace = trace.tb_next
    return text


def expected_side(error: BaseException, source: str, filename: str, program: set[str]) -> str | None:
    """The side of a failed ``assert f(x) == y`` in which the program has no part, evaluated once more."""
    place = _failing_frame(error, filename)
    if place is None:
        return None
    frame, line = place
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assert) or not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
            for side in (test.comparators[0], test.left):
                words = {inner.id for inner in ast.walk(side) if isinstance(inner, ast.Name)}
                if not words & program:
                    try:
                        code = compile(ast.Expression(side), "<expected>", "eval")
                        return short(eval(code, frame.f_globals, frame.f_locals))
                    except Exception:
                        return None
    return None
