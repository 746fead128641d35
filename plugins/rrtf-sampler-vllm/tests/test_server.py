"""What is asked of a vLLM server and what is made of its answers, with a small server in its place."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from rrtf_sampler_vllm.draw import VLLMSampler
from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.models.loading import load_for_generation
from support.vllm_engine import PROBLEMS, save_adapter

OPTIONS: dict[str, Any] = {"n": 2, "temperatures": [0.8], "max_new_tokens": 8}


class FakeServer(ThreadingHTTPServer):
    """Answers as vLLM's server does, from the weights of a folder that it was asked to load.

    Attributes:
        asked: The path and body of each request.
        refusals: The status and words for each path that is refused.
        loads: From the folder that it is asked to load, the one that it does load.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, Any]] = []
        self.refusals: dict[str, tuple[int, str]] = {}
        self.loads: Callable[[str], str] = lambda folder: folder
        self.loaded = self.version = "default"
        self.adapters: dict[str, str] = {}
        self.variables: dict[str, Any] = {}
        self.config: dict[str, Any] = {
            "model_config": {
                "max_model_len": 512,
                "dtype": "torch.float32",
                "quantization": None,
                "logprobs_mode": "raw_logprobs",
            },
            "cache_config": {"cache_dtype": "auto"},
            "parallel_config": {"data_parallel_size": 1, "tensor_parallel_size": 1},
            "device_config": {"device": "cuda"},
            "scheduler_config": {"enable_chunked_prefill": True},
            "lora_config": None,
        }

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, body: Any) -> Any:
        if path == "/version":
            return {"version": "0.32.0"}
        if path.startswith("/server_info"):
            return {"vllm_config": self.config, "vllm_env": self.variables}
        if path == "/v1/models":
            adapters = [{"id": name, "root": root} for name, root in self.adapters.items()]
            return {"data": [{"id": "started with", "root": "started with"}, *adapters]}
        if path == "/weight_info":
            return {"weight_version": self.version}
        if path == "/update_weight_version":
            self.version = body["new_version"]
        if path == "/weight_checker":
            return {"checksums": {"tp0:a": hashlib.sha256(self.loaded.encode()).hexdigest()}}
        if path == "/collective_rpc":
            self.loaded = self.loads(body["kwargs"]["weights_path"])
        if path == "/v1/load_lora_adapter":
            self.adapters[body["lora_name"]] = body["lora_path"]
        if path == "/v1/unload_lora_adapter":
            del self.adapters[body["lora_name"]]
        if path == "/v1/completions":
            return {"choices": self.complete(body)}
        return {}

    def complete(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        ids = body["prompt"]
        if "prompt_logprobs" in body:
            model, _ = load_for_generation(self.adapters.get(body["model"], self.loaded), device="cpu")
            with torch.inference_mode():
                logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
            rows = [{str(t): {"logprob": float(logprobs[i, t])}} for i, t in enumerate(ids[1:])]
            return [{"index": 0, "prompt_logprobs": [None, *rows]}]
        ids = [*ids[:3], body["stop_token_ids"][0]]
        choice = {"token_ids": ids, "finish_reason": "stop", "logprobs": None}
        return [{"index": index, **choice} for index in reversed(range(body["n"]))]


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(json.loads(text) if text else None)

    def _answer(self, body: Any) -> None:
        self.server.asked.append((self.path, body))
        path = self.path.partition("?")[0]
        status, words = self.server.refusals.get(path, (200, ""))
        answer = {"error": {"message": words}} if words else self.server.answer(self.path, body)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield started
        started.shutdown()


def asked(server: FakeServer, path: str) -> list[Any]:
    return [body for found, body in server.asked if found.partition("?")[0] == path]


def test_it_draws_with_the_decoding_that_was_asked_for_after_the_policy_was_loaded(server: FakeServer) -> None:
    sampler = VLLMSampler("embedded", **OPTIONS, server=server.address + "/v1")
    samples = sampler.sample(PROBLEMS)
    sampler.close()
    assert [c.task_id for c in samples.candidates] == [f"t/{i}" for i in range(3) for _ in range(2)]
    assert {c.finish_reason for c in samples.candidates} == {"stop"}
    assert PROBLEMS[0].prompt.startswith(samples.candidates[0].response)
    assert [body["kwargs"]["weights_path"] for body in asked(server, "/collective_rpc")] == [model_path("embedded")]
    request = asked(server, "/v1/completions")[-1]
    assert request["model"] == "started with"
    expected = {"n": 2, "temperature": 0.8, "top_p": 1.0, "max_tokens": 8}
    unset = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "ignore_eos": True}
    assert request == {**request, **expected, **unset}
    assert len({body["seed"] for body in asked(server, "/v1/completions")[1:]}) == 3


