"""Rows of every accepted form, rows that are refused, token borders, and batches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from rrtf_trl.training import RankedCollator
from rrtf_trl.training.data import ranked_row, tokenize_row

Tok = PreTrainedTokenizerFast


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


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


def test_teacher_student_pairs_refuse_a_row_without_sources() -> None:
    ranked_row(GOOD, 7)
    with pytest.raises(ValueError, match=r"Row 7 has no 'sources'.*teacher_student"):
        ranked_row(GOOD, 7, require_sources=True)


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
