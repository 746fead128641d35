"""The recipe at the paper's scale, run as it is with a tiny model of StarCoder's architecture."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GPTBigCodeConfig, GPTBigCodeForCausalLM

from rrtf_trl.assets import model_path
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.records import to_json
from support.warm_python import python


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny StarCoder, and files of problems."""
    found = tmp_path_factory.mktemp("recipe")
    tokenizer = AutoTokenizer.from_pretrained(model_path("embedded"))
    torch.manual_seed(0)
    config = GPTBigCodeConfig(
        vocab_size=len(tokenizer), n_positions=512, n_embd=64, n_layer=2, n_head=2,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    GPTBigCodeForCausalLM(config).save_pretrained(found / "starcoder")
    tokenizer.save_pretrained(found / "starcoder")
    for split, count in (("train", 6), ("heldout", 2)):
        lines = [json.dumps(to_json(problem)) + "\n" for problem in exercises(split, count)]  # type: ignore[arg-type]
        (found / f"{split}.jsonl").write_text("".join(lines))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "saved"),
    [
        (["trainer.bf16=false"], "model.safetensors"),
        (["quantization=bnb_4bit", "adapter=lora", "trainer.bf16=false"], "adapter_model.safetensors"),
    ],
    ids=["full", "QLoRA"],
)
def test_the_recipe_runs(folder: Path, tmp_path: Path, variant: list[str], saved: str) -> None:
    done = subprocess.run(
        [
            python(), "-m", "rrtf_trl.cli", "run", "experiment=pangu_coder2",
            f"model.path={folder / 'starcoder'}",
            f"problems.train.path={folder / 'train.jsonl'}", f"problems.heldout.path={folder / 'heldout.jsonl'}",
            f"sampler.teacher.model={model_path('embedded')}", "decontamination=none", *variant,
            # What a random model writes has no end, and 200 samples of it teach nothing.
            "sampler.transformers.max_new_tokens=32", "sampler.teacher.max_new_tokens=96", "evaluation.n=2",
            "evaluation.measurements.high.ks=[1,2]",
        ],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (tmp_path / "runs").glob("pangu-coder2-*")
    log = [json.loads(line) for line in (run / "train_log.jsonl").read_text().splitlines()]
    assert log[-1]["epoch"] == 6
    assert (run / "policy" / saved).is_file()
    rows = [json.loads(line) for line in (run / "ranked.jsonl").read_text().splitlines()]
    for row in rows:
        sources = dict(zip(row["sources"], row["scores"], strict=True))
        assert sources["teacher"] > sources["student"]
    results = json.loads((run / "results.json").read_text())
    assert {name.split()[0] for name in results} >= {"greedy", "low", "high"}
