"""The engine's process and what is asked of it, with a package in vLLM's place that tells what it was asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rrtf_sampler_vllm.draw import VLLMSampler
from rrtf_sampler_vllm.engines import _devices, _divide
from rrtf_sampler_vllm.process import engine_environment
from rrtf_trl.errors import UserError
from support.vllm_engine import PROBLEMS, save_adapter

_VLLM = """
import json, os, subprocess, sys

ASKED = None


class SamplingParams:
    def __init__(self, **options):
        self.options = options


class Tokens:
    def __init__(self, ids, finish_reason):
        self.token_ids, self.finish_reason, self.logprobs = ids, finish_reason, None


class Output:
    def __init__(self, outputs):
        self.outputs = outputs


class LLM:
    def __init__(self, **arguments):
        if arguments.get("wrong"):
            raise ValueError("no such argument: wrong")
        print("noise on the standard output")
        self.llm_engine = self
        self.model_config = self
        self.max_model_len = 64
        self.worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open(os.environ["FAKE_VLLM_NOTES"], "w") as file:
            json.dump({"arguments": arguments, "environment": dict(os.environ), "worker": self.worker.pid}, file)

    def reset_prefix_cache(self):
        pass

    def generate(self, prompts, params, use_tqdm, lora_request):
        if any(p.options["max_tokens"] == 13 for p in params):
            sys.stderr.write("out of memory\\n")
            sys.stderr.flush()
            os._exit(9)
        return [
            Output([Tokens([*prompt["prompt_token_ids"][:3], p.options["stop_token_ids"][0]], "stop")
                    for _ in range(p.options["n"])])
            for prompt, p in zip(prompts, params)
        ]
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """Puts the package in vLLM's place; returns what its engine was built with."""
    for name, text in {
        "__init__.py": _VLLM,
        "platforms.py": "class current_platform:\n    is_cpu = staticmethod(lambda: True)\n",
        "lora/__init__.py": "",
        "lora/request.py": "def LoRARequest(name, number, path):\n    return name, number, path\n",
    }.items():
        file = tmp_path / "vllm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_VLLM_NOTES", str(tmp_path / "notes.json"))
    return lambda: json.loads((tmp_path / "notes.json").read_text())


def test_draws_are_what_the_engine_answers_up_to_the_token_that_ends_them(notes: Callable[[], dict[str, Any]]) -> None:
    sampler = VLLMSampler("embedded", n=2, temperatures=[0.0, 0.8], max_new_tokens=8, engine={"dtype": "bfloat16"})
    samples = sampler.sample(PROBLEMS)
    sampler.close()
    assert [c.task_id for c in samples.candidates] == [f"t/{i}" for i in range(3) for _ in range(3)]
    assert [c.sampling["temperature"] for c in samples.candidates[:3]] == [0.0, 0.8, 0.8]
    assert {c.finish_reason for c in samples.candidates} == {"stop"}
    assert samples.candidates[0].response
    assert PROBLEMS[0].prompt.startswith(samples.candidates[0].response)
    arguments = notes()["arguments"]
    assert arguments["dtype"] == "bfloat16", "what the user asks for wins"
    assert arguments["enable_chunked_prefill"] is False


def test_no_process_is_left_after_it_is_closed(notes: Callable[[], dict[str, Any]]) -> None:
    sampler = VLLMSampler("embedded", n=1, max_new_tokens=8)
    sampler.sample(PROBLEMS[:1])
    worker = psutil.Process(notes()["worker"])
    assert worker.is_running()
    sampler.close()
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert sampler.sample(PROBLEMS[:1]).candidates, "it can be used again"
    sampler.close()


