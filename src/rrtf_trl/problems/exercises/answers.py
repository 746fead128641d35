"""Function bodies for an exercise, in three styles, and slips in them."""

from __future__ import annotations

import ast
import random
import re
from typing import Literal, get_args

from .grammar import Kind

Style = Literal["comprehension", "loop", "staged"]
STYLES: tuple[Style, ...] = get_args(Style)

SLIP_RATE = 0.1
"""The fraction of pre-training answers that get a slip, which has no effect where it does not apply."""


def body(code: dict[str, str], kind: Kind, style: Style) -> str:
    """Return the indented body of ``solve``.

    Args:
        code: The code of the parts, by role.
        kind: Decides the names of the elements: ``x`` for numbers, ``w`` for words.
        style: One comprehension, a loop that appends, or a statement per stage.

    Example::

        comprehension        loop                       staged

        return sum(          ys = []                    xs = [x for x in xs if x > 0]
          [x * x for x       for x in xs:               ys = [x * x for x in xs]
           in xs if x > 0])      if x > 0:              return sum(ys)
                                     ys.append(x * x)
                             return sum(ys)
    """
    write = {"comprehension": _comprehension, "loop": _loop, "staged": _staged}[style]
    lines = write(code, "x" if kind == "number" else "w", "xs" if kind == "number" else "ws")
    return "".join(f"    {line}\n" for line in lines)


def slip(text: str, rng: random.Random) -> str:
    """Return a body with one slip: a missing return, colon or bracket, an early return, or a wrong name."""
    kind = rng.choice(("return", "colon", "bracket", "early", "name"))
    if kind == "return":
        return text.replace("return ", "", 1)
    if kind == "colon":
        return text.replace(":\n", "\n", 1)
    if kind == "bracket":
        at = max(text.rfind(")"), text.rfind("]"))
        return text[:at] + text[at + 1 :] if at >= 0 else text
    if kind == "early":
        return text.replace("\n    return ", "\n        return ") if "    for " in text else text
    return re.sub(r"\bys\b(?!.*\bys\b)", "zs", text, count=1, flags=re.DOTALL)


def _comprehension(code: dict[str, str], item: str, items: str) -> list[str]:
    source, condition = _source_and_condition(code)
    listed = f"[{_mapped(code)} for {item} in {source}{condition}]"
    reduction = code["reduction"].split("\n")
    if len(reduction) == 1 and len(re.findall(r"\bys\b", reduction[0])) == 1:
        return [re.sub(r"\bys\b", lambda _: listed, reduction[0])]
    return [f"ys = {listed}", *reduction]


def _loop(code: dict[str, str], item: str, items: str) -> list[str]:
    source, condition = _source_and_condition(code)
    lines = ["ys = []", f"for {item} in {source}:"]
    if condition:
        lines += [f"   {condition}:", f"        ys.append({_mapped(code)})"]
    else:
        lines += [f"    ys.append({_mapped(code)})"]
    return [*lines, *code["reduction"].split("\n")]


def _staged(code: dict[str, str], item: str, items: str) -> list[str]:
    lines = [] if code["source"] == items else [f"{items} = {code['source']}"]
    for condition in (code["filter"], code.get("second_filter")):
        if condition and "{items}" in condition:
            lines.append(f"{items} = {condition.format(items=items)}")
        elif condition:
            lines.append(f"{items} = [{item} for {item} in {items} if {condition}]")
    lines.append(f"ys = [{_mapped(code)} for {item} in {items}]")
    return [*lines, *code["reduction"].split("\n")]


def _source_and_condition(code: dict[str, str]) -> tuple[str, str]:
    """Return the source, sliced if the filter is a slice, and the conditions as " if ...", or empty."""
    source, conditions = code["source"], [code["filter"], code.get("second_filter", "")]
    if "{items}" in conditions[0]:
        source = conditions.pop(0).format(items=source)
    condition = " and ".join(filter(None, conditions))
    return source, f" if {condition}" if condition else ""


def _mapped(code: dict[str, str]) -> str:
    """Return the expression for an element: the map, or the second map applied to the first."""
    if "second_map" not in code:
        return code["map"]
    inner = code["map"]
    if not isinstance(ast.parse(inner, mode="eval").body, ast.Call | ast.Subscript):
        inner = f"({inner})"
    return re.sub(r"\b[xw]\b(?!\")", lambda _: inner, code["second_map"])  # except the letter in 'replace(..., "x")'
