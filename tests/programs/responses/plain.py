"""Programs without fences, in prose or alone."""

from __future__ import annotations

from .tasks import ACCUMULATE, BODY, CHAT, METHOD_CHAT, PROSE, RIGHT, SHORT, TWO_SUM, WRONG, Case


def _chat(family: str, kind: str, response: str, program: str | None = RIGHT, ended: bool | None = None) -> Case:
    return Case(family, kind, response, program, CHAT, "top", ended)


PLAIN = [
    _chat("Codestral", "alone", RIGHT, RIGHT, False),
    _chat("Codestral", "alone, with an import", ACCUMULATE, ACCUMULATE, False),
    _chat("Codestral", "alone, with usage", RIGHT + "\nprint(top([1, 3, 2]))\n", RIGHT + "\nprint(top([1, 3, 2]))\n"),
    _chat("SmolLM2", "prose before", f"Here it is:\n\n{RIGHT}"),
    _chat("SmolLM2", "prose after", f"{RIGHT}\nThis walks the list.\n", RIGHT, True),
    _chat("SmolLM2", "prose with a colon after", f"{RIGHT}\nExplanation:\n\n1. It walks.\n", RIGHT, True),
    _chat("SmolLM2", "one word after", f"{RIGHT}\nExplanation\n\nIt walks.\n", RIGHT, True),
    _chat("SmolLM2", "prose that is not ended", f"{RIGHT}\nThis walks (see\n", RIGHT, True),
    _chat("SmolLM2", "an apostrophe before", f"It's this:\n\n{RIGHT}\nThat's it.\n", RIGHT, True),
    _chat("SmolLM2", "a bracket before", f"The code (below\n\n{RIGHT}\n", RIGHT),
    _chat(
        "SmolLM2",
        "a line that reads like an import",
        f"from what you say, this is it.\nimport nothing else.\n\n{RIGHT}",
    ),
    _chat("Phi", "wrong, then corrected", f"First try:\n\n{WRONG}\nThat is wrong. Corrected:\n\n{RIGHT}\nDone.\n"),
    _chat("Phi", "right, then wrong", f"First try:\n\n{RIGHT}\nSimpler is this one:\n\n{WRONG}\nDone.\n", None),
    _chat("Phi", "usage in prose after", f"Here:\n\n{RIGHT}\nUsage:\n\nprint(top([1]))\n"),
    _chat(
        "Phi",
        "decorated",
        f"Here:\n\nimport functools\n\n@functools.wraps(max)\n{RIGHT}",
        f"import functools\n\n@functools.wraps(max)\n{RIGHT}",
    ),
    _chat(
        "Phi",
        "lambda",
        "Here:\n\ntop = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]\n\nIt is short.\n",
        "top = lambda xs: [max(xs[: i + 1]) for i in range(len(xs))]\n",
    ),
    _chat(
        "Phi",
        "indented in prose",
        "Here:\n\n" + "".join(f"    {line}\n" for line in RIGHT.splitlines()) + "\nIt walks.\n",
    ),
    _chat("Granite", "inline code in prose", f"Use `top(xs)`:\n\n{RIGHT}\nwhere `xs` is a list.\n"),
    _chat("Granite", "a comment before", f"# The running maximum\n{RIGHT}", RIGHT, False),
    _chat(
        "Granite",
        "a docstring before",
        f'"""The running maximum."""\n\n{RIGHT}',
        f'"""The running maximum."""\n\n{RIGHT}',
    ),
    _chat("Granite", "a syntax error", "def top(xs)\n    return xs\n", None),
    _chat("Granite", "Python 2", "def top(xs):\n    print 'hi'\n    return xs\n", None),
    _chat("Granite", "cut off", RIGHT[:40], None, False),
    _chat("Granite", "a body without its signature", BODY, None),
    Case("Mistral", "a prompt in prose", f"{SHORT}\n\nThis is quadratic.\n", SHORT, PROSE, "top", True),
    Case(
        "Mistral",
        "a class",
        f"Here it is:\n\n{TWO_SUM}\nIt is linear.\n",
        TWO_SUM,
        METHOD_CHAT,
        "Solution.two_sum",
        True,
    ),
    _chat(
        "Mistral",
        "a string in which a fence stands",
        f'def top(xs):\n    s = """\n```\ndef top(xs):\n    return 1\n```\n"""\n{BODY}',
        f'def top(xs):\n    s = """\n```\ndef top(xs):\n    return 1\n```\n"""\n{BODY}',
    ),
]
