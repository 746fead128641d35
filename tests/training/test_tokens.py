"""The tokens of prompts and responses: borders, ends, chat templates, thoughts."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from rrtf_trl.training.tokens import tokenize_row

Tok = PreTrainedTokenizerFast
GOOD = {"prompt": "p", "responses": ["a", "b"], "scores": [1.0, 0.0]}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


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


def test_a_prompt_rendered_beforehand_begins_and_ends_once(tokenizer: Tok) -> None:
    tokenizer.add_special_tokens({"bos_token": "<bos>", "additional_special_tokens": ["<end>"]})
    bos = [("<bos>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=bos)
    tokenizer.chat_template = str(tokenizer.chat_template).replace("{{ eos_token }}", "<end>\n")
    row = {**GOOD, "prompt": "<bos>[user]p<end>\n[assistant]", "responses": ["a\n<end>\n", "b"]}
    example = tokenize_row(row, 0, tokenizer)
    assert tokenizer.decode(example["prompt_ids"]) == "<bos>[user]p<end>\n[assistant]"
    assert [tokenizer.decode(ids) for ids in example["response_ids"]] == ["a\n<end>", "b<eos>"]


def test_a_prompt_without_a_token_is_refused(base_tokenizer: Tok) -> None:
    with pytest.raises(ValueError, match="Row 3: the prompt has no token"):
        tokenize_row({**GOOD, "prompt": ""}, 3, base_tokenizer)


# -- Thoughts, and templates that open a turn in a way of their own ------------------------------------------

THINKING = (
    "{% for m in messages %}[{{ m['role'] }}]{% if m['role'] == 'assistant' %}{{ m['content'].split('</think>')[-1] "
    "| trim }}{% else %}{{ m['content'] }}{% endif %}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]<think>\n{% endif %}"
)
CHAT = {"prompt": [{"role": "user", "content": "p"}], "scores": [1.0, 0.0]}


@pytest.fixture
def thinking(tokenizer: Tok) -> Tok:
    """A tokenizer whose chat template opens the thoughts, and removes those of earlier turns."""
    tokenizer.chat_template = THINKING
    return tokenizer


def trained(tokenizer: Tok, responses: list[Any], **options: Any) -> tuple[str, list[str]]:
    example = tokenize_row({**CHAT, "responses": responses}, 0, tokenizer, **options)
    return tokenizer.decode(example["prompt_ids"]), [tokenizer.decode(ids) for ids in example["response_ids"]]


def test_what_was_sampled_after_opened_thoughts_is_trained_on_unchanged(thinking: Tok) -> None:
    drawn = ["x + x\n</think>\n\n return x", "no\n</think>\n\npass\n"]
    prompt, responses = trained(thinking, drawn)
    assert prompt == "[user]p<eos>[assistant]<think>\n"
    assert responses == [text + "<eos>" for text in drawn]


@pytest.mark.parametrize("form", [str, lambda text: [{"role": "assistant", "content": text}]])
def test_a_response_from_elsewhere_fits_the_opened_thoughts(thinking: Tok, form: Any) -> None:
    _, responses = trained(thinking, [form("<think>\nx\n</think>\n\n return x"), form(" return 1")])
    assert responses == ["x\n</think>\n\n return x<eos>", "\n</think>\n\n return 1<eos>"]


def test_thoughts_can_be_dropped(thinking: Tok, base_tokenizer: Tok) -> None:
    drawn = ["<think>\nx\n</think>\n\nreturn x", "return 1"]
    assert trained(base_tokenizer, drawn, reasoning="drop")[1] == ["return x<eos>", "return 1<eos>"]
    empty = "\n</think>\n\n"
    assert trained(thinking, drawn, reasoning="drop")[1] == [f"{empty}return x<eos>", f"{empty}return 1<eos>"]


def test_masked_thoughts_are_read_and_not_scored(base_tokenizer: Tok) -> None:
    drawn = ["<think>\nx + x\n</think>\n\nreturn x", "return 1"]
    example = tokenize_row({**CHAT, "responses": drawn}, 0, base_tokenizer, reasoning="mask")
    ids, unscored = example["response_ids"], example["unscored"]
    assert [base_tokenizer.decode(one) for one in ids] == [text + "<eos>" for text in drawn]
    assert unscored[1] == 0
    assert base_tokenizer.decode(ids[0][unscored[0] :]) == "return x<eos>"


def test_a_template_that_renders_the_prompt_anew_after_it_is_refused_where_a_turn_would_be_scored(
    tokenizer: Tok,
) -> None:
    tokenizer.chat_template = "{{ '' if add_generation_prompt else '[chat]' }}" + str(tokenizer.chat_template)
    _, responses = trained(tokenizer, ["a", [{"role": "assistant", "content": "b"}]])
    assert responses == ["a<eos>", "b<eos>"]
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    with pytest.raises(ValueError, match="Row 0: the chat template renders the prompt in another way"):
        trained(tokenizer, ["a", [{"role": "assistant", "content": "b", "tool_calls": calls}]])


def test_texts_beside_messages_begin_where_these_have_to(tokenizer: Tok) -> None:
    tokenizer.chat_template = (
        str(tokenizer.chat_template).partition("{% if add_generation_prompt %}")[0]
        + "{% if add_generation_prompt %}[assistant]>{% endif %}"
    )
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    prompt, responses = trained(tokenizer, ["a", [{"role": "assistant", "content": "b", "tool_calls": calls}]])
    assert prompt == "[user]p<eos>[assistant]"
    assert responses == [">a<eos>", "b<eos>"]


def test_the_tokens_that_were_drawn_are_kept_where_they_are_this_tokenizers(base_tokenizer: Tok) -> None:
    whole, other = trained_ids(base_tokenizer, ["return x", "pass"])
    drawn = [id_ for letter in "return x" for id_ in base_tokenizer(letter)["input_ids"]]
    assert drawn != whole[:-1]
    row = {**CHAT, "responses": ["return x", "pass"], "token_ids": [drawn, [5, 6, 7]]}
    example = tokenize_row(row, 0, base_tokenizer)
    assert example["response_ids"] == [[*drawn, base_tokenizer.eos_token_id], other]
    assert example["redrawn"] == 1


def trained_ids(tokenizer: Tok, responses: list[str]) -> list[list[int]]:
    ids: list[list[int]] = tokenize_row({**CHAT, "responses": responses}, 0, tokenizer)["response_ids"]
    return ids


def test_chat_template_kwargs_of_a_row_reach_the_template(tokenizer: Tok) -> None:
    tokenizer.chat_template = "{{ greeting }}" + str(tokenizer.chat_template)
    row = {"prompt": [user("p")], "responses": ["a", "b"], "scores": [1.0, 0.0]}
    example = tokenize_row({**row, "chat_template_kwargs": {"greeting": "hi"}}, 0, tokenizer)
    assert tokenizer.decode(example["prompt_ids"]) == "hi[user]p<eos>[assistant]"
    example = tokenize_row(row, 0, tokenizer, chat_template_kwargs={"greeting": "hello"})
    assert tokenizer.decode(example["prompt_ids"]) == "hello[user]p<eos>[assistant]"
