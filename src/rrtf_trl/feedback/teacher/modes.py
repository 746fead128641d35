"""The judge's modes: it is asked about one candidate at a time, two, or all of a problem."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rrtf_trl.chat import ChatSession
from rrtf_trl.chat.session import gather_all
from rrtf_trl.records import Candidate, Problem, content_hash

if TYPE_CHECKING:  # pydantic is an extra
    from pydantic import BaseModel

Form = TypeVar("Form", bound="BaseModel")

ScoreAndDetail = tuple[float | None, dict[str, Any]]
"""``score`` and ``detail`` of the judgement of one candidate."""

_POINTS = {"won": 1.0, "tie": 0.5, "lost": 0.0}
_OPPOSITE = {"won": "lost", "lost": "won"}


class Judge(Protocol):
    """What the modes use of :class:`.judge.Teacher`, which imports them."""

    scale: tuple[int, int]
    opponents: int | None

    async def ask(
        self, session: ChatSession, template: str, problem: Problem, codes: list[str], form: type[Form], **values: Any
    ) -> tuple[Form | None, str]:
        """Return the judge's filled-in form, or ``None`` and the reason."""
        ...


def abstain(why: str, **detail: Any) -> ScoreAndDetail:
    """Return no score, and the reason."""
    return None, {"abstained": why, **detail}


# -- grade -------------------------------------------------------------------------------------------------


async def grade(
    judge: Judge, session: ChatSession, problem: Problem, candidates: Sequence[Candidate]
) -> list[ScoreAndDetail]:
    """Ask for a grade of each candidate; the score is its place in the scale, from 0 to 1."""
    from .forms import grade_form

    lowest, highest = judge.scale
    form = grade_form(lowest, highest)

    async def one(candidate: Candidate) -> ScoreAndDetail:
        values = {"answer": candidate.code.rstrip(), "lowest": lowest, "highest": highest}
        filled, why = await judge.ask(session, "grade", problem, [candidate.code], form, **values)
        if filled is None:
            return abstain(why)
        grade: int = getattr(filled, "score")  # noqa: B009 - the field is made with the form
        detail = {"grade": grade, "scale": [lowest, highest], "reason": filled.reason}
        return (grade - lowest) / (highest - lowest), detail

    return await gather_all(*map(one, candidates))


# -- pair --------------------------------------------------------------------------------------------------


async def compare(
    judge: Judge, session: ChatSession, problem: Problem, candidates: Sequence[Candidate]
) -> list[ScoreAndDetail]:
    """Ask for the better one of each pair in both orders; the score is the fraction of comparisons won."""
    pairs = list(_pairs(candidates, judge.opponents))
    both_orders = (*pairs, *((b, a) for a, b in pairs))
    results = await gather_all(*(_compare_two(judge, session, problem, a, b) for a, b in both_orders))
    comparisons: list[list[dict[str, Any]]] = [[] for _ in candidates]
    places = {candidate.candidate_id: index for index, candidate in enumerate(candidates)}
    for (a, b), (a_first, why_a_first), (b_first, why_b_first) in zip(
        pairs, results[: len(pairs)], results[len(pairs) :], strict=True
    ):
        # `a_first` is the result for a where a is shown first, `b_first` the result for b where b is.
        for one, other, first, second, reasons in (
            (a, b, a_first, _opposite(b_first), [why_a_first, why_b_first]),
            (b, a, b_first, _opposite(a_first), [why_b_first, why_a_first]),
        ):
            comparisons[places[one.candidate_id]].append(
                {
                    "against": other.candidate_id,
                    "shown_first": first,
                    "shown_second": second,
                    "result": _result(first, second),
                    "reasons": reasons,
                }
            )
    return [_fraction_won(rows) for rows in comparisons]


