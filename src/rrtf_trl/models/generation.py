"""Draws responses from a causal language model, each sequence with random numbers of its own.

A prompt is computed once for all of its responses, and a sequence that has ended is computed no longer. What is drawn
depends on the prompt and its seed, not on the other sequences of the batch, up to the rounding of the logits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rrtf_trl.errors import UserError

from .decoding_cache import drop, preallocated_cache, select


@dataclass(frozen=True)
class Request:
    """A response to draw.

    Args:
        prompt_ids: The prompt's token ids.
        max_new_tokens: The most tokens of the response.
        seed: Of its random numbers, from 0 to 2**63 − 1.
        is_over: From the ids that were drawn so far, whether the response has ended with the last one.
    """

    prompt_ids: Sequence[int]
    max_new_tokens: int
    seed: int
    is_over: Callable[[list[int]], bool] | None = None


@dataclass
class Drawn:
    """A response that was drawn.

    Args:
        ids: Its token ids, without the one that ended it.
        logprobs: The log-probability of each drawn token, and last of the one that ended it, if there was one.
        ended: Whether it came to its end; otherwise it was cut off.
    """

    ids: list[int]
    logprobs: list[float]
    ended: bool


def draw(
    model: Any,
    requests: Sequence[Request],
    temperature: float,
    top_p: float,
    ends: Sequence[int],
    pad_token_id: int,
    max_sequences: int,
) -> list[Drawn]:
    """Draw a response to each request, in the order of the requests.

    Sequences with prompts of about the same length are computed together. Where memory runs out, fewer are.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        requests: What to draw.
        temperature: 0 is greedy decoding. Log-probabilities are at this temperature and ``top_p``, and those of the
            model itself for greedy decoding.
        top_p: The tokens drawn from are the likeliest ones whose probabilities add up to this.
        ends: Ids of tokens that end a response.
        pad_token_id: Id of any token.
        max_sequences: The most sequences at a time.

    Raises:
        UserError: If memory has no space for one sequence alone.
    """
    order = sorted(range(len(requests)), key=lambda number: len(requests[number].prompt_ids))
    drawn: dict[int, Drawn] = {}
    while order:
        some, order = order[:max_sequences], order[max_sequences:]
        chunk = [requests[number] for number in some]
        try:
            with torch.inference_mode():
                found = _draw_together(model, chunk, temperature, top_p, ends, pad_token_id)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if len(some) == 1:
                tokens = len(chunk[0].prompt_ids) + chunk[0].max_new_tokens
                raise UserError(
                    f"one sequence of {tokens} tokens does not fit into the memory of {model.device}: set a smaller "
                    "max_new_tokens, or load the model in fewer bits (dtype=bfloat16, or quantization=bnb_4bit)"
                ) from error
            max_sequences = len(some) // 2
            order = [*some, *order]
            torch.cuda.empty_cache()
            continue
        drawn.update(zip(some, found, strict=True))
    return [drawn[number] for number in range(len(requests))]


def draw_by_generate(
    model: Any, requests: Sequence[Request], temperature: float, top_p: float, ends: Sequence[int], pad_token_id: int
) -> list[Drawn]:
    """Draw with transformers' ``generate``, for models that keep another state than attention's keys and values.

    All sequences are computed until the last one ends, and log-probabilities are not returned.

    Args:
        model: See :func:`draw`, as for the others.
        requests: What to draw; the first one's seed counts for all.
        temperature: 0 is greedy decoding.
        top_p: Nucleus sampling.
        ends: Ids of tokens that end a response.
        pad_token_id: Id of any token.
    """
    longest = max(len(request.prompt_ids) for request in requests)
    padded = [[pad_token_id] * (longest - len(one.prompt_ids)) + list(one.prompt_ids) for one in requests]
    mask = [[0] * (longest - len(one.prompt_ids)) + [1] * len(one.prompt_ids) for one in requests]
    # Without top_k=0, transformers would use its default of 50, which no paper's decoding has.
    sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(requests[0].seed)
        output = model.generate(
            input_ids=torch.tensor(padded, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=max(request.max_new_tokens for request in requests),
            eos_token_id=list(ends) or None,
            pad_token_id=pad_token_id,
            **(sampling if temperature > 0 else {"do_sample": False}),
        )
    drawn = []
    for request, ids in zip(requests, output[:, longest:].tolist(), strict=True):
        ids = ids[: request.max_new_tokens]
        end = next((place for place, token in enumerate(ids) if token in ends), None)
        drawn.append(Drawn(ids if end is None else ids[:end], [], end is not None))
    return drawn


def can_draw(model: Any) -> bool:
    """Whether :func:`draw` knows the model's cache: that of attention, of the whole text or of a window."""
    return not model._is_stateful and preallocated_cache(model.config, 0) is not None


