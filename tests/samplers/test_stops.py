"""Where a base model's response is cut."""

from __future__ import annotations

import pytest

from rrtf_trl.records import AssertTests, Problem
from rrtf_trl.samplers.stops import cut_at_stop, stops_of

TESTS = AssertTests(["assert f(1) == 1"])
HEAD = Problem("t", "import math\n\ndef f(x):\n    '''One.'''\n", TESTS, "f")
DOCSTRING = Problem("t", '"""\nWrite f.\nassert f(1) == 1\n"""\n', TESTS, "f")


@pytest.mark.parametrize(
    ("problem", "response", "kept"),
    [
        (HEAD, "    return x\n\n\ndef g(x):\n    return 1\n", "    return x\n\n"),
        (HEAD, "    y = x\n# double it\n    return y\n\nprint(f(1))\n", "    y = x\n# double it\n    return y\n"),
        (HEAD, "    return x\n```\nThis is it.", "    return x"),
        (HEAD, "    def g():\n        return x\n    return g()\n", None),
        (DOCSTRING, "import math\ndef g(x):\n    return x\n\ndef f(x):\n    return g(x)\n", None),
        (DOCSTRING, 'def f(x):\n    return x\n\n"""\nWrite g.\n"""\n', "def f(x):\n    return x\n"),
        (DOCSTRING, "```python\ndef f(x):\n    return x\n```\nIt works.", "```python\ndef f(x):\n    return x"),
        (DOCSTRING, "\n```python\ndef f(x):\n    return x\n```\n", "\n```python\ndef f(x):\n    return x"),
    ],
)
def test_a_base_models_response_is_cut_where_the_next_task_begins(
    problem: Problem, response: str, kept: str | None
) -> None:
    assert cut_at_stop(response, stops_of(problem, "auto")) == (response if kept is None else kept, kept is not None)


def test_who_is_asked_in_prose_or_by_chat_ends_the_response_alone() -> None:
    assert stops_of(Problem("t", "Write f.", TESTS, "f"), "auto") == ()
    assert stops_of(Problem("t", [{"role": "user", "content": "def f(x):\n"}], TESTS, "f"), "auto") == ()


def test_texts_can_be_named_or_left_out() -> None:
    assert stops_of(HEAD, ["END"]) == ("END",)
    assert stops_of(HEAD, None) == ()
