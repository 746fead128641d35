"""Data sets as they are prepared: refused rows by their place, the limits, what is dropped, and streams."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerFast

from rrtf_trl.training.prepare import fit_row, prepare_dataset
from support.trainer_checks import Build

Tok = PreTrainedTokenizerFast

GOOD = {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0]}


def prepare(rows: Any, tokenizer: Tok, **options: Any) -> Any:
    defaults = {
        "name": "train",
        "max_length": None,
        "max_responses": None,
        "require_sources": False,
        "num_proc": None,
    }
    dataset = Dataset.from_list(rows) if isinstance(rows, list) else rows
    return prepare_dataset(dataset, tokenizer, **{**defaults, **options})


# -- Refused rows -----


def test_the_refused_row_is_named_by_its_place_in_the_data_set(base_tokenizer: Tok) -> None:
    bad = {**GOOD, "scores": [math.nan, 0.0]}
    with pytest.raises(ValueError, match=r"Row 2: scores\[0\] is nan"):
        prepare([GOOD, GOOD, bad], base_tokenizer)


@pytest.mark.parametrize("stream", [False, True], ids=["data set", "stream"])
def test_the_refused_row_is_named_with_its_data_set(base_tokenizer: Tok, stream: bool) -> None:
    rows = Dataset.from_list([GOOD, {**GOOD, "scores": [math.nan, 0.0]}])
    with pytest.raises(ValueError, match=r"^hard data set: Row 1: scores\[0\] is nan"):
        list(prepare(rows.to_iterable_dataset() if stream else rows, base_tokenizer, name="hard"))


def test_a_column_of_ones_own_does_not_pass_for_a_prepared_data_set(base_tokenizer: Tok) -> None:
    (row,) = prepare([{**GOOD, "kept": "by hand"}], base_tokenizer)
    (plain,) = prepare([GOOD], base_tokenizer)
    assert row == plain


def test_an_empty_data_set_is_refused(base_tokenizer: Tok) -> None:
    with pytest.raises(ValueError, match="The eval data set is empty"):
        prepare(Dataset.from_list([]), base_tokenizer, name="eval")


def test_teacher_student_pairs_refuse_a_data_set_without_sources(base_tokenizer: Tok) -> None:
    with pytest.raises(ValueError, match="Row 0 has no 'sources'"):
        prepare([GOOD], base_tokenizer, require_sources=True)


def test_a_preference_row_gives_what_its_ranked_form_gives(base_tokenizer: Tok) -> None:
    preference = prepare([{"prompt": "p", "chosen": "a", "rejected": "b"}], base_tokenizer)
    ranked = prepare([GOOD], base_tokenizer)
    assert preference[0] == ranked[0]
    assert {"prompt_ids", "response_ids", "scores", "from_teacher"} <= set(preference.column_names)


# -- Limits ----------------------------------------------------------------------------------------------

# Every letter is one token: the prompt is 2 tokens, a response its letters and the end of sequence.
LONG = {"prompt": "pq", "responses": ["z", "zqz", "zqzqzqz"], "scores": [0.0, 1.0, 2.0]}


def sizes(dataset: Any) -> list[list[int]]:
    return [[len(ids) for ids in row["response_ids"]] for row in dataset]


@pytest.mark.parametrize(("max_length", "expected"), [(None, [2, 4, 8]), (10, [2, 4, 8]), (9, [2, 4]), (6, [2, 4])])
def test_a_response_that_does_not_fit_is_left_out_whole(
    base_tokenizer: Tok, max_length: int | None, expected: list[int]
) -> None:
    dataset = prepare([LONG], base_tokenizer, max_length=max_length)
    assert sizes(dataset) == [expected]
    assert dataset[0]["scores"] == LONG["scores"][: len(expected)]
    assert all(ids[-1] == base_tokenizer.eos_token_id for ids in dataset[0]["response_ids"])


def test_prepared_rows_know_which_row_and_responses_they_come_from(base_tokenizer: Tok) -> None:
    dropped = {**LONG, "responses": ["zqzqzqz", "qzqzqzq"], "scores": [1.0, 0.0]}
    mixed = {**LONG, "responses": ["zqzqzqz", "z", "zqz"]}
    dataset = prepare([dropped, mixed], base_tokenizer, max_length=6)
    assert dataset["row"][:] == [1]
    assert dataset["kept"][:] == [[1, 2]]


def test_rows_with_fewer_than_two_responses_left_are_dropped(base_tokenizer: Tok) -> None:
    assert sizes(prepare([LONG, {**LONG, "prompt": "p"}], base_tokenizer, max_length=5)) == [[2, 4]]


@pytest.mark.parametrize("stream", [False, True], ids=["data set", "stream"])
def test_where_one_response_is_enough_only_rows_with_none_are_dropped(
    base_tokenizer: Tok, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    rows = Dataset.from_list([LONG, {**LONG, "prompt": "pqpqpq"}, {**LONG, "responses": ["z"], "scores": [0.0]}])
    with caplog.at_level(logging.WARNING):
        kept = prepare(rows.to_iterable_dataset() if stream else rows, base_tokenizer, max_length=5, min_responses=1)
        assert sizes(kept) == [[2], [2]]
    counted = (
        "1 rows of the stream so far had no responses within max_length=5 tokens and were dropped, row 1 the latest"
        if stream
        else "train data set: 5 responses longer than max_length=5 tokens with their prompt (longest: 14) were left "
        "out, and 1 of 3 rows had none left."
    )
    assert counted in caplog.text


def test_what_is_too_long_is_counted(base_tokenizer: Tok, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        prepare([LONG, {**LONG, "prompt": "p"}, GOOD], base_tokenizer, max_length=5)
    (record,) = caplog.records
    assert "train data set: 3 responses longer than max_length=5 tokens" in record.message
    assert "(longest: 10)" in record.message
    assert "1 of 3 rows had fewer than two left" in record.message


def test_responses_left_out_by_max_responses_are_not_counted_as_too_long(
    base_tokenizer: Tok, caplog: pytest.LogCaptureFixture
) -> None:
    many = {"prompt": "pq", "responses": list("abcdef"), "scores": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}
    with caplog.at_level(logging.WARNING):
        prepare([LONG, many], base_tokenizer, max_length=9, max_responses=2)
    (record,) = caplog.records
    assert "train data set: 1 responses longer than" in record.message


def test_nothing_is_reported_where_everything_fits(base_tokenizer: Tok, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        prepare([LONG], base_tokenizer, max_length=10, max_responses=2)
    assert caplog.records == []


def test_no_row_left_is_an_error(base_tokenizer: Tok) -> None:
    with pytest.raises(ValueError, match="No row is left: raise `max_length`"):
        prepare([LONG, LONG], base_tokenizer, max_length=5)


@pytest.mark.parametrize("stream", [False, True], ids=["data set", "stream"])
def test_rows_without_a_good_response_are_dropped_and_counted(
    base_tokenizer: Tok, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    rows = Dataset.from_list([LONG, {**LONG, "scores": [0.0, 1.0, 1.9]}])
    rows = rows.to_iterable_dataset() if stream else rows
    with caplog.at_level(logging.WARNING):
        kept = list(prepare(rows, base_tokenizer, min_score=2.0))
    assert [row["row"] for row in kept] == [0]
    told = {
        False: "train data set: 1 of 2 rows have no response with a score of at least 2 and were dropped",
        True: "train data set: 1 rows of the stream so far had no response with a score of at least 2 and were drop",
    }
    (record,) = caplog.records
    assert told[stream] in record.message


def test_a_response_that_is_too_long_does_not_save_its_row(base_tokenizer: Tok) -> None:
    good = {**LONG, "scores": [2.0, 0.0, 1.0]}
    assert sizes(prepare([LONG, good], base_tokenizer, max_length=9, min_score=2.0)) == [[2, 4]]


def test_no_good_response_at_all_is_an_error(base_tokenizer: Tok) -> None:
    with pytest.raises(ValueError, match=r"2 of 2 rows have no response .* at least 2\.5: nothing is left .*rank_min"):
        prepare([LONG, LONG], base_tokenizer, min_score=2.5)


def fitted(scores: list[float], max_responses: int, from_teacher: list[bool] | None = None) -> list[int]:
    """The places of the responses that ``max_responses`` keeps."""
    example = {
        "prompt_ids": [0],
        "response_ids": [[place] for place in range(len(scores))],
        "scores": scores,
        "from_teacher": from_teacher or [False] * len(scores),
    }
    row = fit_row(example, None, max_responses)
    assert row["scores"] == [scores[ids[0]] for ids in row["response_ids"]]
    return [ids[0] for ids in row["response_ids"]]


@pytest.mark.parametrize(
    ("max_responses", "expected"), [(2, [1, 3]), (3, [0, 1, 3]), (4, [1, 2, 3, 4]), (5, [0, 1, 2, 3, 4])]
)
def test_max_responses_keeps_best_and_worst_and_the_order(max_responses: int, expected: list[int]) -> None:
    assert fitted([2.0, 0.0, 3.0, 4.0, 1.0], max_responses) == expected


def test_max_responses_keeps_that_many_of_any_row() -> None:
    for size in range(2, 17):
        scores = [float(place * 7 % size) for place in range(size)]
        for limit in range(2, 17):
            kept = fitted(scores, limit)
            assert len(kept) == min(size, limit)
            assert {max(scores), min(scores)} <= {scores[place] for place in kept}


def test_max_responses_keeps_the_teacher_among_equally_good() -> None:
    assert fitted([1.0, 1.0, 0.0], 2, from_teacher=[False, True, False]) == [1, 2]


def test_max_responses_chooses_among_those_that_fit(base_tokenizer: Tok) -> None:
    row = {**LONG, "responses": ["z", "zq", "zqz", "zqzqzqz"], "scores": [0.0, 1.0, 2.0, 3.0]}
    assert sizes(prepare([row], base_tokenizer, max_length=6, max_responses=2)) == [[2, 4]]


# -- Data sets -------------------------------------------------------------------------------------------


def test_a_stream_gives_what_a_data_set_gives(base_tokenizer: Tok, ranked: Dataset) -> None:
    options = {"max_length": 20, "max_responses": 3}
    expected = prepare(ranked, base_tokenizer, **options).to_list()
    stream = prepare(ranked.to_iterable_dataset(), base_tokenizer, **options)
    assert isinstance(stream, IterableDataset)
    assert 2 <= len(expected) < len(ranked)
    assert list(stream) == expected


def test_tokenized_rows_pass_through(base_tokenizer: Tok) -> None:
    dataset = prepare([GOOD], base_tokenizer)
    assert prepare(dataset, base_tokenizer) is dataset


@pytest.mark.slow
def test_several_processes_give_what_one_gives(base_tokenizer: Tok, ranked: Dataset) -> None:
    expected = prepare(ranked, base_tokenizer, max_length=30).to_list()
    assert prepare(ranked, base_tokenizer, max_length=30, num_proc=2).to_list() == expected


def test_the_passing_score_of_a_stream_is_that_of_its_first_row(
    trainer: Build, ranked: Dataset, llama_path: str
) -> None:
    rows = ranked.map(lambda row: {"passing_score": 2.0})
    for stream in (rows.to_iterable_dataset(), rows.to_iterable_dataset().map(lambda row: row)):
        ours = trainer(llama_path, stream)
        assert (ours.args.sft_min_score, ours.args.rank_min_score) == (2.0, 2.0)
    assert trainer(llama_path, ranked.to_iterable_dataset()).args.rank_min_score is None
