"""Judges one program by a problem's script: sends all of it at once, collects the answers, then decides.

Nothing is decided before the program's process has ended, so it learns nothing of its answers; what it may know of
the tests is the code and the values of :class:`.script.Script`.
"""

from __future__ import annotations

import ast
import binascii
import contextlib
from dataclasses import dataclass, field
from json import dumps  # by name: tests may patch the module
from typing import Any

from ..common import codec
from ..common.faults import Fault, LoadError
from ..common.messages import cut, short
from .conversation import Conversation
from .evaluation import Malformed, NotPlain, OperandRaised, Seen
from .guest_code import with_values
from .names import clone
from .parts import Atom
from .raising import NotRaised
from .script import Check, Script, Unit


@dataclass
class UnitAnswers:
    """What a program's process reported of one unit.

    Args:
        unit: The unit.
        reports: Index, tree and values of what was looked at, for each report of a check, in order.
        raised: The type and text of the exception that ended it; None where there was none.
        caught: The type and text of an exception that is no error, and that the tests caught with all others.
        applied: Index, operands and result of each operator that it applied to plain data.
        objects: The index of an operator that an object of the program would have decided, and the object's type.
        complete: Whether it came to its end.
    """

    unit: Unit
    reports: list[tuple[int, Any, list[Any]]] = field(default_factory=list)
    raised: list[str] | None = None
    caught: list[str] | None = None
    applied: list[list[Any]] = field(default_factory=list)
    objects: tuple[int, str] | None = None
    complete: bool = False

    @property
    def raised_kinds(self) -> list[str]:
        """The built-in kinds of the exception that matter."""
        return [self.raised[0], *self.raised[2:]] if self.raised else []


@dataclass
class UnitResult:
    """Whether a unit's tests passed.

    Args:
        label: Of the unit.
        error: Why not, for people; empty where they passed.
        kind: ``assertion`` where an answer was wrong, ``raised`` where an exception ended it, ``memory`` where that
            was for want of memory, or empty.
        exception: Its type; None where there was none.
        expected: What the test expected; None where that is not known.
        got: The program's answer instead.
        by_program: Whether the program's own objects or control flow decided it.
        operation: The number of an operation that needed a value of the tests in the program's process; 0 for none.
        in_place: Whether it would have passed with variables as the program left them.
        live: Variables that the program changed, while the judge went on with their values.
        where: The call in which the program's process ended or raised an exception, where that is known.
    """

    label: str
    error: str = ""
    kind: str = ""
    exception: str | None = None
    expected: str | None = None
    got: str | None = None
    by_program: bool = False
    operation: int = 0
    in_place: bool = False
    live: list[str] = field(default_factory=list)
    where: str = ""


def request(script_data: bytes, code: str, names: list[str], number: int) -> bytes:
    """Return the first and only request to a program's process."""
    packed = binascii.b2a_base64(script_data, newline=False)
    parts = (number, dumps(names).encode("ascii"), packed, dumps(code).encode("ascii"))
    return b'{"id":%d,"names":%b,"script":"%b","code":%b}' % parts


