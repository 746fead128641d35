"""Greedy decoding by an inference engine other than transformers, as a sampler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rrtf_trl.models.engine import Generate
from rrtf_trl.models.tokenize import encode_prompt
from rrtf_trl.programs.extract import extract_code
from rrtf_trl.records import Candidate, Problem

from .base import Samples


class EngineSampler:
    """Draws the greedy answer to each prompt through an engine.

    Args:
        engine: The engine's name with its version, part of what tells samples apart.
        source: The folder of the model that was converted, whose tokenizer speaks for the engine.
        identity: What tells the converted model apart: the source's identity, and the form.
        load: Loads the engine.
        max_new_tokens: Most tokens of an answer; less where the model's window ends before.
        batch_size: Problems a call.
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
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw the greedy answer for each problem; problems that fill the model's window are skipped."""
        generate, tokenizer, window = self._engine()
        samples = Samples()
        ends = {tokenizer.eos_token_id}
        for problem in problems:
            ids = encode_prompt(problem, tokenizer, str(self.source))
            if window is not None and len(ids) >= window:
                samples.skipped[problem.task_id] = f"the prompt has {len(ids)} tokens, the model's window {window}"
                continue
            new_tokens = self.max_new_tokens if window is None else min(self.max_new_tokens, window - len(ids))
            answer = generate(ids, new_tokens, False)
            stopped = bool(answer) and answer[-1] in ends
            text = tokenizer.decode([token for token in answer if token not in ends], skip_special_tokens=True)
            extracted = extract_code(text, problem.prompt, problem.entry_point)
            samples.candidates.append(
                Candidate.create(
                    task_id=problem.task_id,
                    response=text,
                    code=extracted.code,
                    source="student",
                    model=self.source.name,
                    sampling={"temperature": 0.0, "max_new_tokens": new_tokens, "index": 0},
                    finish_reason="stop" if stopped or len(answer) < new_tokens or extracted.ended else "length",
                )
            )
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
