"""Answers to prompts of code: bodies that continue them, and functions that repeat them."""

from __future__ import annotations

import textwrap

from .tasks import BODY, HEAD, METHOD_HEAD, QUOTED, RIGHT, TWO_SUM, TWO_SUM_BODY, TYPED, WRONG, Case

TYPING = "from typing import List\n\n\n"
FLAT = textwrap.dedent(BODY)
TABS = BODY.replace("    ", "\t")
COMMENTED = BODY.replace("    for", "# walk\n    for")
CALLS = "    return [larger(x, max(xs[: i + 1])) for i, x in enumerate(xs)]\n"
CLASS = (
    "class Tops(list):\n    def __init__(self, xs):\n        self.extend(max(xs[: i + 1]) for i in range(len(xs)))\n"
)
CLASS_CALL = "    return list(Tops(xs))\n"
LOST_INNER = "def best(ys):\n        return max(ys)\n\n    return [best(xs[: i + 1]) for i in range(len(xs))]\n"
LARGER = "def larger(a, b):\n    return a if a > b else b\n"
HELPED = HEAD.replace("\n\ndef top", f"\n{LARGER}\n\ndef top")
STRING = '    text = """\ndef top():\nprint(1)\n"""\n    assert text\n' + BODY
INNER = "    def top(ys):\n        return [max(ys[: i + 1]) for i in range(len(ys))]\n\n    return top(xs)\n"
GUARD = "    if not xs:\n        return []\n    return [max(xs[: i + 1]) for i in range(len(xs))]\n"
TAB_HEAD = "def top(xs):\n\t# the running maximum\n"
ONE_LINE = "def top(xs):\n"
METHOD_DOCUMENTED = METHOD_HEAD + '        """Return their places."""\n'


def _base(
    family: str,
    kind: str,
    response: str,
    program: str | None = HEAD + BODY,
    ended: bool | None = None,
    prompt: str = HEAD,
) -> Case:
    return Case(family, kind, response, program, prompt, "top", ended)


def _method(family: str, kind: str, response: str, program: str | None, prompt: str = METHOD_HEAD) -> Case:
    return Case(family, kind, response, program, prompt, "Solution.two_sum")


