"""Batches of tokenized rows."""

from __future__ import annotations

import torch

from rrtf_trl.training import RankedCollator
from rrtf_trl.training.packing import PackedCollator

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
        "scores": torch.tensor([0.0, 1.0, 0.5, -1.0], dtype=torch.float64),
        "group_ids": torch.tensor([0, 0, 1, 1]),
        "from_teacher": torch.tensor([False, True, False, False]),
    }
    assert batch.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(batch[name], tensor, rtol=0, atol=0, msg=name)


def test_masked_tokens_are_read_and_not_scored() -> None:
    example = {**EXAMPLES[0], "unscored": [0, 1]}
    padded = RankedCollator(pad_token_id=0)([example])
    assert padded["input_ids"].tolist() == [[1, 2, 3, 0], [1, 2, 4, 5]]
    assert padded["completion_mask"].tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    packed = PackedCollator()([example])
    assert packed["input_ids"].tolist() == [[1, 2, 3, 4, 5]]
    assert packed["scored_tokens"].tolist() == [[3, 5]]
    assert packed["member_responses"].tolist() == [0, 1]


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
