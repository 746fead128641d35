"""A real ``vllm serve`` as the student: it draws as an engine does, and what it serves is the policy or nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from rrtf_sampler_vllm.draw import VLLMSampler
from rrtf_sampler_vllm.http import post
from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.records import Candidate, Problem
from support.vllm_engine import NEEDS_ENGINE, PYTHON

pytest_plugins = ["rrtf_trl.testing"]
pytestmark = NEEDS_ENGINE
ENGINE = {"dtype": "float32", "max_model_len": 256, "gpu_memory_utilization": 0.3}
OPTIONS: dict[str, Any] = {
    "n": 2,
    "temperatures": [0.0, 0.8],
    "top_ps": [1.0, 0.9],
    "max_new_tokens": 24,
    "logprobs": True,
    "engine": ENGINE,
}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a model, of the same one after a training, of an adapter of it, and of one with a tied head."""
    folder = tmp_path_factory.mktemp("policies")
    tokenizer = AutoTokenizer.from_pretrained(model_path("embedded"))
    model = AutoModelForCausalLM.from_pretrained(model_path("embedded"), dtype=torch.float32)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.detach().clone())

    def save(model: Any, name: str) -> str:
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        return str(folder / name)

    def change(model: Any) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))

    torch.manual_seed(0)
    paths = {"base": save(model, "base")}
    change(model)
    paths["trained"] = save(model, "trained")
    base = AutoModelForCausalLM.from_pretrained(paths["base"])
    lora = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False)
    paths["adapter"] = save(get_peft_model(base, lora), "adapter")
    tied = AutoModelForCausalLM.from_pretrained(model_path("embedded"), dtype=torch.float32)
    paths["tied"] = save(tied, "tied")
    change(tied)
    paths["tied_trained"] = save(tied, "tied_trained")
    return paths


@contextlib.contextmanager
def served(model: str, log: Path, *options: str, **variables: str) -> Iterator[str]:
    """Start a server with a model, and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
    command = [PYTHON or sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "256"]
    command += ["--enforce-eager", "--no-enable-chunked-prefill", "--gpu-memory-utilization", "0.3", *options]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**own, **cpu, **variables}, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            with contextlib.suppress(URLError, ConnectionError):
                urlopen(f"{address}/health").close()
                break
            time.sleep(1)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def server(policies: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = ["--enable-lora", "--max-lora-rank", "16", "--logprobs-mode", "processed_logprobs"]
    development = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    log = tmp_path_factory.mktemp("server") / "log"
    with served(policies["base"], log, *options, **development) as address:
        yield address


def drawn(policy: str, problems: list[Problem], **options: Any) -> list[Candidate]:
    sampler = VLLMSampler(policy, **{**OPTIONS, **options})
    try:
        return sampler.sample(problems).candidates
    finally:
        sampler.close()


def test_it_draws_as_the_engine_does_from_each_policy_that_it_is_asked_for(
    server: str, policies: dict[str, str], problems: list[Problem]
) -> None:
    responses = {}
    for name in ("base", "adapter", "trained", "adapter", "base"):
        found = drawn(policies[name], problems, server=server, lora_rank=8)
        if name not in responses:
            responses[name] = drawn(policies[name], problems, python=PYTHON)
        expected = responses[name]
        assert [c.response for c in found] == [c.response for c in expected], name
        assert [c.finish_reason for c in found] == [c.finish_reason for c in expected]
        assert [c.token_ids for c in found] == [c.token_ids for c in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
    texts = {name: [c.response for c in candidates] for name, candidates in responses.items()}
    assert texts["base"] != texts["adapter"] != texts["trained"] != texts["base"]


def test_what_is_drawn_while_another_changes_the_weights_is_not_kept(
    server: str, policies: dict[str, str], problems: list[Problem]
) -> None:
    sampler = VLLMSampler(policies["base"], **OPTIONS, server=server)
    sampler.sample(problems[:1])
    post(server, "/update_weight_version", {"new_version": "of another run"})
    with pytest.raises(UserError, match="its weights were changed while it was drawn from"):
        sampler.sample(problems[:1])
    assert sampler.sample(problems[:1]).candidates, "they are loaded again"


@pytest.mark.skipif(torch.cuda.is_available(), reason="an engine on a GPU exchanges tied weights")
def test_weights_that_a_processor_does_not_exchange_are_noticed(
    policies: dict[str, str], problems: list[Problem], tmp_path: Path
) -> None:
    with served(policies["tied"], tmp_path / "log", VLLM_SERVER_DEV_MODE="1") as address:
        options = {**OPTIONS, "logprobs": False}
        with pytest.raises(UserError, match="--enable-lora --max-lora-rank 8"):
            VLLMSampler(policies["tied"], **options, server=address, lora_rank=8).identity()
        expected = [c.response for c in drawn(policies["tied"], problems, python=PYTHON)]
        assert [c.response for c in drawn(policies["tied"], problems, server=address, logprobs=False)] == expected
        with pytest.raises(UserError, match=r"does not serve .*tied_trained, though .* Start it again on that model"):
            drawn(policies["tied_trained"], problems, server=address, logprobs=False)
        assert [c.response for c in drawn(policies["tied"], problems, server=address, logprobs=False)] == expected


def test_a_server_that_is_not_in_development_mode_is_refused(policies: dict[str, str], tmp_path: Path) -> None:
    with (
        served(policies["base"], tmp_path / "log") as address,
        pytest.raises(UserError, match="VLLM_SERVER_DEV_MODE=1"),
    ):
        VLLMSampler(policies["base"], **OPTIONS, server=address).identity()
    with pytest.raises(UserError, match=r"does not answer: .* Start vLLM's server there"):
        VLLMSampler(policies["base"], **OPTIONS, server=address).identity()
