"""The tests that every reader of problems must pass."""

from __future__ import annotations

from typing import Any

import pytest

from rrtf_trl import registry
from rrtf_trl.problems import problem_from_row
from rrtf_trl.records import Problem, RecordError, to_json

from .build import assert_plain_json


class ProblemReaderContract:
    """Subclass it as ``TestMine`` and set all three.

    Args:
        reader: The name of the format.
        row: A row of this format.
        field: A field of the row that must be text or a list; the error for a number must name it.
    """

    reader: str
    row: dict[str, Any]
    field: str

    def test_it_reads_its_rows(self) -> None:
        """The row is recognized, and becomes a problem that can be written as JSON."""
        problem = registry.find("problem_reader", self.reader)(dict(self.row))
        assert isinstance(problem, Problem)
        found = problem_from_row(dict(self.row))
        assert to_json(found) == to_json(problem), "another format's reader read the row"
        assert_plain_json(to_json(problem))

    def test_it_leaves_other_rows_alone(self) -> None:
        """It returns ``None`` for a row of no format."""
        assert registry.find("problem_reader", self.reader)({"something": "else"}) is None

    def test_a_wrong_field_is_named(self) -> None:
        """The error message names the field."""
        with pytest.raises(RecordError, match=self.field):
            problem_from_row({**self.row, self.field: 7})
