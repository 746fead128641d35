"""Rows of every accepted form, rows that are refused, token borders, length limits, and batches."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import torch
from datasets import Dataset, IterableDataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from rrtf_trl.training import RankedCollator
from rrtf_trl.training.data import fit_row, prepare_dataset, ranked_row, tokenize_row

Tok = PreTrainedTokenizerFast


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


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


# -- Accepted rows ---------------------------------------------------------------------------------------

TEXT = {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0], "from_teacher": [False, False]}
CHAT = {**TEXT, "prompt": [user("p")], "responses": [[assistant("a")], [assistant("b")]]}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param({"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0]}, TEXT, id="ranked"),
        pytest.param({"prompt": "p", "responses": ["a", "b"], "scores": [1, 0]}, TEXT, id="ranked, whole scores"),
        pytest.param(
            {"prompt": "p", "responses": ["a", "b"], "scores": [1, 0], "sources": None},
            TEXT,
            id="ranked, sources null",
        ),
        pytest.param(
            {"prompt": [user("p")], "responses": [[assistant("a")], [assistant("b")]], "scores": [1, 0]},
            CHAT,
            id="ranked, conversational",
        ),
        pytest.param(
            {"prompt": [user("p")], "responses": ["a", "b"], "scores": [1, 0]},
            CHAT,
            id="ranked, conversational with plain responses",
        ),
        pytest.param({"prompt": "p", "chosen": "a", "rejected": "b"}, TEXT, id="preference"),
        pytest.param({"chosen": "pa", "rejected": "pb"}, TEXT, id="preference, implicit prompt"),
        pytest.param(
            {"prompt": [user("p")], "chosen": [assistant("a")], "rejected": [assistant("b")]},
            CHAT,
            id="preference, conversational",
        ),
        pytest.param(
            {"chosen": [user("p"), assistant("a")], "rejected": [user("p"), assistant("b")]},
            CHAT,
            id="preference, conversational with implicit prompt",
        ),
        pytest.param(
            {"prompt": "p", "responses": ["a", "b"], "scores": [1, 0], "chosen": None, "rejected": None},
            TEXT,
            id="ranked among preference rows",
        ),
        pytest.param(
            {"prompt": "p", "responses": None, "scores": None, "chosen": "a", "rejected": "b"},
            TEXT,
            id="preference among ranked rows",
        ),
    ],
)
def test_accepted_rows(row: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ranked_row(row, 0) == expected


def test_every_source_but_the_student_is_a_teacher() -> None:
    sources = ["student", "teacher", "reference", "human", None]
    row = {"prompt": "p", "responses": list("abcde"), "scores": [0.0] * 5, "sources": sources}
    assert ranked_row(row, 0, require_sources=True)["from_teacher"] == [False, True, True, True, False]


# -- Refused rows ----------------------------------------------------------------------------------------

GOOD = {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"responses": ["a", "b"], "scores": [1, 0]}, "Row 7 has no 'prompt'"),
        ({"prompt": "p", "responses": ["a", "b"]}, "Row 7 has no 'scores'"),
        ({"prompt": "p", "scores": [1, 0]}, "Row 7 has no 'responses'"),
        ({"prompt": "p", "text": "t"}, "Row 7 has no 'responses' and no 'scores'.*this one has prompt, text"),
        ({**GOOD, "prompt": None}, "Row 7 has no 'prompt'"),
        ({**GOOD, "scores": None}, "Row 7 has no 'scores'"),
        ({"prompt": "p", "chosen": "a"}, "Row 7 has no 'rejected'"),
        ({"prompt": "p", "chosen": "a", "rejected": None}, "Row 7 has no 'rejected'"),
        ({"prompt": "p", "rejected": "b"}, "Row 7 has no 'chosen'"),
        ({**GOOD, "scores": [1.0]}, "Row 7 has 2 responses but 1 scores"),
        ({**GOOD, "scores": [1.0, 0.0, 0.0]}, "Row 7 has 2 responses but 3 scores"),
        ({**GOOD, "sources": ["teacher"]}, "Row 7 has 2 responses but 1 sources"),
        ({**GOOD, "responses": ["a"], "scores": [1.0]}, "Row 7 has 1 response.*at least two"),
        ({**GOOD, "responses": [], "scores": []}, "Row 7 has 0 response.*at least two"),
        ({**GOOD, "responses": ["a", ""]}, r"Row 7: responses\[1\] is empty"),
        ({**GOOD, "responses": [None, "b"]}, r"Row 7: responses\[0\] is empty"),
        (
            {**GOOD, "prompt": [user("p")], "responses": [[assistant("a")], []]},
            r"Row 7: responses\[1\] is empty",
        ),
        (
            {**GOOD, "prompt": [user("p")], "responses": [[assistant("a")], [assistant("")]]},
            r"Row 7: responses\[1\] is empty",
        ),
        ({"prompt": "p", "chosen": "a", "rejected": ""}, r"Row 7: responses\[1\] is empty"),
        ({"chosen": "", "rejected": "b"}, "Row 7: 'chosen' or 'rejected' is empty"),
        ({**GOOD, "scores": [math.nan, 0.0]}, r"Row 7: scores\[0\] is nan"),
        ({**GOOD, "scores": [1.0, math.inf]}, r"Row 7: scores\[1\] is inf"),
        ({**GOOD, "scores": [1.0, -math.inf]}, r"Row 7: scores\[1\] is -inf"),
        ({**GOOD, "scores": [1e39, 0.0]}, r"Row 7: scores\[0\] is 1e\+39, not a finite number within ±1.7e\+38"),
        ({**GOOD, "scores": [3e38, -3e38]}, r"Row 7: scores\[0\] is 3e\+38"),
        ({**GOOD, "scores": [0, -(10**400)]}, r"Row 7: scores\[1\] is -10+, not a finite number"),
        ({**GOOD, "scores": [1.0, None]}, r"Row 7: scores\[1\] is None"),
        ({**GOOD, "scores": ["1", "0"]}, r"Row 7: scores\[0\] is '1', not a finite number"),
        ({**GOOD, "scores": 1.0}, "Row 7: 'scores' is 1.0, not a list"),
        ({**GOOD, "responses": "ab"}, "Row 7: 'responses' is 'ab', not a list"),
        ({**GOOD, "prompt": {"content": "p"}}, "Row 7: 'prompt' is .*, neither text nor chat messages"),
        ({**GOOD, "responses": [[assistant("a")], "b"]}, r"Row 7: the prompt is text, but responses\[0\] is a list"),
    ],
)
def test_refused_rows_are_named_with_what_is_wrong(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranked_row(row, 7)


def test_teacher_student_pairs_refuse_a_row_without_sources(base_tokenizer: Tok) -> None:
    ranked_row(GOOD, 7)
    with pytest.raises(ValueError, match=r"Row 7 has no 'sources'.*teacher_student"):
        ranked_row(GOOD, 7, require_sources=True)
    with pytest.raises(ValueError, match="Row 0 has no 'sources'"):
        prepare([GOOD], base_tokenizer, require_sources=True)


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


# -- Tokens ----------------------------------------------------------------------------------------------


def tokens(tokenizer: Tok, row: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    example = tokenize_row(row, 0, tokenizer)
    responses = [tokenizer.convert_ids_to_tokens(ids) for ids in example["response_ids"]]
    return tokenizer.convert_ids_to_tokens(example["prompt_ids"]), responses


def test_plain_responses_end_with_one_end_of_sequence(base_tokenizer: Tok) -> None:
    _, responses = tokens(base_tokenizer, {**GOOD, "responses": ["b", "b<eos>"]})
    assert responses == [["b", "<eos>"], ["b", "<eos>"]]


def test_a_tokenizer_without_end_of_sequence_adds_none(tokenizer: Tok) -> None:
    tokenizer.eos_token = None
    _, responses = tokens(tokenizer, GOOD)
    assert responses == [["a"], ["b"]]


def test_a_tokenizer_that_ends_every_text_ends_responses_once_and_prompts_not(tokenizer: Tok) -> None:
    plain = tokenize_row(GOOD, 0, tokenizer)
    eos = [(tokenizer.eos_token, tokenizer.eos_token_id)]
    single = f"$A {tokenizer.eos_token}"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=eos)
    assert tokenizer("p")["input_ids"][-1] == tokenizer.eos_token_id
    assert tokenize_row(GOOD, 0, tokenizer) == plain


def test_a_merge_over_the_border_leaves_the_prompt_its_own_tokens(base_tokenizer: Tok) -> None:
    prompt, response = "def f(x):\n", "    return x\n"
    assert "ĊĠĠĠ" in base_tokenizer.tokenize(prompt + response)  # the merge that the border must prevent
    prompt_tokens, responses = tokens(base_tokenizer, {**GOOD, "prompt": prompt, "responses": [response, "x"]})
    assert prompt_tokens == ["def", "Ġ", "f", "(", "x", "):", "Ċ"]
    assert responses == [["ĠĠĠ", "Ġreturn", "Ġx", "Ċ", "<eos>"], ["x", "<eos>"]]


def test_tokens_read_back_as_the_text(base_tokenizer: Tok, ranked: Dataset) -> None:
    for index, row in enumerate(ranked):
        example = tokenize_row(row, index, base_tokenizer)
        for ids, response in zip(example["response_ids"], row["responses"], strict=True):
            text = base_tokenizer.decode(example["prompt_ids"] + ids, clean_up_tokenization_spaces=False)
            assert text == row["prompt"] + response + "<eos>"


@pytest.fixture(scope="module")
def sentencepiece() -> Tok:
    """A tokenizer that marks word starts: a response tokenized alone would read as a word of its own."""
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    unigram.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    unigram.train_from_iterator(["the answer is two", "what is the answer", "answers"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=unigram, eos_token="</s>", unk_token="<unk>")


def test_a_word_start_tokenizer_splits_where_the_tokens_agree(sentencepiece: Tok) -> None:
    row = {"prompt": "the ans", "responses": ["wer", "wers"], "scores": [1.0, 0.0]}
    prompt_tokens, responses = tokens(sentencepiece, row)
    assert prompt_tokens == sentencepiece.tokenize("the")
    assert responses == [["▁answer", "</s>"], ["▁answer", "s", "</s>"]]


def test_a_word_start_tokenizer_adds_no_space_at_the_border(sentencepiece: Tok) -> None:
    row = {"prompt": "the answer", "responses": ["s", " is"], "scores": [1.0, 0.0]}
    prompt_tokens, responses = tokens(sentencepiece, row)
    assert prompt_tokens == sentencepiece.tokenize("the answer")
    assert responses == [["s", "</s>"], [*sentencepiece.tokenize("is"), "</s>"]]


def test_chat_responses_start_after_the_generation_prompt_and_end_as_the_template_ends_a_turn(
    base_tokenizer: Tok,
) -> None:
    row = {"prompt": [user("p")], "responses": ["a", "b"], "scores": [1.0, 0.0]}
    example = tokenize_row(row, 0, base_tokenizer)
    assert base_tokenizer.decode(example["prompt_ids"]) == "[user]p<eos>[assistant]"
    assert [base_tokenizer.decode(ids) for ids in example["response_ids"]] == ["a<eos>", "b<eos>"]


def test_chat_template_kwargs_of_a_row_reach_the_template(tokenizer: Tok) -> None:
    tokenizer.chat_template = "{{ greeting }}" + str(tokenizer.chat_template)
    row = {"prompt": [user("p")], "responses": ["a", "b"], "scores": [1.0, 0.0]}
    example = tokenize_row({**row, "chat_template_kwargs": {"greeting": "hi"}}, 0, tokenizer)
    assert tokenizer.decode(example["prompt_ids"]) == "hi[user]p<eos>[assistant]"


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


def test_several_processes_give_what_one_gives(base_tokenizer: Tok, ranked: Dataset) -> None:
    expected = prepare(ranked, base_tokenizer, max_length=30).to_list()
    assert prepare(ranked, base_tokenizer, max_length=30, num_proc=2).to_list() == expected


# -- Batches ---------------------------------------------------------------------------------------------

EXAMPLES = [
    {
        "prompt_ids": [1, 2],
        "response_ids": [[3], [4, 5]],
        "scores": [0.0, 1.0],
        "from_teacher": [False, True],
    },
    {"prompt_ids": [6], "response_ids": [[7, 8], [9]], "scores": [0.5, -1.0], "from_teacher": [False, False]},
]


def test_a_batch_in_full() -> None:
    batch = RankedCollator(pad_token_id=0)(EXAMPLES)
    expected = {
        "input_ids": torch.tensor([[1, 2, 3, 0], [1, 2, 4, 5], [6, 7, 8, 0], [6, 9, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]),
        "completion_mask": torch.tensor([[0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 1, 0], [0, 1, 0, 0]]),
        "scores": torch.tensor([0.0, 1.0, 0.5, -1.0]),
        "group_ids": torch.tensor([0, 0, 1, 1]),
        "from_teacher": torch.tensor([False, True, False, False]),
    }
    assert batch.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(batch[name], tensor, rtol=0, atol=0, msg=name)


def test_padding_to_a_multiple() -> None:
    batch = RankedCollator(pad_token_id=9, pad_to_multiple_of=8)(EXAMPLES)
    assert batch["input_ids"][1].tolist() == [1, 2, 4, 5, 9, 9, 9, 9]
    assert batch["attention_mask"][1].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert batch["completion_mask"][1].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_a_pad_token_inside_a_response_is_not_padding() -> None:
    example = {
        "prompt_ids": [1],
        "response_ids": [[5, 0], [0]],
        "scores": [1.0, 0.0],
        "from_teacher": [False, False],
    }
    batch = RankedCollator(pad_token_id=0)([example])
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["completion_mask"].tolist() == [[0, 1, 1], [0, 1, 0]]
