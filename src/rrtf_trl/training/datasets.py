"""A data set as it was passed to the trainer, to rows as the collators read them."""

from __future__ import annotations

from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from .config import RRTFConfig
from .distributed import first_on_each_node
from .imitation import imitates_alone, keep_imitated, least_responses
from .limits import Limits, check_rows
from .losses import ResolvedLoss
from .prepare import GROUPING, add_lengths, check_float32_scores, check_recorded, prepare_dataset


def prepared_rows(
    dataset: Dataset | IterableDataset,
    name: str,
    args: RRTFConfig,
    tokenizer: PreTrainedTokenizerBase,
    limits: Limits,
    loss: ResolvedLoss,
    min_score: float | None,
) -> Dataset | IterableDataset:
    """Return tokenized rows that fit the options, the model and the loss; what is left out is counted and logged.

    Args:
        dataset: Rows in any accepted form; prepared ones are returned as they are.
        name: The data set's name, for logs and errors.
        args: The options.
        tokenizer: Encodes the rows.
        limits: What the model can read.
        loss: What the rows are for.
        min_score: Rows of which no response has this score are dropped; ``None`` for none.

    Raises:
        ValueError: If a row cannot be trained on, or none is left; the message names the data set, and the row.
    """
    chat_template_kwargs = args.chat_template_kwargs
    assert not isinstance(chat_template_kwargs, str), "the base class parses it"
    with first_on_each_node(dataset):
        rows = prepare_dataset(
            dataset,
            tokenizer,
            name=name,
            max_length=args.max_length,
            max_responses=None if imitates_alone(args) else args.max_responses,  # `keep_imitated` chooses then
            require_sources=args.pairs == "teacher_student",
            num_proc=args.dataset_num_proc,
            truncation_mode=args.truncation_mode,
            min_score=min_score,
            chat_template_kwargs=chat_template_kwargs,
            reasoning=args.reasoning,
            min_responses=least_responses(args),
        )
        rows = keep_imitated(rows, args, name)
        check_recorded(rows, loss, name)
        if args.train_sampling_strategy in GROUPING:
            rows = add_lengths(rows, args.length_column_name)
        if not loss.sees_tokens or args.device.type == "mps":  # Apple's GPUs have no float64
            rows = check_float32_scores(rows)
        return check_rows(rows, name, tokenizer, limits, args.max_length)
