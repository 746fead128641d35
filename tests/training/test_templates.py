"""The chat template and the end of a text that the user chooses, in training and in what is saved."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoHaConfig, LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from rrtf_trl import RRTFTrainer
from rrtf_trl.models.loading import load_for_generation

Build = Callable[..., RRTFTrainer]
OTHER = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}!{% endfor %}"
    "{{ '<assistant>' if add_generation_prompt }}"
)
CHAT = {
    "prompt": [{"role": "user", "content": "ab"}],
    "responses": [[{"role": "assistant", "content": "cd"}], [{"role": "assistant", "content": "ef"}]],
    "scores": [1.0, 0.0],
}
TEXT = {"prompt": "ab", "responses": ["cd", "ef"], "scores": [1.0, 0.0]}


def texts(trainer: RRTFTrainer) -> list[str]:
    tokenizer: Any = trainer.processing_class
    row = trainer.train_dataset[0]
    return [tokenizer.decode(row["prompt_ids"] + ids) for ids in row["response_ids"]]


# -- End of sequence -----


def test_a_chosen_token_ends_texts_in_training_and_generation(trainer: Build, llama_path: str, tmp_path: Path) -> None:
    """As SFTTrainer does it, in tokenizer, model and generation config."""
    ours = trainer(llama_path, Dataset.from_list([TEXT]), eos_token="!")
    assert texts(ours) == ["abcd!", "abef!"]
    theirs = SFTTrainer(
        llama_path,
        args=SFTConfig(str(tmp_path / "sft"), eos_token="!", use_cpu=True, bf16=False, report_to="none"),
        train_dataset=Dataset.from_list([{"prompt": "ab", "completion": "cd"}]),
    )
    row = ours.train_dataset[0]
    assert row["prompt_ids"] + row["response_ids"][0] == theirs.train_dataset[0]["input_ids"]
    former = AutoTokenizer.from_pretrained(llama_path).eos_token_id
    for one in (ours, theirs):
        number = one.processing_class.convert_tokens_to_ids("!")
        assert one.processing_class.eos_token_id == one.model.config.eos_token_id == number
        assert one.model.generation_config.eos_token_id == [number, former]
    ours.save_model(str(tmp_path / "saved"))
    model, tokenizer = load_for_generation(str(tmp_path / "saved"), device="cpu")
    assert tokenizer.eos_token == "!"
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id, former]


def test_an_unknown_end_is_refused(trainer: Build, llama_path: str) -> None:
    with pytest.raises(ValueError, match="`eos_token` '<end>' is not in the tokenizer's vocabulary"):
        trainer(llama_path, eos_token="<end>")


# -- Chat templates -----


def test_the_template_of_a_file_is_trained_with_and_saved(trainer: Build, llama_path: str, tmp_path: Path) -> None:
    file = tmp_path / "other.jinja"
    file.write_text(OTHER)
    ours = trainer(llama_path, Dataset.from_list([CHAT]), chat_template_path=str(file))
    assert texts(ours) == ["<user>ab!<assistant>cd!", "<user>ab!<assistant>ef!"]
    ours.save_model(str(tmp_path / "saved"))
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").chat_template == OTHER


def save_tokenizer(base: PreTrainedTokenizerFast, folder: Path, added: list[str]) -> str:
    base.save_pretrained(folder)
    source = PreTrainedTokenizerFast.from_pretrained(folder)
    source.add_tokens(added)
    source.chat_template = OTHER.replace("!", "{{ eos_token }}")
    source.eos_token = "!"
    source.save_pretrained(folder)
    return str(folder)


def test_the_template_of_a_tokenizer_comes_with_its_end(
    trainer: Build, llama_path: str, base_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    source = save_tokenizer(base_tokenizer, tmp_path / "source", [])
    ours = trainer(llama_path, Dataset.from_list([CHAT]), chat_template_path=source)
    assert texts(ours) == ["<user>ab!<assistant>cd!", "<user>ab!<assistant>ef!"]
    assert ours.processing_class.eos_token == "!"
    before = AutoModelForCausalLM.from_pretrained(llama_path)
    assert ours.model.get_input_embeddings().weight.shape == before.get_input_embeddings().weight.shape


@pytest.mark.parametrize("adapter", [False, True], ids=["whole model", "LoRA"])
def test_tokens_that_the_model_lacks_get_embeddings_that_are_trained(
    trainer: Build,
    llama_path: str,
    base_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    adapter: bool,
) -> None:
    source = save_tokenizer(base_tokenizer, tmp_path / "source", ["<user>", "<assistant>"])
    peft_config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]) if adapter else None
    with caplog.at_level(logging.WARNING):
        ours = trainer(
            llama_path, Dataset.from_list([CHAT]), chat_template_path=source, peft_config=peft_config, optim="sgd"
        )
    assert "tokens were added to the tokenizer" in caplog.text
    number = ours.processing_class.convert_tokens_to_ids("<assistant>")
    assert number >= len(base_tokenizer)
    assert number in ours.train_dataset[0]["prompt_ids"]

    def rows(layer: Any) -> torch.Tensor:
        return (layer.get_merged_weights() if hasattr(layer, "get_merged_weights") else layer.weight).detach().clone()

    layers = ours.model.get_input_embeddings(), ours.model.get_output_embeddings()
    before = [rows(layer) for layer in layers]
    ours.train()
    embeddings, head = ((rows(layer) - old).abs().sum(dim=1) for layer, old in zip(layers, before, strict=True))
    assert embeddings[number] > 0
    assert head[number] > 0
    ours.save_model(str(tmp_path / "saved"))
    model, tokenizer = load_for_generation(str(tmp_path / "saved"), device="cpu")
    torch.testing.assert_close(model.get_input_embeddings().weight[number], rows(layers[0])[number])
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(source).chat_template


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone.jinja", "there is no file gone.jinja"),
        ("gone", "'gone' is neither a file that ends in .jinja or .j2 nor a tokenizer"),
        ("plain", "has no chat template"),
        ("more", "the model's tokenizer lacks <user> of .*this adapter cannot train new embeddings"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(
    trainer: Build,
    llama_path: str,
    base_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = PreTrainedTokenizerFast.from_pretrained(llama_path)
    plain.chat_template = None
    plain.save_pretrained("plain")
    (tmp_path / "plain" / "chat_template.jinja").unlink(missing_ok=True)
    save_tokenizer(base_tokenizer, tmp_path / "more", ["<user>"])
    adapter = LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])
    with pytest.raises(ValueError, match=message):
        trainer(llama_path, Dataset.from_list([CHAT]), chat_template_path=path, peft_config=adapter)
