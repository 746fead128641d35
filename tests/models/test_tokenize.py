"""Prompts to tokens, responses to text, and what ends a response, for the kinds of tokenizers that models ship."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from rrtf_trl.models.tokenize import decode_response, encode, encode_prompt, end_tokens
from rrtf_trl.records import AssertTests, Problem

CORPUS = [f'def add_{i}(x, n):\n    """Return x."""\n    return x * n + {i}\n' for i in range(200)]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level(appends_end: bool = False) -> PreTrainedTokenizerFast:
    """GPT-2's kind, of Qwen, Llama 3, StarCoder."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    if appends_end:
        raw.post_processor = processors.TemplateProcessing(
            single="$A <|endoftext|>", pair="$A $B <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def sentence_piece() -> PreTrainedTokenizerFast:
    """The kind of Llama 2, Code Llama and Mistral: the space at the start of what is decoded is dropped."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    special = ["<unk>", "<s>", "</s>"]
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=250, special_tokens=special, max_token_length=8)
    )
    model = json.loads(trained.to_str())["model"]
    vocabulary = model["vocab"] | {f"<0x{byte:02X}>": len(model["vocab"]) + byte for byte in range(256)}
    merges = [tuple(pair) for pair in model["merges"]]
    raw = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    raw.pre_tokenizer = trained.pre_tokenizer
    raw.add_special_tokens(special)
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", raw.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


TOKENIZERS = {
    "byte level": byte_level(),
    "byte level, appends its end token": byte_level(appends_end=True),
    "sentencepiece": sentence_piece(),
}
PROMPT = 'def inc(x):\n    """Return one more."""\n'


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(
    "response",
    [
        "    return x + 1\n",
        "  return x\n",
        "return x",
        " x",
        "\n    return 'é→日本'\n",
        "\treturn x\n",
        "\n\n    y = 1\n",
    ],
)
def test_a_response_keeps_its_first_characters(name: str, response: str) -> None:
    tokenizer = TOKENIZERS[name]
    before = encode("x", tokenizer)  # a letter that merges with nothing here, so that the rest is the response's
    joint = encode("x" + response, tokenizer)
    assert joint[: len(before)] == before
    for prompt in (PROMPT, "def f(): # é", "日"):
        assert decode_response(encode(prompt, tokenizer), joint[len(before) :], tokenizer) == response


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40), cut=st.integers(0, 200))
def test_any_split_of_tokens_reads_as_the_whole(name: str, text: str, cut: int) -> None:
    tokenizer = TOKENIZERS[name]
    ids = encode(PROMPT + text, tokenizer)
    cut = min(cut, len(ids))
    before = tokenizer.decode(ids[:cut], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    whole = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    if whole.startswith(before):  # not in the middle of a character
        assert before + decode_response(ids[:cut], ids[cut:], tokenizer) == whole


def test_a_prompt_does_not_end_with_an_end_token() -> None:
    problem = Problem("t/0", PROMPT, AssertTests(["assert inc(1) == 2"]), "inc")
    plain, appends = (encode_prompt(problem, TOKENIZERS[name], "m") for name in list(TOKENIZERS)[:2])
    assert plain == appends
    assert encode("", TOKENIZERS["byte level, appends its end token"]) == []


def with_template(template: str, **tokens: Any) -> PreTrainedTokenizerFast:
    tokenizer = byte_level()
    for name, value in tokens.items():
        setattr(tokenizer, name, value)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(
    ("template", "chat", "ends"),
    [
        (CHATML, True, ["<|endoftext|>", "<|im_end|>"]),
        (CHATML, False, ["<|endoftext|>"]),
        ("{% for m in messages %}{{ m['content'] + '<|endoftext|>' }}{% endfor %}", True, ["<|endoftext|>"]),
        ("{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}", True, ["<|endoftext|>"]),
        (
            "{% for m in messages %}{{ m['content'] + ' <|im_end|>' }}{% endfor %}",
            True,
            ["<|endoftext|>", "<|im_end|>"],
        ),
        ("{{ messages[0]['content'] + '<|im_end|>' }}", True, ["<|endoftext|>"]),
        ("{{ raise_exception('no') }}", True, ["<|endoftext|>"]),
    ],
    ids=["another token", "plain prompts", "the end token", "no token", "after a space", "one turn", "it refuses"],
)
def test_a_chat_response_ends_where_the_template_ends_a_turn(template: str, chat: bool, ends: list[str]) -> None:
    tokenizer = with_template(template)
    assert tokenizer.convert_ids_to_tokens(end_tokens(tokenizer, None, chat)) == ends


def test_the_generation_config_may_name_further_ends() -> None:
    tokenizer = TOKENIZERS["byte level"]
    assert end_tokens(tokenizer, 5, chat=False) == [0, 5]
    assert end_tokens(tokenizer, [7, 0], chat=False) == [0, 7]
    tokenizer = byte_level()
    tokenizer.eos_token = None
    assert end_tokens(tokenizer, None, chat=False) == []
