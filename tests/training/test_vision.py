"""Vision-language models: rows with images train as DPOTrainer's do, and text alone trains them too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, Features, Image, Sequence, Value, concatenate_datasets
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from rrtf_trl import RRTFTrainer
from rrtf_trl.training.vision import VisionCollator, number_rows

Build = Callable[..., RRTFTrainer]
TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}]{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def llava_path(base_tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved LLaVA of two layers: an image of 16 pixels is 4 tokens."""
    path = str(tmp_path_factory.mktemp("models") / "llava")
    base_tokenizer.save_pretrained(path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path, extra_special_tokens={"image_token": "<image>"})
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    sizes = {"num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 32, "initializer_range": 0.2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(hidden_size=16, image_size=16, patch_size=8, **sizes),
        text_config=LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, num_key_value_heads=2, **sizes),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(path)
    processor.save_pretrained(path)
    return path


def pixels(seed: int) -> Any:
    from PIL import Image as Pillow

    draw = torch.Generator().manual_seed(seed)
    return Pillow.fromarray(torch.randint(0, 256, (16, 16, 3), generator=draw, dtype=torch.uint8).numpy())


def picture_rows() -> list[dict[str, Any]]:
    answers = ["x + x", "total", "print(x)\n    pass", "x - 5"]
    return [
        {
            "images": [pixels(2 * i), pixels(2 * i + 1)][: 1 + i % 2],
            "prompt": [{"role": "user", "content": f"What does f{i} return?"}],
            "responses": answers[: 2 + i],
            "scores": [float((i + j) % 3) for j in range(2 + i)],
        }
        for i in range(3)
    ]


@pytest.fixture
def pictures() -> Dataset:
    features = Features(
        {
            "images": Sequence(Image()),
            "prompt": [{"role": Value("string"), "content": Value("string")}],
            "responses": Sequence(Value("string")),
            "scores": Sequence(Value("float64")),
        }
    )
    return Dataset.from_list(picture_rows(), features=features)


def collate(path: str, rows: Dataset, **options: Any) -> dict[str, torch.Tensor]:
    processor = AutoProcessor.from_pretrained(path)
    processor.tokenizer.chat_template = None  # it is the processor's template that counts
    return VisionCollator(processor, **options)(list(number_rows(rows)))


def test_a_batch_is_what_one_response_at_a_time_gives(llava_path: str, pictures: Dataset) -> None:
    batch = collate(llava_path, pictures)
    assert batch["groups"].ids.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert len(batch["pixel_values"]) == 2 * 1 + 3 * 2 + 4 * 1  # each image once for each response
    processor = AutoProcessor.from_pretrained(llava_path)
    position = 0
    for row in picture_rows():
        for response in row["responses"]:
            head = f"[user]{'<image>' * len(row['images'])}{row['prompt'][0]['content']}[assistant]"
            alone = processor(images=row["images"], text=head + response + "<eos>", return_tensors="pt")
            length = alone["input_ids"].shape[1]
            assert batch["input_ids"][position, :length].tolist() == alone["input_ids"][0].tolist()
            assert batch["attention_mask"][position].tolist() == [1] * length + [0] * (
                batch["input_ids"].shape[1] - length
            )
            scored = batch["input_ids"][position][batch["completion_mask"][position] == 1]
            assert processor.tokenizer.decode(scored) == response + "<eos>"
            position += 1