def test_it_ends_with_the_process_that_started_it(notes: Callable[[], dict[str, Any]]) -> None:
    program = (
        "from rrtf_sampler_vllm.process import EngineProcess\n"
        "engine = EngineProcess(None, {}, None)\nprint('up', flush=True)\nimport time; time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    worker = psutil.Process(notes()["worker"])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it goes on without the process that started it"
        time.sleep(0.05)


def test_an_engine_that_does_not_start_says_why(notes: Callable[[], dict[str, Any]]) -> None:
    sampler = VLLMSampler("embedded", engine={"wrong": True})
    with pytest.raises(UserError, match="vLLM's engine: ValueError: no such argument: wrong"):
        sampler.sample(PROBLEMS)


def test_an_engine_that_dies_says_what_it_wrote_last(notes: Callable[[], dict[str, Any]]) -> None:
    sampler = VLLMSampler("embedded", n=1, max_new_tokens=13)
    with pytest.raises(UserError, match=r"its process ended\nIt wrote:\n(.*\n)*out of memory"):
        sampler.sample(PROBLEMS)
    sampler.close()


def test_what_a_launcher_of_training_says_is_not_passed_on(
    notes: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RUN_ID", "ACCELERATE_MIXED_PRECISION")
    for name in launched:
        monkeypatch.setenv(name, "7")
    sampler = VLLMSampler("embedded", n=1, max_new_tokens=8)
    sampler.sample(PROBLEMS[:1])
    sampler.close()
    assert not set(launched) & set(notes()["environment"])
    assert "PATH" in notes()["environment"]


def test_another_interpreter_gets_no_modules_of_this_one() -> None:
    own = {"PYTHONPATH": "/here", "CUDA_VISIBLE_DEVICES": "1", "VLLM_CPU_OMP_THREADS_BIND": "0-3"}
    assert engine_environment(own, own_python=True)["PYTHONPATH"] == "/here"
    other = engine_environment(own, own_python=False)
    assert "PYTHONPATH" not in other
    assert (other["CUDA_VISIBLE_DEVICES"], other["VLLM_CPU_OMP_THREADS_BIND"]) == ("1", "0-3")


def test_an_adapter_is_served_on_its_base_model(notes: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter", r=12)
    sampler = VLLMSampler(str(adapter), n=1, max_new_tokens=8)
    sampler.sample(PROBLEMS[:1])
    sampler.close()
    arguments = notes()["arguments"]
    assert arguments["model"] == VLLMSampler("embedded").model
    assert (arguments["enable_lora"], arguments["max_lora_rank"]) == (True, 16)


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("other", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"peft_type": "IA3"}])
def test_an_adapter_that_vllm_does_not_serve_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    adapter = save_adapter(tmp_path / "adapter", **other)
    with pytest.raises(UserError, match="merge it into its base model"):
        VLLMSampler(str(adapter)).sample(PROBLEMS)


def test_several_engines_divide_the_prompts_and_the_devices(
    notes: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    before = {child.pid for child in psutil.Process().children(recursive=True)}  # of other tests
    engine = {"data_parallel_size": 2, "tensor_parallel_size": 2}
    sampler = VLLMSampler("embedded", n=2, max_new_tokens=8, engine=engine)
    samples = sampler.sample(PROBLEMS)
    workers = {child.pid for child in psutil.Process().children(recursive=True)} - before
    sampler.close()
    assert [c.task_id for c in samples.candidates] == [f"t/{i}" for i in range(3) for _ in range(2)]
    assert "data_parallel_size" not in notes()["arguments"]
    assert notes()["environment"]["CUDA_VISIBLE_DEVICES"] in ("4,5", "6,7")
    one = VLLMSampler("embedded", n=2, max_new_tokens=8)
    assert [c.response for c in one.sample(PROBLEMS).candidates] == [c.response for c in samples.candidates]
    one.close()
    assert len(workers) >= 4, "two engines, each with a process of its own"
    assert not {child.pid for child in psutil.Process().children(recursive=True)} & workers
    assert [place["CUDA_VISIBLE_DEVICES"] for place in _divide(_devices(), 2, 2)] == ["4,5", "6,7"]
    with pytest.raises(UserError, match="3 engines on 2 GPUs each need 6, and there are 4"):
        VLLMSampler("embedded", engine={**engine, "data_parallel_size": 3}).sample(PROBLEMS)


def test_where_one_of_several_engines_fails_all_are_ended(notes: Callable[[], dict[str, Any]]) -> None:
    before = set(psutil.Process().children(recursive=True))
    sampler = VLLMSampler("embedded", n=1, max_new_tokens=13, engine={"data_parallel_size": 2})
    with pytest.raises(UserError, match="its process ended"):
        sampler.sample(PROBLEMS)
    with pytest.raises(UserError, match="no such argument"):
        VLLMSampler("embedded", engine={"data_parallel_size": 2, "wrong": True}).sample(PROBLEMS)
    assert set(psutil.Process().children(recursive=True)) == before
