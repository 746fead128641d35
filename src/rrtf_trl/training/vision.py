"""Rows with images, for vision-language models: prepared batch by batch, because pixels are too large to keep."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from torch import Tensor
from transformers import ProcessorMixin
from trl.data_utils import apply_chat_template, prepare_multimodal_messages
from trl.trainer.utils import pad

from .data import choose_responses, group_tensors, ranked_row

logger = logging.getLogger(__name__)

VISION_COLUMNS = [
    "row",
    "prompt",
    "responses",
    "scores",
    "sources",
    "chosen",
    "rejected",
    "image",
    "images",
    "tools",
    "chat_template_kwargs",
]
"""What :class:`VisionCollator` reads; ``row`` is the row's number."""


def has_images(dataset: Dataset | IterableDataset) -> bool:
    """Whether the rows of a data set have a column for images."""
    first = next(iter(dataset), None) or {}
    return "image" in first or "images" in first


def number_rows(dataset: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """Return the data set with the column ``row``, each row's number, by which errors name it."""
    if isinstance(dataset, Dataset):
        if "row" in dataset.column_names:
            dataset = dataset.remove_columns("row")
        return dataset.add_column("row", range(len(dataset)))
    return dataset.map(lambda row, index: {"row": index}, with_indices=True)


@dataclass
class VisionCollator:
    """Pads the responses of several groups into one batch, one row a response, with the images of their prompts.

    Args:
        processor: Makes text of messages, tokens of text, and pixels of images.
        max_length: Longest sequence in tokens; of a longer one, the end of its response is cut off. A row whose prompt
            leaves no room for responses adds nothing to the loss, and is named in a warning.
        max_responses: Most responses of a row, see :class:`~rrtf_trl.training.config.RRTFConfig`.
        pad_to_multiple_of: Pad to a multiple of this many tokens.
        require_sources: Whether a row must tell whose each response is.

    Returns what :class:`~rrtf_trl.training.data.RankedCollator` returns, and what the processor adds: ``pixel_values``
    and the like, with the images of a prompt once for each of its responses, and ``token_type_ids`` int `[N, L]` and
    the like, 0 on response tokens.
    """

    processor: ProcessorMixin
    max_length: int | None = None
    max_responses: int | None = None
    pad_to_multiple_of: int | None = None
    require_sources: bool = False

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Build the batch of ``examples``: rows with ``image`` or ``images``, and ``row``."""
        rows = [self._row(example) for example in examples]
        prompts = [row["prompt"] for row in rows for _ in row["responses"]]
        images = [row["images"] for row in rows for _ in row["responses"]]
        processed = self.processor(
            images=images if any(images) else None,
            text=prompts,
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,  # the chat template writes them
        )
        mask = processed.pop("attention_mask").bool()
        per_token = {name: values for name, values in processed.items() if values.shape == mask.shape}
        responses = [
            torch.tensor(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])
            for row in rows
            for text in row["responses"]
        ]
        prompt_lengths = mask.sum(dim=1).tolist()
        limits = [None if self.max_length is None else max(self.max_length, length) for length in prompt_lengths]
        self._leave_out_too_long(rows, prompt_lengths)
        sequences = {
            name: [
                torch.cat([values[i][mask[i]], own if name == "input_ids" else torch.zeros_like(own)])[: limits[i]]
                for i, own in enumerate(responses)
            ]
            for name, values in per_token.items()
        }
        ids = sequences["input_ids"]
        sequences["attention_mask"] = [torch.ones_like(row) for row in ids]
        sequences["completion_mask"] = [
            (torch.arange(len(row)) >= length).long() for row, length in zip(ids, prompt_lengths, strict=True)
        ]
        padding = {"input_ids": self.processor.tokenizer.pad_token_id}
        return {
            **{name: values for name, values in processed.items() if name not in per_token},
            **{
                name: pad(values, padding.get(name, 0), "right", self.pad_to_multiple_of)
                for name, values in sequences.items()
            },
            **group_tensors(rows),
        }

    def _row(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the texts of its prompt and responses, and its images as a list."""
        row = ranked_row(example, example["row"], self.require_sources, with_images=True)
        kept = choose_responses(row["scores"], row["from_teacher"], self.max_responses)
        row = {**row, **{name: [row[name][i] for i in kept] for name in ("responses", "scores", "from_teacher")}}
        given = example.get("images")
        images = list(given) if given is not None else [i for i in [example.get("image")] if i is not None]
        if isinstance(row["prompt"], str):
            eos = self.processor.tokenizer.eos_token or ""
            responses = [text if eos and text.endswith(eos) else text + eos for text in row["responses"]]
            return {**row, "row": example["row"], "responses": responses, "images": images}
        try:
            prompt = prepare_multimodal_messages(row["prompt"], images=images)
        except ValueError as error:
            raise ValueError(f"Row {example['row']}: {error}") from error
        tools = example.get("tools")
        options = {"chat_template_kwargs": example.get("chat_template_kwargs") or {}}
        rendered = [
            apply_chat_template(
                {"prompt": prompt, "completion": prepare_multimodal_messages(response), **options},
                self.processor,
                tools=json.loads(tools) if isinstance(tools, str) else tools,
            )
            for response in row["responses"]
        ]
        # A template may begin an answer in a way that some responses go on from and others do not.
        start = min((text["prompt"] for text in rendered), key=len)
        texts = [(text["prompt"] + text["completion"])[len(start) :] for text in rendered]
        return {**row, "row": example["row"], "prompt": start, "responses": texts, "images": images}

    def _leave_out_too_long(self, rows: list[dict[str, Any]], prompt_lengths: list[int]) -> None:
        """Make equals of the responses of a row whose prompt leaves no room for them: they add nothing to the loss."""
        lengths = iter(prompt_lengths)
        for row in rows:
            length = max(next(lengths) for _ in row["responses"])
            if self.max_length is not None and length >= self.max_length:
                row["scores"] = [0.0] * len(row["scores"])
                logger.warning(
                    f"Row {row['row']} is not trained on: its prompt with images has {length} tokens, and max_length="
                    f"{self.max_length} leaves none for a response. Raise `max_length`, or set it to `None`."
                )
