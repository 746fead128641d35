"""The specific words of a task, for comparing tasks."""

from __future__ import annotations

import ast
import re

from rrtf_trl.records import Prompt

from ..syntax import parsed

# Words that are common to tasks of all kinds.
_COMMON_WORDS = """\
a an the this that these those which who whose it its and or but if then else so as at by for from in into of
on to with without using use be is are was were has have had do does did can could should must will would you
your i we write writes create creates implement define python code program programs function functions method
script given give find finds get return returns returned output outputs print take takes accept accepts input
inputs check checks whether value values there any all each every also only not no"""
_COMMON = frozenset(_COMMON_WORDS.split())
_EXAMPLES = re.compile(r"^[ \t]*(?:>>>|\.\.\.).*(?:\n(?![ \t]*>>>)(?![ \t]*$).*)?", re.MULTILINE)
_MARKUP = re.compile(r"\b(?:for\s+)?examples?\s*:?\s*$", re.IGNORECASE | re.MULTILINE)


def words(prompt: Prompt) -> list[str]:
    """Return the specific words of a prompt in order, in lower case, without examples, code and common words."""
    text = prompt if isinstance(prompt, str) else "\n".join(str(m["content"]) for m in prompt if m["role"] == "user")
    text = _MARKUP.sub(" ", _EXAMPLES.sub(" ", _prose(text)))
    found = [word.lower() for word in re.findall(r"[^\W_]+", text)]
    return [_stem(word) for word in found if word not in _COMMON]


def ngrams(tokens: list[str], n: int) -> set[tuple[str, ...]]:
    """Return the n-grams of a text's words; a shorter text is one n-gram."""
    if len(tokens) <= n:
        return {tuple(tokens)} if tokens else set()
    return {tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)}


def _prose(text: str) -> str:
    """Return the docstrings and comments of a prompt that is code; other text unchanged."""
    for tail in ("", "\n    pass\n"):
        tree = parsed(text + tail)
        if tree is None:
            continue
        strings = [
            node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ]
        comments = re.findall(r"^\s*#(.*)$", text, re.MULTILINE)
        if strings or comments:
            return "\n".join([*strings, *comments])
    return text


def _stem(word: str) -> str:
    """Return a word without a plural's "s"."""
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word
