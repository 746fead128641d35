"""A sampler that draws from a causal language model with HuggingFace transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrtf_trl.assets import model_path
from rrtf_trl.models.identity import model_identity
from rrtf_trl.models.loading import load_for_generation
from rrtf_trl.models.memory import sequences_that_fit
from rrtf_trl.models.tokenize import end_tokens
from rrtf_trl.records import Problem, Source, content_hash

from .base import Samples
from .candidates import encode_prompts, sampled_candidate
from .decoding import Decoding
from .stops import Stops, cut_at_stop, stops_of

if TYPE_CHECKING:
    from rrtf_trl.models.generation import Drawn, Request

_RULES = 3
"""Raised where the same options draw other responses: 2 decodes them after their prompt, gives each prompt a budget of
its own, and reads no penalties from the model's generation config; 3 has random numbers for each draw, and stops."""

_RULES_IN_4_BITS = 4
"""Of models in 4 bits; 4 computes in float32 on a CPU."""

_TAIL = 16
"""Tokens in which a text that ends a response is looked for after each step."""


class TransformersSampler:
    """Batched generation; each prompt is computed once for all of its draws.

    Args:
        model: Path or hub id of a causal language model or an adapter, or ``embedded``.
        n: Draws of a prompt at each temperature.
        temperatures: One or several; 0 is greedy decoding. With several, ``n`` draws at each, as the paper mixes them.
        top_ps: Nucleus sampling, one value for all temperatures or one for each.
        max_new_tokens: The most tokens of a response; fewer where the model's window ends earlier.
        seed: Determines the draws of each problem.
        source: ``student`` for the policy that is trained, ``teacher`` for a stronger model.
        batch_size: Problems per call; a call draws ``batch_size × n`` sequences.
        max_sequences: The most sequences that are computed at a time; by default as many as half of the free memory
            has space for. Fewer are where memory runs out.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device: Torch device; by default a GPU where there is one.
        quantization_config: bitsandbytes options, or ``None``.
        model_init_kwargs: Further keyword arguments for ``from_pretrained``: ``revision``, ``trust_remote_code``,
            ``attn_implementation``, ``device_map``.
        chat_template_kwargs: Variables of the chat template, such as ``{"enable_thinking": False}``.
        stop: Texts that end a response: a list, or ``auto`` for those that end a base model's, or ``None``.
        logprobs: Whether candidates get the log-probability of each token as it was drawn.

    Raises:
        ValueError: If an option is out of its range.
        UserError: On sampling, if a prompt is chat messages and the model has no chat template, or memory runs out.
    """

    in_each_process = True

    def __init__(
        self,
        model: str,
        n: int = 8,
        temperatures: list[float] | None = None,
        top_ps: list[float] | None = None,
        max_new_tokens: int = 512,
        seed: int = 0,
        source: Source = "student",
        batch_size: int = 32,
        dtype: str = "auto",
        device: str | None = None,
        quantization_config: Any = None,
        max_sequences: int | None = None,
        model_init_kwargs: dict[str, Any] | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        stop: Stops = "auto",
        logprobs: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError("n, max_new_tokens and batch_size must be at least 1")
        self.decoding = Decoding.checked(n, temperatures, top_ps, max_new_tokens, seed)
        self.model = model_path(model)
        self.source = source
        self.batch_size = batch_size
        self.dtype = dtype
        self.device = device
        self.quantization_config = quantization_config
        self.max_sequences = max_sequences
        self.model_init_kwargs = {name: value for name, value in (model_init_kwargs or {}).items() if value}
        self.chat_template_kwargs = chat_template_kwargs or {}
        self.stop = stop
        self.logprobs = logprobs
        self.draws = self.decoding.draws
        self._loaded: tuple[Any, Any] | None = None

    def identity(self) -> dict[str, Any]:
        """Return the model's content hash and all that decides the draws, or what is recorded of them."""
        quantization = self.quantization_config
        optional = {
            "model_init_kwargs": self.model_init_kwargs,
            "chat_template_kwargs": self.chat_template_kwargs,
            "logprobs": self.logprobs,
        }
        return {
            "sampler": "transformers",
            "rules": _RULES_IN_4_BITS if getattr(quantization, "load_in_4bit", False) else _RULES,
            "model": model_identity(self.model, self.model_init_kwargs.get("revision")),
            **self.decoding.identity(),
            "source": self.source,
            "dtype": self.dtype,
            "quantization": None if quantization is None else quantization.to_dict(),
            "stop": self.stop,
            **{name: value for name, value in optional.items() if value},
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw for each problem at each temperature; problems that fill the model's window are skipped."""
        from rrtf_trl.models.generation import Request

        model, tokenizer = self._load()
        window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        samples, encoded = encode_prompts(problems, tokenizer, self.model, window, self.chat_template_kwargs)
        if not encoded:
            return samples
        chat = any(not isinstance(problem.prompt, str) for problem, _ in encoded)
        ends = end_tokens(tokenizer, model.generation_config.eos_token_id, chat)
        stops = [stops_of(problem, self.stop) for problem, _ in encoded]
        # A prompt near the window's end has less, and takes nothing from the others.
        budgets = [min(self.decoding.max_new_tokens, (window or 2**31) - len(ids)) for _, ids in encoded]
        for position, (temperature, top_p, draws) in enumerate(self.decoding):
            requests = [
                Request(ids, budget, self._seed(problem, position, index), _ender(texts, tokenizer))
                for (problem, ids), budget, texts in zip(encoded, budgets, stops, strict=True)
                for index in range(draws)
            ]
            drawn = iter(self._draw(requests, temperature, top_p, ends))
            for (problem, prompt_ids), budget, texts in zip(encoded, budgets, stops, strict=True):
                for index in range(draws):
                    one = next(drawn)
                    candidate = sampled_candidate(
                        problem,
                        prompt_ids,
                        one.ids,
                        tokenizer,
                        stopped=one.ended,
                        stops=texts,
                        source=self.source,
                        model=Path(self.model).name,
                        sampling={
                            "temperature": temperature,
                            "top_p": top_p,
                            "seed": self.decoding.seed,
                            "index": index,
                            "max_new_tokens": budget,
                        },
                        logprobs=one.logprobs if self.logprobs else None,
                    )
                    samples.candidates.append(candidate)
        return samples

    def close(self) -> None:
        """Drop the model from memory."""
        self._loaded = None

    def _seed(self, problem: Problem, position: int, index: int) -> int:
        """Return the seed of a draw, which depends on no other draw."""
        return int(content_hash(self.decoding.seed, problem.content_key, position, index), 16) % 2**63

    def _draw(self, requests: Sequence[Request], temperature: float, top_p: float, ends: list[int]) -> list[Drawn]:
        from rrtf_trl.models.generation import can_draw, draw, draw_by_generate

        model, tokenizer = self._load()
        decoding = (temperature, top_p, ends, tokenizer.pad_token_id)
        if not can_draw(model):
            return draw_by_generate(model, requests, *decoding)
        longest = max(len(request.prompt_ids) + request.max_new_tokens for request in requests)
        at_once = self.max_sequences or sequences_that_fit(model, longest)
        return draw(model, requests, *decoding, at_once)

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import GenerationConfig

            model, tokenizer = load_for_generation(
                self.model,
                dtype=self.dtype,
                device=self.device,
                quantization_config=self.quantization_config,
                **self.model_init_kwargs,
            )
            # Of the model's generation config only token ids count: its penalties and top_k are no part of a decoding
            # that is asked for by temperature and top_p.
            own = model.generation_config
            model.generation_config = GenerationConfig(
                bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id
            )
            self._loaded = model, tokenizer
        return self._loaded


def _ender(stops: Sequence[str], tokenizer: Any) -> Callable[[list[int]], bool] | None:
    """Return whether a response's last tokens have a text that ends it; ``None`` where none does."""
    if not stops:
        return None

    def is_over(ids: list[int]) -> bool:
        tail = tokenizer.decode(ids[-_TAIL:], clean_up_tokenization_spaces=False)
        return any(stop in tail for stop in stops) and cut_at_stop(tokenizer.decode(ids), stops)[1]

    return is_over
