"""A reasoning model's thoughts are no answer, in the marks of the families that write them."""

from __future__ import annotations

import pytest

from rrtf_trl.programs.extract import extract_code
from rrtf_trl.programs.thoughts import without_thoughts

DRAFT = "Perhaps\n```python\ndef top(xs):\n    return [max(xs)]\n```\nNo, that is wrong.\n"
RIGHT = "def top(xs):\n    return sorted(xs)\n"
ANSWER = f"```python\n{RIGHT}```\n"


@pytest.mark.parametrize(
    "response",
    [
        f"<think>\n{DRAFT}</think>\n\n{ANSWER}",
        f"{DRAFT}</think>\n\n{ANSWER}",
        f"<think>a</think>{ANSWER}<think>{DRAFT}</think>",
        f"<think>{DRAFT}</think>\n{ANSWER}\n<think>{DRAFT}",
        f"<thinking>{DRAFT}</thinking>{ANSWER}",
        f"<reasoning>\n{DRAFT}</reasoning>\n{ANSWER}",
        f"<seed:think>{DRAFT}</seed:think>{ANSWER}",
        f"[THINK]{DRAFT}[/THINK]{ANSWER}",
        f"<|begin_of_thought|>{DRAFT}<|end_of_thought|>\n{ANSWER}",
        f"◁think▷{DRAFT}◁/think▷{ANSWER}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
        f"analysis{DRAFT}assistantfinal{ANSWER}",
        ANSWER,
    ],
)
def test_the_answer_is_judged_and_not_a_draft(response: str) -> None:
    assert extract_code(response, "Return the sorted list, as top.", "top").code == RIGHT


@pytest.mark.parametrize(
    "response",
    [f"<think>\n{DRAFT}", f"<reasoning>{DRAFT}", f"[THINK]{DRAFT}", f"<|channel|>analysis<|message|>{DRAFT}"],
)
def test_thoughts_that_were_cut_off_hold_no_answer(response: str) -> None:
    assert without_thoughts(response).strip() == ""
    assert extract_code(response, "Return the sorted list, as top.", "top").code.strip() == ""


@pytest.mark.parametrize(
    "response",
    [
        "    return x  # analysis\n",
        "analysis = 1\n",
        "def think(x):\n    return x < 3 > 1\n",
        "x = '<b>'\n",
        "def f(s):\n    return s.split('</think>')[1] + '<think>' in s\n",
        "s = '[THINK]' + s + '[/THINK]' + ' '\n",
    ],
)
def test_what_has_no_thoughts_stays_as_it_is(response: str) -> None:
    assert without_thoughts(response) == response