def test_what_was_verified_once_is_not_loaded_again_and_what_was_changed_since_is(server: FakeServer) -> None:
    for _ in range(2):
        VLLMSampler("embedded", **OPTIONS, server=server.address).sample(PROBLEMS[:1])
    assert len(asked(server, "/collective_rpc")) == 1
    server.loaded = "by another program, which leaves the mark"
    VLLMSampler("embedded", **OPTIONS, server=server.address).sample(PROBLEMS[:1])
    assert len(asked(server, "/collective_rpc")) == 2
    assert server.loaded == model_path("embedded")


def test_a_server_that_has_other_weights_than_the_policy_is_not_drawn_from(server: FakeServer, tmp_path: Path) -> None:
    other, tokenizer = load_for_generation(model_path("embedded"), device="cpu")
    with torch.no_grad():
        other.lm_head.weight.mul_(1.05)
    other.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    server.loads = lambda folder: str(tmp_path)
    sampler = VLLMSampler("embedded", **OPTIONS, server=server.address)
    for _ in range(2):
        with pytest.raises(UserError, match=r"does not serve .*though it was asked to load it: .* Start it again"):
            sampler.sample(PROBLEMS)
    assert all("prompt_logprobs" in body for body in asked(server, "/v1/completions"))
    assert VLLMSampler(str(tmp_path), **OPTIONS, server=server.address).sample(PROBLEMS).candidates


def test_weights_that_change_while_it_draws_are_noticed(server: FakeServer) -> None:
    sampler = VLLMSampler("embedded", **OPTIONS, server=server.address)
    sampler.sample(PROBLEMS[:1])
    server.version = "of another run"
    with pytest.raises(UserError, match="its weights were changed while it was drawn from"):
        sampler.sample(PROBLEMS[:1])
    assert sampler.sample(PROBLEMS[:1]).candidates, "the policy is loaded again"


def test_an_adapter_is_loaded_on_its_base_under_a_name_of_its_content(server: FakeServer, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model, tokenizer = load_for_generation(model_path("embedded"), device="cpu")
    torch.manual_seed(0)
    options = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False}
    adapted = peft.get_peft_model(model, peft.LoraConfig(**options))
    adapted.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for _ in range(2):
        VLLMSampler(str(tmp_path), **OPTIONS, server=server.address).sample(PROBLEMS[:1])
    (first,) = asked(server, "/v1/load_lora_adapter")
    assert first["lora_path"] == str(tmp_path.resolve())
    assert [body["kwargs"]["weights_path"] for body in asked(server, "/collective_rpc")] == [model_path("embedded")]
    assert asked(server, "/v1/completions")[-1]["model"] == first["lora_name"]
    with torch.no_grad():
        next(p for name, p in adapted.named_parameters() if "lora_B" in name).add_(1.0)
    adapted.save_pretrained(tmp_path)
    VLLMSampler(str(tmp_path), **OPTIONS, server=server.address).sample(PROBLEMS[:1])
    assert asked(server, "/v1/load_lora_adapter")[-1]["lora_name"] != first["lora_name"]
    assert list(server.adapters) == [asked(server, "/v1/completions")[-1]["model"]]


