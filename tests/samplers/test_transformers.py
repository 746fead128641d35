"""Sampling with transformers, on the embedded policy."""

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.problems.exercises import exercises
from rrtf_trl.records import CaseTests, Problem
from rrtf_trl.samplers import ReferenceSampler, Sampler, TransformersSampler

POLICY = model_path("embedded")
PROBLEMS = list(islice(exercises("train"), 6))
TESTS = CaseTests([{"args": [1], "expected": 1}])


def sampler(**options: Any) -> TransformersSampler:
    return TransformersSampler("embedded", **{"n": 2, "max_new_tokens": 64, **options})


@pytest.mark.slow
def test_the_same_seed_gives_the_same_candidates_whatever_was_drawn_before() -> None:
    one = sampler()
    one.sample(PROBLEMS[:3])
    torch.rand(1)
    assert one.sample(PROBLEMS[3:]).candidates == sampler().sample(PROBLEMS[3:]).candidates
    assert one.sample(PROBLEMS[3:]).candidates != sampler(seed=1).sample(PROBLEMS[3:]).candidates


def test_sampling_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    sampler().sample(PROBLEMS[:1])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_greedy_in_a_batch_equals_a_naive_loop_alone() -> None:
    """Left padding must not change an answer: decode each prompt by itself, without cache or padding."""
    model = AutoModelForCausalLM.from_pretrained(POLICY, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    batch = sampler(temperatures=[0.0]).sample(PROBLEMS)
    for problem, candidate in zip(PROBLEMS, batch.candidates, strict=True):
        ids = tokenizer(problem.prompt, return_tensors="pt")["input_ids"]
        start = ids.shape[1]
        while ids.shape[1] < start + 64:
            with torch.no_grad():
                following = model(ids, use_cache=False).logits[0, -1].argmax()
            if following == tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, following.view(1, 1)], dim=1)
        assert candidate.response == tokenizer.decode(ids[0, start:])
        assert candidate.code == str(problem.prompt) + candidate.response


@pytest.mark.slow
def test_temperatures_and_top_ps_mix() -> None:
    mixed = sampler(temperatures=[0.0, 0.5, 1.2], top_ps=[1.0, 0.9, 0.95], n=2)
    assert mixed.draws == 5
    drawn = mixed.sample(PROBLEMS[:2]).candidates
    settings = [(c.task_id, c.sampling["temperature"], c.sampling["top_p"], c.sampling["index"]) for c in drawn]
    first, second = (problem.task_id for problem in PROBLEMS[:2])
    assert sorted(settings) == sorted(
        (task_id, *rest)
        for task_id in (first, second)
        for rest in ((0.0, 1.0, 0), (0.5, 0.9, 0), (0.5, 0.9, 1), (1.2, 0.95, 0), (1.2, 0.95, 1))
    )


def test_a_cut_answer_is_told_from_a_whole_one() -> None:
    whole = sampler(temperatures=[0.0]).sample(PROBLEMS[:1]).candidates[0]
    cut = sampler(temperatures=[0.0], max_new_tokens=5).sample(PROBLEMS[:1]).candidates[0]
    assert (whole.finish_reason, cut.finish_reason) == ("stop", "length")
    assert whole.response.startswith(cut.response)


def test_a_prompt_that_fills_the_window_is_skipped_with_its_reason_and_the_others_fit() -> None:
    long = Problem("long", "# " + "x y " * 600 + "\ndef f(x):\n", TESTS, "f")
    near = Problem("near", "# " + "x" * 480 + "\ndef f(x):\n", TESTS, "f")
    samples = sampler(max_new_tokens=500, n=1).sample([long, near])
    assert "tokens, the model's window 512" in samples.skipped["long"]
    assert [candidate.task_id for candidate in samples.candidates] == ["near"]
    assert samples.candidates[0].sampling["max_new_tokens"] < 500
    assert sampler().sample([long]).candidates == []


def test_a_long_prompt_takes_nothing_from_the_others_of_its_batch() -> None:
    near = Problem("near", "# " + "x" * 480 + "\ndef f(x):\n", TESTS, "f")
    alone = sampler(n=1, temperatures=[0.0]).sample(PROBLEMS[:2]).candidates
    beside = sampler(n=1, temperatures=[0.0]).sample([PROBLEMS[0], near, PROBLEMS[1]]).candidates
    assert [beside[0], beside[2]] == alone
    assert beside[1].sampling["max_new_tokens"] < 64 == alone[0].sampling["max_new_tokens"]


def test_the_models_own_penalties_are_no_part_of_the_decoding(tmp_path: Path) -> None:
    """As instruct models ship them; greedy decoding takes the likeliest token."""
    shutil.copytree(POLICY, tmp_path / "policy")
    path = tmp_path / "policy" / "generation_config.json"
    own = {"repetition_penalty": 1.3, "top_k": 3, "min_new_tokens": 30, "no_repeat_ngram_size": 2}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    with_own = TransformersSampler(str(tmp_path / "policy"), temperatures=[0.0, 1.0], n=2, max_new_tokens=64)
    expected = sampler(temperatures=[0.0, 1.0]).sample(PROBLEMS).candidates
    assert [c.response for c in with_own.sample(PROBLEMS).candidates] == [c.response for c in expected]


