"""Held-out problems before and after training: what changed, and a sample of them with both candidates."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from rrtf_trl.files.folder import Folder
from rrtf_trl.records import prompt_text

from .differences import marked
from .examples import ShownCandidate, clip
from .tallies import rows

KINDS = {"fixed": 30, "broken": 30, "still wrong": 30, "solved both times": 10}
"""How many held-out problems of each kind a report shows."""


@dataclass
class Change:
    """A held-out problem with the greedy candidates before and after training.

    Args:
        kind: One of ``KINDS``.
        task_id: The problem.
        title: A line that characterizes it.
        prompt: Its prompt as text.
        before: The candidate of the policy before training.
        after: The candidate of the trained policy.
        sampled: How many sampled candidates pass before and after, each as ``2/8``; empty where none were drawn.
    """

    kind: str
    task_id: str
    title: str
    prompt: str
    before: ShownCandidate
    after: ShownCandidate
    sampled: tuple[str, ...] = ()


def measurements(folder: Folder, which: str = "base") -> dict[str, dict[str, Any]]:
    """Return a policy's measurements by name: ``n``, ``counts`` and more; see ``Measured``."""
    return folder.read_json(f"evaluation/{which}.json") or {}


def several_samples(folder: Folder) -> str:
    """Return the name of the first measurement with several candidates per problem; empty where there is none."""
    return next((name for name, row in measurements(folder).items() if row["n"] > 1), "")


def changes(folder: Folder) -> tuple[Counter[str], list[Change]]:
    """Compare greedy candidates before and after training: how many problems of each kind, and a sample of each.

    The sample is random, equal for equal files, and in the order of the files.
    """
    counts: Counter[str] = Counter()
    picked: dict[str, list[tuple[int, list[Any]]]] = {kind: [] for kind in KINDS}
    names = [f"evaluation/{which}.greedy.jsonl" for which in ("base", "trained")]
    if not all((folder / name).is_file() for name in names):
        return counts, []
    chance = random.Random(0)
    before, after = (groupby(rows(folder, name), key=lambda row: row["task_id"]) for name in names)
    for number, aligned in enumerate(_aligned(rows(folder, "heldout.jsonl"), before, after)):
        _, first, second = aligned
        kind = _kind(bool(first and first["passed"]), bool(second and second["passed"]))
        counts[kind] += 1
        if not first or not second:
            continue
        if len(picked[kind]) < KINDS[kind]:
            picked[kind].append((number, aligned))
        elif (place := chance.randrange(counts[kind])) < KINDS[kind]:
            picked[kind][place] = (number, aligned)
    solved = _sampled(folder)
    return counts, [
        _change(kind, aligned, solved)
        for kind, sample in picked.items()
        for _, aligned in sorted(sample, key=itemgetter(0))
    ]


def _change(kind: str, aligned: list[Any], solved: list[dict[str, list[int]]]) -> Change:
    problem, first, second = aligned
    task, prompt = problem["task_id"], problem["prompt"]
    before, after = _shown(first), _shown(second)
    before.marked, after.marked = marked(before.text, after.text), marked(after.text, before.text)
    return Change(
        kind,
        clip(task, 120),
        clip(_title(prompt if isinstance(prompt, str) else prompt[-1]["content"]), 160),
        clip(prompt_text(prompt), 2400),
        before,
        after,
        tuple("{1}/{0}".format(*counts[task]) for counts in solved if task in counts),
    )


def _title(prompt: str) -> str:
    """Return the first line of a prompt that is neither empty nor an import, without quotes and comment signs."""
    lines = (line.strip().strip("\"'#").strip() for line in prompt.splitlines())
    return next((line[:160] for line in lines if line and not line.startswith(("import ", "from "))), "")


def _sampled(folder: Folder) -> list[dict[str, list[int]]]:
    """Return [candidates, passes] by problem, before and after, in the first measurement with several candidates."""
    name = several_samples(folder)
    if not name:
        return []
    return [measurements(folder, which).get(name, {}).get("counts", {}) for which in ("base", "trained")]


def _aligned(problems: Iterable[dict[str, Any]], *files: Iterator[tuple[str, Any]]) -> Iterator[list[Any]]:
    """Yield each problem with its first row of each file, or ``None``; all files are in the same order."""
    waiting = [next(file, None) for file in files]
    for problem in problems:
        aligned: list[Any] = [problem]
        for index, file in enumerate(files):
            group = waiting[index]
            if group is not None and group[0] == problem["task_id"]:
                aligned.append(next(group[1]))
                waiting[index] = next(file, None)
            else:
                aligned.append(None)
        yield aligned


def _kind(before: bool, after: bool) -> str:
    if before:
        return "solved both times" if after else "broken"
    return "fixed" if after else "still wrong"


def _shown(row: dict[str, Any]) -> ShownCandidate:
    return ShownCandidate(
        clip(row.get("response", row["completion"]), 1400),
        clip(row.get("state", row["result"]), 40),
        clip(row.get("message", ""), 400),
    )