BODIES = [
    _base("StarCoder2", "as it should be", BODY, ended=False),
    _base("Code Llama", "first line lost its indent", BODY.lstrip(), ended=False),
    _base(
        "Code Llama",
        "first line lost its indent, one line",
        "return [max(xs[: i + 1]) for i in range(len(xs))]\n",
        HEAD + "    return [max(xs[: i + 1]) for i in range(len(xs))]\n",
    ),
    _base("Code Llama", "first line lost its indent, a guard", GUARD.lstrip(), HEAD + GUARD),
    _base("Code Llama", "first line lost its indent, then a test", BODY.lstrip() + "\nprint(top([1]))\n", ended=True),
    _base(
        "Code Llama",
        "first line lost its indent, then a function",
        BODY.lstrip() + "\n\ndef other(xs):\n    return xs\n",
        ended=True,
    ),
    _base(
        "Code Llama",
        "one line that lost its indent, then a test",
        "return sorted(xs) and [max(xs[: i + 1]) for i in range(len(xs))]\n\nprint(top([1]))\n",
        HEAD + "    return sorted(xs) and [max(xs[: i + 1]) for i in range(len(xs))]\n",
        True,
    ),
    _base("Llama 2", "three spaces in front", BODY[1:]),
    _base("Llama 2", "five spaces in front", " " + BODY),
    _base("Mistral", "a line break in front", "\n" + BODY),
    _base("Mistral", "spaces on a line in front", "   \n" + BODY),
    _base("Phi", "two spaces a level", BODY.replace("    ", "  "), HEAD + BODY),
    _base("Phi", "three spaces everywhere", textwrap.indent(FLAT, "   ")),
    _base("Phi", "eight spaces everywhere", textwrap.indent(BODY, "    ")),
    _base("Phi", "no indent at all", FLAT),
    _base(
        "Phi",
        "no indent at all, a loop first",
        "for x in xs:\n    assert x is not None\n" + FLAT,
        HEAD + "    for x in xs:\n        assert x is not None\n" + BODY,
    ),
    _base("Phi", "no indent at all, then a test", FLAT + "\nprint(top([1]))\n"),
    _base("Granite", "tabs", TABS),
    _base("Granite", "tabs after a prompt with tabs", TABS, TAB_HEAD + TABS, prompt=TAB_HEAD),
    _base("Granite", "spaces after a prompt with tabs", BODY, TAB_HEAD + TABS, prompt=TAB_HEAD),
    _base("Granite", "CRLF", BODY.replace("\n", "\r\n")),
    _base("StarCoder2", "comment at column 0", COMMENTED),
    _base("StarCoder2", "comment at column 0 first", "# walk\n" + BODY),
    _base("StarCoder2", "comment at column 0 after", BODY + "# done\n", ended=True),
    _base("StarCoder2", "comments after, then a test", BODY + "\n# Test\nprint(top([1]))\n", ended=True),
    _base(
        "StarCoder2",
        "then a function",
        BODY + "\n\ndef bottom(xs: List[int]) -> List[int]:\n    return xs\n",
        ended=True,
    ),
    _base("StarCoder2", "then a function that is cut off", BODY + "\n\ndef bottom(xs: List[int]) -> Li", ended=True),
    _base(
        "StarCoder2",
        "then __main__",
        BODY + '\n\nif __name__ == "__main__":\n    import doctest\n    doctest.testmod()\n',
        ended=True,
    ),
    _base("StarCoder2", "then asserts", BODY + "\nassert top([1]) == [1]\n", ended=True),
    _base("StarCoder2", "then a wrong function of its name", BODY + "\n\n" + WRONG, HEAD + BODY, True),
    _base("StarCoder2", "then a class", BODY + "\n\nclass Test:\n    pass\n", ended=True),
    _base("StarCoder2", "then a docstring", BODY + '\n"""\nThe next task', ended=True),
    _base("StarCoder2", "then another file", BODY + "<|endoftext|>import os\n"),
    _base("StarCoder2", "then a file mark", BODY + "<file_sep>def f():\n    pass\n"),
    _base("DeepSeek-Coder", "then its end token", BODY.rstrip() + "<｜end▁of▁sentence｜>"),
    _base("DeepSeek-Coder", "then Python 2", BODY + "\nprint top([1])\n", ended=True),
    _base("DeepSeek-Coder", "then a helper", CALLS + "\n\n" + LARGER, HEAD + CALLS + LARGER, True),
    _base(
        "DeepSeek-Coder",
        "then a helper, a test and another",
        CALLS + "\n\n" + LARGER + "\nprint(top([1]))\n\ndef other():\n    pass\n",
        HEAD + CALLS + LARGER,
        True,
    ),
    _base(
        "DeepSeek-Coder",
        "then a helper that needs an import",
        CALLS.replace("larger", "biggest")
        + "\n\nimport operator\n\ndef biggest(a, b):\n    return a if operator.gt(a, b) else b\n",
        HEAD
        + CALLS.replace("larger", "biggest")
        + "import operator\ndef biggest(a, b):\n    return a if operator.gt(a, b) else b\n",
        True,
    ),
    _base("DeepSeek-Coder", "a string with lines at column 0", STRING + "\nprint(1)\n", HEAD + STRING, True),
    _base(
        "DeepSeek-Coder", "a string with lines at column 0, first line lost its indent", STRING.lstrip(), HEAD + STRING
    ),
    _base(
        "DeepSeek-Coder",
        "a bracket closed at column 0",
        "    out = list(\n        xs\n)\n    out = out[:0]\n" + BODY[13:],
        HEAD + "    out = list(\n        xs\n)\n    out = out[:0]\n" + BODY[13:],
    ),
    _base("Gemma 2", "an inner function of its name", INNER, HEAD + INNER),
    _base("Gemma 2", "prose after", BODY + "\nThis walks the list.\n", ended=True),
    _base("Gemma 2", "prose with a colon after", BODY + "\nExplanation:\n\n- walks\n", ended=True),
    _base("Gemma 2", "closing fence after", BODY + "```\nThis walks.\n", ended=True),
    _base(
        "Gemma 2",
        "closing fence and a usage block after",
        BODY + "```\n\n```python\nprint(top([1]))\n```\n",
        ended=True,
    ),
    _base("Qwen2.5-Coder", "body in a fence", f"```python\n{BODY}```\n", ended=True),
    _base("Qwen2.5-Coder", "body in a fence without indent", f"```python\n{FLAT}```\n", ended=True),
    _base(
        "Qwen2.5-Coder", "body in a fence, first line lost its indent", f"```python\n{BODY.lstrip()}```\n", ended=True
    ),
    _base(
        "Qwen2.5-Coder", "body in a fence, prose around", f"The body:\n\n```python\n{BODY}```\n\nIt walks.", ended=True
    ),
    _base(
        "Qwen2.5-Coder",
        "body in a fence, then usage in another",
        f"```python\n{BODY}```\n\n```python\nprint(top([1]))\n```",
        ended=True,
    ),
    _base("Qwen2.5-Coder", "body in an indented fence", f"    ```python\n{BODY}    ```\n", ended=True),
    _base("Llama 3", "the signature again", TYPED, TYPING + TYPED, False),
    _base("Llama 3", "the signature again, indented", textwrap.indent(TYPED, "    "), TYPING + TYPED),
    _base("Llama 3", "prompt and body", HEAD + BODY, HEAD + BODY, False),
    _base(
        "Llama 3",
        "prompt and body, then a test",
        HEAD + BODY + "\nprint(top([1]))\n",
        HEAD + BODY + "\nprint(top([1]))\n",
    ),
    _base("Llama 3", "the function without types", RIGHT, TYPING + RIGHT, False),
    _base("Llama 3", "the function in a fence", f"```python\n{TYPED}```", TYPING + TYPED, True),
    _base(
        "Llama 3",
        "the function in a fence with other imports",
        f"```python\nimport itertools\n\n{TYPED}```",
        TYPING + "import itertools\n" + TYPED,
        True,
    ),
    _base("Llama 3", "the function after prose", f"Of course:\n\n{TYPED}\nIt walks.\n", TYPING + TYPED, True),
    _base(
        "Llama 3",
        "imports, then lambda",
        "from itertools import accumulate\ntop = lambda xs: list(accumulate(xs, max))\n",
        TYPING + "from itertools import accumulate\ntop = lambda xs: list(accumulate(xs, max))\n",
    ),
    _base(
        "Llama 3",
        "helper, then the function",
        LARGER + "\n\ndef top(xs):\n" + CALLS,
        TYPING + LARGER + "\n\ndef top(xs):\n" + CALLS,
    ),
    _base(
        "Llama 3",
        "a prompt with a helper, which the function needs",
        "def top(xs):\n" + CALLS,
        TYPING + LARGER + "\n\ndef top(xs):\n" + CALLS,
        prompt=HELPED,
    ),
    _base("Mistral", "cut off in the body", BODY[:30], None, False),
    _base("Mistral", "nothing", "", None),
    _base("Mistral", "pass", "    pass\n", None),
    _base(
        "Mistral",
        "wrong indentation inside",
        "    out = []\n  for x in xs:\n        out.append(x)\n    return out\n",
        None,
    ),
    _base("SmolLM2", "wrong", "    return xs[:0]\n", HEAD + "    return xs[:0]\n"),
    _base("SmolLM2", "after a bare signature", BODY, ONE_LINE + BODY, prompt=ONE_LINE),
    _base("SmolLM2", "after a bare signature, lost its indent", BODY.lstrip(), ONE_LINE + BODY, prompt=ONE_LINE),
    _base(
        "SmolLM2",
        "on the signature's line",
        " return [max(xs[: i + 1]) for i in range(len(xs))]\n",
        "def top(xs): return [max(xs[: i + 1]) for i in range(len(xs))]\n",
        prompt="def top(xs):",
    ),
    _base("SmolLM2", "a line break after the signature's line", "\n" + BODY, ONE_LINE + BODY, prompt="def top(xs):"),
    _base("Phi", "after a docstring that names it", RIGHT, RIGHT, prompt=QUOTED),
    _base(
        "Phi", "after a docstring, with an import", "import math\n\n" + RIGHT, "import math\n\n" + RIGHT, prompt=QUOTED
    ),
    _base("Phi", "after a docstring, then the next task", RIGHT + '\n"""\nWrite a function to', RIGHT, True, QUOTED),
    _base(
        "Phi",
        "after a docstring, then tests",
        RIGHT + "\nassert top([1, 3, 2]) == [1, 3, 3]\n",
        RIGHT + "\nassert top([1, 3, 2]) == [1, 3, 3]\n",
        None,
        QUOTED,
    ),
    _base("Phi", "after a docstring, in a fence", f"```python\n{RIGHT}```\nDone.", RIGHT, True, QUOTED),
    _base(
        "Phi",
        "after a docstring, lambda",
        "top = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]\n",
        "top = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]\n",
        None,
        QUOTED,
    ),
    _base(
        "PanGu-Coder2",
        "after the paper's prompt",
        BODY,
        '"""Running maximum."""\ndef top(xs):\n' + BODY,
        None,
        '"""Running maximum."""\ndef top(xs):\n',
    ),
    _base(
        "PanGu-Coder2",
        "the function after the paper's prompt",
        RIGHT,
        RIGHT,
        None,
        '"""Running maximum."""\ndef top(xs):\n',
    ),
    _method("StarCoder2", "a method's body", TWO_SUM_BODY, METHOD_HEAD + TWO_SUM_BODY),
    _method(
        "StarCoder2", "a method's body, documented", TWO_SUM_BODY, METHOD_DOCUMENTED + TWO_SUM_BODY, METHOD_DOCUMENTED
    ),
    _method(
        "StarCoder2",
        "a method's body, then a test",
        TWO_SUM_BODY + "\nprint(Solution())\n",
        METHOD_HEAD + TWO_SUM_BODY,
    ),
    _method(
        "StarCoder2",
        "a method's body, then another method",
        TWO_SUM_BODY + "\n    def other(self):\n        return 1\n",
        METHOD_HEAD + TWO_SUM_BODY + "\n    def other(self):\n        return 1\n",
    ),
    _method("Code Llama", "a method's body that lost its indent", TWO_SUM_BODY.lstrip(), METHOD_HEAD + TWO_SUM_BODY),
    _method("Code Llama", "a method's body without indent", textwrap.dedent(TWO_SUM_BODY), METHOD_HEAD + TWO_SUM_BODY),
    _method(
        "Code Llama",
        "a method's body as a function's",
        textwrap.indent(textwrap.dedent(TWO_SUM_BODY), "    "),
        METHOD_HEAD + TWO_SUM_BODY,
    ),
    _method("Llama 3", "the class again", TWO_SUM, TWO_SUM),
    _method("Llama 3", "the class in a fence", f"```python\n{TWO_SUM}```\n", TWO_SUM),
    _method("Llama 3", "the method again", "    def two_sum(self, xs, t):\n" + TWO_SUM_BODY, TWO_SUM),
    _method(
        "Llama 3",
        "the method in a fence, without indent",
        "```python\n" + textwrap.dedent("    def two_sum(self, xs, t):\n" + TWO_SUM_BODY) + "```\n",
        TWO_SUM,
    ),
    _base("Granite", "first line lost its indent, tabs behind", TABS.lstrip()),
    _base("StarCoder2", "then a helper that is a class", CLASS_CALL + "\n\n" + CLASS, HEAD + CLASS_CALL + CLASS, True),
    _base("Code Llama", "first line lost its indent, an inner function", LOST_INNER, HEAD + "    " + LOST_INNER),
    _base(
        "Llama 3",
        "the signature again, then one that is cut off",
        TYPED + "\n\ndef other(x) -> Li",
        TYPING + TYPED,
        True,
    ),
    _base("Llama 3", "two bodies in fences", f"```python\n    return xs[:1]\n```\nNo:\n```python\n{BODY}```"),
    _base(
        "Llama 3",
        "two bodies in fences, the last is wrong",
        f"```python\n{BODY}```\nOr:\n```python\n    return xs[:1]\n```",
        None,
    ),
    _base(
        "GPT",
        "a prompt of prose that looks like a comment",
        f"```python\n{RIGHT}```",
        RIGHT,
        True,
        "# Task\n\nWrite `top`.\n",
    ),
    _base(
        "GPT",
        "a prompt of prose with a function",
        RIGHT,
        RIGHT,
        None,
        "Complete:\n\n```python\ndef top(xs):\n    pass\n```\n",
    ),
]
