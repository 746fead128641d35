"""Labels that other programs wrote, and what is refused of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.errors import InputError, UserError
from rrtf_trl.labeling.formats import export_labels
from rrtf_trl.labeling.formats.argilla import user_id
from rrtf_trl.labeling.label_file import LabelFile, read_labels
from rrtf_trl.labeling.labels import Label, Ledger
from support.label_files import CHAT, import_labels, imported
from support.labelling import PROMPT, TEXTS, make_item

# -- What others write -----------------------------------------------------------------------------------


def order(label: Label) -> list[list[str]]:
    """Return the texts of a label, best first; those in one list tie."""
    return [
        sorted(answer.text for answer in label.item.answers if label.ranks.get(answer.answer_id) == rank)
        for rank in sorted(set(label.ranks.values()))
    ]


def studio_task(result: list[dict[str, Any]], data: dict[str, Any], **annotation: Any) -> dict[str, Any]:
    """Return a task as Label Studio's JSON export has it."""
    return {
        "id": 1,
        "data": data,
        "annotations": [
            {
                "id": 7,
                "completed_by": {"id": 3, "email": "ann@example.org", "first_name": "", "last_name": ""},
                "result": result,
                "was_cancelled": False,
                "ground_truth": False,
                "created_at": "2026-03-09T22:16:08.728353Z",
                "updated_at": "2026-03-09T22:16:08.728378Z",
                "draft_created_at": None,
                "lead_time": 4.288,
                "prediction": {},
                "result_count": 1,
                "unique_id": "5b3c3d3e-7f5c-4f0b-bb8e-0d5a0e0f1a2b",
                "task": 1,
                "project": 83,
                **annotation,
            }
        ],
        "drafts": [],
        "predictions": [],
        "meta": {},
        "created_at": "2026-03-09T21:52:49.513742Z",
        "project": 83,
        "total_annotations": 1,
    }


def pairwise(selected: Any, to_name: str = "answer1,answer2") -> dict[str, Any]:
    value = {"selected": selected}
    return {
        "id": "x",
        "from_name": "comparison",
        "to_name": to_name,
        "type": "pairwise",
        "value": value,
        "origin": "manual",
    }


TWO = {"prompt": "Which?", "answer1": "left one", "answer2": "right one"}
LIST = {
    "prompt": "Which?",
    "items": [
        {"id": "llm_1", "title": "LLM 1", "body": "A"},
        {"id": "llm_2", "body": "B"},
        {"id": "llm_3", "html": "C"},
    ],
}


def ranker(value: Any) -> dict[str, Any]:
    return {"id": "y", "from_name": "rank", "to_name": "answers", "type": "ranker", "value": {"ranker": value}}


def rating(number: Any, to_name: str) -> dict[str, Any]:
    return {"id": to_name, "from_name": "r", "to_name": to_name, "type": "rating", "value": {"rating": number}}


def test_label_studios_pairwise(tmp_path: Path) -> None:
    (label,) = imported(tmp_path, [studio_task([pairwise("right")], TWO)])
    assert order(label) == [["right one"], ["left one"]]
    assert (label.annotator, label.seconds, label.item.prompt) == ("ann@example.org", 4.288, "Which?")
    assert label.time == "2026-03-09T22:16:08.728353Z"


