"""How the judge is asked: one answer at a time, two, or all of a problem's."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rrtf_trl.chat import ChatSession
from rrtf_trl.chat.session import together
from rrtf_trl.records import Candidate, Problem, content_hash

if TYPE_CHECKING:  # pydantic is heavy
    from pydantic import BaseModel

    Form = TypeVar("Form", bound=BaseModel)

Verdict = tuple[float | None, dict[str, Any]]
"""Score and detail of one candidate."""

_POINTS = {"won": 1.0, "tie": 0.5, "lost": 0.0}
_OPPOSITE = {"won": "lost", "lost": "won"}


class Judge(Protocol):
    """What the modes need of a judge, see :class:`.judge.Teacher`."""

    scale: tuple[int, int]
    opponents: int | None

    async def ask(
        self, session: ChatSession, template: str, problem: Problem, codes: list[str], form: type[Form], **values: Any
    ) -> tuple[Form | None, str]:
        """Return the judge's filled-in form, or in words why there is none."""
        ...


def abstain(why: str, **detail: Any) -> Verdict:
    """Return the verdict of a judge that does not judge: no score, and the reason."""
    return None, {"abstained": why, **detail}


# -- grade -------------------------------------------------------------------------------------------------


async def grade(
    judge: Judge, session: ChatSession, problem: Problem, candidates: Sequence[Candidate]
) -> list[Verdict]:
    """Ask for a grade of each candidate, from 0 for the scale's lowest to 1 for its highest."""
    from .forms import grade_form

    lowest, highest = judge.scale
    form = grade_form(lowest, highest)

    async def one(candidate: Candidate) -> Verdict:
        values = {"answer": candidate.code.rstrip(), "lowest": lowest, "highest": highest}
        filled, why = await judge.ask(session, "grade", problem, [candidate.code], form, **values)
        if filled is None:
            return abstain(why)
        given: int = getattr(filled, "score")  # noqa: B009 - the field is made with the form
        detail = {"grade": given, "scale": [lowest, highest], "reason": filled.reason}
        return (given - lowest) / (highest - lowest), detail

    return await together(*map(one, candidates))


# -- pair --------------------------------------------------------------------------------------------------


async def compare(
    judge: Judge, session: ChatSession, problem: Problem, candidates: Sequence[Candidate]
) -> list[Verdict]:
    """Ask for the better one of each pair in both orders; the score is the share of comparisons won."""
    pairs = list(_pairs(candidates, judge.opponents))
    answers = await together(
        *(_better(judge, session, problem, a, b) for a, b in (*pairs, *((b, a) for a, b in pairs)))
    )
    comparisons: list[list[dict[str, Any]]] = [[] for _ in candidates]
    places = {candidate.candidate_id: index for index, candidate in enumerate(candidates)}
    for (a, b), (forth, why_forth), (back, why_back) in zip(
        pairs, answers[: len(pairs)], answers[len(pairs) :], strict=True
    ):
        # `forth` is how a fared, shown first; `back` how b fared, shown first.
        for one, other, first, second, reasons in (
            (a, b, forth, _opposite(back), [why_forth, why_back]),
            (b, a, back, _opposite(forth), [why_back, why_forth]),
        ):
            comparisons[places[one.candidate_id]].append(
                {
                    "against": other.candidate_id,
                    "shown_first": first,
                    "shown_second": second,
                    "result": _agreed(first, second),
                    "reasons": reasons,
                }
            )
    return [_share_won(rows) for rows in comparisons]


async def _better(judge: Judge, session: ChatSession, problem: Problem, a: Candidate, b: Candidate) -> tuple[str, str]:
    """Return how ``a``, shown first, fared against ``b`` (won, lost, tie, abstained), and the judge's words."""
    from .forms import Pair

    codes = [a.code.rstrip(), b.code.rstrip()]
    filled, why = await judge.ask(session, "pair", problem, codes, Pair, answers=codes)
    if filled is None:
        return "abstained", why
    return {"A": "won", "B": "lost", "tie": "tie"}[filled.winner], filled.reason


def _opposite(outcome: str) -> str:
    return _OPPOSITE.get(outcome, outcome)


def _agreed(first: str, second: str) -> str:
    """Return the outcome of both orders together: a disagreement is a tie."""
    if "abstained" in (first, second):
        return "abstained"
    return first if first == second else "tie"


def _share_won(comparisons: list[dict[str, Any]]) -> Verdict:
    points = [_POINTS[row["result"]] for row in comparisons if row["result"] in _POINTS]
    if not points:
        row = comparisons[0]
        why = row["reasons"][0] if row["shown_first"] == "abstained" else row["reasons"][1]
        return abstain(why, comparisons=comparisons)
    return sum(points) / len(points), {"comparisons": comparisons}


def _pairs(candidates: Sequence[Candidate], opponents: int | None) -> Iterator[tuple[Candidate, Candidate]]:
    """Yield each pair once: all of them, or those of neighbours on a circle in a random but fixed order."""
    count = len(candidates)
    steps = count // 2 if opponents is None else min((opponents + 1) // 2, count // 2)
    circle = sorted(candidates, key=lambda candidate: content_hash(candidate.code))
    for step in range(1, steps + 1):
        for index in range(count // 2 if 2 * step == count else count):
            yield circle[index], circle[(index + step) % count]


# -- rank --------------------------------------------------------------------------------------------------


async def rank(judge: Judge, session: ChatSession, problem: Problem, candidates: Sequence[Candidate]) -> list[Verdict]:
    """Ask for an order of all, shown in a shuffled order and in its reverse; the score is the mean of both."""
    order = list(range(len(candidates)))
    random.Random(content_hash(problem.prompt, sorted(c.code for c in candidates))).shuffle(order)
    found = await together(
        *(_order(judge, session, problem, [candidates[i] for i in shown]) for shown in (order, order[::-1]))
    )
    orders: list[list[dict[str, Any]]] = [[] for _ in candidates]
    whys: list[str] = []
    for shown, (scores, why) in zip((order, order[::-1]), found, strict=True):
        whys.append(why)
        for place, index in enumerate(shown):
            if scores is not None:
                orders[index].append({"shown": place, "of": len(candidates), "score": scores[place], "reason": why})
    if all(not rows for rows in orders):
        return [abstain(whys[0])] * len(candidates)
    return [(sum(row["score"] for row in rows) / len(rows), {"orders": rows}) for rows in orders]


async def _order(
    judge: Judge, session: ChatSession, problem: Problem, shown: list[Candidate]
) -> tuple[list[float] | None, str]:
    """Return the share of the others that stand below each, by place shown; and the judge's words."""
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


MODES: dict[str, Callable[[Judge, ChatSession, Problem, Sequence[Candidate]], Awaitable[list[Verdict]]]] = {
    "grade": grade,
    "pair": compare,
    "rank": rank,
}
