"""Makes tests of all kinds for a program, out of its scenes."""

from __future__ import annotations

import ast
import json
import random
import textwrap
from dataclasses import dataclass
from typing import Any

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, PytestTests, Tests

from .forms import FORMS, filled, imports
from .plain import apart, executed
from .programs import Program

_SIMPLE = (ast.Call, ast.Name, ast.Attribute, ast.Subscript, ast.ListComp)
KINDS = ("asserts", "asserts", "asserts", "check", "check", "pytest", "unittest", "cases")


@dataclass
class Step:
    """A step of a scene.

    Args:
        kind: ``run`` for a statement, ``ask`` for a question, ``raises`` for a statement that raises.
        text: The statement or the expression.
        value: The answer as a literal, empty where it is none; or the exception that is expected.
        type: The exception's own type.
        message: Its text.
        truth: The answer's truth.
    """

    kind: str
    text: str
    value: str = ""
    type: str = ""
    message: str = ""
    truth: bool = True


def steps(program: Program, scene: str) -> list[Step]:
    """Run a scene with its program, and return its steps with the answers; none where it cannot be run."""
    found: list[Step] = []
    lines = scene.split("\n")
    while lines:
        line = lines.pop(0)
        if line.startswith("? "):
            found.append(Step("ask", line[2:]))
        elif line.startswith("! "):
            kind, _, text = line[2:].partition(": ")
            found.append(Step("raises", text, kind))
        else:
            while lines and (lines[0].startswith((" ", "else", "except", "finally")) or line.startswith("@")):
                line, start = line + "\n" + lines[0], lines.pop(0)
                if not start.startswith("@") and line.startswith("@") and not start.startswith(" "):
                    while lines and lines[0].startswith(" "):
                        line += "\n" + lines.pop(0)
                    break
            found.append(Step("run", line))
    answer = apart(lambda: json.dumps([vars(one) for one in _answered(program.source, found)]))
    return [Step(**one) for one in json.loads(answer)] if answer.startswith("[") else []


def _answered(source: str, found: list[Step]) -> list[Step]:
    scope = executed(source)
    for step in found:
        if step.kind == "ask":
            value = eval(step.text, scope)
            step.value, step.truth = _literal(value), bool(value)
        elif step.kind == "run":
            exec(step.text, scope)
        else:
            try:
                exec(step.text, scope)
            except Exception as error:
                assert isinstance(error, eval(step.value, scope))
                step.type, step.message = type(error).__name__, str(error)
            else:
                raise AssertionError(step.text)
    return found


def _literal(value: Any) -> str:
    """Return an answer as a literal; empty where it is none, or an object of a class of its own is in it."""
    text = repr(value)
    try:
        same = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ""
    return text if _same(value, same) else ""


def _same(value: Any, other: Any) -> bool:
    if type(value) is not type(other):
        return False
    if isinstance(value, list | tuple):
        return all(_same(one, two) for one, two in zip(value, other, strict=True))
    if isinstance(value, dict):
        return all(_same(one, two) for one, two in zip(value.values(), other.values(), strict=True))
    return bool(value == other)