def test_label_studios_pairwise_with_tags_of_other_names(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text(
        '<View><Pairwise name="pw" toName="txt-1,txt-2"/><Text name="txt-1" value="$text1"/>'
        '<Text name="txt-2" value="$text2"/></View>'
    )
    data = {"question": "Which?", "text1": "left one", "text2": "right one"}
    task = studio_task([pairwise("left", "txt-1,txt-2")], data, completed_by=12)
    (label,) = imported(tmp_path, [task], prompt_field="question", config=tmp_path / "config.xml")
    assert order(label) == [["left one"], ["right one"]]
    assert label.annotator == "12"


@pytest.mark.parametrize(
    ("value", "buckets", "expected"),
    [
        (["llm_3", "llm_1", "llm_2"], None, [["C"], ["A"], ["B"]]),
        ({"rank_2": ["llm_1"], "rank_10": ["llm_2"], "rank_1": ["llm_3"]}, None, [["C"], ["A"], ["B"]]),
        ({"_": [], "biased_results": ["llm_3"], "relevant_results": ["llm_1", "llm_2"]}, "rb", [["A", "B"], ["C"]]),
        ({"_": ["llm_3"], "biased_results": ["llm_1"], "relevant_results": ["llm_2"]}, "rb", [["B"], ["A"]]),
    ],
)
def test_label_studios_ranker(tmp_path: Path, value: Any, buckets: str | None, expected: list[list[str]]) -> None:
    names = ["relevant_results", "biased_results"] if buckets else None
    (label,) = imported(tmp_path, [studio_task([ranker(value)], LIST)], buckets=names)
    assert order(label) == expected
    assert len(label.item.answers) == 3


def test_label_studios_rating_of_several_answers_a_task(tmp_path: Path) -> None:
    data = {**TWO, "answer3": "not rated"}
    comment = {"id": "c", "from_name": "why", "to_name": "prompt", "type": "textarea", "value": {"text": ["because"]}}
    (label,) = imported(tmp_path, [studio_task([rating(2, "answer1"), comment, rating(5, "answer2")], data)])
    assert order(label) == [["right one"], ["left one"]]
    assert len(label.item.answers) == 3


def test_label_studios_rating_of_one_answer_a_task(tmp_path: Path) -> None:
    tasks = [
        studio_task([rating(n, "answer")], {"prompt": "p", "answer": text})
        for n, text in ((3, "b"), (5, "a"), (3, "c"))
    ]
    tasks.append(studio_task([rating(1, "answer")], {"prompt": "alone", "answer": "x"}))
    (label,) = imported(tmp_path, tasks)
    assert order(label) == [["a"], ["b", "c"]]


def test_label_studios_skipped_tasks_are_left_out(tmp_path: Path) -> None:
    tasks = [studio_task([], TWO, was_cancelled=True), studio_task([pairwise("left")], TWO)]
    assert len(imported(tmp_path, tasks)) == 1
    with pytest.raises(UserError, match="no labels in this file"):
        imported(tmp_path, tasks[:1], "skipped.json")


def record(responses: dict[str, Any], fields: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Return a record as Argilla's ``Record.to_dict`` has it."""
    return {
        "id": "rec-1",
        "fields": fields or {"prompt": "Which?", "response_1": "A", "response_2": "B", "response_3": "C"},
        "metadata": {},
        "suggestions": {"ranking": {"value": ["response_3"], "score": None, "agent": "model"}},
        "responses": responses,
        "vectors": {},
        "_server_id": "0d5a0e0f-1a2b-4f0b-bb8e-5b3c3d3e7f5c",
        **more,
    }


USER = "5b3c3d3e-7f5c-4f0b-bb8e-0d5a0e0f1a2b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["response_2", "response_1", "response_3"], [["B"], ["A"], ["C"]]),
        ([{"value": "response_2", "rank": 1}, {"value": "response_1", "rank": 2}, {"value": "response_3", "rank": 2}],
         [["B"], ["A", "C"]]),
    ],
)  # fmt: skip
def test_argillas_ranking(tmp_path: Path, value: Any, expected: list[list[str]]) -> None:
    (label,) = imported(tmp_path, [record({"ranking": [{"value": value, "user_id": USER}]})])
    assert order(label) == expected
    assert label.annotator == USER


def test_argillas_rating_by_number_of_the_question(tmp_path: Path) -> None:
    given = {f"rating_{n}": [{"value": v, "user_id": USER}] for n, v in ((1, 2), (2, 5), (3, 2))}
    (label,) = imported(tmp_path, [record(given, metadata={"task_id": "t", "annotators": ["ann"]})])
    assert order(label) == [["B"], ["A", "C"]]
    assert label.item.task_id == "t"
    assert str(user_id("ann")) != USER


def test_argillas_rating_of_one_response_a_record(tmp_path: Path) -> None:
    rows = [
        record({"quality": [{"value": v, "user_id": USER}]}, {"instruction": "p", "answer": t})
        for t, v in (("x", 1), ("y", 4))
    ]
    (label,) = imported(tmp_path, rows, prompt_field="instruction")
    assert order(label) == [["y"], ["x"]]


