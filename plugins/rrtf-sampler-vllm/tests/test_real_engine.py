"""vLLM's real engine, on whatever this machine has: a GPU or its processor.

``RRTF_VLLM_PYTHON`` names the interpreter of an environment with vLLM, where it is not this one's
(``scripts/vllm_env.sh`` makes one).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers.generation.logits_process import TopPLogitsWarper

from rrtf_sampler_vllm.draw import VLLMSampler
from rrtf_trl.assets import model_path
from rrtf_trl.records import Problem, to_json
from rrtf_trl.samplers import TransformersSampler
from rrtf_trl.testing import SamplerContract
from support.vllm_engine import NEEDS_ENGINE, PYTHON

pytest_plugins = ["rrtf_trl.testing"]
pytestmark = NEEDS_ENGINE
SMALL: dict[str, Any] = {"n": 2, "max_new_tokens": 24, "engine": {"gpu_memory_utilization": 0.3}}


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"))


class TestVLLM(SamplerContract):
    choice = "vllm"
    options = {"model": "embedded", **SMALL}  # noqa: RUF012
    wrong_options = ({"n": 0}, {"batch_size": 0}, {"python": "no/such/python"})


def test_greedily_it_answers_as_transformers_does(problems: list[Problem]) -> None:
    engine = {**SMALL["engine"], "dtype": "float32"}
    ours = VLLMSampler("embedded", temperatures=[0.0], max_new_tokens=64, engine=engine, python=PYTHON)
    theirs = TransformersSampler("embedded", temperatures=[0.0], max_new_tokens=64, dtype="float32")
    drawn, expected = ours.sample(problems).candidates, theirs.sample(problems).candidates
    ours.close()
    assert [c.response for c in drawn] == [c.response for c in expected]
    assert [c.finish_reason for c in drawn] == [c.finish_reason for c in expected]


def test_log_probabilities_are_those_of_transformers(problems: list[Problem]) -> None:
    engine = {**SMALL["engine"], "dtype": "float32"}
    options: dict[str, Any] = {"temperatures": [0.7], "top_ps": [0.9], "n": 2, "max_new_tokens": 24, "logprobs": True}
    ours = VLLMSampler("embedded", engine=engine, python=PYTHON, **options)
    drawn = ours.sample(problems).candidates
    ours.close()
    theirs = TransformersSampler("embedded", dtype="float32", **options)
    model, tokenizer = theirs._load()
    for candidate in drawn:
        if candidate.token_ids is None:  # it was cut where the next task began
            continue
        assert candidate.logprobs is not None
        prompt = tokenizer(next(p.prompt for p in problems if p.task_id == candidate.task_id))["input_ids"]
        logits = model(torch.tensor([[*prompt, *candidate.token_ids]])).logits[0, len(prompt) - 1 : -1].float()
        logits = TopPLogitsWarper(0.9)(torch.tensor([[0]]), logits / 0.7)
        expected = logits.log_softmax(dim=-1)[range(len(candidate.token_ids)), candidate.token_ids]
        found = torch.tensor(candidate.logprobs[: len(candidate.token_ids)])
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_a_draw_depends_on_its_problem_and_not_on_its_batch(problems: list[Problem]) -> None:
    sampler = VLLMSampler("embedded", temperatures=[0.8], top_ps=[0.9], python=PYTHON, **SMALL)
    together = {c.candidate_id for c in sampler.sample(problems).candidates if c.task_id == problems[2].task_id}
    assert {c.candidate_id for c in sampler.sample(problems[2:3]).candidates} == together
    sampler.close()


def test_a_prompt_longer_than_a_step_of_the_engine_is_drawn(problems: list[Problem]) -> None:
    # Where it was computed in parts, an engine on a CPU died of `CPU Generator does not use offset`.
    long = Problem.from_json({**to_json(problems[0]), "prompt": "# x\n" * 100 + str(problems[0].prompt)})
    engine = {**SMALL["engine"], "max_num_batched_tokens": 512}
    sampler = VLLMSampler("embedded", n=4, max_new_tokens=24, engine=engine, python=PYTHON)
    assert len(sampler.sample([long, *problems]).candidates) == 20
    sampler.close()


def test_it_draws_under_a_launcher_of_training_and_leaves_nothing(
    problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**place, "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)
    before = set(psutil.Process().children(recursive=True))
    sampler = VLLMSampler("embedded", python=PYTHON, **SMALL)
    assert len(sampler.sample(problems[:1]).candidates) == 2
    sampler.close()
    assert set(psutil.Process().children(recursive=True)) == before


def test_an_adapter_draws_otherwise_than_its_base(problems: list[Problem], tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(model_path("embedded"), dtype=torch.float32)
    torch.manual_seed(0)
    adapted = get_peft_model(base, LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("embedded")).save_pretrained(tmp_path)
    options: dict[str, Any] = {"temperatures": [0.0], "max_new_tokens": 32}
    engine = {**SMALL["engine"], "dtype": "float32"}
    sampler = VLLMSampler(str(tmp_path), **options, engine=engine, python=PYTHON)
    drawn = [c.response for c in sampler.sample(problems).candidates]
    sampler.close()
    assert drawn == [
        c.response for c in TransformersSampler(str(tmp_path), dtype="float32", **options).sample(problems).candidates
    ]
    plain = TransformersSampler("embedded", dtype="float32", **options).sample(problems)
    assert drawn != [c.response for c in plain.candidates]


@pytest.mark.skipif(0 < torch.cuda.device_count() < 2, reason="there is one GPU")
@pytest.mark.parametrize("setting", ["tensor_parallel_size", "data_parallel_size"])
def test_two_workers_draw_what_one_does_and_leave_nothing(problems: list[Problem], setting: str) -> None:
    # On a processor two workers share its cores; what is tried is that they start, agree and end.
    engine = {**SMALL["engine"], "dtype": "float32"}
    options: dict[str, Any] = {"temperatures": [0.0], "max_new_tokens": 48, "python": PYTHON}
    before = set(psutil.Process().children(recursive=True))
    two = VLLMSampler("embedded", **options, engine={**engine, setting: 2})
    drawn = [c.response for c in two.sample(problems).candidates]
    running = set(psutil.Process().children(recursive=True)) - before
    two.close()
    assert len(running) >= 2
    assert set(psutil.Process().children(recursive=True)) == before
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in running)
    one = TransformersSampler("embedded", temperatures=[0.0], max_new_tokens=48, dtype="float32")
    assert drawn == [c.response for c in one.sample(problems).candidates]
