"""The labels file: what it adds up to, and what it survives."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.labeling.items import Item
from rrtf_trl.labeling.label_file import LabelFile, is_labels_file, read_labels
from rrtf_trl.records import RecordError
from support.labelling import TEXTS, make_item, make_label

ITEM = make_item()
IDS = [answer.answer_id for answer in ITEM.answers]
_count = iter(range(10**6))


def row(kind: str, **fields: Any) -> dict[str, Any]:
    made = {"kind": kind, "id": f"id-{next(_count)}", "time": "2026-11-24T12:00:00.000Z", "annotator": "alice"}
    return {**made, "item_id": ITEM.item_id, "seconds": 1.5, **fields}


def opened() -> dict[str, Any]:
    return row("open", shown=IDS)


def submit(*ranks: int, **fields: Any) -> dict[str, Any]:
    return row("submit", shown=IDS, ranks=dict(zip(IDS, ranks, strict=True)), item_seconds=9.0, **fields)


def test_rows_add_up_to_labels_and_come_back_from_the_file(tmp_path: Path) -> None:
    with LabelFile(tmp_path / "l.jsonl") as file:
        file.add_items([ITEM])
        file.add_items([ITEM])  # is there already
        file.append(opened(), row("look", what="tests"), row("rank", answer_id=IDS[2]), submit(2, 3, 1, 3))
        live = file.ledger.labels()
    (label,) = read_labels(tmp_path / "l.jsonl").labels()
    assert live == [label]
    assert label.ranks == dict(zip(IDS, (2, 3, 1, 3), strict=True))
    assert (label.annotator, label.seconds, label.looked, label.shown) == ("alice", 9.0, ("tests",), IDS)
    assert [json.loads(line)["kind"] for line in (tmp_path / "l.jsonl").read_text().splitlines()] == [
        *("labels", "item", "open", "look", "rank", "submit")
    ]


def test_an_undone_label_does_not_count_and_its_draft_is_back(tmp_path: Path) -> None:
    with LabelFile(tmp_path / "l.jsonl") as file:
        file.add_items([ITEM])
        file.append(opened(), row("rank", answer_id=IDS[1]), row("rest"), done := submit(2, 1, 2, 2))
        file.append(row("undo", undoes=done["id"]))
        assert file.ledger.labels() == []
        person = file.ledger.annotators["alice"]
        assert person.current == ITEM.item_id
        assert person.draft().groups == [[IDS[1]], [IDS[0], IDS[2], IDS[3]]]
    assert read_labels(tmp_path / "l.jsonl").annotators["alice"].draft().groups == person.draft().groups


def test_a_row_of_the_same_id_counts_once(tmp_path: Path) -> None:
    with LabelFile(tmp_path / "l.jsonl") as file:
        file.add_items([ITEM])
        again = row("rank", answer_id=IDS[0])
        file.append(opened(), again, again)
        assert file.ledger.annotators["alice"].draft().groups == [[IDS[0]]]


def test_what_was_being_written_when_the_power_went_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with LabelFile(path) as file:
        file.add_items([ITEM])
        file.append(opened())
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "submit", "id": "x", "ti')
    assert read_labels(path).labels() == []
    with LabelFile(path) as file:
        file.append(submit(1, 2, 3, 4))
    assert path.read_bytes().startswith(whole + b'{"kind": "submit"')
    assert len(read_labels(path).labels()) == 1


def test_a_last_row_that_an_editor_left_without_its_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with LabelFile(path) as file:
        file.add_items([ITEM])
        file.append(opened(), submit(1, 2, 3, 4))
    path.write_text(path.read_text().rstrip("\n"))
    with LabelFile(path) as file:
        assert len(file.ledger.labels()) == 1
        file.append(row("look", what="diff", annotator="bob"))
    assert len(read_labels(path).labels()) == 1


def test_a_full_disk_costs_the_row_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with LabelFile(path) as file:
        file.add_items([ITEM])
        file.append(opened())
    before = path.read_bytes()
    code = f"""