def test_argillas_flat_rows(tmp_path: Path) -> None:
    row = {
        "id": "rec-1",
        "prompt": "Which?",
        "response_1": "A",
        "response_2": "B",
        "_server_id": "z",
        "ranking.responses": [
            ["response_2", "response_1"],
            ["response_1", "response_2"],
            ["response_1", "response_2"],
        ],
        "ranking.responses.users": [USER, "other", "third"],
        "ranking.responses.status": ["submitted", "discarded", "draft"],
        "ranking.suggestion": None,
        "ranking.suggestion.score": None,
    }
    (label,) = imported(tmp_path, [row], "in.jsonl")
    assert order(label) == [["B"], ["A"]]


RANKING = [{"value": "response-1", "rank": 2}, {"value": "response-2", "rank": 1}]
FIELDS = {"prompt": "Which?", "response-1": "A", "response-2": "B"}


def person(value: Any, user: str | None = USER, status: str = "submitted", **more: Any) -> dict[str, Any]:
    """Return a response of Argilla 1's ``FeedbackRecord``."""
    return {"user_id": user, "status": status, "values": {"ranking": {"value": value}, **more}}


def first_record(*responses: Any) -> dict[str, Any]:
    """Return a record of Argilla 1's ``FeedbackDataset``."""
    return {"external_id": None, "fields": FIELDS, "metadata": {}, "responses": list(responses), "suggestions": []}


def column(value: Any, **more: Any) -> dict[str, Any]:
    """Return a row of Argilla 1's data set on a hub, with this column for the question."""
    suggested = {"ranking-suggestion": "A text", "ranking-suggestion-metadata": {"score": None, "agent": None}}
    return {**FIELDS, "ranking": value, **suggested, "external_id": None, "metadata": '{"task_id": "t"}', **more}


BY_RANK = {"rank": [2, 1], "value": ["response-1", "response-2"]}


@pytest.mark.parametrize(
    "row",
    [
        first_record(person(RANKING)),
        first_record(person(RANKING, "other", "discarded"), person(RANKING), {"user_id": "x", "status": "discarded"}),
        first_record(person(RANKING, why={"value": "It is better."}, tags={"value": ["style"]})),
        column([{"user_id": USER, "value": BY_RANK, "status": "submitted"}]),
        column([{"user_id": USER, "value": RANKING, "status": "submitted"}, {"user_id": "b", "value": None}]),
        column({"user_id": [USER, "b"], "value": [BY_RANK, BY_RANK], "status": ["submitted", "draft"]}),
        column([{"user_id": USER, "value": BY_RANK, "status": "submitted"}], why=[{"user_id": USER, "value": "yes"}]),
    ],
)
def test_records_of_argilla_1(tmp_path: Path, row: dict[str, Any]) -> None:
    (label,) = imported(tmp_path, [row], "in.jsonl")
    assert (order(label), label.annotator) == ([["B"], ["A"]], USER)
    assert label.item.prompt == "Which?"


def test_ratings_of_argilla_1_and_its_people_without_a_name(tmp_path: Path) -> None:
    rating = {"quality-1": {"value": 2}, "quality-2": {"value": 5}}
    row = first_record({"user_id": None, "status": "submitted", "values": rating})
    (label,) = imported(tmp_path, [row], annotator="ann")
    assert (order(label), label.annotator) == ([["B"], ["A"]], "ann")


def test_argillas_records_that_nobody_has_submitted_are_left_out(tmp_path: Path) -> None:
    waiting = [record({}), record({"ranking": []}), first_record(person(RANKING, status="draft")), column([])]
    assert len(imported(tmp_path, [*waiting[:3], first_record(person(RANKING))])) == 1
    with pytest.raises(UserError, match="no labels in this file"):
        imported(tmp_path, waiting[:3], "waiting.json")


def test_label_studios_tasks_from_before_version_1(tmp_path: Path) -> None:
    task = studio_task([pairwise("right")], TWO)
    (label,) = imported(tmp_path, [{"id": 1, "data": TWO, "completions": task["annotations"]}])
    assert order(label) == [["right one"], ["left one"]]


