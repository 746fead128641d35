"""`rrtf label import`: labels from other programs' files, into a labels file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.files.rows import is_table
from rrtf_trl.records import RecordError, content_hash

from ..label_file import LabelFile
from ..labels import Label, Row
from . import argilla, label_studio, ours, trl
from .reading import read_json_rows


def labels_from_file(
    path: Path,
    *,
    annotator: str = "imported",
    prompt_field: str = "prompt",
    config: Path | None = None,
    buckets: list[str] | None = None,
) -> list[Label]:
    """Return the labels of a file, all of it checked.

    The fields of each row decide its format: label and ranked rows of this project, TRL's preference rows, Label
    Studio's tasks, Argilla's records; a name that ends in ``.csv`` or ``.tsv`` is a table.

    Args:
        path: The file: JSONL, a JSON array, or CSV.
        annotator: The annotator where the file names none.
        prompt_field: The prompt's name, for tasks, records and tables.
        config: A Label Studio project's labeling interface.
        buckets: A Label Studio Ranker's buckets, best first.

    Raises:
        InputError: If a row cannot be read; the message names file, line and field.
        UserError: If there is no label in the file.
    """
    if is_table(path):
        labels = list(ours.labels_from_csv(path, annotator, prompt_field))
    else:
        tasks = label_studio.Importer(annotator, prompt_field, config, buckets)
        labels = list(_from_json(path, annotator, tasks, argilla.Importer(annotator, prompt_field)))
    if not labels:
        raise UserError(f"{path}: no labels in this file")
    return labels


def add_labels(labels: list[Label], into: LabelFile) -> tuple[int, int]:
    """Add labels to a labels file; return how many are new, and how many it had already."""
    rows = {row["id"]: row for row in map(_row, labels)}
    new = [row for key, row in rows.items() if key not in into.ledger.seen]
    into.add_items(label.item for label in labels)
    into.append(*new)
    return len(new), len(labels) - len(new)


def _from_json(path: Path, annotator: str, tasks: label_studio.Importer, records: argilla.Importer) -> Iterator[Label]:
    for line, row in read_json_rows(path):
        try:
            yield from _labels(row, annotator, tasks, records)
        except RecordError as error:
            raise InputError(f"{path}:{line}: {error}") from None
    yield from tasks.ratings.labels()
    yield from records.ratings.labels()


def _labels(
    row: dict[str, Any], annotator: str, tasks: label_studio.Importer, records: argilla.Importer
) -> Iterator[Label]:
    if "responses" in row and ("ranks" in row or "scores" in row):
        yield ours.label_from_row(row, annotator)
    elif "chosen" in row and "rejected" in row:
        yield trl.label_from_preference(row, annotator)
    elif "data" in row or "annotations" in row:
        yield from tasks.labels(row)
    elif argilla.is_record(row):
        yield from records.labels(row)
    else:
        raise RecordError(
            f"a row with {', '.join(list(row)[:6]) or 'no fields'} is no label: expected responses with ranks or "
            "scores, chosen and rejected, a Label Studio task, or an Argilla record"
        )


def _row(label: Label) -> Row:
    """Return the row of an imported label; the same label always has the same id."""
    row: Row = {
        "kind": "submit",
        "id": f"import-{content_hash(label.item.item_id, label.annotator, label.ranks, label.time, label.shown)}",
        "time": label.time,
        "annotator": label.annotator,
        "item_id": label.item.item_id,
        "seconds": 0,
        "ranks": label.ranks,
        "shown": label.shown,
        "origin": "import",
    }
    return row if label.seconds is None else {**row, "item_seconds": label.seconds}
