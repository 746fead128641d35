"""Labels for the tests of other programs' files, and ways through such a file."""

import json
from pathlib import Path
from typing import Any

from rrtf_trl.labeling.formats import add_labels, export_labels, labels_from_file
from rrtf_trl.labeling.formats.importing import _row
from rrtf_trl.labeling.label_file import LabelFile, read_labels
from rrtf_trl.labeling.labels import Label, Ledger
from support.labelling import make_item, make_label

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Write f, with 'quotes', \"more\", \n…"},
]
NASTY = ['=HYPERLINK("x")', "'=1+1", 'a,"b"\nc', "  + 1\n", "<b>\u2028é</b>"]


def ledger_of(*labels: Label) -> Ledger:
    ledger = Ledger()
    for label in labels:
        ledger.apply({"kind": "item", **label.item.to_json()})
        ledger.apply(_row(label))
    return ledger


def import_labels(path: Path, into: LabelFile, **options: Any) -> tuple[int, int]:
    return add_labels(labels_from_file(path, **options), into)


def some_labels(ties: bool = True) -> list[Label]:
    """Return labels with and without ties, by two people, on text and on chat prompts."""
    item = make_item(source="student", model="m")
    nasty = make_item(NASTY[:4], prompt=CHAT, task_id=None)
    unsure = make_item(["x", "y"], prompt="only \u0000 two", task_id="t/2")
    keys = [answer.answer_id for answer in nasty.answers]
    last = [1, 2, 2, 3] if ties else [1, 2, 4, 3]
    time = "2026-11-24T12:00:00.000Z"
    return [
        make_label([1, 3, 2, 4], item=item, seconds=12.5, time=time, shown=[a.answer_id for a in item.answers][::-1]),
        make_label([1, 2, 2, 3] if ties else [2, 1, 3, 4], "bob@example.org", item),
        Label(nasty, "alice", dict(zip(keys, last, strict=True)), seconds=3.0),
        Label(unsure, "alice", {answer.answer_id: rank for rank, answer in enumerate(unsure.answers, 1)}),
    ]


def told(labels: list[Label], *, times: bool = True) -> set[Any]:
    """Return all that a format keeps of labels."""
    return {
        (
            label.item.item_id,
            json.dumps(label.item.prompt),
            label.annotator,
            tuple(sorted(label.ranks.items())),
            label.seconds if times else None,
        )
        for label in labels
    }


def trip(tmp_path: Path, labels: list[Label], to: str, suffix: str = ".json") -> list[Label]:
    """Export, import into an empty file, and return the labels there; what is exported again is the same file."""
    out = tmp_path / f"{to}{suffix}"
    export_labels(ledger_of(*labels), to, out)
    with LabelFile(tmp_path / f"{to}.labels.jsonl") as file:
        new, known = import_labels(out, file)
        assert known == 0
        assert import_labels(out, file) == (0, new)  # once more changes nothing
    ledger = read_labels(tmp_path / f"{to}.labels.jsonl")
    export_labels(ledger, to, tmp_path / f"again{suffix}")
    assert sorted((tmp_path / f"again{suffix}").read_bytes().split(b"\n")) == sorted(out.read_bytes().split(b"\n"))
    return ledger.labels()


def imported(tmp_path: Path, rows: Any, name: str = "in.json", **options: Any) -> list[Label]:
    path = tmp_path / name
    if not path.exists():
        path.write_text(
            json.dumps(rows, indent=1) if name.endswith(".json") else "".join(json.dumps(r) + "\n" for r in rows)
        )
    with LabelFile(tmp_path / "into.jsonl") as file:
        import_labels(path, file, **options)
        return file.ledger.labels()
