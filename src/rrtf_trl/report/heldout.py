"""Held-out problems before and after training: what changed, and a sample of them with both answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rrtf_trl.files.folder import Folder

from .differences import marked
from .examples import Answer, clip, prompt_text
from .tallies import rows

KINDS = {"fixed": 30, "broken": 30, "still wrong": 30, "solved both times": 10}
"""How many held-out problems of each kind a report shows."""


@dataclass
class Change:
    """A held-out problem with the greedy answers before and after training.

    Args:
        kind: One of ``KINDS``.
        task_id: The problem.
        title: What tells it from others, in a line.
        prompt: Its prompt as text.
        before: The answer of the policy that training began with.
        after: The trained policy's.
        sampled: Of the samples before and after, how many pass, for instance ``2/8``; empty where none were drawn.
    """

    kind: str
    task_id: str
    title: str
    prompt: str
    before: Answer
    after: Answer
    sampled: tuple[str, ...] = ()


def measurements(folder: Folder, which: str = "base") -> dict[str, dict[str, Any]]:
    """Return what a policy's measurements found, by name: ``n``, ``counts`` and more; see ``Measured``."""
    return folder.read_json(f"evaluation/{which}.json") or {}


def several_samples(folder: Folder) -> str:
    """Return the first measurement that draws several samples a problem, empty where none does."""
    return next((name for name, found in measurements(folder).items() if found["n"] > 1), "")


def changes(folder: Folder) -> tuple[Counter[str], list[Change]]:
    """Compare greedy answers before and after training: how many problems of each kind, and a sample of each.

    The sample is random, the same for the same files, and in the order of the files.
    """
    counts: Counter[str] = Counter()
    picked: dict[str, list[tuple[int, list[Any]]]] = {kind: [] for kind in KINDS}
    names = [f"evaluation/{which}.greedy.jsonl" for which in ("base", "trained")]
    if not all((folder / name).is_file() for name in names):
        return counts, []
    chance = random.Random(0)
    before, after = (groupby(rows(folder, name), key=lambda row: row["task_id"]) for name in names)
    for number, found in enumerate(_aligned(rows(folder, "heldout.jsonl"), before, after)):
        first, second = found[1:]
        kind = _kind(bool(first and first["passed"]), bool(second and second["passed"]))
        counts[kind] += 1
        if not first or not second:
            continue
        if len(picked[kind]) < KINDS[kind]:
            picked[kind].append((number, found))
        elif (place := chance.randrange(counts[kind])) < KINDS[kind]:
            picked[kind][place] = (number, found)
    solved = _sampled(folder)
    return counts, [
        _change(kind, found, solved) for kind, chosen in picked.items() for _, found in sorted(chosen, key=_number)
    ]


def _number(pair: tuple[int, Any]) -> int:
    return pair[0]


def _change(kind: str, found: list[Any], solved: list[dict[str, list[int]]]) -> Change:
    problem, first, second = found
    task, prompt = problem["task_id"], prompt_text(problem["prompt"])
    before, after = _sample(first), _sample(second)
    before.marked, after.marked = marked(before.text, after.text), marked(after.text, before.text)
    return Change(
        kind,
        clip(task, 120),
        clip(_title(prompt), 160),
        clip(prompt, 2400),
        before,
        after,
        tuple("{1}/{0}".format(*counts[task]) for counts in solved if task in counts),
    )


def _title(prompt: str) -> str:
    """Return the first line of a prompt that says something, without the signs around a docstring."""
    lines = (line.strip().strip("\"'#").strip() for line in prompt.splitlines())
    told = [line for line in lines if line and not line.startswith(("[user]", "[system]", "import ", "from "))]
    return told[0][:160] if told else ""


def _sampled(folder: Folder) -> list[dict[str, list[int]]]:
    """Return samples and passes by problem, before and after, in the first measurement that draws several."""
    name = several_samples(folder)
    if not name:
        return []
    return [measurements(folder, which).get(name, {}).get("counts", {}) for which in ("base", "trained")]


def _aligned(problems: Iterable[dict[str, Any]], *files: Iterator[tuple[str, Any]]) -> Iterator[list[Any]]:
    """Yield each problem with its first row of each file, ``None`` where it has none; all are in the same order."""
    waiting = [next(file, None) for file in files]
    for problem in problems:
        found: list[Any] = [problem]
        for index, file in enumerate(files):
            group = waiting[index]
            if group is not None and group[0] == problem["task_id"]:
                found.append(next(group[1]))
                waiting[index] = next(file, None)
            else:
                found.append(None)
        yield found


def _kind(before: bool, after: bool) -> str:
    if before:
        return "solved both times" if after else "broken"
    return "fixed" if after else "still wrong"


def _sample(row: dict[str, Any]) -> Answer:
    return Answer(
        clip(row.get("response", row["completion"]), 1400),
        clip(row.get("state", row["result"]), 40),
        clip(row.get("message", ""), 400),
    )
