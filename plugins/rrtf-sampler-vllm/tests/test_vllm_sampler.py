"""What can be tested of the vLLM sampler without an engine: what goes in, and what is made of what comes out."""

import importlib.util
import pickle
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


@pytest.mark.skipif(installed, reason="vLLM is installed")
def test_without_vllm_it_says_what_to_install() -> None:
    with pytest.raises(UserError, match="pip install vllm"):
        VLLMSampler("embedded")


@pytest.mark.usefixtures("_as_if_installed")
def test_seeds_depend_on_the_problem_and_the_temperature_and_not_on_the_batch() -> None:
    sampler = VLLMSampler("embedded", n=3, temperatures=[0.0, 0.8], top_ps=[1.0, 0.9], max_new_tokens=64)
    settings = list(sampler.decoding)
    options = [sampler._options(problem, i, settings[i], 40, [1]) for problem in PROBLEMS for i in (0, 1)]
    assert len({option["seed"] for option in options}) == 6
    assert options[1] == {**options[1], "n": 3, "temperature": 0.8, "top_p": 0.9, "max_tokens": 40}
    assert (options[0]["n"], options[0]["temperature"]) == (1, 0.0)
    again = VLLMSampler("embedded", n=3, temperatures=[0.0, 0.8], top_ps=[1.0, 0.9], max_new_tokens=64, batch_size=1)
    assert again._options(PROBLEMS[2], 1, settings[1], 40, [1]) == options[5]
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


def test_an_interpreter_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="no/such/python is no program"):
        VLLMSampler("embedded", python="no/such/python")


@pytest.mark.usefixtures("_as_if_installed")
def test_its_file_builds_it_and_it_can_be_sent_to_another_process() -> None:
    sampler = build_choice("sampler", "vllm", n=3)
    sampler._loaded = object()  # an engine stays where it is
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy.identity() == sampler.identity()
    assert copy._loaded is None
