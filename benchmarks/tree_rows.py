"""How many tokens a batch of a run's own rows has: padded, packed as tries, and packed by TRL's `AsyncGRPOTrainer`.

    python benchmarks/tree_rows.py runs/NAME/ranked.jsonl MODEL [--groups 16] [--max-length 256]

TRL's rows are those of `trl.experimental.async_grpo.packing.TreeRow`, of the same tokens. What is compared is the
rows and not the trainers, since TRL's needs vLLM and a kernel for recent GPUs: their tokens, the pairs of tokens that
attend to each other, and the processor time to make them. Of each packed row it is checked, by what attends to what,
that every response sees its own prompt and tokens, in order and at their positions, and nothing else. Writes lines of
Markdown. Another release of TRL may not have this module.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoTokenizer
from trl.experimental.async_grpo.packing import TreeRow

from rrtf_trl.training import PackedCollator, RankedCollator
from rrtf_trl.training.prepare import prepare_dataset

Examples = list[dict[str, Any]]


@dataclass
class Packed:
    """A row.

    Args:
        tokens: int `[T]`.
        positions: int `[T]`.
        seen: bool `[T, T]`, whether a token attends to another.
        last: For each response, where its last token is.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    seen: torch.Tensor
    last: list[int]


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, help="a run's ranked.jsonl")
    parser.add_argument("model", help="whose tokenizer is used")
    parser.add_argument("--groups", type=int, default=16, help="of a batch")
    parser.add_argument("--max-length", type=int, default=256)
    options = parser.parse_args()
    disable_progress_bars()
    examples = tokenized(options)
    batches = [examples[start : start + options.groups] for start in range(0, len(examples), options.groups)]
    print(f"{len(examples)} groups, {sum(len(one['response_ids']) for one in examples)} responses\n")
    print("| rows | tokens of a batch | pairs that attend | processor ms to make | exact |\n" + "| --- " * 5 + "|")
    padded = [RankedCollator(0)(batch)["input_ids"] for batch in batches]
    tokens = statistics.mean(one.numel() for one in padded)
    pairs = statistics.mean(one.numel() * (one.shape[1] + 1) / 2 for one in padded)
    print(f"| padded | {tokens:,.0f} | {pairs:,.0f} | {milliseconds(RankedCollator(0), batches):.1f} | |")
    makers: dict[str, tuple[Callable[[Examples], Any], Callable[[Examples, Any], Packed]]] = {
        "ours: a trie a group": (PackedCollator(), ours),
        "TRL: a trie a batch": (tree_row, trl),
    }
    for name, (make, read) in makers.items():
        rows = [read(batch, make(batch)) for batch in batches]
        exact = all(is_exact(row, batch) for row, batch in zip(rows, batches, strict=True))
        tokens = statistics.mean(len(row.tokens) for row in rows)
        pairs = statistics.mean(int(row.seen.sum()) for row in rows)
        took = milliseconds(make, batches)
        print(f"| {name} | {tokens:,.0f} | {pairs:,.0f} | {took:.1f} | {'yes' if exact else 'NO'} |")


def tokenized(options: argparse.Namespace) -> Examples:
    """Return rows as the trainer tokenizes them."""
    lines = map(json.loads, options.rows.read_text().splitlines())
    rows = Dataset.from_list([{name: row[name] for name in ("prompt", "responses", "scores")} for row in lines])
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    return list(
        prepare_dataset(
            rows,
            tokenizer,
            name="train",
            max_length=options.max_length,
            max_responses=None,
            require_sources=False,
            num_proc=None,
        )
    )


def milliseconds(make: Callable[[Examples], Any], batches: list[Examples]) -> float:
    """Return the processor time to make a batch, the median."""
    found = []
    for batch in batches:
        start = time.process_time()
        make(batch)
        found.append(1000 * (time.process_time() - start))
    return statistics.median(found)


