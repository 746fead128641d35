"""Rows with images, for vision-language models: prepared batch by batch, as pixels are too large to store."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from torch import Tensor
from transformers import ProcessorMixin
from trl.data_utils import apply_chat_template, prepare_multimodal_messages
from trl.trainer.utils import pad

from .config import RRTFConfig
from .groups import Groups
from .imitation import least_responses
from .prepare import GROUPING, choose_responses
from .rows import READ_COLUMNS, ranked_row

logger = logging.getLogger(__name__)

VISION_COLUMNS = ["row", *READ_COLUMNS]
"""The columns that :class:`VisionCollator` reads; ``row`` is the row's number."""


def has_images(dataset: Dataset | IterableDataset) -> bool:
    """Whether the rows of a data set have a column for images."""
    first = next(iter(dataset), None) or {}
    return "image" in first or "images" in first


def number_rows(dataset: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """Return the data set with the column ``row``, each row's number, which error messages name."""
    if isinstance(dataset, Dataset):
        if "row" in dataset.column_names:
            dataset = dataset.remove_columns("row")
        return dataset.add_column("row", range(len(dataset)))
    return dataset.map(lambda row, index: {"row": index}, with_indices=True)


def prepare_for_images(args: RRTFConfig, with_images: bool) -> None:
    """Set the options that the training of a vision-language model needs.

    Args:
        args: The options.
        with_images: Whether the rows have images.

    Raises:
        ValueError: If ``truncation_mode="keep_end"`` would cut images out of prompts, ``reasoning`` is not kept, or
            batches are to be made by length.
    """
    # For rows without images, the vision tower has no gradients.
    reentrant = (args.gradient_checkpointing_kwargs or {}).get("use_reentrant")
    if args.ddp_find_unused_parameters is None and not reentrant:
        args.ddp_find_unused_parameters = True
    if with_images and args.train_sampling_strategy in GROUPING:
        raise ValueError(
            f"train_sampling_strategy={args.train_sampling_strategy!r} is not supported for rows with images: their "
            "lengths are known only when a batch is made. Leave it out."
        )
    if with_images and args.reasoning != "keep":
        raise ValueError(f"reasoning={args.reasoning!r} is not supported for rows with images. Use reasoning='keep'.")
    if with_images and args.max_length is not None and args.truncation_mode == "keep_end":
        raise ValueError(
            "truncation_mode='keep_end' is not supported for vision-language models: it would cut the images out of a "
            "prompt. Use truncation_mode='keep_start', or set max_length=None."
        )


@dataclass
class VisionCollator:
    """Pads the responses of several groups into one batch, one row per response, with the images of their prompts.

    Args:
        processor: Converts messages to text, text to tokens, and images to pixels.
        max_length: The longest sequence in tokens; warnings count longer ones. A row with fewer than
            ``min_responses`` within it adds nothing to the loss, and is named in a warning.
        max_responses: The most responses of a row, see :class:`~rrtf_trl.training.config.RRTFConfig`.
        pad_to_multiple_of: Pad to a multiple of this many tokens.
        require_sources: Whether a row must have ``sources``.
        truncation_mode: ``drop`` leaves out the response of a longer sequence, ``keep_start`` cuts its end.
        min_responses: How many responses a row must have to be trained on: a pair, or 1 where nothing is ranked.

    Returns the tensors of :class:`~rrtf_trl.training.data.RankedCollator` and those of the processor: ``pixel_values``
    and similar, with the images of a prompt once for each of its responses, and ``token_type_ids`` int `[N, L]` and
    similar, 0 on response tokens.
    """

    processor: ProcessorMixin
    max_length: int | None = None
    max_responses: int | None = None
    pad_to_multiple_of: int | None = None
    require_sources: bool = False
    truncation_mode: str = "drop"
    min_responses: int = 2
    _too_long: int = field(default=0, init=False, repr=False)

    @classmethod
    def of_options(cls, processor: ProcessorMixin, args: RRTFConfig) -> VisionCollator:
        """Return the collator of a trainer."""
        assert not isinstance(args.pad_to_multiple_of, str), "the config resolves it"
        return cls(
            processor,
            max_length=args.max_length,
            max_responses=args.max_responses,
            pad_to_multiple_of=args.pad_to_multiple_of,
            require_sources=args.pairs == "teacher_student",
            truncation_mode=args.truncation_mode,
            min_responses=least_responses(args),
        )

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of ``examples``: rows with ``image`` or ``images``, and ``row``."""
        full_rows = [self._row(example) for example in examples]
        rows = [self._choose(row) for row in full_rows]
        processed = self._process(rows)
        lengths = iter(processed["attention_mask"].sum(dim=1).tolist())
        prompt_lengths = [max(next(lengths) for _ in row["scores"]) for row in rows]
        if self.max_length is not None:  # only the processor knows how many tokens an image has
            fitted = [self._fit(row, length) for row, length in zip(full_rows, prompt_lengths, strict=True)]
            if [len(row["scores"]) for row in fitted] != [len(row["scores"]) for row in rows]:
                processed = self._process(fitted)
            rows = fitted
        mask = processed.pop("attention_mask").bool()
        per_token = {name: values for name, values in processed.items() if values.shape == mask.shape}
        responses = [torch.tensor(ids, dtype=torch.long) for row in rows for ids in row["response_ids"]]
        sequences = {
            name: [
                torch.cat([values[i][mask[i]], own if name == "input_ids" else torch.zeros_like(own)])
                for i, own in enumerate(responses)
            ]
            for name, values in per_token.items()
        }
        ids = sequences["input_ids"]
        sequences["attention_mask"] = [torch.ones_like(row) for row in ids]
        sequences["completion_mask"] = [
            (torch.arange(len(row)) >= len(row) - len(own)).long() for row, own in zip(ids, responses, strict=True)
        ]
        padding = {"input_ids": self.processor.tokenizer.pad_token_id}
        padded = {
            name: pad(values, padding.get(name, 0), "right", self.pad_to_multiple_of)
            for name, values in sequences.items()
        }
        images = {name: values for name, values in processed.items() if name not in per_token}
        return {**images, **padded, "groups": Groups.of_padded(rows, padded)}

    def _process(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the processor's tensors of the prompts and images, one row per response."""
        images = [row["images"] for row in rows for _ in row["scores"]]
        processed: dict[str, Tensor] = self.processor(
            images=images if any(images) else None,
            text=[row["prompt"] for row in rows for _ in row["scores"]],
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,  # the chat template has them
        )
        return processed

    def _row(self, example: dict[str, Any]) -> dict[str, Any]:
        """Return the row with the text of its prompt, its images as a list, and the tokens of its responses."""
        row = ranked_row(
            example,
            example["row"],
            self.require_sources,
            with_images=True,
            min_responses=self.min_responses,
        )
        if example.get("images") is not None:
            images = list(example["images"])
        else:
            images = [] if example.get("image") is None else [example["image"]]
        if isinstance(row["prompt"], str):
            eos = self.processor.tokenizer.eos_token or ""
            responses = [text if eos and text.endswith(eos) else text + eos for text in row["responses"]]
            return {**row, "row": example["row"], "response_ids": self._encode(responses), "images": images}
        try:
            prompt = prepare_multimodal_messages(row["prompt"], images=images)
        except ValueError as error:
            raise ValueError(f"Row {example['row']}: {error}") from error
        tools = example.get("tools")
        options = {"chat_template_kwargs": example.get("chat_template_kwargs") or {}}
        rendered = [
            apply_chat_template(
                {"prompt": prompt, "completion": prepare_multimodal_messages(_as_messages(response)), **options},
                self.processor,
                tools=json.loads(tools) if isinstance(tools, str) else tools,
            )
            for response in row["responses"]
        ]
        # A template may add text after the prompt that only some of the responses continue.
        shortest = min((text["prompt"] for text in rendered), key=len)
        ids = self._encode([(text["prompt"] + text["completion"])[len(shortest) :] for text in rendered])
        return {**row, "row": example["row"], "prompt": shortest, "response_ids": ids, "images": images}

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [self.processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

    def _choose(self, row: dict[str, Any], among: list[int] | None = None) -> dict[str, Any]:
        """Return the row with at most ``max_responses`` of its responses, chosen from ``among``."""
        kept = choose_responses(row["scores"], row["from_teacher"], self.max_responses, among)
        return {**row, **{name: [row[name][i] for i in kept] for name in ("response_ids", "scores", "from_teacher")}}

    def _fit(self, row: dict[str, Any], prompt_length: int) -> dict[str, Any]:
        """Return the row with the responses that fit, or with cut ones, for ``truncation_mode``."""
        assert self.max_length is not None
        limit = max(self.max_length - prompt_length, 0)
        fits = [i for i, ids in enumerate(row["response_ids"]) if len(ids) <= limit]
        self._count_too_long(row, len(row["response_ids"]) - len(fits))
        if self.truncation_mode != "drop" and limit:
            return self._choose({**row, "response_ids": [ids[:limit] for ids in row["response_ids"]]})
        if len(fits) >= self.min_responses:
            return self._choose(row, fits)
        few = "fewer than two" if self.min_responses == 2 else "none"
        logger.warning(
            f"Row {row['row']} is not trained on: its prompt with images has {prompt_length} tokens, and max_length="
            f"{self.max_length} has space for {few} of its responses. Raise `max_length`, or set it to `None`."
        )
        row = self._choose(row)  # the batch needs a group for each row; equal scores without tokens add nothing
        return {**row, "scores": [0.0] * len(row["scores"]), "response_ids": [[]] * len(row["scores"])}

    def _count_too_long(self, row: dict[str, Any], count: int) -> None:
        before, self._too_long = self._too_long, self._too_long + count
        if len(str(self._too_long)) > len(str(before)) or before == 0 < count:  # the first, the 10th, the 100th ...
            logger.warning(
                f"Rows with images: {self._too_long} responses so far were longer than max_length={self.max_length} "
                f"tokens with their prompt and were {'left out' if self.truncation_mode == 'drop' else 'cut'}, of row "
                f"{row['row']} the latest."
            )


def _as_messages(response: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": response}] if isinstance(response, str) else response