async def _compare_two(
    judge: Judge, session: ChatSession, problem: Problem, a: Candidate, b: Candidate
) -> tuple[str, str]:
    """Return the result for ``a``, shown first, against ``b`` (won, lost, tie, abstained), and the reason."""
    from .forms import Pair

    codes = [a.code.rstrip(), b.code.rstrip()]
    filled, why = await judge.ask(session, "pair", problem, codes, Pair, answers=codes)
    if filled is None:
        return "abstained", why
    return {"A": "won", "B": "lost", "tie": "tie"}[filled.winner], filled.reason


def _opposite(result: str) -> str:
    return _OPPOSITE.get(result, result)


def _result(first: str, second: str) -> str:
    """Return the result of both orders: a disagreement is a tie."""
    if "abstained" in (first, second):
        return "abstained"
    return first if first == second else "tie"


def _fraction_won(comparisons: list[dict[str, Any]]) -> ScoreAndDetail:
    points = [_POINTS[row["result"]] for row in comparisons if row["result"] in _POINTS]
    if not points:
        row = comparisons[0]
        why = row["reasons"][0] if row["shown_first"] == "abstained" else row["reasons"][1]
        return abstain(why, comparisons=comparisons)
    return sum(points) / len(points), {"comparisons": comparisons}


def _pairs(candidates: Sequence[Candidate], opponents: int | None) -> Iterator[tuple[Candidate, Candidate]]:
    """Yield each pair once: all, or those at most ``opponents / 2`` steps apart on a circle in the order of hashes."""
    count = len(candidates)
    steps = count // 2 if opponents is None else min((opponents + 1) // 2, count // 2)
    circle = sorted(candidates, key=lambda candidate: content_hash(candidate.code))
    for step in range(1, steps + 1):
        for index in range(count // 2 if 2 * step == count else count):
            yield circle[index], circle[(index + step) % count]


# -- rank --------------------------------------------------------------------------------------------------


async def rank(
    judge: Judge, session: ChatSession, problem: Problem, candidates: Sequence[Candidate]
) -> list[ScoreAndDetail]:
    """Ask twice for an order of all, shown in a shuffled order and in its reverse; the score is the mean of both."""
    order = list(range(len(candidates)))
    random.Random(content_hash(problem.prompt, sorted(c.code for c in candidates))).shuffle(order)
    found = await gather_all(
        *(_order(judge, session, problem, [candidates[i] for i in shown]) for shown in (order, order[::-1]))
    )
    orders: list[list[dict[str, Any]]] = [[] for _ in candidates]
    for shown, (scores, why) in zip((order, order[::-1]), found, strict=True):
        for place, index in enumerate(shown):
            if scores is not None:
                orders[index].append({"shown": place, "of": len(candidates), "score": scores[place], "reason": why})
    if all(scores is None for scores, _ in found):
        return [abstain(found[0][1])] * len(candidates)
    return [(sum(row["score"] for row in rows) / len(rows), {"orders": rows}) for rows in orders]


async def _order(
    judge: Judge, session: ChatSession, problem: Problem, shown: list[Candidate]
) -> tuple[list[float] | None, str]:
    """Return the fraction of the others that rank below each, in the order shown, or ``None``; and the reason."""
    from .forms import ranking_form

    count = len(shown)
    labels = [chr(ord("A") + i) if count <= 26 else f"R{i + 1}" for i in range(count)]
    codes = [candidate.code.rstrip() for candidate in shown]
    filled, why = await judge.ask(session, "rank", problem, codes, ranking_form(labels), answers=codes, labels=labels)
    if filled is None:
        return None, why
    groups: list[list[str]] = getattr(filled, "ranking")  # noqa: B009 - the field is made with the form
    scores, above = dict[str, float](), 0
    for group in groups:
        below = count - above - len(group)
        scores |= dict.fromkeys(group, (below + (len(group) - 1) / 2) / (count - 1))
        above += len(group)
    return [scores[label] for label in labels], filled.reason


MODES: dict[str, Callable[[Judge, ChatSession, Problem, Sequence[Candidate]], Awaitable[list[ScoreAndDetail]]]] = {
    "grade": grade,
    "pair": compare,
    "rank": rank,
}