def test_an_adapter_that_has_no_effect_on_the_server_is_not_drawn_from(server: FakeServer, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model, tokenizer = load_for_generation(model_path("embedded"), device="cpu")
    options = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False}
    peft.get_peft_model(model, peft.LoraConfig(**options)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    complete = server.complete
    server.complete = lambda body: complete({**body, "model": "started with"})  # type: ignore[method-assign]
    with pytest.raises(UserError, match="does not serve"):
        VLLMSampler(str(tmp_path), **OPTIONS, server=server.address).sample(PROBLEMS)
    assert server.adapters == {}


@pytest.mark.parametrize(
    ("path", "words", "message"),
    [
        ("/collective_rpc", "Repo id must be", r"could not load .*: 500 Repo id must be\. It must see that folder"),
        ("/v1/load_lora_adapter", "No adapter", r"could not load the adapter .*: 500 No adapter\. .*--enable-lora"),
        ("/server_info", "Not Found", "start it with the environment variable VLLM_SERVER_DEV_MODE=1"),
        ("/v1/completions", "EngineCore encountered an issue", "500 EngineCore encountered an issue"),
    ],
)
def test_what_it_refuses_is_one_line_with_what_to_do(
    server: FakeServer, tmp_path: Path, path: str, words: str, message: str
) -> None:
    server.refusals[path] = (500, words)
    adapter = save_adapter(tmp_path / "adapter")
    with pytest.raises(UserError, match=message) as raised:
        VLLMSampler(str(adapter), **OPTIONS, server=server.address).sample(PROBLEMS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "setting", "value", "options", "remedy"),
    [
        ("parallel_config", "data_parallel_size", 2, {}, "--data-parallel-size 1"),
        ("device_config", "device", "cpu", {}, "--no-enable-chunked-prefill"),
        ("device_config", "device", "cuda", {"logprobs": True}, "--logprobs-mode processed_logprobs"),
        ("device_config", "device", "cuda", {"lora_rank": 16}, "--enable-lora --max-lora-rank 16"),
        ("device_config", "device", "cuda", {"engine": {"max_model_len": 128}}, "max_model_len=128, .* has 512"),
        ("device_config", "device", "cuda", {"engine": {"tensor_parallel_size": 1, "no": 1}}, "no=1, .* has none"),
    ],
)
def test_a_server_that_was_started_otherwise_is_refused_before_anything_is_drawn(
    server: FakeServer, section: str, setting: str, value: Any, options: dict[str, Any], remedy: str
) -> None:
    server.config[section][setting] = value
    with pytest.raises(UserError, match=f"cannot be used for this run: start it with {remedy}"):
        VLLMSampler("embedded", **OPTIONS, **options, server=server.address).identity()


def test_an_adapter_can_be_loaded_only_where_the_server_allows_it(server: FakeServer) -> None:
    server.config["lora_config"] = {"max_lora_rank": 16}
    sampler = VLLMSampler("embedded", **OPTIONS, server=server.address, lora_rank=16)
    with pytest.raises(UserError, match="start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        sampler.identity()
    server.variables["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = True
    assert sampler.identity()["server"]["dtype"] == "float32"


def test_a_server_that_is_not_there_is_named(server: FakeServer) -> None:
    address = server.address
    server.server_close()
    with pytest.raises(UserError, match=f"sampler.vllm.server: {address} does not answer: .* Start vLLM's server"):
        VLLMSampler("embedded", **OPTIONS, server=address).identity()


def test_its_identity_is_how_it_computes_and_not_where_it_is(server: FakeServer) -> None:
    found = VLLMSampler("embedded", **OPTIONS, server=server.address).identity()
    assert found["server"]["version"] == "0.32.0"
    assert str(server.server_port) not in json.dumps(found)
    server.config["model_config"]["dtype"] = "torch.bfloat16"
    assert VLLMSampler("embedded", **OPTIONS, server=server.address).identity() != found