def collect(script: Script, conversation: Conversation, answers: list[UnitAnswers]) -> None:
    """Receive the reports of all units into ``answers``.

    Raises:
        Fault: If the program's process ends early, hangs or breaks the protocol.
    """
    number = conversation.first
    for unit in script.units:
        if unit.code is None:
            answers.append(UnitAnswers(unit, complete=True))
            continue
        found, at = UnitAnswers(unit), 0
        answers.append(found)
        while unit.reports_end or at < len(unit.order):
            number += 1
            kind, payload = conversation.answer(number)
            if kind == "v":
                if at >= len(unit.order):
                    raise _broke(conversation)
                found.reports.append((unit.order[at], ["v", payload], []))
                at += 1
            elif kind == "n" and type(payload) is list and len(payload) == 3 and type(payload[2]) is list:
                index, tree, looked_at = payload
                if type(index) is not int or not 0 <= index < len(script.checks):
                    raise _broke(conversation)
                found.reports.append((index, tree, looked_at))
                at += at < len(unit.order) and index == unit.order[at]
            elif kind == "c" and type(payload) is list and all(type(one) is str for one in payload):
                found.caught = found.caught or payload[:4]
            elif kind == "u" and type(payload) is list and len(payload) == 2 and type(payload[0]) is int:
                found.objects = found.objects or (payload[0], str(payload[1])[:60])
            elif kind == "g" and type(payload) is list and len(payload) == 3:
                found.applied.append(payload)
            elif kind == "x" and type(payload) is list and all(type(one) is str for one in payload):
                found.raised = payload[:4]
                break
            elif kind == "e" and unit.reports_end:
                break
            elif kind == "r":
                raise conversation.fail("refused", str(payload)[:100])
            else:
                raise _broke(conversation)
        found.complete = True


def _broke(conversation: Conversation) -> Fault:
    return conversation.fail("refused", "the program wrote to the judge's channel: a reply of the wrong shape")


def decide(
    script: Script, answers: UnitAnswers, entry: str | None, in_place: bool, variables: dict[str, Any]
) -> UnitResult:
    """Decide whether a unit's tests passed.

    Args:
        script: The tests.
        answers: What the program's process reported.
        entry: The function that is judged, for messages.
        in_place: Whether tests see variables only as the program left them, and not also as they were.
        variables: Values of the judge's at this point of the tests, which this changes; at first empty.
    """
    unit = answers.unit
    result = UnitResult(unit.label)
    at = 0
    seen = Seen()
    for index, tree, looked_at in answers.reports:
        if at < len(unit.order) and index == unit.order[at]:
            at += 1
        check = script.checks[index]
        if check.rebinds:
            variables.update(check.before)
            continue
        try:
            _judge(check, tree, looked_at, seen, result, in_place, variables)
        except Exception as error:
            _describe(result, check, error, _call(check, entry, script), seen)
            return result
        result.by_program |= seen.by_program
    if at < len(unit.order):
        result.where = _call(script.checks[unit.order[at]], entry, script)
    if not all(_is_true(script, *one) for one in answers.applied):
        result.kind, result.error = "assertion", "the program's process applied an operator of the tests wrongly"
    elif answers.objects is not None:
        index, name = answers.objects
        result.operation = script.operators[index].number if 0 <= index < len(script.operators) else 0
        result.kind, result.error = "assertion", str(NotPlain(name))
    elif answers.raised is not None or answers.caught is not None:
        kind, text = (*(answers.raised or answers.caught or []), "", "")[:2]
        result.kind, result.exception = "memory" if "MemoryError" in answers.raised_kinds else "raised", kind[:60]
        shown = f"{kind[:60]}: {cut(text)}" if text else kind[:60]
        result.error = f"{shown} in {result.where}" if result.where else shown
    elif unit.failure is not None:
        result.kind = "assertion" if isinstance(unit.failure, AssertionError) else "raised"
        result.error = f"{type(unit.failure).__name__}: {cut(str(unit.failure))}"
        result.exception = None if result.kind == "assertion" else type(unit.failure).__name__
    elif at < unit.required and answers.complete:  # otherwise its process ended, which is the caller's to say
        result.kind, result.error = "assertion", "the tests did not come to their end"
    result.by_program |= unit.controlled
    return result


