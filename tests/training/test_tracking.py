"""What is logged arrives where `report_to` says, and a model that is pushed arrives whole at the hub."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

import rrtf_trl
from rrtf_trl import RRTFTrainer

Build = Callable[..., RRTFTrainer]
OURS = ["rank_loss", "sft_loss", "margins", "ranking_accuracy", "active_pairs", "logps/best", "entropy", "num_tokens"]


def trained(trainer: Build, llama_path: str, ranked: Dataset, tracker: str) -> dict[str, float]:
    """Train two steps and evaluate; return what the log says last of the names in ``OURS``."""
    ours = trainer(llama_path, report_to=tracker, max_steps=2, run_name="two steps", eval_dataset=ranked)
    ours.train()
    ours.evaluate()
    last = [entry for entry in ours.state.log_history if "rank_loss" in entry][-1]
    return {name: last[name] for name in OURS}


@pytest.mark.slow
def test_tensorboard(
    trainer: Build, llama_path: str, ranked: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    logged = trained(trainer, llama_path, ranked, "tensorboard")
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    for name, value in logged.items():
        assert events.Scalars(f"train/{name}")[-1].value == pytest.approx(value, rel=1e-5), name
    assert events.Scalars("eval/rank_loss")


@pytest.mark.slow
def test_wandb(
    trainer: Build, llama_path: str, ranked: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    logged = trained(trainer, llama_path, ranked, "wandb")
    summary = dict(wandb.run.summary)
    wandb.finish()
    assert {name: summary[f"train/{name}"] for name in OURS} == pytest.approx(logged)
    assert "eval/rank_loss" in summary


@pytest.mark.slow
def test_trackio(trainer: Build, llama_path: str, ranked: Dataset) -> None:
    trackio = pytest.importorskip("trackio", reason="trackio is not installed: pip install trackio")
    logged = trained(trainer, llama_path, ranked, "trackio")
    trackio.finish()
    [database] = Path(os.environ["TRACKIO_DIR"]).glob("*.db")
    rows = [json.loads(row) for (row,) in sqlite3.connect(database).execute("SELECT metrics FROM metrics ORDER BY id")]
    last = [row for row in rows if "train/rank_loss" in row][-1]
    assert {name: last[f"train/{name}"] for name in OURS} == pytest.approx(logged)
    assert any("eval/rank_loss" in row for row in rows)


# -- The hub --------------------------------------------------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as an upload of small files takes; keeps what it is given in ``files``."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        self.reply({"name": "someone", "type": "user", "orgs": []} if "whoami" in self.path else {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/repos/create"):
            self.reply({"url": "https://huggingface.co/someone/aligned", "id": "someone/aligned"})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            self.reply({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.reply(
                {
                    "commitUrl": "https://huggingface.co/someone/aligned/commit/1",
                    "commitOid": "1" * 40,
                    "success": True,
                }
            )
        else:
            self.reply({})

    def reply(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, bytes]]]:
    files: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHub", (Hub,), {"files": files}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()


@pytest.mark.slow
def test_push_to_hub(hub: tuple[str, dict[str, bytes]], llama_path: str, ranked: Dataset, tmp_path: Path) -> None:
    address, files = hub
    ranked.to_json(tmp_path / "rows.jsonl")
    command = [sys.executable, "-m", "rrtf_trl.cli", "trl-train", "--model_name_or_path", llama_path]
    command += ["--dataset_name", str(tmp_path / "rows.jsonl"), "--output_dir", str(tmp_path / "aligned")]
    command += ["--max_steps", "1", "--use_cpu", "--bf16", "False", "--report_to", "none", "--save_strategy", "no"]
    command += ["--push_to_hub", "--hub_model_id", "someone/aligned", "--hub_token", "hf_secret"]
    source = str(Path(rrtf_trl.__file__).parents[1])
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "PYTHONPATH": source}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= files.keys()
    card = files["README.md"].decode()
    assert "2307.14936" in card
    assert str(tmp_path) not in card  # the path of the rows says nothing to others
    assert [name for name, content in files.items() if b"hf_secret" in content] == []