class Suites:
    """Makes tests for programs.

    Args:
        chance: What decides.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0

    def make(self, program: Program) -> Tests | None:
        """Return tests of any kind for a program; None where this one has no such tests."""
        kind = self._chance.choice(KINDS)
        if kind == "cases":
            return self._cases(program)
        scenes = [steps(program, one) for one in program.scenes]
        scenes = [one for one in scenes if one]
        if not scenes:
            return None
        if kind == "asserts":
            return self._asserts(self._chance.choice(scenes))
        if kind == "check":
            return self._check(program, scenes)
        return self._file(program, scenes, kind)

    # -- Questions -------------------------------------------------------------------------------------

    def _form(self, step: Step, unittest: bool = False) -> str:
        """Return a step as statements of a test."""
        self._count += 1
        if step.kind == "run":
            return step.text
        if step.kind == "raises":
            places = {"S": step.text, "K": step.value, "T": step.type, "M": repr(step.message), "n": str(self._count)}
            return self._filled("unittest raises" if unittest else "raises", places)
        if not step.value:
            return f"assert {step.text}" if step.truth else f"assert not ({step.text})"
        is_simple = isinstance(ast.parse(step.text, mode="eval").body, _SIMPLE)
        places = {"E": step.text if is_simple else f"({step.text})", "V": step.value, "n": str(self._count)}
        if unittest and self._chance.random() < 0.8:
            return self._filled("unittest", places)
        value, names = ast.literal_eval(step.value), ["any"]
        if isinstance(value, bool) or value is None:
            names.append("truths")
        elif isinstance(value, int | float):
            names.append("numbers")
        elif hasattr(value, "__len__"):
            names.append("sized")
        return self._filled(self._chance.choice(names), places)

    def _filled(self, name: str, places: dict[str, str]) -> str:
        while True:
            text = filled(self._chance.choice(FORMS[name]), **places)
            try:
                ast.parse(text)
            except SyntaxError:  # quotes in quotes
                continue
            return text

    def _statements(self, scene: list[Step], unittest: bool = False) -> list[str]:
        # What is asked may change what is asked next, so that from some question on nothing is asked.
        asked = [one for one in scene if one.kind != "run"]
        asked = asked[: self._chance.randint(1, len(asked))]
        return [self._form(one, unittest) for one in scene if one.kind == "run" or one in asked]

    # -- Kinds -----------------------------------------------------------------------------------------

    def _asserts(self, scene: list[Step]) -> AssertTests:
        statements = self._statements(scene)
        if self._chance.random() < 0.3:
            statements = [self._wrapped(statements)]
        units: list[str] = []
        for one in statements:
            if units and self._chance.random() < 0.4:
                units[-1] += "\n" + one
            else:
                units.append(one)
        return AssertTests(units, imports("\n".join(units)))

    def _wrapped(self, statements: list[str]) -> str:
        self._count += 1
        return filled(self._chance.choice(FORMS["wrappers"]), B="\n".join(statements), n=str(self._count))

    def _check(self, program: Program, scenes: list[list[Step]]) -> CheckTests:
        body = [self._wrapped(self._statements(self._chance.choice(scenes)))]
        if self._chance.random() < 0.5:
            body.insert(0, f"{program.entry} = candidate")
        text = "def check(candidate):\n" + textwrap.indent("\n".join(body), "    ") + "\n"
        return CheckTests(imports(text) + text)

    def _file(self, program: Program, scenes: list[list[Step]], kind: str) -> PytestTests:
        names = [
            one.name
            for one in ast.parse(program.source).body
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        ]
        names += [one for one in ("SCALE", "LOG", "Point") if f"\n{one} = " in program.source]
        text = f"from solution import {', '.join(names)}\n\n"
        scene = self._chance.choice(scenes)
        if kind == "unittest":
            body = "\n".join(self._statements(scene, unittest=True))
            text = "import unittest\n" + text
            text += "class TestIt(unittest.TestCase):\n    def setUp(self):\n        self.ready = True\n\n"
            text += "    def test_it(self):\n" + textwrap.indent("assert self.ready\n" + body, " " * 8) + "\n"
            return PytestTests({"test_solution.py": imports(text) + text})
        first, *rest = scene
        arguments: list[str] = []
        if first.kind == "run" and self._chance.random() < 0.5 and first.text.partition(" = ")[0].isidentifier():
            name, _, value = first.text.partition(" = ")
            if value:
                text += f"@pytest.fixture\ndef {name}():\n    return {value}\n\n"
                scene, arguments = rest, [name]
        statements = self._statements(scene)
        if self._chance.random() < 0.4:
            statements = [self._wrapped(statements)]
        if self._chance.random() < 0.3:
            text += '@pytest.mark.parametrize("number", [1, 2])\n'
            arguments.append("number")
            statements.append("assert number in (1, 2)")
        text += f"def test_it({', '.join(arguments)}):\n" + textwrap.indent("\n".join(statements), "    ") + "\n"
        return PytestTests({"test_solution.py": imports(text) + text})

    def _cases(self, program: Program) -> CaseTests | None:
        calls = []
        for line in "\n".join(program.scenes).split("\n"):
            node = ast.parse(line[2:], mode="eval").body if line.startswith("? ") else None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == program.entry:
                try:
                    arguments = [ast.literal_eval(one) for one in node.args]
                    named = {str(one.arg): ast.literal_eval(one.value) for one in node.keywords if one.arg}
                except ValueError:
                    continue
                if not any(one.arg is None for one in node.keywords):
                    calls.append({"args": arguments, "kwargs": named, "text": line[2:]})
        answered = apart(lambda: json.dumps([_call(program, calls)])) if calls else ""
        if not answered.startswith("["):
            return None
        (values,) = json.loads(answered)
        cases = [
            {"args": one["args"], "kwargs": one["kwargs"], "expected": ast.literal_eval(value)}
            for one, value in zip(calls, values, strict=True)
            if value
        ]
        return CaseTests(cases) if cases else None


def _call(program: Program, calls: list[dict[str, Any]]) -> list[str]:
    scope = executed(program.source)
    return [_literal(eval(one["text"], scope)) for one in calls]