def test_preference_rows_with_an_implicit_prompt(tmp_path: Path) -> None:
    rows = [
        {"chosen": "The sky is blue.", "rejected": "The sky is green.", "score_chosen": 9},
        {
            "chosen": [*CHAT, {"role": "assistant", "content": "yes"}],
            "rejected": [*CHAT, {"role": "assistant", "content": "no"}],
        },
    ]
    plain, chat = imported(tmp_path, rows, "in.jsonl", annotator="carol")
    assert (plain.item.prompt, order(plain)) == ("The sky is", [[" blue."], [" green."]])
    assert (chat.item.prompt, order(chat)) == (CHAT, [["yes"], ["no"]])
    assert plain.annotator == "carol"


def test_a_table_needs_three_columns_and_may_have_others(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "\ufeffquestion,response,rank,comment\nWhich?,A,2,\nWhich?,B,1,good\n\nOther,A,1,\nOther,B,1,\n",
        encoding="utf-8",
    )
    first, second = imported(tmp_path, None, "in.csv", prompt_field="question")
    assert order(first) == [["B"], ["A"]]
    assert order(second) == [["A", "B"]]


def test_labels_from_elsewhere_meet_those_of_the_page(tmp_path: Path) -> None:
    """The same answers to the same prompt are the same item, and keep what is known of who wrote them."""
    item = make_item(source="student")
    with LabelFile(tmp_path / "into.jsonl") as file:
        file.add_items([item])
    row = {
        "prompt": [{"role": "user", "content": PROMPT}],
        "responses": [f"\n{text}" for text in TEXTS],
        "ranks": [1, 2, 3, 4],
    }
    (label,) = imported(tmp_path, [row], "in.jsonl")
    assert label.item == item
    assert list(read_labels(tmp_path / "into.jsonl").items) == [item.item_id]


# -- What is refused -------------------------------------------------------------------------------------

