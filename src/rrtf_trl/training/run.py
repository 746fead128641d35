"""Trains a policy on a file of ranked rows, from its last checkpoint if it was stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from rrtf_trl.errors import UserError
from rrtf_trl.files.atomic import part_of, write_whole, write_whole_folder
from rrtf_trl.files.rows import read_jsonl
from rrtf_trl.models.adapters import find_adapter
from rrtf_trl.models.memory import free_memory

from .config import RRTFConfig
from .imitation import least_responses
from .losses import imitated_responses, ordered_pairs, pair_weights
from .rows import ranked_row
from .trainer import RRTFTrainer


def train_policy(
    model: str,
    rows: str | Path,
    args: RRTFConfig,
    policy: str | Path,
    pairs: str | Path,
    *,
    quantization_config: Any = None,
    peft_config: Any = None,
    callbacks: list[TrainerCallback] | None = None,
) -> list[dict[str, float]]:
    """Train and save a policy; return the log, one dict per logged step.

    Args:
        model: Path or hub id of the model to start from. The adapter in a folder that an earlier training saved is
            trained further, with the tokenizer of that folder.
        rows: JSONL file of ranked rows.
        args: Options; checkpoints are written to ``args.output_dir``, and a training that was stopped resumes from
            the last complete one. With an ``eval_strategy``, every tenth row is evaluated on and not trained on.
        policy: Folder that the trained model and its tokenizer are saved to, whole or not at all.
        pairs: JSONL file to write, one line per row that is trained on: its number in ``rows`` (from 0), which
            responses are imitated, and ``pairs`` of [better, worse, weight] by number of the response; the weight is
            null for a registered loss.
        quantization_config: bitsandbytes options, or ``None``.
        peft_config: Adapter to train, or ``None`` for the whole model; not used where ``model`` has one.
        callbacks: Callbacks for the trainer; if there are any, they show the progress.

    Raises:
        UserError: If the rows or options cannot be trained with.
    """
    ranked = _ranked_rows(rows)
    trained, held_back = (list(range(len(ranked))), []) if args.eval_strategy == "no" else hold_back(ranked)
    free_memory()  # of what sampling loaded
    if find_adapter(model) is not None:
        peft_config = None
    try:
        for number, row in enumerate(ranked):  # here, errors can still name the number of the row in the file
            ranked_row(
                row,
                number,
                require_sources=args.pairs == "teacher_student",
                min_responses=least_responses(args),
            )
        trainer = RRTFTrainer(
            model=model,
            args=args,
            train_dataset=ranked.select(trained),
            eval_dataset=ranked.select(held_back) if held_back else None,
            quantization_config=quantization_config,
            peft_config=peft_config,
            callbacks=callbacks,
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"training cannot start: {error}") from error
    is_writer = trainer.is_world_process_zero()
    if is_writer:
        with write_whole(pairs) as file:
            lines = trained_pairs(trainer.train_dataset, args)
            file.writelines(json.dumps({**line, "row": trained[line["row"]]}) + "\n" for line in lines)
    if callbacks:
        trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_complete_checkpoint(args.output_dir))
    with write_whole_folder(policy) if is_writer else nullcontext(part_of(policy)) as part:
        trainer.accelerator.wait_for_everyone()
        trainer.save_model(str(part))
        trainer.accelerator.wait_for_everyone()
    log = [dict(entry) for entry in trainer.state.log_history]
    del trainer  # before evaluation loads the policy
    free_memory()
    return log


def trained_pairs(dataset: Dataset, args: RRTFConfig) -> Iterator[dict[str, Any]]:
    """Yield for each row of a prepared data set how the loss uses it; see ``pairs`` of :func:`train_policy`."""
    for row in dataset.select_columns(["row", "kept", "scores", "from_teacher"]):
        scores, teacher = torch.tensor(row["scores"], dtype=torch.float64), torch.tensor(row["from_teacher"])
        group = torch.zeros(len(scores), dtype=torch.long)
        better, worse = ordered_pairs(scores, group, args.pairs, teacher, args.rank_min_score)
        if not args.rank_weight:
            better, worse = better[:0], worse[:0]
        # The weights of a registered loss are not known.
        is_builtin = args.loss_type in ("rrtf", "rrhf")
        weights = pair_weights(scores, better, worse, args).tolist() if is_builtin else [None] * len(better)
        imitated = imitated_responses(scores, group, args, teacher).nonzero()[:, 0].tolist() if args.sft_weight else []
        kept = row["kept"]
        yield {
            "row": row["row"],
            "imitated": [kept[response] for response in imitated],
            "pairs": [
                [kept[b], kept[w], weight]
                for b, w, weight in zip(better.tolist(), worse.tolist(), weights, strict=True)
            ],
        }


def _ranked_rows(path: str | Path) -> Dataset:
    """Return the ranked rows of a JSONL file, with the columns that training reads."""
    names = ("prompt", "responses", "scores", "sources", "token_ids", "logprobs")
    return Dataset.from_list([{name: row.get(name) for name in names} for _, row in read_jsonl(path)])


def hold_back(rows: Dataset) -> tuple[list[int], list[int]]:
    """Return the numbers of the rows to train on, and of those to evaluate on during training: every tenth.

    Raises:
        UserError: If there are fewer than two rows.
    """
    if len(rows) < 2:
        raise UserError(f"trainer.eval_strategy: {len(rows)} problems are too few to hold some of them back")
    return [number for number in range(len(rows)) if number % 10], list(range(0, len(rows), 10))


def last_complete_checkpoint(folder: str | Path) -> str | None:
    """Return the newest complete checkpoint, or ``None``.

    ``trainer_state.json`` is written last: it is missing or incomplete in a checkpoint whose writing was interrupted.
    """
    complete: list[tuple[int, Path]] = []
    for checkpoint in Path(folder).glob("checkpoint-*"):
        try:
            step = int(json.loads((checkpoint / "trainer_state.json").read_text())["global_step"])
        except (OSError, ValueError, KeyError):
            continue
        complete.append((step, checkpoint))
    return str(max(complete)[1]) if complete else None
