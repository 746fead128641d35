"""Drawing: the same tokens as transformers' generate, from the right distribution, whatever is drawn beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)
from transformers.generation.logits_process import TopPLogitsWarper

from rrtf_trl.errors import UserError
from rrtf_trl.models.generation import Drawn, Request, can_draw, choose, draw, draw_by_generate

SIZE = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MORE = {**SIZE, "num_key_value_heads": 2, "intermediate_size": 48, "initializer_range": 0.3}
WINDOW = {**MORE, "sliding_window": 6}
SIZE_2 = {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12], [13], [14, 15, 16], [17, 18, 19], [5, 6, 7, 8, 9, 10, 11, 12]]
END, PAD = 1, 0

MODELS: dict[str, Callable[[], Any]] = {
    "grouped queries": lambda: LlamaForCausalLM(LlamaConfig(**MORE)),
    "learned positions": lambda: GPT2LMHeadModel(GPT2Config(**SIZE_2)),
    "a sliding window": lambda: MistralForCausalLM(MistralConfig(**WINDOW)),
    "sliding and full layers": lambda: Gemma2ForCausalLM(Gemma2Config(**WINDOW, head_dim=8)),
}


def build(name: str) -> Any:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    model.generation_config.eos_token_id = END
    return model


@pytest.fixture(scope="module")
def llama() -> Any:
    return build("grouped queries")


def requests(prompts: list[list[int]] = PROMPTS, tokens: int = 20) -> list[Request]:
    return [Request(prompt, tokens - number, 100 + number) for number, prompt in enumerate(prompts)]


def drawn_from(model: Any, some: list[Request], temperature: float = 1.0, **options: Any) -> list[Drawn]:
    return draw(model, some, temperature, options.get("top_p", 1.0), [END, 2, 3], PAD, options.get("at_once", 99))


@contextmanager
def computed(model: Any) -> Iterator[list[tuple[int, int]]]:
    """Collect the shape of the token ids of each call of the model."""
    shapes: list[tuple[int, int]] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
    yield shapes
    hook.remove()


@pytest.mark.parametrize("name", MODELS)
def test_greedy_decoding_is_that_of_generate(name: str) -> None:
    model = build(name)
    found = draw(model, requests(), 0.0, 1.0, [END], PAD, 99)
    for request, one in zip(requests(), found, strict=True):
        prompt = torch.tensor([request.prompt_ids])
        options = {"max_new_tokens": request.max_new_tokens, "do_sample": False, "pad_token_id": PAD}
        ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)[0, prompt.shape[1] :].tolist()
        assert one.ids == (ids[:-1] if one.ended else ids)
        assert one.ended == (ids[-1] == END)


@pytest.mark.parametrize("name", MODELS)
def test_a_draw_does_not_depend_on_what_is_drawn_beside_it(name: str) -> None:
    model = build(name)
    together = drawn_from(model, requests())
    assert len({len(one.ids) for one in together}) > 2
    for at_once in (1, 2):
        apart = drawn_from(model, requests(), at_once=at_once)
        assert [(one.ids, one.ended) for one in apart] == [(one.ids, one.ended) for one in together]
    [alone] = drawn_from(model, [requests()[2]])
    assert alone.ids == together[2].ids


def test_the_same_prompt_with_another_seed_is_drawn_anew_and_with_the_same_seed_again(llama: Any) -> None:
    one, other, again = drawn_from(llama, [Request([5, 6], 20, seed) for seed in (1, 2, 1)])
    assert one.ids != other.ids
    assert one.ids == again.ids


def test_a_prompt_is_computed_once_and_a_sequence_until_it_ends(llama: Any) -> None:
    some = [Request(prompt, 20, 10 * number) for number in range(4) for prompt in ([5, 6, 7], [8, 9])]
    with computed(llama) as shapes:
        found = drawn_from(llama, some)
    assert shapes[0] == (2, 3)
    # The last token of a sequence is computed no more: neither one that ends it, nor one at its limit.
    steps = [len(one.ids) if one.ended else len(one.ids) - 1 for one in found]
    assert len(set(steps)) > 2
    assert [rows for rows, _ in shapes[1:]] == [sum(s > number for s in steps) for number in range(max(steps))]


def test_log_probabilities_are_those_of_the_drawn_tokens(llama: Any) -> None:
    for temperature, top_p in ((0.7, 1.0), (0.0, 1.0), (1.3, 0.8)):
        for request, one in zip(requests(), drawn_from(llama, requests(), temperature, top_p=top_p), strict=True):
            ids = torch.tensor([[*request.prompt_ids, *one.ids]])
            logits = llama(ids).logits[0, len(request.prompt_ids) - 1 :].float() / (temperature or 1.0)
            if top_p < 1:
                logits = TopPLogitsWarper(top_p)(ids, logits)
            expected = logits.log_softmax(dim=-1)[range(len(one.ids)), one.ids]
            torch.testing.assert_close(torch.tensor(one.logprobs[: len(one.ids)]), expected, atol=1e-4, rtol=1e-4)
            assert len(one.logprobs) == len(one.ids) + one.ended


def test_an_adapter_computes_the_logits_of_the_last_token_alone() -> None:
    model = get_peft_model(build("grouped queries"), LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"))
    rows: list[int] = []
    head = model.get_output_embeddings().register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[1]))
    found = drawn_from(model.eval(), requests())
    head.remove()
    assert set(rows) == {1}
    assert [one.ids for one in found] == [one.ids for one in drawn_from(build("grouped queries"), requests())]


def test_a_response_ends_where_its_text_does(llama: Any) -> None:
    plain, _ = drawn_from(llama, [Request([5, 6], 20, 1), Request([5], 20, 2)])
    cut = Request([5, 6], 20, 1, lambda ids: len(ids) == 2)
    ended, _ = drawn_from(llama, [cut, Request([5], 20, 2)])
    assert ended.ids == plain.ids[:2]
    assert ended.ended


def test_where_memory_runs_out_fewer_are_drawn_at_a_time(llama: Any) -> None:
    expected = drawn_from(llama, requests())

    def refuse(_: Any, args: Any) -> None:
        if args[0].shape[0] > 2:
            raise torch.OutOfMemoryError("out of memory")

    hook = llama.get_input_embeddings().register_forward_pre_hook(refuse)
    found = drawn_from(llama, requests())
    hook.remove()
    assert [one.ids for one in found] == [one.ids for one in expected]


def test_one_sequence_that_is_too_much_is_an_error(llama: Any) -> None:
    def refuse(_: Any, args: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    hook = llama.get_input_embeddings().register_forward_pre_hook(refuse)
    with pytest.raises(
        UserError, match="one sequence of 20 tokens does not fit into the memory of cpu: set a smaller"
    ):
        drawn_from(llama, requests())
    hook.remove()


# -- The distribution ----------------------------------------------------------------------------------------


def test_tokens_are_taken_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([2.0, -1.0, 0.5, -math.inf, 1.0])
    parts = 10_000
    uniforms = (torch.arange(parts, dtype=torch.float64) + 0.5) / parts
    for temperature in (0.5, 1.0, 2.0):
        tokens, _ = choose(logits.repeat(parts, 1), uniforms, temperature, 1.0)
        expected = (logits / temperature).softmax(dim=-1)
        assert tokens.bincount(minlength=5).div(parts).tolist() == pytest.approx(expected.tolist(), abs=2 / parts)


@pytest.mark.parametrize("tokens", [20, 3000])
@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.95])
def test_the_nucleus_is_that_of_transformers(top_p: float, tokens: int) -> None:
    logits = torch.randn(tokens, generator=torch.Generator().manual_seed(1)) * 0.3
    kept = TopPLogitsWarper(top_p)(torch.tensor([[0]]), logits[None])[0].softmax(dim=-1)
    parts = 4000
    uniforms = (torch.arange(parts, dtype=torch.float64) + 0.5) / parts
    found, logprobs = choose(logits.repeat(parts, 1), uniforms, 1.0, top_p)
    counts = found.bincount(minlength=tokens)
    assert counts[kept == 0].sum() == 0
    assert counts.div(parts).tolist() == pytest.approx(kept.tolist(), abs=2 / parts)
    torch.testing.assert_close(logprobs, kept[found].log())


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_no_token_of_probability_zero_is_taken_at_the_borders(top_p: float) -> None:
    logits = torch.tensor([[-math.inf, 0.0, 0.0, -math.inf]] * 2)
    uniforms = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    tokens, _ = choose(logits, uniforms, 1.0, top_p)
    assert set(tokens.tolist()) == {1, 2}


# -- Models of another kind ----------------------------------------------------------------------------------


def test_a_model_with_another_state_is_drawn_from_by_generate() -> None:
    torch.manual_seed(0)
    options = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "initializer_range": 0.5}
    model = MambaForCausalLM(MambaConfig(**options)).eval()
    assert not can_draw(model)
    some = [Request([5, 6], 9, 1), Request([7, 8], 4, 2)]
    found = draw_by_generate(model, some, 1.0, 1.0, [END, 2, 3], PAD)
    assert [len(one.ids) <= request.max_new_tokens for one, request in zip(found, some, strict=True)] == [True, True]
    assert all(one.ended or len(one.ids) == request.max_new_tokens for one, request in zip(found, some, strict=True))
    assert found == draw_by_generate(model, some, 1.0, 1.0, [END, 2, 3], PAD)