ROW = {"prompt": "p", "responses": ["a", "b"], "ranks": [1, 2]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "hello"}, "a row with text is no label: expected responses with ranks or scores"),
        ({}, "a row with no fields is no label"),
        ({**ROW, "rank": 1}, "field rank: no such field; known are annotator"),
        ({**ROW, "ranks": [1]}, "field ranks: expected one value or null for each of the 2 responses"),
        ({**ROW, "ranks": [1, "2"]}, "field ranks: expected one value"),
        ({**ROW, "ranks": [1, None]}, "field ranks: only one response is ranked"),
        ({**ROW, "responses": ["a", "a"]}, "field responses: expected at least two different"),
        ({**ROW, "responses": ["a", "b", "a"], "ranks": [1, 2, 3]}, "field responses: the same response occurs twice"),
        ({**ROW, "positions": [1, 1]}, "field positions: expected each of 1 to 2 once"),
        ({**ROW, "time": "yesterday"}, "field time: expected ISO 8601"),
        ({**ROW, "prompt": None}, "field prompt"),
        ({"prompt": "p", "chosen": "a", "rejected": ["b"]}, "chosen, rejected: expected all text, or all"),
        ({"chosen": "a", "rejected": "b"}, "field prompt: missing, and chosen and rejected begin differently"),
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "field responses: expected at least two different"),
        ({"data": TWO}, "fields data, annotations: expected a task"),
        (studio_task([], TWO), "field result: expected a result of type pairwise, ranker"),
        (studio_task([{"type": "labels", "value": {}}], TWO), "field result: expected a result of type"),
        (studio_task([pairwise("both")], TWO), "field value.selected: expected left or right"),
        (studio_task([pairwise("left", "a,b")], TWO), "field to_name: the task's data has no text 'a'"),
        (studio_task([pairwise("left")], {"q": "p"}), "field data.prompt: missing; name the prompt's field"),
        (studio_task([ranker({"best": ["llm_1"], "worst": ["llm_2"]})], LIST), "has no number; name"),
        (studio_task([ranker(["llm_9", "llm_1"])], LIST), "field value.ranker: no item 'llm_9'"),
        (studio_task([ranker(["a"])], TWO), "field data: expected one list of items with an id, got 0"),
        (studio_task([rating("5", "answer1")], TWO), "field value.rating: expected a number, got '5'"),
        (record({"ranking": [{"value": ["response_9"], "user_id": USER}]}), "ranking: 'response_9' is none of"),
        (record({"stars": [{"value": 3, "user_id": USER}]}), "field responses.stars: its name does not show"),
        (record({"why": [{"value": "text", "user_id": USER}]}), "field responses.why: expected a ranking or a rating"),
        (record({"ranking": "x"}), "field responses.ranking: expected a list of objects"),
        (record([1]), "field responses[0].values: expected an object with the questions' values"),  # type: ignore[arg-type]
        (record([{"values": [1]}]), "field responses[0].values: expected an object"),  # type: ignore[arg-type]
        (record("x"), "field responses: expected an object or a list, got str"),  # type: ignore[arg-type]
        ({**record({}), "fields": "x"}, "field fields: expected an object, got str"),
        (first_record(person([{"value": "response-1", "rank": "best"}])), "expected numbers as ranks, got 'best'"),
        (first_record(person(["response-1", "c"])), "field responses.ranking: 'c' is none of the fields"),
        (first_record(person([["response-1"]])), "field responses.ranking: ['response-1'] is none of"),
        (record({}, {"q": "p"}), "field fields.prompt: missing; name the prompt's field with --prompt-field"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_label_is_refused_by_line_and_nothing_is_added(
    tmp_path: Path, row: Any, message: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n\n{json.dumps(row)}\n")
    with LabelFile(tmp_path / "l.jsonl") as file:
        with pytest.raises(InputError) as error:
            import_labels(path, file)
        assert str(error.value).startswith(f"{path}:3: ")
        assert message in str(error.value)
        assert not file.ledger.items
    assert len((tmp_path / "l.jsonl").read_text().splitlines()) == 1


def test_a_row_of_an_array_is_refused_by_the_line_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(json.dumps([ROW, ROW, {"text": "x"}], indent=2))
    line = path.read_text().splitlines().index('    "text": "x"')
    with LabelFile(tmp_path / "l.jsonl") as file:
        with pytest.raises(InputError, match=rf"in\.json:{line}: a row with text is no label"):
            import_labels(path, file)
        for text, message in (
            ("[1]", r"in\.json:1: expected a JSON object, got int"),
            ('[{"a":\n1,}]', r"in\.json:2: not JSON"),
        ):
            path.write_text(text)
            with pytest.raises(InputError, match=message):
                import_labels(path, file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,response,rank\np,a,1\np,b,x\n", "in.csv:2: column rank: expected a number, got 'x'"),
        ("prompt,response,rank\np,a,1\np,b\n", "in.csv:3: 2 cells, but the header has 3"),
        ("prompt,response\np,a\n", "in.csv:2: column rank: missing; this table has prompt, response"),
        ("question,response,rank\np,a,1\np,b,2\n", "in.csv:2: column prompt: missing; name the prompt's column"),
        ("label,prompt,response,rank\n1,p,a,1\n1,q,b,2\n", "in.csv:2: column prompt: differs within label '1'"),
        ("prompt,response,rank\np,a,1\n", "in.csv:2: field responses: expected at least two different responses"),
        ('prompt,response,rank\np,"a,1\n', "in.csv: not CSV"),
    ],
)
def test_a_wrong_table_is_refused_by_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(text)
    with LabelFile(tmp_path / "l.jsonl") as file, pytest.raises(InputError) as error:
        import_labels(path, file)
    assert str(error.value).startswith(str(tmp_path / message))


def test_files_that_are_not_there_or_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b"[\xff]")
    (tmp_path / "bad.xml").write_text("<View>")
    (tmp_path / "in.json").write_text(json.dumps([studio_task([pairwise("left")], TWO)]))
    with LabelFile(tmp_path / "l.jsonl") as file:
        for name, message in (("a.json", "no such file"), ("a.csv", "no such file"), ("b.json", "not UTF-8 text")):
            with pytest.raises(InputError, match=message):
                import_labels(tmp_path / name, file)
        with pytest.raises(InputError, match="not XML"):
            import_labels(tmp_path / "in.json", file, config=tmp_path / "bad.xml")
        with pytest.raises(UserError, match="no such file"):
            import_labels(tmp_path / "in.json", file, config=tmp_path / "no.xml")
    with pytest.raises(UserError, match="--to must be one of"):
        export_labels(Ledger(), "xml", tmp_path / "out")
