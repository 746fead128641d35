"""A whole run with the real engine in two processes under `accelerate launch`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from support.vllm_engine import NEEDS_ENGINE, PYTHON

pytestmark = NEEDS_ENGINE
RUN = [
    "sampler=[vllm,reference]",
    "evaluation=greedy",
    "decontamination=none",
    "problems.train.limit=4",
    "problems.heldout.limit=2",
    "sampler.vllm.n=2",
    "sampler.vllm.max_new_tokens=24",
    "sampler.vllm.engine={dtype: float32, gpu_memory_utilization: 0.3}",
    "trainer.num_train_epochs=1",
    "trainer.per_device_train_batch_size=1",
    "trainer.gradient_accumulation_steps=1",
    "+trainer.use_cpu=true",
]


def test_two_processes_train_and_one_engine_draws_and_all_end(tmp_path: Path) -> None:
    configuration = tmp_path / "two.yaml"
    configuration.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nuse_cpu: true\n")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration)]
    command += ["--num_processes", "2", "--mixed_precision", "no", "--main_process_port", "0"]
    mark = {"RRTF_TEST_OF": str(tmp_path)}
    environment = {
        **os.environ, **mark, "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
        **({"RRTF_VLLM_PYTHON": PYTHON} if PYTHON else {}),
    }  # fmt: skip
    done = subprocess.run(
        [*command, "-m", "rrtf_trl.cli", "run", *RUN],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (run,) = (tmp_path / "runs").glob("quickstart-*")
    candidates = [json.loads(line) for line in (run / "candidates.jsonl").read_text().splitlines()]
    assert sum(candidate["source"] == "student" for candidate in candidates) == 8
    assert "by vllm" in (run / "report.html").read_text()
    assert json.loads((run / "run.json").read_text())["outcome"] == {"state": "done"}
    left = [one for one in psutil.process_iter() if _environment(one).get("RRTF_TEST_OF") == str(tmp_path)]
    assert not left, "an engine or a process of the launch is left"


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except psutil.Error:
        return {}
