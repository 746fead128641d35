"""Parts that compare gradients of one step, computed in two ways."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from contestants import Work, make_rows
from peft import LoraConfig
from transformers import BitsAndBytesConfig

from rrtf_trl.training import tree_attention
from rrtf_trl.training.tree_flex import attend_by_blocks

from .setting import Finding, Setting
from .steps import make_trainer, mib, one_step, ragged_rows


def flex(setting: Setting) -> Finding:
    """FlexAttention over packed rows rounds no more than padded batches do, both in bfloat16 beside float32."""
    model = setting.model("0.5b")
    rows = ragged_rows(2, 5, 24, 16) if setting.tiny else ragged_rows(2, 6, 600, 250)
    exact = one_step(setting, model, rows, share_prefix="false", bf16=False)
    padded = one_step(setting, model, rows, share_prefix="false", bf16=True)
    with mock.patch.object(tree_attention, "attend_by_blocks", wraps=attend_by_blocks) as by_blocks:
        packed = one_step(setting, model, rows, share_prefix="true", bf16=True)
    calls = by_blocks.call_count
    errors = {name: step.distance(exact) for name, step in (("packed", packed), ("padded", padded))}
    near = abs(packed.loss - exact.loss) < 0.02 * abs(exact.loss)
    ok = errors["packed"] < 1.5 * errors["padded"] + 1e-3 and near and bool(calls) == setting.on_gpu
    how = f"{calls} calls of FlexAttention" if calls else "by spans, as FlexAttention needs a GPU"
    return Finding(
        f"error of bf16 gradients beside float32: packed {errors['packed']:.1e} ({how}), padded "
        f"{errors['padded']:.1e}; losses {packed.loss:.4f}, {padded.loss:.4f}, float32 {exact.loss:.4f}",
        ok,
    )


def budget(setting: Setting) -> Finding:
    """With `max_tokens_per_forward` a step of 16 responses has the same gradients, in the memory of 2."""
    model = setting.model("0.5b")
    prompt, response = (24, 16) if setting.tiny else (1024, 1024)
    two, sixteen = (make_rows(Work("0.5b", "full", k, prompt, response), 1) for k in (2, 16))
    limit = prompt + 2 * response
    of_two = one_step(setting, model, two)
    whole = one_step(setting, model, sixteen)
    parts = one_step(setting, model, sixteen, max_tokens_per_forward=limit)
    apart = parts.distance(whole)
    # Each way is rounded by itself: see the part flex for how much that is.
    same = apart < 0.05 and abs(parts.loss - whole.loss) < 0.02 * abs(whole.loss)
    measured = (
        f"k=16 in parts beside at once: gradients {apart:.1e} apart, losses {parts.loss:.4f} and {whole.loss:.4f}"
    )
    if not setting.on_gpu:
        return Finding(f"{measured}; the peak needs a GPU", same)
    ratio = parts.peak / of_two.peak
    return Finding(
        f"{measured}; peak k=2 {mib(of_two.peak)}, k=16 {mib(parts.peak)} ({ratio:.2f} of k=2), at once "
        f"{mib(whole.peak)}",
        same and ratio < 1.1,
    )


def checkpointing(setting: Setting) -> Finding:
    """Activations that are computed again give the same gradients, in less memory."""
    model = setting.model("0.5b")
    rows = ragged_rows(2, 5, 24, 16) if setting.tiny else ragged_rows(3, 8, 1000, 600)
    kept = one_step(setting, model, rows)
    found, ok = [], True
    for reentrant in (False, True):
        again = one_step(
            setting,
            model,
            rows,
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": reentrant},
        )
        apart = again.distance(kept)
        ok &= apart < 0.01 and (not setting.on_gpu or again.peak < 0.9 * kept.peak)
        memory = f", peak {mib(again.peak)} of {mib(kept.peak)}" if setting.on_gpu else ""
        found.append(f"{'' if reentrant else 'not '}reentrant: gradients {apart:.1e} apart{memory}")
    return Finding("; ".join(found), ok)


def four_bits(setting: Setting) -> Finding:
    """LoRA on 4-bit weights: packed batches round no more than padded ones do, beside float32, and the loss falls."""
    model = setting.model("1.5b")
    rows = ragged_rows(2, 5, 24, 16) if setting.tiny else ragged_rows(2, 6, 600, 250)
    adapter = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")

    def bits(dtype: torch.dtype) -> BitsAndBytesConfig:
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )

    exact = one_step(
        setting, model, rows, share_prefix="false", bf16=False,
        peft_config=adapter, quantization_config=bits(torch.float32),
    )  # fmt: skip
    options: dict[str, Any] = {"quantization_config": bits(torch.bfloat16), "peft_config": adapter}
    packed = one_step(setting, model, rows, share_prefix="true", **options).distance(exact)
    padded = one_step(setting, model, rows, share_prefix="false", **options).distance(exact)
    trainer = make_trainer(setting, model, rows, max_steps=8, optim="adamw_torch", learning_rate=1e-3, **options)
    trainer.train()
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    return Finding(
        f"error of the adapter's gradients beside float32: packed {packed:.1e}, padded {padded:.1e}; "
        f"loss {losses[0]:.3f} to {losses[-1]:.3f} in "
        f"{len(losses)} steps",
        packed < 1.5 * padded + 1e-3 and losses[-1] < 0.98 * losses[0],
    )