def _is_out_of_memory(error: RuntimeError) -> bool:
    # On a CPU it is a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _draw_together(
    model: Any, chunk: list[Request], temperature: float, top_p: float, ends: Sequence[int], pad_token_id: int
) -> list[Drawn]:
    state = _Sequences(model, chunk, pad_token_id)
    budget = max(request.max_new_tokens for request in chunk)
    uniforms = torch.stack([_uniforms(request.seed, budget) for request in chunk]).to(model.device)
    drawn = [Drawn([], [], False) for _ in chunk]
    for step in range(budget):
        chosen, logprobs = choose(state.logits, uniforms[state.numbers, step], temperature, top_p)
        tokens = chosen.tolist()
        ended = []
        for row, (number, token, logprob) in enumerate(
            zip(state.numbers.tolist(), tokens, logprobs.tolist(), strict=True)
        ):
            response = drawn[number]
            response.logprobs.append(logprob)
            response.ended = token in ends
            if not response.ended:
                response.ids.append(token)
                if is_over := chunk[number].is_over:
                    response.ended = is_over(response.ids)
            if response.ended or len(response.ids) == chunk[number].max_new_tokens:
                ended.append(row)
        if len(ended) == len(tokens):
            break
        state.advance(chosen, ended)
    return drawn


def _uniforms(seed: int, count: int) -> Tensor:
    """Return uniform random numbers float64 `[count]`; the first ones do not depend on ``count``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64)


def choose(logits: Tensor, uniforms: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """Choose a token for each sequence; return the tokens int `[N]` and their log-probabilities float `[N]`.

    Args:
        logits: Float `[N, V]`.
        uniforms: Float64 `[N]` from 0 to 1: which part of the cumulative distribution the token is taken from.
        temperature: 0 takes the likeliest.
        top_p: Nucleus sampling (arXiv 1904.09751): a token counts while those likelier than it add up to less.
    """
    logits = logits.float()
    if temperature == 0:
        tokens = logits.argmax(dim=-1)
        return tokens, logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
    probabilities = (logits / temperature).softmax(dim=-1)
    if top_p < 1:
        probabilities, tokens = _nucleus(probabilities, top_p)
        places = _places(probabilities, uniforms)
        chosen = tokens.gather(1, places)[:, 0]
    else:
        places = _places(probabilities, uniforms)
        chosen = places[:, 0]
    mass = probabilities.sum(dim=-1)
    return chosen, (probabilities.gather(1, places)[:, 0] / mass).log()


def _places(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Return int `[N, 1]`: where the cumulative distribution exceeds the part of it that ``uniforms`` names."""
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
    places = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)
    return places.clamp(max=probabilities.shape[-1] - 1)


def _nucleus(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Return the probabilities in falling order, 0 outside the nucleus, and their tokens."""
    count = probabilities.shape[-1]
    for width in (min(1024, count), count):  # sorting a whole vocabulary takes as long as a small model
        highest, tokens = probabilities.topk(width, dim=-1)
        before = highest.cumsum(dim=-1) - highest
        if width == count or bool((before[:, -1] + highest[:, -1] >= top_p).all()):
            break
    return highest.masked_fill(before >= top_p, 0.0), tokens


class _Sequences:
    """The sequences that are being drawn: their cache, and the logits of their next token.

    Args:
        model: The model.
        chunk: The requests. Each different prompt is computed once.
        pad_token_id: Fills shorter prompts, on the left.

    ``logits`` is float `[N, V]`, and ``numbers`` int `[N]` the number of each sequence's request.
    """

    def __init__(self, model: Any, chunk: list[Request], pad_token_id: int) -> None:
        self.model = model
        # An adapter passes on what it does not name itself.
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        parameters = inspect.signature(inner.forward).parameters
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"
        self.numbers = torch.arange(len(chunk), device=model.device)
        self.logits = torch.empty(0)
        rows = {tuple(request.prompt_ids): 0 for request in chunk}
        rows = {prompt: row for row, prompt in enumerate(rows)}
        longest = max(map(len, rows))
        budget = max(request.max_new_tokens for request in chunk)
        self._cache: Any = preallocated_cache(model.config, longest + budget)
        ids = torch.tensor([[pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in rows])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in rows])
        self._mask = mask.to(model.device)
        self._forward(ids.to(model.device), (self._mask.cumsum(dim=1) - 1).clamp(min=0))
        of_request = [rows[tuple(request.prompt_ids)] for request in chunk]
        if of_request != list(range(len(rows))):
            select(self._cache, of_request)
            self._mask, self.logits = self._mask[of_request], self.logits[of_request]
        self._lengths = self._mask.sum(dim=1)

    def advance(self, tokens: Tensor, ended: list[int]) -> None:
        """Append a token to each sequence, but for those that have ended, which are dropped.

        Args:
            tokens: Int `[N]`.
            ended: The rows of the sequences that have ended.
        """
        if ended:
            left = len(tokens) - len(ended)
            vacant = [row for row in ended if row < left]
            moved = [row for row in range(left, len(tokens)) if row not in set(ended)]
            moves = dict(zip(moved, vacant, strict=True))
            drop(self._cache, moves, left)
            tokens, self.numbers, self._mask, self._lengths = (
                _drop(values, moves, left) for values in (tokens, self.numbers, self._mask, self._lengths)
            )
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._forward(tokens[:, None], self._lengths[:, None])
        self._lengths = self._lengths + 1

    def _forward(self, ids: Tensor, positions: Tensor) -> None:
        # Without padding there is nothing to mask, which is quicker.
        mask = self._mask if bool((self._mask == 0).any()) else None
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            **{self._cache_name: self._cache},
            **self._options,
        )
        self.logits = output.logits[:, -1]


def _drop(values: Tensor, moves: dict[int, int], left: int) -> Tensor:
    values = values.clone()
    for old, new in moves.items():
        values[new] = values[old]
    return values[:left]
