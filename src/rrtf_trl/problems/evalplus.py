"""HumanEval+ and MBPP+ from EvalPlus' published files (arXiv 2305.01210).

The files have inputs only. The expected values are the reference's answers, so the reference is run here, once per
problem, in a process of its own. Each input becomes an assert statement, those of the base tests first, which compares
as EvalPlus 0.3.1 does:

- equal by ``==``; or, with a tolerance, of the same type and close by ``numpy.allclose`` with ``rtol=1e-7``. From the
  first expected value that is a float, or a list or tuple of floats, the tolerance is at least 1e-6;
- some tasks have rules of their own: any root is accepted for `find_zero`, lists of MBPP/2 are compared as sets, ...

The time limit is the sandbox's, for all inputs together. EvalPlus allows each input four times the reference's time,
and at least one second.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtf_trl.forms import Open, check, field_error
from rrtf_trl.records import BASE_TESTS, AssertTests, Problem, RecordError

from .literal import literal

_REFERENCE_SECONDS = 600

_SETUP = '''\
def _shape(value):
    """The shape of a numeric array, None where numpy would not make one."""
    if isinstance(value, (list, tuple)):
        shapes = {_shape(item) for item in value}
        if len(shapes) > 1 or None in shapes:
            return None
        return (len(value), *(shapes.pop() if shapes else ()))
    if isinstance(value, int):
        return () if -2**63 <= value < 2**64 else None
    return () if isinstance(value, (float, complex)) else None

def _near(out, wanted, atol):
    if isinstance(out, (list, tuple)):
        return all(_near(left, right, atol) for left, right in zip(out, wanted))
    if out == wanted:
        return True
    try:
        return abs(wanted) != float("inf") and abs(out - wanted) <= atol + 1e-7 * abs(wanted)
    except OverflowError:
        return False

def same(out, wanted, atol, exact=None):
    if out == wanted if exact is None else exact:
        return True
    if atol == 0 or type(out) is not type(wanted):
        return False
    if isinstance(wanted, (list, tuple)) and len(out) != len(wanted):
        return False
    shapes = _shape(out), _shape(wanted)
    if None in shapes:
        return False
    if shapes[0] != shapes[1]:
        import numpy
        return bool(numpy.allclose(out, wanted, rtol=1e-7, atol=atol))
    return _near(out, wanted, atol)

def root(coefficients, x, atol):
    import math
    return abs(sum(factor * math.pow(x, power) for power, factor in enumerate(coefficients))) <= atol
'''

_NOT_NONE = {"check_str", "text_match_three", "text_starta_endb"}
_AS_SETS = {
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}  # fmt: skip


@dataclass(frozen=True)
class _EvalPlus(Open):
    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    atol: float


def from_evalplus(row: dict[str, Any]) -> Problem | None:
    """Read a row of ``HumanEvalPlus.jsonl`` or ``MbppPlus.jsonl``, and run its reference.

    Raises:
        RecordError: If a field is wrong, or the reference fails on an input.
    """
    if "plus_input" not in row:
        return None
    check(_EvalPlus, row)
    for field in ("base_input", "plus_input"):  # not by `check`, which refuses the infinities among the inputs
        inputs = row.get(field)
        if not isinstance(inputs, list) or not all(isinstance(arguments, list) for arguments in inputs):
            raise field_error(field, "a list of argument lists", inputs)
    name, of_mbpp = row["entry_point"], row["task_id"].startswith("Mbpp/")
    reference = row["prompt"] + row["canonical_solution"]
    try:
        suites = [
            [list(arguments) for arguments in (mbpp_inputs(row["task_id"], row[field]) if of_mbpp else row[field])]
            for field in ("base_input", "plus_input")
        ]
    except (TypeError, ValueError) as error:
        raise RecordError(f"field plus_input: not the inputs of {row['task_id']}: {error}"[:300]) from None
    answers = _reference_answers(reference, name, [*suites[0], *suites[1]], not_none=of_mbpp and name in _NOT_NONE)
    asserts: list[str] = []
    for inputs in suites:
        atol = float(row["atol"])  # EvalPlus starts again with each of the two
        for arguments, wanted in zip(inputs, answers[len(asserts) :], strict=False):
            if atol == 0 and _is_floats(wanted):
                atol = 1e-6
            asserts.append(_assertion(name, of_mbpp, arguments, wanted, atol, float(row["atol"])))
    if not asserts:
        raise RecordError("field base_input: there are no tests")
    return Problem(
        task_id=row["task_id"],
        prompt=row["prompt"],
        tests=AssertTests(asserts=asserts, setup=_SETUP),
        entry_point=name,
        reference=reference.rstrip() + "\n",
        metadata={BASE_TESTS: len(suites[0])},
    )


def _assertion(name: str, of_mbpp: bool, arguments: list[Any], wanted: str, atol: float, own_atol: float) -> str:
    """Return the assert statement of one input; ``wanted`` is the expected value as Python source."""
    call = f"{name}({', '.join(map(literal, arguments))})"
    if not of_mbpp and name == "find_zero":
        coefficients = ", ".join(map(literal, arguments))
        return f"assert root({coefficients}, {call}, {own_atol!r})"
    rule = _MBPP_RULES.get(name) if of_mbpp else None
    ending = f", {rule(arguments, wanted, atol)}" if rule else ""
    return f"assert same(out := {call}, {wanted}, {atol!r}{ending})"


def _rule(text: str) -> Callable[[list[Any], str, float], str]:
    return lambda arguments, wanted, atol: text.format(wanted=wanted)


def _surface(arguments: list[Any], wanted: str, atol: float) -> str:
    base, height = arguments  # of a pyramid; this reads the height as its apex's
    area = round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))
    return f"out == {wanted} or abs(out - {area}) <= {atol!r}"


def _digits(arguments: list[Any], wanted: str, atol: float) -> str:
    width = max(len(str(argument)) for argument in arguments)
    one, other = (str(abs(argument)).zfill(width) for argument in arguments)
    distance = sum(abs(int(left) - int(right)) for left, right in zip(one, other, strict=True))
    return f"out == {wanted} or out == {distance}"


_MBPP_RULES: dict[str, Callable[[list[Any], str, float], str]] = {
    "are_equivalent": _rule("True"),
    "sum_div": _rule("out == {wanted} or out == 0"),
    "surface_Area": _surface,
    "digit_distance_nums": _digits,
    **dict.fromkeys(_AS_SETS, _rule("set(out) == set({wanted})")),
    **dict.fromkeys(_NOT_NONE, _rule("out == {wanted} if isinstance(out, bool) else {wanted} == (out is not None)")),
}


def _is_floats(wanted: str) -> bool:
    value = eval(wanted)  # source that `literal` wrote
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _reference_answers(code: str, name: str, inputs: list[list[Any]], not_none: bool) -> list[str]:
    job = {"code": code, "entry_point": name, "inputs": literal(inputs), "not_none": not_none}
    child = [sys.executable, "-I", str(Path(__file__).with_name("literal.py"))]
    try:
        done = subprocess.run(
            child, input=json.dumps(job), capture_output=True, text=True, timeout=_REFERENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RecordError(f"field canonical_solution: no answer within {_REFERENCE_SECONDS} s") from None
    try:
        result = json.loads(done.stdout)
    except json.JSONDecodeError:
        result = {"error": f"its process ended with {done.returncode}: {done.stderr[-200:]}"}
    if "error" in result:
        raise RecordError(f"field canonical_solution: {result['error'][:300]}")
    answers: list[str] = result["answers"]
    return answers


# -- MBPP+ inputs ------------------------------------------------------------------------------------------
# JSON has lists only. These are the tasks whose arguments are of other types.


def mbpp_inputs(task_id: str, inputs: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Yield the inputs of an MBPP+ task, with the argument types that its function expects."""
    number = int(task_id.rpartition("/")[2])
    typed = next((typed for numbers, typed in _TYPED if number in numbers), None)
    return (typed(*arguments) if typed else list(arguments) for arguments in inputs)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _inner(value: Any) -> list[Any]:
    return [tuple(item) for item in value]


_TYPED: list[tuple[set[int], Callable[..., list[Any]]]] = [
    (
        {2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809},
        lambda *each: _inner(each),
    ),
    ({63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780}, lambda *each: list(map(_inner, each))),
    ({259, 401, 445}, lambda *each: [tuple(_inner(argument)) for argument in each]),
    ({75, 413, 444, 753}, lambda first, *rest: [_inner(first), *rest]),
    ({250, 307, 405, 446, 617, 720, 763, 808}, lambda first, *rest: [tuple(first), *rest]),
    ({106, 750}, lambda first, second, *_: [first, tuple(second)]),
    ({580, 615, 791}, lambda *each: list(map(_tuples, each))),
    ({115}, lambda first, *_: [[set(item) if isinstance(item, list) and item else {} for item in first]]),
    ({124}, lambda first, second, *_: [float(first), complex(second)]),
    ({252}, lambda first, *_: [complex(first)]),
    ({278}, lambda first, *_: [tuple(tuple(item) if isinstance(item, list) else item for item in first)]),
    ({722}, lambda first, *rest: [{key: tuple(value) for key, value in first.items()}, *rest]),
]