def test_a_model_without_a_pad_token_samples_the_same(tmp_path: Path) -> None:
    shutil.copytree(POLICY, tmp_path / "policy")
    for name in ("tokenizer_config.json", "tokenizer.json", "config.json", "generation_config.json"):
        path = tmp_path / "policy" / name
        settings = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in settings.items() if not key.startswith("pad")}))
    assert AutoTokenizer.from_pretrained(tmp_path / "policy").pad_token is None
    bare = TransformersSampler(str(tmp_path / "policy"), temperatures=[0.0], max_new_tokens=64)
    expected = sampler(temperatures=[0.0]).sample(PROBLEMS).candidates
    assert [c.response for c in bare.sample(PROBLEMS).candidates] == [c.response for c in expected]


def test_chat_messages_go_through_the_chat_template(tmp_path: Path) -> None:
    chat = Problem("chat", [{"role": "user", "content": str(PROBLEMS[0].prompt)}], PROBLEMS[0].tests, "solve")
    with pytest.raises(UserError, match=r"chat: .* no chat template.*prompt_form=paper"):
        sampler().sample([chat])
    shutil.copytree(POLICY, tmp_path / "policy")
    (tmp_path / "policy" / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    (answer,) = (
        TransformersSampler(str(tmp_path / "policy"), temperatures=[0.0], max_new_tokens=64).sample([chat]).candidates
    )
    (plain,) = sampler(temperatures=[0.0]).sample(PROBLEMS[:1]).candidates
    assert answer.response == plain.response


@pytest.mark.slow
def test_the_model_is_loaded_when_it_is_needed_and_can_be_let_go() -> None:
    lazy = sampler()
    assert lazy.identity()["model"].startswith("sha256:")
    assert lazy._loaded is None
    first = lazy.sample(PROBLEMS[:1]).candidates
    lazy.close()
    assert lazy._loaded is None
    assert lazy.sample(PROBLEMS[:1]).candidates == first


@pytest.mark.parametrize(
    "options",
    [{"n": 0}, {"temperatures": []}, {"temperatures": [-1.0]}, {"top_ps": [0.0]}, {"top_ps": [0.5, 0.6, 0.7]}],
)
def test_impossible_decoding_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        sampler(**options)


def test_references_are_handed_out_as_completions_and_the_rest_is_skipped() -> None:
    bare = Problem("bare", "def f(x):\n", TESTS, "f")
    samples = ReferenceSampler().sample([PROBLEMS[0], bare])
    (candidate,) = samples.candidates
    assert candidate.code == PROBLEMS[0].reference == str(PROBLEMS[0].prompt) + candidate.response
    assert candidate.source == "reference"
    assert samples.skipped == {"bare": "the problem has no reference"}


def test_both_samplers_are_samplers() -> None:
    assert isinstance(sampler(), Sampler)
    assert isinstance(ReferenceSampler(), Sampler)


def test_candidates_keep_their_tokens_and_log_probabilities_where_asked_for() -> None:
    one = sampler(logprobs=True, stop=None)
    drawn = one.sample(PROBLEMS[:2]).candidates
    _, tokenizer = one._load()
    for candidate in drawn:
        assert candidate.token_ids is not None
        assert candidate.logprobs is not None
        assert tokenizer.decode(candidate.token_ids) == candidate.response
        assert len(candidate.logprobs) - len(candidate.token_ids) in (0, 1)
        assert max(candidate.logprobs) <= 0
    plain = sampler(stop=None).sample(PROBLEMS[:2]).candidates
    assert [c.candidate_id for c in plain] == [c.candidate_id for c in drawn]
    assert {c.logprobs for c in plain} == {None}


def test_what_decides_no_draw_is_no_part_of_the_identity() -> None:
    identity = sampler().identity()
    assert sampler(batch_size=1, max_sequences=3, model_init_kwargs={"revision": None}).identity() == identity
    assert sampler(model_init_kwargs={"attn_implementation": "eager"}).identity() != identity
    assert sampler(stop=["\n\n"]).identity() != identity


def test_options_of_loading_reach_the_model() -> None:
    model, _ = sampler(model_init_kwargs={"attn_implementation": "eager", "device_map": None})._load()
    assert model.config._attn_implementation == "eager"


def test_variables_of_the_chat_template_reach_it(tmp_path: Path) -> None:
    shutil.copytree(POLICY, tmp_path / "chat")
    tokenizer = AutoTokenizer.from_pretrained(POLICY)
    tokenizer.chat_template = "{{ '# short' if terse else '# long' }}\n{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(tmp_path / "chat")
    chat = [Problem("t", [{"role": "user", "content": str(PROBLEMS[0].prompt)}], TESTS, "f")]
    options = {"max_new_tokens": 8, "temperatures": [0.0]}
    seen = []
    for variables in (None, {"terse": True}):
        one = TransformersSampler(str(tmp_path / "chat"), chat_template_kwargs=variables, **options)
        model, tokenizer = one._load()
        hook = model.get_input_embeddings().register_forward_pre_hook(
            lambda _, args, decode=tokenizer.decode: seen.append(decode(args[0][0]))
        )
        one.sample(chat)
        hook.remove()
    assert [text.splitlines()[0] for text in seen if text.startswith("# ")] == ["# long", "# short"]
