"""People's labels as feedback, and a run that has it."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.errors import InputError
from rrtf_trl.feedback import Feedback
from rrtf_trl.labeling.feedback import HumanLabels
from rrtf_trl.labeling.items import Item, ItemCandidate
from rrtf_trl.labeling.label_file import LabelFile
from rrtf_trl.records import Candidate, CaseTests, Judgement, Problem, Prompt
from support.warm_python import python

PROMPT = "def f(x):\n"
BODIES = ["    return 2 * x\n", "    return x + x\n", "    return x\n"]
CASES = CaseTests([{"args": [1], "expected": 2}])


def problem(task_id: str = "t", prompt: Prompt = PROMPT) -> Problem:
    return Problem(task_id, prompt, CASES, "f")


def candidate(body: str, prompt: str = PROMPT) -> Candidate:
    fields: dict[str, Any] = {"task_id": "t", "source": "student", "model": "m", "sampling": {}}
    return Candidate.create(response=body, code=prompt + body, finish_reason="stop", **fields)


def write_labels(path: Path, *rankings: tuple[str, list[int]], skipped_by: str | None = None) -> Path:
    """Label the answers ``BODIES`` to ``PROMPT``: (annotator, rank of each)."""
    item = Item.create(PROMPT, [ItemCandidate.create(PROMPT, body) for body in BODIES], "t")
    unseen = Item.create("def g(x):\n", [ItemCandidate.create("def g(x):\n", body) for body in BODIES], "u")
    ids = [ItemCandidate.create(PROMPT, body).answer_id for body in BODIES]
    with LabelFile(path) as file:
        file.add_items([item, unseen])
        for annotator, ranks in rankings:
            row = {"kind": "submit", "id": f"{annotator}-{ranks}", "time": "", "annotator": annotator, "seconds": 0}
            ranked = dict(zip(ids, ranks, strict=True))
            file.append({**row, "item_id": item.item_id, "ranks": ranked, "item_seconds": 7.5, "origin": "test"})
        if skipped_by:
            row = {"kind": "skip", "id": "skip-1", "time": "", "annotator": skipped_by, "seconds": 0}
            file.append({**row, "item_id": unseen.item_id, "origin": "test"})
    return path


def judge(source: HumanLabels, *items: tuple[Problem, Candidate]) -> list[Judgement]:
    return list(source.judge(items))


def test_labels_become_scores_with_who_said_what(tmp_path: Path) -> None:
    source = HumanLabels(write_labels(tmp_path / "l.jsonl", ("alice", [1, 2, 3]), ("bob", [1, 1, 2])))
    assert isinstance(source, Feedback)
    found = judge(source, *((problem(), candidate(body)) for body in BODIES))
    assert [judgement.score for judgement in found] == [0.875, 0.625, 0.0]
    assert all(judgement.state is None and judgement.feedback == "human" for judgement in found)
    assert found[1].detail == {
        "annotators": ["alice", "bob"],
        "votes": [
            {"annotator": "alice", "rank": 2, "of": 3, "seconds": 7.5},
            {"annotator": "bob", "rank": 1, "of": 3, "seconds": 7.5},
        ],
        "agreement": 0.5,
    }
    json.dumps(found[1].detail, allow_nan=False)


def test_people_who_cancel_out_make_a_tie(tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "l.jsonl", ("alice", [1, 2, 3]), ("bob", [2, 1, 3]))
    for method in ("borda", "bradley_terry"):
        source = HumanLabels(labels, aggregation=method)  # type: ignore[arg-type]
        first, second, last = (j.score for j in judge(source, *((problem(), candidate(body)) for body in BODIES)))
        assert first == second
        assert first is not None
        assert last is not None
        assert first > last


def test_a_candidate_is_found_by_its_content(tmp_path: Path) -> None:
    source = HumanLabels(write_labels(tmp_path / "l.jsonl", ("alice", [1, 2, 3])))
    chat: Prompt = [{"role": "user", "content": PROMPT}]
    whole = Candidate.create(
        **{"task_id": "t", "source": "teacher", "model": "m", "sampling": {"seed": 7}, "finish_reason": "stop"},
        response=f"```python\n{BODIES[0]}```",
        code=BODIES[0],
    )
    stripped = candidate(BODIES[0].rstrip("\n"))
    for question, answer in ((problem("other name"), candidate(BODIES[0])), (problem(prompt=chat), whole)):
        assert judge(source, (question, answer))[0].score == 1.0
    assert judge(source, (problem(), stripped))[0].score == 1.0


@pytest.mark.parametrize(
    ("question", "body", "why"),
    [
        (problem(), "    return 9\n", "this candidate was not among those that people ranked"),
        (problem(prompt="def g(x):\n"), BODIES[0], "skipped by carol"),
        (problem(prompt="def h(x):\n"), BODIES[0], "this problem is not in the labels file"),
    ],
)
def test_what_nobody_labelled_gets_no_score_and_says_why(
    tmp_path: Path, question: Problem, body: str, why: str
) -> None:
    source = HumanLabels(write_labels(tmp_path / "l.jsonl", ("alice", [1, 2, 3]), skipped_by="carol"))
    (found,) = judge(source, (question, candidate(body, str(question.prompt))))
    assert (found.state, found.score, found.detail) == (None, None, {"abstained": why})


def test_a_file_with_no_label_yet_abstains_from_all(tmp_path: Path) -> None:
    source = HumanLabels(write_labels(tmp_path / "l.jsonl"))
    (found,) = judge(source, (problem(), candidate(BODIES[0])))
    assert found.detail == {"abstained": "nobody has ranked the candidates of this problem yet"}


def test_the_identity_is_what_people_said_and_not_where_it_lies(tmp_path: Path) -> None:
    one = HumanLabels(write_labels(tmp_path / "a.jsonl", ("alice", [1, 2, 3])))
    same = HumanLabels(write_labels(tmp_path / "b.jsonl", ("alice", [1, 2, 3])))
    other = HumanLabels(write_labels(tmp_path / "c.jsonl", ("alice", [2, 1, 3])))
    more = HumanLabels(write_labels(tmp_path / "d.jsonl", ("alice", [1, 2, 3]), skipped_by="bob"))
    assert one.identity() == same.identity()
    assert one.identity() not in (other.identity(), more.identity())
    assert one.identity() != HumanLabels(tmp_path / "a.jsonl", aggregation="bradley_terry").identity()


def test_what_cannot_be_used_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        HumanLabels(tmp_path / "missing.jsonl")
    (tmp_path / "x.jsonl").write_text('{"prompt": "p"}\n')
    with pytest.raises(InputError, match="not a labels file"):
        HumanLabels(tmp_path / "x.jsonl")
    with pytest.raises(ValueError, match="aggregation must be one of"):
        HumanLabels(write_labels(tmp_path / "l.jsonl"), aggregation="mean")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_with_people_has_their_judgements(tmp_path: Path) -> None:
    """`rrtf feedback`, labels, then a run with them: the second draws and tests nothing anew."""
    small = ["problems.train.limit=6", "problems.heldout.limit=2", "sampler.transformers.n=4"]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}

    def rrtf(*arguments: str) -> str:
        command = [python(), "-m", "rrtf_trl.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    folder = tmp_path / rrtf("feedback", *small).split("run: ")[1].split()[0]
    from rrtf_trl.labeling.sources import read_items

    items = read_items(folder)
    assert items
    rows = [
        {
            "prompt": item.prompt,
            "responses": [a.text for a in item.answers],
            "ranks": [1] + [2] * (len(item.answers) - 1),
        }
        for item in items
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rrtf("label", "import", "mine.jsonl", "--into", str(folder / "labels.jsonl"), "--annotator", "alice")
    said = rrtf("rank", *small, "feedback=[unit_tests,human]", f"feedback.human.labels={folder / 'labels.jsonl'}")
    assert "sample transformers: nothing to do" in said
    assert "feedback unit_tests: nothing to do" in said
    second = tmp_path / said.split("run: ")[1].split()[0]
    assert second != folder
    lines = [json.loads(line) for line in (second / "judgements.jsonl").read_text().splitlines()]
    human = [row for row in lines if row["feedback"] == "human"]
    assert len(human) * 2 == len(lines)
    scored = [row for row in human if row["score"] is not None]
    assert {row["score"] for row in scored} >= {1.0}
    assert all(row["detail"]["annotators"] == ["alice"] for row in scored)
    assert all(row["detail"]["abstained"] for row in human if row["score"] is None)
    told = re.search(r"feedback human: (\d+) judged by 1 people, (\d+) without a label", said)
    assert told is not None
    assert int(told[1]) == len(scored)
    figures = json.loads((second / "feedback" / "human.json").read_text())
    assert figures["judged"] == len(scored)
    assert figures["people"][0]["name"] == "alice"
    # People break the ties of the tests: what alice put first stands above all others of its state.
    standings = [json.loads(line)["standings"] for line in (second / "standings.jsonl").read_text().splitlines()]
    broken = 0
    for rows_of_problem in standings:
        for one in rows_of_problem:
            for other in rows_of_problem:
                level = one["opinions"]["unit_tests"] == other["opinions"]["unit_tests"]
                given = None not in (one["opinions"]["human"], other["opinions"]["human"])
                if level and given and one["opinions"]["human"] > other["opinions"]["human"]:
                    assert one["score"] > other["score"]
                    broken += 1
    assert broken
    assert re.search(r"rank: unit_tests against human: \d+ of \d+ pairs of candidates in opposite orders", said)
