"""Rows of every accepted form, and rows that are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rrtf_trl.training.rows import ranked_row


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


# -- Accepted rows ---------------------------------------------------------------------------------------

TEXT = {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0], "from_teacher": [False, False]}
TEXT_ROW = {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0]}
TURNS = [{"role": "system", "content": "s"}, user("p"), assistant("first")]
CHAT = {**TEXT, "prompt": [user("p")], "responses": [[assistant("a")], [assistant("b")]]}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0]}, TEXT, id="ranked"),
        pytest.param({"prompt": "p", "responses": ["a", "b"], "scores": [1, 0]}, TEXT, id="ranked, whole scores"),
        pytest.param(
            {"prompt": "p", "responses": ["a", "b"], "scores": [1, 0], "sources": None},
            TEXT,
            id="ranked, sources null",
        ),
        pytest.param(
            {"prompt": [user("p")], "responses": [[assistant("a")], [assistant("b")]], "scores": [1, 0]},
            CHAT,
            id="ranked, conversational",
        ),
        pytest.param(
            {"prompt": [user("p")], "responses": ["a", "b"], "scores": [1, 0]},
            {**TEXT, "prompt": [user("p")]},
            id="ranked, conversational with plain responses",
        ),
        pytest.param({"prompt": "p", "chosen": "a", "rejected": "b"}, TEXT, id="preference"),
        pytest.param({"chosen": "pa", "rejected": "pb"}, TEXT, id="preference, implicit prompt"),
        pytest.param(
            {"prompt": [user("p")], "chosen": [assistant("a")], "rejected": [assistant("b")]},
            CHAT,
            id="preference, conversational",
        ),
        pytest.param(
            {"chosen": [user("p"), assistant("a")], "rejected": [user("p"), assistant("b")]},
            CHAT,
            id="preference, conversational with implicit prompt",
        ),
        pytest.param(
            {"prompt": [user("p")], "chosen": [user("p"), assistant("a")], "rejected": [user("p"), assistant("b")]},
            CHAT,
            id="preference, whole conversations beside their prompt",
        ),
        pytest.param(
            {"prompt": "p", "chosen": [user("p"), assistant("a")], "rejected": [user("p"), assistant("b")]},
            CHAT,
            id="preference, whole conversations beside their prompt as text",
        ),
        pytest.param(
            {
                "prompt": "q",
                "responses": [[*TURNS, user("q"), assistant("a")], [*TURNS, user("q"), assistant("b")]],
                "scores": [1, 0],
            },
            {**TEXT, "prompt": [*TURNS, user("q")], "responses": [[assistant("a")], [assistant("b")]]},
            id="ranked, whole conversations of several turns, the last one as text",
        ),
        pytest.param(
            {
                "prompt": [{"role": "user", "content": "p", "tool_calls": None}],
                "chosen": [user("p"), assistant("a")],
                "rejected": [user("p"), assistant("b")],
            },
            {**CHAT, "prompt": [{"role": "user", "content": "p", "tool_calls": None}]},
            id="preference, a message with the null field of a column",
        ),
        pytest.param({**TEXT_ROW, "question": "p", "id": 3}, TEXT, id="ranked, other columns beside the prompt"),
        pytest.param({**TEXT_ROW, "system": ""}, TEXT, id="ranked, an empty system column"),
        pytest.param(
            {"prompt": "p", "responses": ["a", "b"], "scores": [1, 0], "chosen": None, "rejected": None},
            TEXT,
            id="ranked among preference rows",
        ),
        pytest.param(
            {"prompt": "p", "responses": None, "scores": None, "chosen": "a", "rejected": "b"},
            TEXT,
            id="preference among ranked rows",
        ),
    ],
)
def test_accepted_rows(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ranked_row(row, 0) == expected


def test_every_source_but_the_student_is_a_teacher() -> None:
    sources = ["student", "teacher", "reference", "human", None]
    row = {"prompt": "p", "responses": list("abcde"), "scores": [0.0] * 5, "sources": sources}
    assert ranked_row(row, 0, require_sources=True)["from_teacher"] == [False, True, True, True, False]


# -- Refused rows ----------------------------------------------------------------------------------------

GOOD = {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"responses": ["a", "b"], "scores": [1, 0]}, "Row 7 has no 'prompt'"),
        ({"prompt": "p", "responses": ["a", "b"]}, "Row 7 has no 'scores'"),
        ({"prompt": "p", "scores": [1, 0]}, "Row 7 has no 'responses'"),
        ({"prompt": "p", "text": "t"}, "Row 7 has no 'responses' and no 'scores'.*this one has prompt, text"),
        ({**GOOD, "prompt": None}, "Row 7 has no 'prompt'"),
        ({**GOOD, "scores": None}, "Row 7 has no 'scores'"),
        ({"prompt": "p", "chosen": "a"}, "Row 7 has no 'rejected'"),
        ({"prompt": "p", "chosen": "a", "rejected": None}, "Row 7 has no 'rejected'"),
        ({"prompt": "p", "rejected": "b"}, "Row 7 has no 'chosen'"),
        ({**GOOD, "scores": [1.0]}, "Row 7 has 2 responses but 1 scores"),
        ({**GOOD, "scores": [1.0, 0.0, 0.0]}, "Row 7 has 2 responses but 3 scores"),
        ({**GOOD, "sources": ["teacher"]}, "Row 7 has 2 responses but 1 sources"),
        ({**GOOD, "responses": ["a"], "scores": [1.0]}, "Row 7 has 1 response.*at least two"),
        ({**GOOD, "responses": [], "scores": []}, "Row 7 has 0 response.*at least two"),
        ({**GOOD, "responses": ["a", ""]}, r"Row 7: responses\[1\] is empty"),
        ({**GOOD, "responses": [None, "b"]}, r"Row 7: responses\[0\] is empty"),
        (
            {**GOOD, "prompt": [user("p")], "responses": [[assistant("a")], []]},
            r"Row 7: responses\[1\] is empty",
        ),
        (
            {**GOOD, "prompt": [user("p")], "responses": [[assistant("a")], [assistant("")]]},
            r"Row 7: responses\[1\] is empty",
        ),
        ({"prompt": "p", "chosen": "a", "rejected": ""}, r"Row 7: responses\[1\] is empty"),
        ({"chosen": "", "rejected": "b"}, "Row 7: 'chosen' or 'rejected' is empty"),
        ({**GOOD, "scores": [math.nan, 0.0]}, r"Row 7: scores\[0\] is nan"),
        ({**GOOD, "scores": [1.0, math.inf]}, r"Row 7: scores\[1\] is inf"),
        ({**GOOD, "scores": [1.0, -math.inf]}, r"Row 7: scores\[1\] is -inf"),
        ({**GOOD, "scores": [1e39, 0.0]}, r"Row 7: scores\[0\] is 1e\+39, not a finite number within ±1.7e\+38"),
        ({**GOOD, "scores": [3e38, -3e38]}, r"Row 7: scores\[0\] is 3e\+38"),
        ({**GOOD, "scores": [0, -(10**400)]}, r"Row 7: scores\[1\] is -10+, not a finite number"),
        ({**GOOD, "scores": [1.0, None]}, r"Row 7: scores\[1\] is None"),
        ({**GOOD, "scores": ["1", "0"]}, r"Row 7: scores\[0\] is '1', not a finite number"),
        ({**GOOD, "scores": 1.0}, "Row 7: 'scores' is 1.0, not a list"),
        ({**GOOD, "responses": "ab"}, "Row 7: 'responses' is 'ab', not a list"),
        ({**GOOD, "prompt": {"content": "p"}}, "Row 7: 'prompt' is .*, neither text nor chat messages"),
        ({**GOOD, "responses": [[assistant("a")], "b"]}, r"Row 7: the prompt is text, but responses\[0\] is a list"),
        # The task in another column.
        ({"question": "q", "chosen": "a", "rejected": "b"}, "Row 7 has no 'prompt', and 'question' would not be read"),
        (
            {"instruction": "q", "input": "i", "chosen": "a", "rejected": "b"},
            "'input', 'instruction' would not be read",
        ),
        ({**GOOD, "system": "Be terse."}, "Row 7: 'system' would not be read.*a system message first"),
        ({**GOOD, "history": [["a", "b"]]}, "Row 7: 'history' would not be read"),
        ({"aufgabe": "q", "chosen": "a", "rejected": "b"}, "no beginning in common.*aufgabe"),
        ({"Prompt": "q", "chosen": "a b", "rejected": "a c"}, "Row 7 has no 'prompt', and 'Prompt' would not be read"),
        ({"messages": [user("p")], "chosen": "a b", "rejected": "a c"}, "'messages' would not be read"),
        (
            {"user_input": "p", "task_id": "t", "chosen": "a b", "rejected": "a c"},
            "and 'user_input' would not be read",
        ),
        # Messages of another form.
        (
            {
                "conversations": [{"from": "human", "value": "p"}],
                "chosen": {"from": "gpt", "value": "a"},
                "rejected": {},
            },
            "Row 7 has no 'prompt', and 'conversations' would not be read",
        ),
        (
            {"prompt": "p", "chosen": {"from": "gpt", "value": "a"}, "rejected": "b"},
            "Row 7: chosen has .*no chat message",
        ),
        ({"prompt": "p", "chosen": assistant("a"), "rejected": assistant("b")}, "Row 7: chosen has .*no chat message"),
        (
            {**GOOD, "prompt": [{"from": "human", "value": "p"}]},
            "Row 7: prompt has {'from': 'human', 'value': 'p'}, which is no chat message",
        ),
        ({**GOOD, "responses": [["a"], "b"]}, r"Row 7: responses\[0\] has 'a', which is no chat message"),
        # Conversations in which more than the answer would be trained on.
        (
            {"prompt": "q", "chosen": [user("p"), assistant("a")], "rejected": [user("p"), assistant("b")]},
            r"Row 7: the prompt is text, but responses\[0\] is a list.*begin with the prompt",
        ),
        (
            {"prompt": [user("p")], "chosen": [user("q"), assistant("a")], "rejected": [assistant("b")]},
            r"Row 7: responses\[0\] has a turn of the user, 'q'",
        ),
        (
            {"chosen": [user("p"), assistant("a"), user("more")], "rejected": [user("p"), assistant("b")]},
            r"Row 7: responses\[0\] has a turn of the user, 'more'",
        ),
        (
            {"chosen": [user("p"), assistant("a")], "rejected": [user("q"), assistant("b")]},
            "Row 7 has no 'prompt', and its 'chosen' and 'rejected' have no beginning in common",
        ),
    ],
)
def test_refused_rows_are_named_with_what_is_wrong(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranked_row(row, 7)


def test_teacher_student_pairs_refuse_a_row_without_sources() -> None:
    ranked_row(GOOD, 7)
    with pytest.raises(ValueError, match=r"Row 7 has no 'sources'.*teacher_student"):
        ranked_row(GOOD, 7, require_sources=True)