def sequences(examples: Examples) -> list[list[int]]:
    return [one["prompt_ids"] + response for one in examples for response in one["response_ids"]]


# -- Ours ------------------------------------------------------------------------------------------------


def ours(examples: Examples, batch: dict[str, Any]) -> Packed:
    """Return what attends to what in a batch of :class:`PackedCollator`."""
    ends, count = torch.from_numpy(batch["tree"].ends), len(batch["tree"])
    places = torch.arange(count)
    seen = (places[None] <= places[:, None]) & (places[:, None] < ends[None])
    # Each response is found by its scored tokens: its last one is the last that is scored.
    members = torch.split(batch["member_scores"], batch["groups"].scored.tolist())
    tokens = batch["input_ids"][0]
    last = [_child(batch, seen, int(scores[-1])) for scores in members]
    return Packed(tokens, batch["position_ids"][0], seen, last)


def _child(batch: dict[str, Any], seen: torch.Tensor, score: int) -> int:
    """Return where the token is that a position predicts: behind it, one deeper, and of that number."""
    parent, token = int(batch["scored_positions"][score]), int(batch["scored_tokens"][0, score])
    depths = batch["position_ids"][0]
    (places,) = ((depths == depths[parent] + 1) & seen[:, parent] & (batch["input_ids"][0] == token)).nonzero().T
    return int(places[0])


# -- TRL's -----------------------------------------------------------------------------------------------


def tree_row(examples: Examples) -> dict[str, torch.Tensor]:
    """Return TRL's row of the same sequences."""
    row = TreeRow()
    for number, example in enumerate(examples):
        for response in example["response_ids"]:
            ids = torch.tensor(example["prompt_ids"] + response)
            is_response = torch.arange(len(ids)) >= len(example["prompt_ids"])
            sample = {"input_ids": ids, "completion_mask": is_response.long(), "old_log_probs": torch.zeros(len(ids))}
            row.add({**sample, "advantage": 0.0, "group_id": number})
    packed: dict[str, torch.Tensor] = row.pack()
    return packed


def trl(examples: Examples, batch: dict[str, torch.Tensor]) -> Packed:
    """Return what attends to what in TRL's row: each segment to its path, of which it is the end, causally."""
    tokens = batch["input_ids"]
    seen = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    starts, paths = batch["tree_cu_seqlens_q"].tolist(), batch["tree_cu_seqlens_k"].tolist()
    for number, (start, stop) in enumerate(itertools.pairwise(starts)):
        path = batch["tree_kv_index"][paths[number] : paths[number + 1]]
        for query in range(start, stop):
            seen[query, path[: len(path) - (stop - query) + 1]] = True
    # The position that predicts a sample's last token is the one before it, in the last segment of the same path.
    last = []
    predicts = torch.split(batch["token_index"], torch.bincount(batch["segment_id"]).tolist())
    for ids, positions in zip(sequences(examples), predicts, strict=True):
        before = int(positions[-1])
        deeper = (batch["position_ids"] == len(ids) - 1) & seen[:, before] & (tokens == ids[-1])
        last.append(int(deeper.nonzero()[0]))
    return Packed(tokens, batch["position_ids"], seen, last)


# -- Checking --------------------------------------------------------------------------------------------


def is_exact(row: Packed, examples: Examples) -> bool:
    """Whether each response sees its own sequence from each of its tokens, and nothing else."""
    for ids, last in zip(sequences(examples), row.last, strict=True):
        path = row.seen[last].nonzero()[:, 0]
        path = path[row.positions[path].argsort()]
        causal = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
        if (
            row.tokens[path].tolist() != ids
            or row.positions[path].tolist() != list(range(len(ids)))
            or not torch.equal(row.seen[path][:, path], causal)
            or not torch.equal(row.seen[path].sum(dim=1), torch.arange(1, len(ids) + 1))
        ):
            return False
    return True


if __name__ == "__main__":
    main()
