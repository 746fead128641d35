"""A sampler that draws from a causal language model with HuggingFace transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rrtf_trl.assets import model_path
from rrtf_trl.models.identity import model_identity
from rrtf_trl.models.loading import load_for_generation
from rrtf_trl.models.tokenize import decode_response, end_tokens
from rrtf_trl.records import Problem, Source, content_hash

from .base import Samples
from .candidates import encode_prompts, make_candidate, until_end
from .decoding import Decoding

_RULES = 2
"""Raised where the same options draw other responses: 2 decodes them after their prompt, gives each prompt a budget of
its own, and reads no penalties from the model's generation config."""


class TransformersSampler:
    """Batched generation with a KV cache and left padding.

    Args:
        model: Path or hub id of a causal language model, or ``embedded``.
        n: Draws of a prompt at each temperature.
        temperatures: One or several; 0 is greedy decoding. With several, ``n`` draws at each, as the paper mixes them.
        top_ps: Nucleus sampling, one value for all temperatures or one for each.
        max_new_tokens: The most tokens of a response; fewer where the model's window ends earlier.
        seed: Determines the draws, together with the batch.
        source: ``student`` for the policy that is trained, ``teacher`` for a stronger model.
        batch_size: Problems per call; a batch has ``batch_size × n`` sequences.
        max_sequences: The most sequences at a time; a larger batch is drawn in several passes.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device: Torch device; by default a GPU where there is one.
        quantization_config: bitsandbytes options, or ``None``.

    Raises:
        ValueError: If an option is out of its range.
        UserError: On sampling, if a prompt is chat messages and the model has no chat template.
    """

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
        self.draws = self.decoding.draws
        self._loaded: tuple[Any, Any] | None = None

    def identity(self) -> dict[str, Any]:
        """Return the model's content hash and all decoding options."""
        quantization = self.quantization_config
        several_passes = self._draws_at_once(self.batch_size, self.decoding.n) < self.decoding.n
        return {
            # With several passes, it determines which random numbers a draw gets.
            **({"max_sequences": self.max_sequences} if several_passes else {}),
            "sampler": "transformers",
            "rules": _RULES,
            "model": model_identity(self.model),
            **self.decoding.identity(),
            "source": self.source,
            "dtype": self.dtype,
            "quantization": None if quantization is None else quantization.to_dict(),
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw for each problem at each temperature; problems that fill the model's window are skipped."""
        import torch

        model, tokenizer = self._load()
        window = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        samples, encoded = encode_prompts(problems, tokenizer, self.model, window)
        if not encoded:
            return samples
        prompts = [ids for _, ids in encoded]
        budgets = [self.decoding.max_new_tokens] * len(prompts)
        if window is not None:  # a prompt near the window's end has less, and takes nothing from the others
            budgets = [min(budget, window - len(ids)) for budget, ids in zip(budgets, prompts, strict=True)]
        chat = any(not isinstance(problem.prompt, str) for problem, _ in encoded)
        ends = end_tokens(tokenizer, model.generation_config.eos_token_id, chat)
        batch_key = content_hash(self.decoding.seed, [problem.content_key for problem in problems])
        for position, (temperature, top_p, draws) in enumerate(self.decoding):
            # Random numbers are seeded per batch: a run that was killed draws the other batches as it would have.
            with torch.random.fork_rng():
                torch.manual_seed(int(content_hash(batch_key, position), 16) % 2**63)
                drawn: dict[int, list[tuple[str, bool]]] = {}
                for budget in dict.fromkeys(budgets):
                    alike = [number for number, other in enumerate(budgets) if other == budget]
                    some = [prompts[number] for number in alike]
                    texts = self._generate(model, tokenizer, some, temperature, top_p, draws, budget, ends)
                    drawn.update(zip(alike, texts, strict=True))
            for number, (problem, _) in enumerate(encoded):
                for index, (text, stopped) in enumerate(drawn[number]):
                    candidate = make_candidate(
                        problem,
                        text,
                        stopped=stopped,
                        source=self.source,
                        model=Path(self.model).name,
                        sampling={
                            "temperature": temperature,
                            "top_p": top_p,
                            "seed": self.decoding.seed,
                            "index": index,
                            "max_new_tokens": budgets[number],
                        },
                    )
                    samples.candidates.append(candidate)
        return samples

    def close(self) -> None:
        """Drop the model from memory."""
        self._loaded = None

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import GenerationConfig

            model, tokenizer = load_for_generation(
                self.model, dtype=self.dtype, device=self.device, quantization_config=self.quantization_config
            )
            # Of the model's generation config only token ids count: its penalties and top_k are no part of a decoding
            # that is asked for by temperature and top_p.
            own = model.generation_config
            model.generation_config = GenerationConfig(
                bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id
            )
            self._loaded = model, tokenizer
        return self._loaded

    def _generate(
        self,
        model: Any,
        tokenizer: Any,
        prompts: list[list[int]],
        temperature: float,
        top_p: float,
        draws: int,
        new_tokens: int,
        ends: list[int],
    ) -> list[list[tuple[str, bool]]]:
        """Return for each prompt its draws as (text, whether the model ended it itself)."""
        import torch

        batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(model.device)
        decoding: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if temperature > 0:
            # Without top_k=0, transformers would use its default of 50, which no paper's decoding has.
            decoding = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        responses: list[list[list[int]]] = [[] for _ in prompts]
        while len(responses[0]) < draws:
            count = self._draws_at_once(len(prompts), draws - len(responses[0]))
            with torch.inference_mode():
                output = model.generate(
                    **batch,
                    max_new_tokens=new_tokens,
                    num_return_sequences=count,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=ends or None,
                    **decoding,
                )
            sequences = output[:, batch["input_ids"].shape[1] :].tolist()
            for index, of_prompt in enumerate(responses):
                of_prompt += sequences[index * count : (index + 1) * count]
        return [
            [
                (decode_response(prompt_ids, ids, tokenizer), stopped)
                for ids, stopped in (until_end(drawn, ends) for drawn in of_prompt)
            ]
            for prompt_ids, of_prompt in zip(prompts, responses, strict=True)
        ]

    def _draws_at_once(self, prompts: int, draws: int) -> int:
        return draws if self.max_sequences is None else min(draws, max(1, self.max_sequences // prompts))