def _judge(
    check: Check,
    tree: Any,
    looked_at: list[Any],
    seen: Seen,
    result: UnitResult,
    in_place: bool,
    variables: dict[str, Any],
) -> None:
    """Raise what makes an assertion fail."""
    if len(looked_at) != len(check.looked_at):
        raise Malformed
    late = {name: variables[name] for name in check.late if name in variables}
    if looked_at:
        found = {name: _plain(one) for name, one in zip(check.looked_at, looked_at, strict=True)}
        first = {id(value): name for name, value in reversed(check.before.items())}
        now = {name: found[first[id(check.before[name])]] for name in found}  # two names for a value keep one
        if not check.evaluate(tree, now, seen):
            if check.steady:
                result.live = check.looked_at
            raise AssertionError
        if in_place or check.part is None:
            return
        result.in_place = True  # unless it passes below as well
    if not check.evaluate(tree, {**check.before, **late}, seen):
        raise AssertionError
    result.in_place = False


def _is_true(script: Script, index: Any, operands: Any, result: Any) -> bool:
    """Return whether an operator that the program's process applied has this result, and the tests' own operands."""
    try:
        operator = script.operators[index]
        if any(codec.dump(operands[at]) != value for at, value in operator.known.items()):
            return False
        found = operator.apply(*[codec.unpack(one) for one in operands])
        return codec.dump(codec.pack(found)) == codec.dump(result)
    except Exception:
        return False


def _plain(tree: Any) -> Any:
    if type(tree) is not list or len(tree) != 2 or tree[0] not in ("v", "u"):
        raise Malformed
    if tree[0] == "u":
        raise NotPlain(str(tree[1])[:60])
    return codec.unpack(tree[1])


def _describe(result: UnitResult, check: Check, error: Exception, call: str, seen: Seen) -> None:
    got = short(seen.answer[0]) if seen.answer is not None else None
    shown = f"{call} returned {got}" if call and got is not None else call
    result.kind = "assertion"
    result.got = got
    if check.steady:
        result.error = f"the program changed {', '.join(check.looked_at)}, which the test goes on to use"
    elif isinstance(error, NotRaised):
        result.got, result.error = None, str(error)
    elif isinstance(error, AssertionError):
        with contextlib.suppress(Exception):
            result.expected = check.expected() if check.expected is not None else None
        what = f"assert {cut(check.source)}" if check.source else f"expected {result.expected}"
        result.error = "; ".join(part for part in (shown, what) if part)
    elif isinstance(error, NotPlain):
        result.operation = error.operation
        result.error = f"{call or 'the answer'}: {error}"
    elif isinstance(error, Malformed | codec.MalformedMessage):
        result.error = "the program wrote to the judge's channel: a reply of the wrong shape"
    elif isinstance(error, OperandRaised):
        result.kind, result.exception = "raised", str(error).partition(":")[0]
        result.error = str(error)
    else:
        result.error = f"{type(error).__name__}: {cut(str(error))} in assert {cut(check.source)}"
        if shown:
            result.error = f"{shown}; {result.error}"


def _call(check: Check, entry: str | None, script: Script) -> str:
    """Return the program's part of an assertion as text, with the values that it was called with."""
    part = check.part
    while part is not None and not isinstance(part, Atom):
        part = part.operands[0]
    if part is None:
        return ""
    code = clone(with_values(part.code, check.hoisted))
    for node in ast.walk(code):
        if isinstance(node, ast.Name) and node.id.startswith("_rrtf_"):
            node.id = short(script.values[int(node.id.removeprefix("_rrtf_"))], 60)
        elif isinstance(node, ast.Name) and node.id == "candidate" and entry:
            node.id = entry
    return cut(ast.unparse(code))


def load_failure(payload: Any, conversation: Conversation) -> BaseException:
    """Return what to raise for a program that did not load."""
    shaped = type(payload) is list and len(payload) == 2 and type(payload[1]) is list
    if not shaped or not all(type(one) is str for one in payload[1]):
        return _broke(conversation)
    stage, (kind, *more) = payload[0], payload[1] or [""]
    text = f"{kind}: {more[0]}" if more and more[0] else kind
    if "MemoryError" in (kind, *more[1:]) and stage == "load":
        return conversation.fail("memory", text[:300])
    return LoadError("compile" if stage == "compile" else "load", text[:300], kind if kind.isidentifier() else "")
