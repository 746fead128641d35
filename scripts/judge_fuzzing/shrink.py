"""Makes a row smaller that still disagrees."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from rrtf_trl.records import AssertTests, CaseTests, CheckTests, PytestTests, Tests

Row = TypeVar("Row", bound=Any)
_MOST_TRIES = 60


def smaller(row: Row, disagrees: Callable[[Row], bool]) -> Row:
    """Return a row with fewer statements, in its tests and in its program, that still disagrees."""
    tries, improved = 0, True
    while improved and tries < _MOST_TRIES:
        improved = False
        for candidate in _candidates(row):
            tries += 1
            if tries > _MOST_TRIES:
                break
            if disagrees(candidate):
                row, improved = candidate, True
                break
    return row


def _candidates(row: Row) -> Iterator[Row]:
    for tests in _fewer_tests(row.tests):
        yield replace(row, tests=tests)
    for code in _fewer_statements(row.code):
        same = row.reference == row.code
        yield replace(row, code=code, reference=code if same else row.reference)


def _fewer_tests(tests: Tests) -> Iterator[Tests]:
    if isinstance(tests, AssertTests):
        for at in range(len(tests.asserts)):
            if len(tests.asserts) > 1:
                yield replace(tests, asserts=[*tests.asserts[:at], *tests.asserts[at + 1 :]])
        for at, text in enumerate(tests.asserts):
            for fewer in _fewer_statements(text):
                yield replace(tests, asserts=[*tests.asserts[:at], fewer, *tests.asserts[at + 1 :]])
    elif isinstance(tests, CheckTests):
        yield from (replace(tests, check=text) for text in _fewer_statements(tests.check))
    elif isinstance(tests, CaseTests):
        for at in range(len(tests.cases)):
            if len(tests.cases) > 1:
                yield replace(tests, cases=[*tests.cases[:at], *tests.cases[at + 1 :]])
    elif isinstance(tests, PytestTests):
        for name, text in tests.files.items():
            yield from (replace(tests, files={**tests.files, name: fewer}) for fewer in _fewer_statements(text))


def _fewer_statements(text: str) -> Iterator[str]:
    """Yield a source without one of its statements each, and with the body of one in its place."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if not isinstance(body, list):
                continue
            for at, one in enumerate(body):
                for instead in ([], getattr(one, "body", [])):
                    if instead and isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                        continue
                    changed = [*body[:at], *(instead if isinstance(instead, list) else []), *body[at + 1 :]]
                    if changed or (isinstance(node, ast.Module) and len(body) > 1):
                        setattr(node, name, changed)
                        yield ast.unparse(tree)
                        setattr(node, name, body)
