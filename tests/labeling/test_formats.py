"""Labels that go to other programs' files and come back."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.errors import UserError
from rrtf_trl.labeling.formats import EXPORTS, export_labels
from rrtf_trl.labeling.items import Item, ItemCandidate
from rrtf_trl.labeling.labels import Label, Ledger
from support.label_files import CHAT, imported, ledger_of, some_labels, told, trip
from support.labelling import PROMPT, TEXTS, make_item, make_label

# -- Round trips -----------------------------------------------------------------------------------------


def test_our_rows_keep_everything(tmp_path: Path) -> None:
    labels = some_labels()
    assert everything(trip(tmp_path, labels, "jsonl", ".jsonl")) == everything(labels)


def everything(labels: list[Label]) -> list[str]:
    return sorted(repr({**asdict(label), "ranks": sorted(label.ranks.items())}) for label in labels)


def test_a_label_of_some_of_the_answers_keeps_its_item(tmp_path: Path) -> None:
    labels = [make_label([2, None, 1, None], item=make_item())]
    for to, suffix in (
        ("jsonl", ".jsonl"),
        ("csv", ".csv"),
        ("label-studio-ranker", ".json"),
        ("label-studio-rating", ".json"),
    ):
        assert told(trip(tmp_path, labels, to, suffix)) == told(labels), to


def test_a_table_keeps_everything_and_no_formula(tmp_path: Path) -> None:
    labels = some_labels()
    assert told(trip(tmp_path, labels, "csv", ".csv")) == told(labels)
    with (tmp_path / "csv.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    cells = {row["response"] for row in rows}
    assert '\'=HYPERLINK("x")' in cells
    assert "''=1+1" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


@pytest.mark.parametrize("to", ["label-studio-ranker", "label-studio-rating", "argilla-rating"])
def test_tasks_and_records_keep_rankings_with_ties(tmp_path: Path, to: str) -> None:
    labels = some_labels()
    studio = to.startswith("label-studio")
    assert told(trip(tmp_path, labels, to), times=studio) == told(labels, times=studio)


def test_argillas_ranking_keeps_strict_orders_and_refuses_ties(tmp_path: Path) -> None:
    labels = some_labels(ties=False)
    assert told(trip(tmp_path, labels, "argilla-ranking"), times=False) == told(labels, times=False)
    with pytest.raises(UserError, match="export --to argilla-rating"):
        export_labels(ledger_of(*some_labels()), "argilla-ranking", tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()
    assert not list(tmp_path.glob("*.part"))


def test_pairwise_tasks_keep_every_pair_with_ties(tmp_path: Path) -> None:
    labels = some_labels()
    back = trip(tmp_path, labels, "label-studio-pairwise")

    def pairs(found: list[Label]) -> set[Any]:
        return {(label.annotator, *pair) for label in found for pair in label.pairs()}

    assert pairs(back) == pairs(labels)
    assert all(len(label.item.answers) == 2 for label in back)


@pytest.mark.parametrize("to", ["trl", "trl-conversational"])
def test_preference_rows_keep_the_order_that_people_agree_on(tmp_path: Path, to: str) -> None:
    back = trip(tmp_path, some_labels(), to, ".jsonl")
    assert {label.annotator for label in back} == {"imported"}


def test_ranked_rows_keep_the_order_that_people_agree_on(tmp_path: Path) -> None:
    export_labels(ledger_of(*some_labels()), "ranked", tmp_path / "r.jsonl")
    rows = {json.dumps(row["prompt"]): row for row in read_rows(tmp_path / "r.jsonl")}
    labels = imported(tmp_path, None, "r.jsonl")
    assert len(labels) == len(rows) == 3
    for label in labels:
        row = rows[json.dumps(label.item.prompt)]
        scores = sorted(set(row["scores"]), reverse=True)
        together = zip(row["responses"], row["scores"], strict=True)
        ranks = {text: scores.index(score) + 1 for text, score in together}
        assert {label.item.candidate(key).text: rank for key, rank in label.ranks.items()} == ranks


# -- What is written -------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8")
    return list(json.loads(text)) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def test_preference_rows_are_trls_and_ties_make_none(tmp_path: Path) -> None:
    text = make_label([1, 2, 2, 3])
    chat = Label(make_item(["a", "b"], prompt=CHAT), "alice", {})
    chat.ranks.update({answer.answer_id: rank for rank, answer in enumerate(chat.item.answers, 1)})
    ledger = ledger_of(text, chat)
    assert export_labels(ledger, "trl", tmp_path / "t.jsonl") == 6
    rows = read_rows(tmp_path / "t.jsonl")
    assert {(row["chosen"], row["rejected"]) for row in rows if row["prompt"] == PROMPT} == {
        (TEXTS[0], TEXTS[1]),
        (TEXTS[0], TEXTS[2]),
        (TEXTS[0], TEXTS[3]),
        (TEXTS[1], TEXTS[3]),
        (TEXTS[2], TEXTS[3]),
    }
    (conversation,) = (row for row in rows if row["prompt"] == CHAT)
    assert conversation["chosen"] == [{"role": "assistant", "content": chat.item.answers[0].text}]
    export_labels(ledger, "trl-conversational", tmp_path / "c.jsonl")
    assert all(isinstance(row[name], list) for row in read_rows(tmp_path / "c.jsonl") for name in row)
    assert read_rows(tmp_path / "c.jsonl")[0]["prompt"] == [{"role": "user", "content": PROMPT}]


def test_trl_takes_the_rows(tmp_path: Path) -> None:
    from trl.data_utils import is_conversational, maybe_extract_prompt

    export_labels(ledger_of(*some_labels()), "trl", tmp_path / "t.jsonl")
    for row in read_rows(tmp_path / "t.jsonl"):
        assert maybe_extract_prompt(dict(row)) == row
        assert is_conversational(row) == isinstance(row["prompt"], list)


def test_two_who_cancel_out_make_no_training_pair(tmp_path: Path) -> None:
    ledger = ledger_of(make_label([1, 2]), make_label([2, 1], "bob"))
    for to in ("trl", "ranked"):
        assert export_labels(ledger, to, tmp_path / "out.jsonl") == 0
        assert (tmp_path / "out.jsonl").read_text() == ""


def test_ranked_rows_train(tmp_path: Path) -> None:
    candidates = [ItemCandidate.create(PROMPT, text, source=f"s{i}") for i, text in enumerate(TEXTS)]
    item = Item.create(PROMPT, candidates, "t/0")
    export_labels(ledger_of(make_label([2, 1, 1, 3], item=item)), "ranked", tmp_path / "r.jsonl")
    (row,) = read_rows(tmp_path / "r.jsonl")
    assert row["scores"] == sorted(row["scores"], reverse=True)
    assert dict(zip(row["responses"], row["scores"], strict=True))[TEXTS[1]] == max(row["scores"])
    assert dict(zip(row["responses"], row["sources"], strict=True))[TEXTS[3]] == "s3"
    assert row["task_id"] == "t/0"


def test_nothing_exported_for_labelling_elsewhere_says_who_wrote_what(tmp_path: Path) -> None:
    item = make_item(source="teacher", model="secret-model")
    for to in EXPORTS:
        if to.startswith(("label-studio", "argilla")):
            assert export_labels(Ledger(), to, tmp_path / "out.json", items=[item]) >= 1
            text = (tmp_path / "out.json").read_text()
            assert "teacher" not in text
            assert "secret-model" not in text
            assert all(not task.get("annotations") and not task.get("responses") for task in json.loads(text))
        else:
            with pytest.raises(UserError, match="there are no labels"):
                export_labels(Ledger(), to, tmp_path / "none", items=[item])
    assert not (tmp_path / "none").exists()


def test_label_studio_gets_the_interface_of_its_tasks(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    for kind, tags in (("pairwise", {"Pairwise", "Choices"}), ("ranker", {"Ranker", "List"}), ("rating", {"Rating"})):
        export_labels(ledger_of(*some_labels()), f"label-studio-{kind}", tmp_path / "out.json")
        root = ElementTree.parse(tmp_path / "out.json.config.xml").getroot()
        assert {tag.tag for tag in root.iter()} >= tags
        named = {tag.get("name") for tag in root.iter() if tag.get("name")}
        for task in read_rows(tmp_path / "out.json"):
            for annotation in task["annotations"]:
                for result in annotation["result"]:
                    assert result["from_name"] in named
                    assert set(result["to_name"].split(",")) <= named
