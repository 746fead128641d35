"""What can be tested of the vLLM sampler without an engine: what goes in, and what is made of what comes out."""

import importlib.util
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest
from transformers import AutoTokenizer

from rrtf_sampler_vllm.draw import VLLMSampler
from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.records import CaseTests, Problem
from rrtf_trl.samplers import Sampler
from rrtf_trl.samplers.candidates import encode_prompts
from rrtf_trl.testing import build_choice

TESTS = CaseTests([{"args": [1], "expected": 2}])
PROBLEMS = [Problem(f"t/{i}", f"# {i}\ndef f(x):\n", TESTS, "f") for i in range(3)]
installed = importlib.util.find_spec("vllm") is not None


@pytest.fixture
def _as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the class be built; nothing that is tested with it calls vLLM."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "vllm" else found(name))


@dataclass
class Draw:
    """vLLM's ``CompletionOutput``, as far as it is read."""

    text: str
    finish_reason: str | None


@dataclass
class Output:
    """vLLM's ``RequestOutput``, as far as it is read."""

    outputs: list[Draw] = field(default_factory=list)


@pytest.mark.skipif(installed, reason="vLLM is installed")
def test_without_vllm_it_says_what_to_install() -> None:
    with pytest.raises(UserError, match="pip install vllm"):
        VLLMSampler("embedded")


@pytest.mark.usefixtures("_as_if_installed")
def test_seeds_depend_on_the_problem_and_the_temperature_and_not_on_the_batch() -> None:
    sampler = VLLMSampler("embedded", n=3, temperatures=[0.0, 0.8], top_ps=[1.0, 0.9], max_new_tokens=64)
    settings = list(sampler.decoding)
    options = [sampler._options(problem, 10, i, settings[i], 50) for problem in PROBLEMS for i in (0, 1)]
    assert len({option["seed"] for option in options}) == 6
    assert options[1] == {**options[1], "n": 3, "temperature": 0.8, "top_p": 0.9, "max_tokens": 40}
    assert (options[0]["n"], options[0]["temperature"]) == (1, 0.0)
    again = VLLMSampler("embedded", n=3, temperatures=[0.0, 0.8], top_ps=[1.0, 0.9], max_new_tokens=64, batch_size=1)
    assert again._options(PROBLEMS[2], 10, 1, settings[1], 50) == options[5]
    assert sampler.draws == 4


@pytest.mark.usefixtures("_as_if_installed")
def test_long_prompts_are_skipped_and_the_others_are_tokens() -> None:
    sampler = VLLMSampler("embedded")
    tokenizer = AutoTokenizer.from_pretrained(model_path("embedded"))
    long = Problem("long", "x " * 500, TESTS, "f")
    samples, encoded = encode_prompts([PROBLEMS[0], long], tokenizer, sampler.model, 100)
    assert "the model's window 100" in samples.skipped["long"]
    assert [(problem.task_id, tokenizer.decode(ids)) for problem, ids in encoded] == [("t/0", PROBLEMS[0].prompt)]


@pytest.mark.usefixtures("_as_if_installed")
def test_outputs_become_candidates() -> None:
    sampler = VLLMSampler("embedded", source="teacher", seed=4)
    output = Output([Draw("    return x\n", "stop"), Draw("    return x + ", "length"), Draw("", "abort")])
    drawn = sampler._candidates(PROBLEMS[0], (0.8, 0.9, 3), output)
    assert [c.finish_reason for c in drawn] == ["stop", "length", "length"]
    assert drawn[0].code == "# 0\ndef f(x):\n    return x\n"
    assert drawn[1].sampling == {"temperature": 0.8, "top_p": 0.9, "seed": 4, "index": 1, "max_new_tokens": 512}
    assert {c.source for c in drawn} == {"teacher"}


@pytest.mark.usefixtures("_as_if_installed")
def test_the_engines_arguments_are_part_of_the_identity_and_an_unused_engine_is_closed() -> None:
    sampler = VLLMSampler("embedded", engine={"tensor_parallel_size": 2})
    assert sampler.engine == {"generation_config": "vllm", "tensor_parallel_size": 2}
    assert sampler.identity() != VLLMSampler("embedded").identity()
    assert isinstance(sampler, Sampler)
    sampler.close()


@pytest.mark.parametrize("options", [{"n": 0}, {"temperatures": [-1.0]}, {"batch_size": 0}])
def test_impossible_decoding_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        VLLMSampler("embedded", **options)


@pytest.mark.skipif(not installed, reason="vLLM is not installed: pip install vllm")
def test_vllm_takes_these_sampling_params() -> None:
    from vllm import SamplingParams

    sampler = VLLMSampler("embedded")
    SamplingParams(**sampler._options(PROBLEMS[0], 10, 0, (0.8, 0.9, 3), 50))


@pytest.mark.skipif(not installed, reason="vLLM is not installed: pip install rrtf-sampler-vllm")
def test_it_draws() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("vLLM needs a GPU")
    sampler = VLLMSampler("embedded", n=2, max_new_tokens=16, engine={"gpu_memory_utilization": 0.3})
    assert len(sampler.sample(PROBLEMS).candidates) == 6
    sampler.close()


@pytest.mark.usefixtures("_as_if_installed")
def test_its_file_builds_it_and_it_can_be_sent_to_another_process() -> None:
    sampler = build_choice("sampler", "vllm", n=3)
    sampler._llm = object()  # an engine stays where it is
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy.identity() == sampler.identity()
    assert copy._llm is None
