"""`rrtf label export`: labels, and what people agree on, as other programs read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rrtf_trl.errors import UserError
from rrtf_trl.files.atomic import write_whole

from ..aggregate import Method, Opinion, aggregate
from ..items import Item, prompt_key
from ..labels import Label, Ledger
from . import argilla, label_studio, ours, trl

EXPORTS = {
    "jsonl": "one label a row: prompt, responses, ranks, annotator",
    "ranked": "one prompt a row, with scores: what the trainer reads",
    "trl": "preference rows; text or conversational, as the prompt is",
    "trl-conversational": "preference rows, all conversational",
    "csv": "one answer of a label a row",
    "label-studio-pairwise": "tasks for Label Studio's Pairwise, with the labels",
    "label-studio-ranker": "tasks for its Ranker",
    "label-studio-rating": "tasks for its Rating",
    "argilla-ranking": "records for Argilla's ranking question, with the labels",
    "argilla-rating": "records for its rating questions",
}


def export_labels(
    ledger: Ledger, to: str, out: Path, *, items: list[Item] | None = None, method: Method = "borda"
) -> int:
    """Write labels to a file, which appears when all is written; return how many rows.

    Args:
        ledger: The labels.
        to: One of :data:`EXPORTS`.
        out: The file.
        items: What to export tasks and records of, labelled or not; by default the items of the labels file.
        method: How people's rankings are put together, for ``ranked`` and ``trl``.

    Raises:
        UserError: If there is no such format, it cannot hold the labels, or there is nothing to write.
    """
    if to not in EXPORTS:
        raise UserError(f"--to must be one of {', '.join(EXPORTS)}, got {to!r}")
    labels = ledger.labels()
    items = list(ledger.items.values()) if items is None else items
    if to in ("jsonl", "ranked", "trl", "trl-conversational", "csv") and not labels:
        raise UserError("there are no labels to export")
    with write_whole(out, errors="surrogatepass", newline="") as file:
        if to == "csv":
            return ours.write_csv(ledger, labels, file)
        if to.startswith("label-studio-"):
            kind: Any = to.removeprefix("label-studio-")
            count = _array(label_studio.tasks(items, labels, kind), file)
            config = label_studio.labeling_config(kind, max(len(item.answers) for item in items))
            out.with_name(f"{out.name}.config.xml").write_text(config, encoding="utf-8")
            return count
        if to.startswith("argilla-"):
            question: Any = to.removeprefix("argilla-")
            return _array(argilla.records(items, labels, question), file)
        if to == "jsonl":
            return _lines(ours.label_rows(ledger, labels), file)
        groups = _groups(labels, method)
        if to == "ranked":
            return _lines(ours.ranked_rows(ledger, groups), file)
        rows = trl.preference_rows(ledger, groups, conversational=to == "trl-conversational")
        return _lines(rows, file)


def _groups(labels: list[Label], method: Method) -> Iterator[tuple[Item, list[Opinion]]]:
    """Yield, for each labelled prompt, an item of it, and the opinions on all of its answers, best first."""
    opinions = aggregate(labels, method)
    first: dict[str, Item] = {}
    keys: dict[str, dict[str, None]] = {}
    for label in labels:
        key = prompt_key(label.item.prompt)
        first.setdefault(key, label.item)
        keys.setdefault(key, {}).update(dict.fromkeys(label.ranks))
    for key, item in first.items():
        yield item, sorted((opinions[answer] for answer in keys[key]), key=lambda o: (-o.score, o.answer_id))


def _lines(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    count = 0
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        count += 1
    return count


def _array(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    """Write a JSON array, an element a line."""
    count = 0
    for row in rows:
        file.write((",\n" if count else "[\n") + json.dumps(row, ensure_ascii=False))
        count += 1
    file.write("\n]\n" if count else "[]\n")
    return count
