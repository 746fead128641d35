"""Text into what the page shows."""

import re
import time

import pytest
from markupsafe import escape

from rrtf_trl.labeling.view import difference, highlighted, messages, visible

HOSTILE = "</span><script>alert(\"1\")</script><img src=x onerror='alert(1)'>&lt;"


def plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        f"def f():\n    return {HOSTILE!r}\n",
        f"Sure:\n```python\n{HOSTILE}\n```\n{HOSTILE}",
        f"```{HOSTILE}\nx\n```",
        f"# {HOSTILE}",
        "x" * 30_000 + HOSTILE,
    ],
)
def test_nothing_in_a_text_becomes_markup(text: str) -> None:
    html = highlighted(text)
    assert set(re.findall(r"<(/?\w+)", html)) <= {"span", "/span"}
    assert set(re.findall(r"<span ([a-z-]+)=", html)) <= {"class"}
    assert plain(html).strip("\n") == str(escape(text)).strip("\n")


def test_python_is_coloured_and_prose_is_not() -> None:
    for code in (
        "def f(x):\n    return 1\n",
        "    return 1\n",
        "import os\ndef f():\n",
        "    for x in (\n        y\n",
    ):
        assert 'class="k' in highlighted(code), code
    for prose in ("Write a function for me.", "Return", "hello", "It is 5", "return to sender", ""):
        assert 'class="k' not in highlighted(prose), prose
    assert 'class="kn"' in highlighted("Here:\n```python\nimport os\n```")


def test_each_line_is_one_line_that_knows_its_indentation() -> None:
    html = highlighted('x = """a\n        b\n"""\n')
    assert re.findall(r'class="line in(\d)"', html) == ["0", "2", "0"]


def test_characters_that_hide_or_reorder_are_made_visible() -> None:
    shown = visible("a\u202eb\u200bc\x1b[31md\u2066e\x00\ud800\U000e0041\tf\n")
    assert shown == "a\\u202eb\\u200bc\\u001b[31md\\u2066e\\u0000\\ud800\\ue0041\tf\n"
    assert "\u202e" not in highlighted("x = 1  # \u202e")
    assert "\u202e" not in str(difference("a\u202e", "b\u202e"))


@pytest.mark.slow
def test_long_texts_are_cut_and_take_no_long_time() -> None:
    begun = time.monotonic()
    assert "more characters" in highlighted("x = [" * 50_000)
    difference("a b " * 20_000, "b a " * 20_000)
    difference("x\n" * 50_000, "y\nx\n" * 50_000)
    assert time.monotonic() - begun < 60  # it would be minutes


def test_a_prompt_of_messages_keeps_its_roles() -> None:
    assert [(role, plain(text).strip()) for role, text in messages([{"role": "user", "content": "a < b"}])] == [
        ("user", "a &lt; b")
    ]
    assert messages("p")[0][0] == ""


def test_a_difference_shows_lines_and_the_words_that_changed() -> None:
    lines = difference("a = 1\nif x < 8:\n    y\n", "a = 1\nif x <= 8:\n    y\nz\n")
    assert [(line["op"], "".join(text for _, text in line["parts"])) for line in lines] == [
        (" ", "a = 1"),
        ("-", "if x < 8:"),
        ("+", "if x <= 8:"),
        (" ", "    y"),
        ("+", "z"),
    ]
    assert [text for changed, text in lines[2]["parts"] if changed] == ["="]
    assert all(line["op"] == " " for line in difference("same", "same\n"))
