"""A sampler that draws from a causal language model with HuggingFace transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rrtf_trl.assets import model_path
from rrtf_trl.models.identity import model_identity
from rrtf_trl.records import Problem, Source, content_hash

from .base import Samples
from .candidates import encode_prompts, make_candidate
from .decoding import Decoding


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
        new_tokens = self.decoding.max_new_tokens
        if window is not None:
            new_tokens = min(new_tokens, window - max(map(len, prompts)))
        batch_key = content_hash(self.decoding.seed, [problem.content_key for problem in problems])
        for position, (temperature, top_p, draws) in enumerate(self.decoding):
            # Random numbers are seeded per batch: a run that was killed draws the other batches as it would have.
            with torch.random.fork_rng():
                torch.manual_seed(int(content_hash(batch_key, position), 16) % 2**63)
                drawn = self._generate(model, tokenizer, prompts, temperature, top_p, draws, new_tokens)
            for (problem, _), sequences in zip(encoded, drawn, strict=True):
                for index, (text, stopped) in enumerate(sequences):
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
                            "max_new_tokens": new_tokens,
                        },
                    )
                    samples.candidates.append(candidate)
        return samples

    def close(self) -> None:
        """Drop the model from memory."""
        self._loaded = None

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(self.model, padding_side="left")
            if tokenizer.pad_token is None:
                tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
            device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
            options: dict[str, Any] = {"dtype": self.dtype}
            if device == "cpu" and self.dtype == "auto" and self.quantization_config is None:
                options["dtype"] = "float32"  # half precision is slower than single on most CPUs
            if self.quantization_config is not None:
                options |= {"quantization_config": self.quantization_config, "device_map": device}
            model = AutoModelForCausalLM.from_pretrained(self.model, **options).eval()
            self._loaded = (model if self.quantization_config is not None else model.to(device), tokenizer)
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
                    **decoding,
                )
            sequences = output[:, batch["input_ids"].shape[1] :].tolist()
            for index, of_prompt in enumerate(responses):
                of_prompt += sequences[index * count : (index + 1) * count]
        ends = model.generation_config.eos_token_id
        eos = {tokenizer.eos_token_id} | (set(ends) if isinstance(ends, list) else {ends})
        finished = [_until_end(ids, eos) for of_prompt in responses for ids in of_prompt]
        texts = tokenizer.batch_decode([ids for ids, _ in finished], skip_special_tokens=True)
        drawn = [(text, stopped) for text, (_, stopped) in zip(texts, finished, strict=True)]
        return [drawn[start : start + draws] for start in range(0, len(drawn), draws)]

    def _draws_at_once(self, prompts: int, draws: int) -> int:
        return draws if self.max_sequences is None else min(draws, max(1, self.max_sequences // prompts))


def _until_end(ids: list[int], eos: set[int | None]) -> tuple[list[int], bool]:
    for position, token in enumerate(ids):
        if token in eos:
            return ids[:position], True
    return ids, False