def test_the_loss_is_that_of_one_response_at_a_time(trainer: Build, llava_path: str, pictures: Dataset) -> None:
    # In float64 and in the paper's words: one forward a response, nothing padded, no fused head.
    model = AutoModelForImageTextToText.from_pretrained(llava_path, dtype=torch.float64)
    processor = AutoProcessor.from_pretrained(llava_path)
    losses = []
    for row in picture_rows():
        head = f"[user]{'<image>' * len(row['images'])}{row['prompt'][0]['content']}[assistant]"
        start = processor(images=row["images"], text=head, return_tensors="pt")["input_ids"].shape[1]
        means = []
        for response in row["responses"]:
            inputs = processor(images=row["images"], text=head + response + "<eos>", return_tensors="pt")
            logps = model(**inputs).logits[0, :-1].log_softmax(dim=-1)
            taken = logps.gather(1, inputs["input_ids"][0, 1:, None])[start - 1 :, 0]
            means.append(taken.mean())
        pairs = [
            (a - b) * max(0.0, (means[j] - means[i]).item())
            for i, a in enumerate(row["scores"])
            for j, b in enumerate(row["scores"])
            if a > b
        ]
        best = row["scores"].index(max(row["scores"]))
        losses.append(sum(pairs) / len(pairs) - means[best].item())
    ours = trainer(llava_path, pictures, eval_dataset=pictures, per_device_eval_batch_size=3, max_length=None)
    assert ours.evaluate()["eval_loss"] == pytest.approx(sum(losses) / 3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ranked", "preference", "one image", "stream"])
def test_every_part_of_the_model_trains(trainer: Build, llava_path: str, pictures: Dataset, form: str) -> None:
    rows: Any = pictures
    if form == "preference":
        names = ("chosen", "rejected")
        answers = [
            {
                name: [{"role": "assistant", "content": text}]
                for name, text in zip(names, row["responses"], strict=False)
            }
            for row in picture_rows()
        ]
        rows = pictures.select_columns(["images", "prompt"])
        for name in names:
            rows = rows.add_column(name, [row[name] for row in answers])
    elif form == "one image":
        first = Dataset.from_dict({"image": [row["images"][0] for row in picture_rows()]}).cast_column(
            "image", Image()
        )
        rows = concatenate_datasets([pictures.remove_columns("images"), first], axis=1)
    elif form == "stream":
        rows = pictures.to_iterable_dataset()
    ours = trainer(llava_path, rows, per_device_train_batch_size=1, max_steps=3, max_length=None)
    before = {name: weight.clone() for name, weight in ours.model.named_parameters()}
    ours.train()
    unused = ("encoder.layers.1", "post_layernorm")  # LLaVA takes the last layer but one of its vision tower
    same = [name for name, weight in ours.model.named_parameters() if torch.equal(weight, before[name])]
    assert all(any(part in name for part in unused) for name in same), same


@pytest.mark.slow
def test_text_alone_trains_it_without_its_eyes(
    trainer: Build, llava_path: str, ranked: Dataset, tmp_path: Path
) -> None:
    ours = trainer(llava_path, ranked)
    before = {name: weight.clone() for name, weight in ours.model.named_parameters()}
    ours.train()
    for name, weight in ours.model.named_parameters():
        seen = "vision" not in name and "projector" not in name
        assert torch.equal(weight, before[name]) != seen, name
    ours.save_model(str(tmp_path / "trained"))
    assert isinstance(AutoProcessor.from_pretrained(tmp_path / "trained"), LlavaProcessor)


def test_a_long_response_is_cut_and_a_row_without_room_left_out(
    llava_path: str, pictures: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    whole = collate(llava_path, pictures)
    prompts = (whole["attention_mask"] - whole["completion_mask"]).sum(dim=1)
    assert prompts[2] == prompts.max() > prompts[0]  # row 1 has two images
    longest = int(prompts.max())
    with caplog.at_level(logging.WARNING):
        batch = collate(llava_path, pictures, max_length=longest, truncation_mode="keep_start")
    assert f"Row 1 is not trained on: its prompt with images has {longest} tokens" in caplog.text
    assert caplog.text.count("is not trained on") == 1
    assert f"were longer than max_length={longest} tokens with their prompt and were cut, of row" in caplog.text
    assert batch["attention_mask"].sum(dim=1).max() == longest
    assert batch["completion_mask"].sum(dim=1)[2:5].tolist() == [0, 0, 0]
    assert batch["groups"].scores[2:5].tolist() == [0.0, 0.0, 0.0]  # equals make no pair
    images = AutoProcessor.from_pretrained(llava_path).image_token_id
    assert (batch["input_ids"] == images).sum() == (whole["input_ids"] == images).sum()


def test_a_response_that_is_too_long_is_left_out_and_counted(
    trainer: Build, llava_path: str, pictures: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    whole = collate(llava_path, pictures)
    lengths = whole["attention_mask"].sum(dim=1)
    limit = int(lengths[3])  # that is one of row 1, whose others are longer, and so is one of row 2
    assert (lengths <= limit).tolist() == [True, True, False, True, False, True, True, False, True]
    ours = trainer(llava_path, pictures, max_length=limit)
    with caplog.at_level(logging.WARNING):
        batch = ours.data_collator(list(ours.train_dataset))
    fits = (lengths <= limit) & (whole["groups"].ids != 1)
    assert batch["groups"].ids.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert len(batch["pixel_values"]) == 2 * 1 + 3 * 2 + 3 * 1
    for name in ("input_ids", "completion_mask"):
        width = batch[name].shape[1]
        assert torch.equal(batch[name][batch["groups"].ids != 1], whole[name][fits][:, :width]), name
    assert batch["groups"].scores.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, *whole["groups"].scores[[5, 6, 8]].tolist()]
    # Row 1 has two images: fewer than two of its responses fit.
    assert caplog.text.count("is not trained on") == 1
    assert "Row 1 is not trained on" in caplog.text
    assert batch["completion_mask"][2:5].sum() == 0
    assert caplog.text.count("were left out") == 1
    assert f"longer than max_length={limit} tokens with their prompt and were left out" in caplog.text
    # What is left out is neither imitated nor ranked.
    loss = ours.compute_loss(ours.model, batch, return_outputs=True)[1]
    assert loss.sft_loss[1] == loss.rank_loss[1] == 0


def test_without_ranking_one_response_that_fits_is_trained_on(
    trainer: Build, llava_path: str, pictures: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    limit = int(collate(llava_path, pictures)["attention_mask"].sum(dim=1)[3])  # of row 1 only that response fits
    ours = trainer(llava_path, pictures, max_length=limit, rank_weight=0.0)
    with caplog.at_level(logging.WARNING):
        batch = ours.data_collator(list(ours.train_dataset))
    assert batch["groups"].ids.tolist() == [0, 0, 1, 2, 2, 2]
    assert "is not trained on" not in caplog.text
    assert ours.compute_loss(ours.model, batch, return_outputs=True)[1].sft_loss[1] > 0


def test_the_most_responses_are_chosen_of_those_that_fit(llava_path: str, pictures: Dataset) -> None:
    rows = pictures.select([1])  # scores 1, 2, 0
    lengths = collate(llava_path, rows)["attention_mask"].sum(dim=1)
    assert lengths.argmax() == 2
    batch = collate(llava_path, rows, max_length=int(lengths[2]) - 1, max_responses=2)
    assert batch["groups"].scores.tolist() == [1.0, 2.0]


def test_the_most_responses_of_a_row_are_the_best_the_worst_and_some_between(
    llava_path: str, pictures: Dataset
) -> None:
    batch = collate(llava_path, pictures, max_responses=2)
    assert batch["groups"].ids.tolist() == [0, 0, 1, 1, 2, 2]
    assert batch["groups"].scores.tolist() == [0.0, 1.0, 2.0, 0.0, 2.0, 0.0]


def test_cutting_prompts_is_refused(trainer: Build, llava_path: str, pictures: Dataset) -> None:
    with pytest.raises(ValueError, match="truncation_mode='keep_end' is not supported for vision-language models"):
        trainer(llava_path, pictures, truncation_mode="keep_end")


def test_a_text_model_refuses_images(trainer: Build, llama_path: str, pictures: Dataset) -> None:
    with pytest.raises(ValueError, match=r"Row 0 is vision-related.*takes a vision-language model"):
        trainer(llama_path, pictures)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [1.0, float("nan")]}, r"Row 1: scores\[1\] is nan"),
        ({"images": [], "prompt": [{"role": "user", "content": [{"type": "image"}]}]}, r"Row 1: Number of images"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_by_its_number(llava_path: str, change: dict[str, Any], message: str) -> None:
    rows = [{**row, "row": i} for i, row in enumerate(picture_rows())]
    rows[1] = {**rows[1], "responses": rows[1]["responses"][:2], "scores": [1.0, 0.0], **change}
    with pytest.raises(ValueError, match=message):
        VisionCollator(AutoProcessor.from_pretrained(llava_path))(rows)


def test_prompts_are_not_shared_and_that_is_said(
    trainer: Build, llava_path: str, pictures: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trainer(llava_path, pictures)
    assert "Prompts are computed again for each response, with padding: the rows have images." in caplog.text
    with pytest.raises(ValueError, match="`share_prefix` is true, but the rows have images"):
        trainer(llava_path, pictures, share_prefix="true")


@pytest.mark.parametrize(
    ("loss", "need"), [("tree_credit", "tree"), ("topr", "sampling_logps"), ("nft", "policy before")]
)
def test_a_loss_that_needs_what_images_lack_is_refused_at_once(
    trainer: Build, llava_path: str, pictures: Dataset, loss: str, need: str
) -> None:
    with pytest.raises(ValueError, match=f"The loss '{loss}' .*{need}.* images.*[Cc]hoose another loss"):
        trainer(llava_path, pictures, loss_type=loss, rank_min_score=1.0)


def test_a_row_that_is_left_out_is_in_no_metric_of_responses(
    trainer: Build, llava_path: str, pictures: Dataset
) -> None:
    longer = pictures[0] | {"prompt": [{"role": "user", "content": "What does f0 return? " * 40}]}
    rows = concatenate_datasets([pictures, Dataset.from_list([longer], features=pictures.features)])
    ours = trainer(llava_path, pictures, max_length=100)
    expected, found = ours.evaluate(pictures), ours.evaluate(rows)
    for name in ("logps/best", "logps/rest", "entropy", "mean_token_accuracy", "margins"):
        assert found[f"eval_{name}"] == pytest.approx(expected[f"eval_{name}"], abs=1e-5), name
    assert found["eval_loss"] == pytest.approx(expected["eval_loss"] * 3 / 4, abs=1e-5)
