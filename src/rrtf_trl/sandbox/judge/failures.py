"""What a failed test expected, for messages."""

from __future__ import annotations

import ast
import types
from traceback import walk_tb  # by name: tests may patch the module

from ..common.messages import short


def _failing_frame(error: BaseException, filename: str) -> tuple[types.FrameType, int] | None:
    """Return the innermost frame of the tests' code in an exception's traceback, and its line; None without one."""
    frames = [place for place in walk_tb(error.__traceback__) if place[0].f_code.co_filename == filename]
    return frames[-1] if frames else None


def failing_line(error: BaseException, source: str) -> str:
    """Return the innermost line of a check in an exception's traceback; empty if there is none."""
    place, lines = _failing_frame(error, "<check>"), source.splitlines()
    return lines[place[1] - 1].strip() if place is not None and 0 < place[1] <= len(lines) else ""


def expected_side(error: BaseException, source: str, filename: str, program: set[str]) -> str | None:
    """Evaluate the side of a failed ``assert f(x) == y`` that does not use the program; return None if there is none.

    Args:
        error: The failure.
        source: The tests.
        filename: The name under which they were compiled.
        program: The names by which they use the program.
    """
    place = _failing_frame(error.__cause__ or error, filename)
    if place is None:
        return None
    frame, line = place
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assert) or not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
            for side in (test.comparators[0], test.left):
                names = {inner.id for inner in ast.walk(side) if isinstance(inner, ast.Name)}
                if not names & program:
                    try:
                        code = compile(ast.Expression(side), "<expected>", "eval")
                        return short(eval(code, frame.f_globals, frame.f_locals))
                    except Exception:
                        return None
    return None