import resource, signal
from rrtf_trl.labeling.label_file import LabelFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with LabelFile({str(path)!r}) as file:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 100}, resource.RLIM_INFINITY))
    try:
        file.append({submit(1, 2, 3, 4)!r})
    except OSError as error:
        print(error.strerror, len(file.ledger.labels()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    file.append({submit(4, 3, 2, 1)!r})
    print(len(file.ledger.labels()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["File too large 0", "1"]
    (label,) = read_labels(path).labels()
    assert [label.ranks[key] for key in IDS] == [4, 3, 2, 1]


def test_rows_that_do_not_follow_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with LabelFile(path) as file:
        file.add_items([ITEM])
        file.append(opened())
        before = path.read_bytes()
        with pytest.raises(RecordError, match="undoes"):
            file.append(row("rank", answer_id=IDS[0]), row("undo", undoes="other"))
        assert path.read_bytes() == before
        assert file.ledger.annotators["alice"].draft().groups == []


def test_only_one_process_writes(tmp_path: Path) -> None:
    with LabelFile(tmp_path / "l.jsonl"), pytest.raises(UserError, match="another `rrtf label` is writing to"):
        LabelFile(tmp_path / "l.jsonl")
    LabelFile(tmp_path / "l.jsonl").close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "love"}, "field kind: expected one of labels, item, open"),
        ({"kind": ["rank"]}, "field kind: expected one of labels, item, open"),
        (row("rank", answer_id=IDS[0], seconds=float("nan")), "field seconds: expected a value that JSON can hold"),
        (row("open", shown=[1]), "field shown[0]: expected a string, got 1"),
        (row("rank", answer_id="x"), "field answer_id: the item has no candidate 'x'"),
        (row("rank", answer_id=IDS[0], annotator=""), "field annotator: expected a string"),
        (row("rank", answer_id=IDS[0], time="noon"), "field time: expected ISO 8601, got 'noon'"),
        (row("rank", answer_id=IDS[0], seconds="1"), "field seconds: expected a number"),
        (row("rank", answer_id=IDS[0], item_id="x"), "field item_id: no item 'x' in the rows above"),
        (row("rank", answer_id=IDS[0], annotator="bob"), f"field item_id: '{ITEM.item_id}' is not the current"),
        (row("tie"), "field kind: tie cannot be done here: Rank one candidate first"),
        (row("tie", extra=1), "field extra: expected no such field; known are kind, id"),
        (row("open", shown=IDS[:2]), "field shown: expected each candidate of the item once"),
        (row("open"), "field shown: missing"),
        (row("look", what="sources"), "field what: expected one of tests, diff, response"),
        (row("submit", shown=IDS, ranks={IDS[0]: 1}), "field ranks: expected a whole number from 1 for at least two"),
        (row("submit", shown=IDS, ranks={IDS[0]: 1, IDS[1]: 0}), "field ranks"),
        (row("submit", shown=IDS, ranks={IDS[0]: 1, "x": 2}), "field ranks"),
        (row("undo", undoes="x"), "field undoes: 'x' is not the last action of 'alice'"),
        ({"kind": "labels", "version": 9}, "field version: this file was written by another version"),
        ({"kind": "item", "item_id": "x"}, "field prompt: missing"),
        ({"kind": "item", **make_item(["a", "b"]).to_json(), "item_id": "x"}, "field item_id: the ids do not match"),
        ({"kind": "item", **ITEM.to_json(), "prompt": ""}, "field prompt"),
        ([1], "expected a JSON object"),
    ],
)
def test_a_wrong_row_is_refused_by_line_and_field(tmp_path: Path, wrong: Any, message: str) -> None:
    path = tmp_path / "l.jsonl"
    with LabelFile(path) as file:
        file.add_items([ITEM])
        file.append(opened())
    with path.open("a") as out:
        out.write(json.dumps(wrong) + "\n")
    with pytest.raises(InputError) as error:
        read_labels(path)
    assert str(error.value).startswith(f"{path}:4: {message}")


def test_a_broken_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with LabelFile(path):
        pass
    path.write_text(path.read_text() + '{"kind"\n{}\n')
    with pytest.raises(InputError, match=r"l\.jsonl:2: not JSON"):
        read_labels(path)


def test_other_files_are_no_labels_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "p"}\n')
    (tmp_path / "empty").write_text("")
    with LabelFile(tmp_path / "l.jsonl"):
        pass
    assert is_labels_file(tmp_path / "l.jsonl")
    for name in ("a.jsonl", "empty", "missing", "."):
        assert not is_labels_file(tmp_path / name)
    with pytest.raises(InputError, match="not a labels file"):
        read_labels(tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "missing")
    with pytest.raises(InputError, match="not a labels file"):
        LabelFile(tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == '{"prompt": "p"}\n'


def test_any_text_that_json_can_hold_survives(tmp_path: Path) -> None:
    item = make_item(["\ud800 lone", "\u2028\x00 nul", "é"], prompt=[{"role": "user", "content": "\ud83d"}])
    with LabelFile(tmp_path / "l.jsonl") as file:
        file.add_items([item])
    assert list(read_labels(tmp_path / "l.jsonl").items.values()) == [item]


def test_an_answer_is_known_by_prompt_and_text() -> None:
    one = make_item(["  a\n", "b"], prompt=" p ")
    same = make_item(["a", "b\n"], prompt=[{"role": "user", "content": "p"}])
    assert one.item_id == same.item_id
    assert one.item_id != make_item(["a", "b"], prompt="q").item_id
    system = [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}]
    assert one.item_id != make_item(["a", "b"], prompt=system).item_id
    with pytest.raises(RecordError, match="at least two different responses, got 1"):
        make_item(["a", "a "])
    assert Item.from_json(one.to_json()) == one


def test_pairs_are_ordered_by_id_with_ties() -> None:
    label = make_label([1, 2, 2, None])
    a, b, c, _ = (next(x.answer_id for x in label.item.answers if x.text == text) for text in TEXTS)
    found = {frozenset((one, other)): (one, better) for one, other, better in label.pairs()}
    assert len(found) == 3
    assert found[frozenset((b, c))][1] == 0
    for other in (b, c):
        one, better = found[frozenset((a, other))]
        assert better == (1 if one == a else -1)


def test_the_file_is_not_readable_half_way_after_kill_9(tmp_path: Path) -> None:
    """Kill a process that writes as fast as it can: what it said was saved is there."""
    path = tmp_path / "l.jsonl"
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.labelling import make_item
from rrtf_trl.labeling.label_file import LabelFile
item = make_item()
ids = [answer.answer_id for answer in item.answers]
with LabelFile({str(path)!r}) as file:
    file.add_items([item])
    for n in range(10**6):
        base = {{"time": "2026-11-24T12:00:00Z", "annotator": f"a{{n}}", "item_id": item.item_id, "seconds": 0}}
        file.append({{"kind": "open", "id": f"open-{{n}}", **base, "shown": ids}},
                    {{"kind": "skip", "id": f"skip-{{n}}", **base, "shown": ids}})
        print(n, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 100:
            process.kill()
            break
    said = [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    ledger = read_labels(path)
    assert len(ledger.annotators) >= max([100, *said]) + 1
    assert all(person.skipped for person in ledger.annotators.values())
    with LabelFile(path) as file:
        assert len(file.ledger.annotators) == len(ledger.annotators)
    assert os.path.getsize(path) > 0
