"""A sampler that decodes greedily with an inference engine other than transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rrtf_trl.models.engine import Generate
from rrtf_trl.models.tokenize import end_tokens
from rrtf_trl.records import Problem

from .base import Samples
from .candidates import encode_prompts, sampled_candidate, until_end
from .stops import stops_of


class EngineSampler:
    """Draws the greedy response to each prompt with an engine.

    Args:
        engine: The engine's name and version, part of the sampler's identity.
        source: The folder of the model that was converted; its tokenizer is used.
        identity: Of the converted model: the source's identity, and the form.
        load: Loads the engine.
        max_new_tokens: The most tokens of a response; fewer where the model's window ends earlier.
        batch_size: Problems per call.
    """

    draws = 1

    def __init__(
        self,
        engine: str,
        source: Path,
        identity: str,
        load: Callable[[], Generate],
        max_new_tokens: int = 512,
        batch_size: int = 32,
    ) -> None:
        self.engine = engine
        self.source = source
        self.model_identity = identity
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size
        self._load = load
        self._loaded: tuple[Generate, Any, int | None] | None = None

    def identity(self) -> dict[str, Any]:
        """Return the engine, the model's identity and the decoding."""
        return {
            "sampler": self.engine,
            "model": self.model_identity,
            "temperatures": [0.0],
            "max_new_tokens": self.max_new_tokens,
            "rules": 3,  # as those of the transformers sampler
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw the greedy response to each problem; problems that fill the model's window are skipped."""
        generate, tokenizer, window = self._engine()
        samples, encoded = encode_prompts(problems, tokenizer, str(self.source), window)
        for problem, prompt_ids in encoded:
            ends = end_tokens(tokenizer, None, chat=not isinstance(problem.prompt, str))
            new_tokens = self.max_new_tokens if window is None else min(self.max_new_tokens, window - len(prompt_ids))
            drawn = generate(prompt_ids, new_tokens, False)
            ids, ended = until_end(drawn, ends)
            candidate = sampled_candidate(
                problem,
                prompt_ids,
                ids,
                tokenizer,
                stopped=ended or len(drawn) < new_tokens,
                stops=stops_of(problem, "auto"),
                source="student",
                model=self.source.name,
                sampling={"temperature": 0.0, "max_new_tokens": new_tokens, "index": 0},
            )
            samples.candidates.append(candidate)
        return samples

    def close(self) -> None:
        """Drop the engine from memory."""
        self._loaded = None

    def _engine(self) -> tuple[Generate, Any, int | None]:
        if self._loaded is None:
            from transformers import AutoConfig, AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(self.source)
            config = AutoConfig.from_pretrained(self.source).get_text_config()
            self._loaded = self._load(), tokenizer, getattr(config, "max_position_embeddings", None)
        return self._loaded
