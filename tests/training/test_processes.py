"""What several processes would wait for for ever, or round."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from datasets import Dataset
from torch.distributed.fsdp import MixedPrecisionPolicy

from rrtf_trl import RRTFConfig
from rrtf_trl.training import shared_prefix
from rrtf_trl.training.distributed import check_batches, keep_float32_losses
from support.tiny_models import make


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"accelerator_config": {"even_batches": False}}, True),
        ({"accelerator_config": {"even_batches": False}, "per_device_train_batch_size": 4}, False),
        ({"accelerator_config": {"even_batches": False}, "dataloader_drop_last": True}, False),
        ({}, False),
    ],
)
def test_uneven_batches_of_several_processes_are_refused(
    options: dict[str, Any], refused: bool, config: Callable[..., RRTFConfig]
) -> None:
    args = config(**{"per_device_train_batch_size": 3, **options})
    rows = Dataset.from_list([{"scores": [0.0]}] * 7)
    check_batches(args, rows, processes=1)
    if not refused:
        check_batches(args, rows, processes=2)
        return
    with pytest.raises(ValueError, match="7 rows in batches of 3 are 3 batches, which 2 processes cannot"):
        check_batches(args, rows, processes=2)


def test_fsdp2_rounds_no_log_probability_and_no_sum_of_gradients() -> None:
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    plugin.set_mixed_precision("bf16")
    assert plugin.mixed_precision_policy.output_dtype == torch.bfloat16
    keep_float32_losses(SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin)))  # type: ignore[arg-type]
    expected = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=None)
    assert plugin.mixed_precision_policy == expected


def test_one_process_that_cannot_share_speaks_for_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = make("Llama", {})
    monkeypatch.setattr(shared_prefix, "gather_object", lambda reasons: [*reasons, "a trial on Llama failed"])
    assert not shared_prefix.share_prefixes(model, "auto")
    assert "on another process a trial on Llama failed" in caplog.text
    assert model.config._attn_implementation == "sdpa"
    assert not model.base_model._forward_hooks
