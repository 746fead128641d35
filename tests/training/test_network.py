"""Nothing is sent anywhere: training and sampling with local files open no connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from datasets import Dataset

# Connections are refused and noted, whoever tries: patched before anything is imported that might keep the originals.
WATCHED = """
import json, socket, sys, threading
tried = []

def refuse(*arguments, **options):
    tried.append(str(arguments))
    raise OSError("no network in this test")

connect = socket.socket.connect
socket.getaddrinfo = refuse
socket.socket.connect = lambda self, to: connect(self, to) if self.family == socket.AF_UNIX else refuse(to)

from datasets import Dataset
from rrtf_trl import Problem, RRTFConfig, RRTFTrainer
from rrtf_trl.cli import trl_train
from rrtf_trl.records import AssertTests
from rrtf_trl.samplers import TransformersSampler

rows, out = sys.argv[1:]
with open(rows) as file:
    ranked = Dataset.from_list([json.loads(line) for line in file])
args = RRTFConfig(out, use_cpu=True, bf16=False, report_to="none", max_steps=1, save_strategy="no")
trainer = RRTFTrainer("embedded", args=args, train_dataset=ranked)
trainer.train()
trainer.save_model(out)
options = ["--dataset_name", rows, "--output_dir", out, "--use_cpu", "--bf16", "false", "--report_to", "none"]
assert trl_train.main(["--model_name_or_path", out, "--max_steps", "1", *options]) == 0
TransformersSampler(out, n=1, max_new_tokens=2).sample([Problem("t", "def f(x):", AssertTests(["assert f(1)"]))])
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(2)  # telemetry is sent by a thread of its own
print("TRIED", tried)
"""


def test_training_and_sampling_open_no_connection(ranked: Dataset, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ranked))
    # As in a user's own process: what switches the libraries' reports off in these tests is left out.
    off = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DISABLE_TELEMETRY", "CI")
    environment = {name: value for name, value in os.environ.items() if name not in off}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(rows), str(tmp_path / "out")],
        env={**environment, "HF_DATASETS_CACHE": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "TRIED []"
