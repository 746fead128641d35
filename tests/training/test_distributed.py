"""Two real processes train and evaluate exactly as one does."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, concatenate_datasets
from transformers import AutoModelForCausalLM

import rrtf_trl
from rrtf_trl import RRTFConfig, RRTFTrainer
from support.distributed_training import summary
from support.trainer_checks import SGD
from support.warm_python import python

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "support" / "distributed_training.py"
CONFIGS = Path(__file__).parents[2] / "conf" / "accelerate"
WRAPPERS = {
    "ddp": "DistributedDataParallel",
    "fsdp2": "FSDPLlamaForCausalLM",
    "zero2": "DeepSpeedEngine",
    "zero3": "DeepSpeedEngine",
}
METRICS = [
    "loss",
    "rank_loss",
    "sft_loss",
    "margins",
    "ranking_accuracy",
    "active_pairs",
    "logps/best",
    "logps/rest",
    "entropy",
    "mean_token_accuracy",
    "num_tokens",
]


ONE_BATCH: tuple[int, list[int]] = (1, [])
TWO_BATCHES = (2, [1, 3, 5])  # and none of one process has a pair in the first step


@pytest.mark.parametrize(
    ("engine", "share_prefix", "batches", "limit", "is_rounded"),
    [
        *(
            pytest.param(engine, share, batches, None, False, id=f"{engine}-{share}-{batches[0]}")
            for engine in WRAPPERS
            for share, batches in itertools.product(("true", "false"), (ONE_BATCH, TWO_BATCHES))
            # How a model is spread and how its batches are made do not meet: one of each is enough.
            if engine == "ddp" or (share == "true") == (batches is TWO_BATCHES)
        ),
        # The processes have different numbers of forwards.
        *(
            pytest.param(engine, "true", batches, 40, False, id=f"{engine}-limit-{batches[0]}")
            for engine, batches in itertools.product(WRAPPERS, (ONE_BATCH, TWO_BATCHES))
            if engine in ("ddp", "fsdp2") or batches is TWO_BATCHES
        ),
        # As most people train: in bfloat16, with activations computed again in the backward pass.
        *(
            pytest.param(engine, share, batches, None, True, id=f"{engine}-{share}-{batches[0]}-bf16-recomputed")
            for engine in WRAPPERS
            for share, batches in (("true", TWO_BATCHES), ("false", ONE_BATCH))
        ),
    ],
)
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_give_the_losses_metrics_and_weights_of_one(
    llama_path: str,
    ranked: Dataset,
    config: Callable[..., RRTFConfig],
    tmp_path: Path,
    share_prefix: str,
    engine: str,
    batches: tuple[int, list[int]],
    limit: int | None,
    is_rounded: bool,
) -> None:
    accumulate, tied = batches
    if engine.startswith("zero"):
        pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install 'rrtf-trl[deepspeed]'")
    # Seven groups of 2 to 5 responses. The processes take turns in twos, so in the second step one has two
    # groups and the other a single one: only dividing by all three groups gives what one process gives.
    rows = ranked.map(lambda row, i: {"scores": [0.0] * len(row["scores"])} if i in tied else {}, with_indices=True)
    if accumulate > 1:  # processes must have as many batches as each other
        rows = concatenate_datasets([rows, rows.select([1])])
    options = {
        "optim": "sgd",
        "learning_rate": 0.1,
        "max_grad_norm": 0.0,
        "max_steps": 2,
        "accelerator_config": {"even_batches": False},
        "share_prefix": share_prefix,
        "max_tokens_per_forward": limit,
        "bf16": is_rounded,
        "gradient_checkpointing": is_rounded,
    }
    alone = RRTFTrainer(
        model=llama_path,
        args=config(**options, per_device_train_batch_size=4, per_device_eval_batch_size=4),
        train_dataset=rows,
        eval_dataset=rows,
    )
    before = {name: weight.clone() for name, weight in alone.model.state_dict().items()}
    alone.train()
    alone.evaluate()

    pair = run_script(
        {
            "model": llama_path,
            "rows": rows.to_list(),
            "options": {
                "output_dir": str(tmp_path / "pair"),
                "use_cpu": True,
                "dataloader_pin_memory": False,
                "report_to": "none",
                "save_strategy": "no",
                "disable_tqdm": True,
                "logging_steps": 1,
                "lr_scheduler_type": "constant",
                "per_device_train_batch_size": 2 // accumulate,
                "gradient_accumulation_steps": accumulate,
                "per_device_eval_batch_size": 2,
                **options,
            },
        },
        tmp_path,
        engine,
        mixed_precision="bf16" if is_rounded else "no",
    )

    # bfloat16 has 8 bits, and losses are about 7 here. Batches of other shapes round to other values, and FSDP2 and
    # DeepSpeed compute norms in it too, which autocast does not. A sum divided by the wrong number is half or double.
    near = 0.15 if is_rounded else 1e-5
    for step in (0, 1):
        for name in METRICS:
            assert pair["log"][step][name] == pytest.approx(alone.state.log_history[step][name], abs=near), name
    for name in METRICS[:-1]:
        key = f"eval_{name}"
        assert pair["log"][-1][key] == pytest.approx(alone.state.log_history[-1][key], abs=near), name
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "result", dtype=torch.float32).state_dict()
    after = alone.model.state_dict()
    if is_rounded:
        apart = sum(float((saved[name] - weight).square().sum()) for name, weight in after.items())
        moved = sum(float((weight - before[name]).square().sum()) for name, weight in after.items())
        assert (apart / moved) ** 0.5 < (0.05 if engine == "ddp" else 0.25)
    else:
        for name, weight in after.items():
            torch.testing.assert_close(saved[name], weight, atol=1e-5, rtol=0, msg=name)
    whole = sum(parameter.numel() for parameter in alone.model.parameters())
    assert pair["held"] < 0.51 * whole if engine in ("fsdp2", "zero3") else pair["held"] == whole
    assert pair["wrapper"] == WRAPPERS[engine]
    assert max(float((weight - before[name]).abs().max()) for name, weight in saved.items()) > 1e-2


@pytest.mark.parametrize("share_prefix", ["true", "false"])
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_evaluation_on_two_processes_counts_every_row_once(
    llama_path: str, ranked: Dataset, config: Callable[..., RRTFConfig], tmp_path: Path, share_prefix: str
) -> None:
    # accelerate fills the last batches up: of seven rows with the first one, and of two with both, all of a process.
    first = {"seven": 7, "two": 2}
    padded = share_prefix == "false"
    options = {"share_prefix": share_prefix, "include_for_metrics": ["inputs"] if padded else []}
    alone = RRTFTrainer(
        model=llama_path,
        args=config(**options, per_device_eval_batch_size=4),
        train_dataset=ranked,
        eval_dataset={name: ranked.select(range(count)) for name, count in first.items()},
        compute_metrics=summary if padded else None,
    )
    expected = alone.evaluate()
    pair = run_script(
        {
            "model": llama_path,
            "rows": ranked.to_list(),
            "options": {
                "output_dir": str(tmp_path / "pair"),
                "use_cpu": True,
                "bf16": False,
                "dataloader_pin_memory": False,
                "report_to": "none",
                "disable_tqdm": True,
                "per_device_eval_batch_size": 2,
                **options,
            },
            "first": first,
            "summary": padded,
        },
        tmp_path,
        "ddp",
    )
    metrics = {name: value for log in pair["log"] for name, value in log.items()}
    names = METRICS[:-1] + (["responses", "inputs", "tokens", "sum"] if padded else [])
    for name in (f"eval_{part}_{name}" for part in first for name in names):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name
    if padded:
        assert expected["eval_seven_responses"] == expected["eval_seven_inputs"] == 21


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_a_process_without_a_metric_adds_nothing_to_it(
    llama_path: str, ranked: Dataset, config: Callable[..., RRTFConfig], tmp_path: Path
) -> None:
    # Of two rows one process has both, and the other repeated ones alone, for which no loss is computed.
    options = {"loss_type": "nft", "rank_min_score": 2.0, "use_cpu": True, "bf16": False, "report_to": "none"}
    rows = ranked.select([0, 1])
    alone = RRTFTrainer(
        model=llama_path, args=config(**options, per_device_eval_batch_size=4), train_dataset=rows, eval_dataset=rows
    )
    expected = alone.evaluate()
    pair = run_script(
        {
            "model": llama_path,
            "rows": rows.to_list(),
            "options": {"output_dir": str(tmp_path / "pair"), "per_device_eval_batch_size": 2, **options},
            "first": {"two": 2},
        },
        tmp_path,
        "ddp",
    )
    metrics = {name: value for log in pair["log"] for name, value in log.items()}
    for name in ("loss", "margins", "clipped", "logps/best", "entropy"):
        assert metrics[f"eval_two_{name}"] == pytest.approx(expected[f"eval_{name}"], abs=1e-5), name


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_one_process_alone_may_compute_a_row_in_parts(
    llama_path: str, ranked: Dataset, config: Callable[..., RRTFConfig], tmp_path: Path
) -> None:
    # The first forward of a step is one without a graph on the first process, and one with a graph on the second.
    rows = ranked.select([0, 1, 3, 6])
    options = {"max_steps": 3, "max_tokens_per_forward": 45, "train_sampling_strategy": "sequential", **SGD}
    alone = RRTFTrainer(
        model=llama_path, args=config(**options, per_device_train_batch_size=4), train_dataset=rows, eval_dataset=rows
    )
    in_parts = [["parts" in one for one in alone.data_collator([row])["forwards"]] for row in alone.train_dataset]
    assert in_parts == [[False], [True], [False], [False]]
    alone.train()
    pair = run_script(
        {
            "model": llama_path,
            "rows": rows.to_list(),
            "options": {
                "output_dir": str(tmp_path / "pair"),
                "use_cpu": True,
                "bf16": False,
                "gradient_checkpointing": True,  # DDP orders its buckets anew then, in the second step's first forward
                "report_to": "none",
                "save_strategy": "no",
                "logging_steps": 1,
                "lr_scheduler_type": "constant",
                "per_device_train_batch_size": 2,
                **options,
            },
        },
        tmp_path,
        "ddp",
    )
    for step in range(3):
        assert pair["log"][step]["loss"] == pytest.approx(alone.state.log_history[step]["loss"], abs=1e-4)


def run_script(job: dict[str, Any], tmp_path: Path, engine: str, mixed_precision: str = "no") -> Any:
    (tmp_path / "job.json").write_text(json.dumps(job))
    result = tmp_path / "result.pt"
    source = Path(rrtf_trl.__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": "1",
        "PYTHON_EXEC": python(),  # the processes that it starts
    }
    launch = [python(), "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / f"{engine}.yaml")]
    launch += ["--num_processes", "2", "--mixed_precision", mixed_precision]
    finished = subprocess.run(
        [*launch, str(SCRIPT), str(tmp_path / "job.json"), str(result)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert finished.returncode == 0, finished.stderr[-9000:]
    return torch.load(result)
