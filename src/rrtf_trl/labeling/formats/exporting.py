"""`rrtf label export`: labels, and the scores that they add up to, as other programs read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rrtf_trl.errors import UserError
from rrtf_trl.files.atomic import write_whole
from rrtf_trl.files.folder import json_line

from ..aggregate import CandidateScore, Method, aggregate
from ..items import Item, prompt_key
from ..labels import Label, Ledger
from . import argilla, label_studio, ours, trl

EXPORTS = {
    "jsonl": "one label a row: prompt, responses, ranks, annotator",
    "ranked": "one prompt a row, with scores: as the trainer reads them",
    "trl": "preference rows; text or conversational, as the prompt is",
    "trl-conversational": "preference rows, all conversational",
    "csv": "one candidate of a label a row",
    "label-studio-pairwise": "tasks for Label Studio's Pairwise, with the labels",
    "label-studio-ranker": "tasks for its Ranker",
    "label-studio-rating": "tasks for its Rating",
    "argilla-ranking": "records for Argilla's ranking question, with the labels",
    "argilla-rating": "records for its rating questions",
}


def export_labels(
    ledger: Ledger, to: str, out: Path, *, items: list[Item] | None = None, method: Method = "borda"
) -> int:
    """Write labels to a file, whole or not at all; return how many rows.

    Args:
        ledger: The labels.
        to: One of :data:`EXPORTS`.
        out: The file.
        items: For tasks and records: the items, labelled or not; by default those of the labels file.
        method: For ``ranked`` and ``trl``: how several people's rankings are aggregated.

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


def _groups(labels: list[Label], method: Method) -> Iterator[tuple[Item, list[CandidateScore]]]:
    """Yield, for each labelled prompt, an item of it and the scores of all of its candidates, best first."""
    scores = aggregate(labels, method)
    first: dict[str, Item] = {}
    keys: dict[str, dict[str, None]] = {}
    for label in labels:
        key = prompt_key(label.item.prompt)
        first.setdefault(key, label.item)
        keys.setdefault(key, {}).update(dict.fromkeys(label.ranks))
    for key, item in first.items():
        yield item, sorted((scores[candidate] for candidate in keys[key]), key=lambda s: (-s.score, s.answer_id))


def _lines(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    count = 0
    for row in rows:
        file.write(json_line(row))
        count += 1
    return count


def _array(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    """Write a JSON array with a line for each element."""
    count = 0
    for count, row in enumerate(rows, start=1):
        file.write(("[\n" if count == 1 else ",\n") + json.dumps(row, ensure_ascii=False))
    file.write("\n]\n" if count else "[]\n")
    return count
