"""Samples with a vLLM engine on this machine's GPUs."""

from __future__ import annotations

import gc
import importlib.util
from pathlib import Path
from typing import Any

from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.models.identity import model_identity
from rrtf_trl.records import Candidate, Problem, Source, content_hash
from rrtf_trl.samplers.base import Samples
from rrtf_trl.samplers.candidates import encode_prompts, make_candidate
from rrtf_trl.samplers.decoding import Decoding


class VLLMSampler:
    """Samples with vLLM's offline engine, which is built on first use and freed by :meth:`close`.

    The random numbers of a sample depend on the seed and its problem, not on the batch.

    Args:
        model: Path or hub id of a causal language model, or ``embedded``.
        n: Samples for each prompt and temperature.
        temperatures: One or several; 0 is greedy decoding.
        top_ps: Nucleus sampling, one value for all temperatures or one for each.
        max_new_tokens: Most tokens of a response; fewer if the model's window ends before.
        seed: Decides the samples.
        source: ``student`` for the policy that is trained, ``teacher`` for a stronger model.
        batch_size: Problems in a call; vLLM batches them itself, so it may be large.
        engine: Further arguments of ``vllm.LLM``, for instance ``tensor_parallel_size``,
            ``gpu_memory_utilization``, ``max_model_len``, ``dtype`` or ``quantization``.

    Raises:
        UserError: If vLLM is not installed; on sampling, if a prompt is chat messages and the model has no
            chat template.
        ValueError: If an option is out of its range.
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
        batch_size: int = 256,
        engine: dict[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError("n, max_new_tokens and batch_size must be at least 1")
        self.decoding = Decoding.checked(n, temperatures, top_ps, max_new_tokens, seed)
        if importlib.util.find_spec("vllm") is None:
            raise UserError("vLLM is not installed: pip install vllm")
        self.model = model_path(model)
        self.source = source
        self.batch_size = batch_size
        self.draws = self.decoding.draws
        # The model's own generation_config.json may ask for penalties or top_k, which no paper's decoding has.
        self.engine = {"generation_config": "vllm", **(engine or {})}
        self._llm: Any = None

    def identity(self) -> dict[str, Any]:
        """Return the model's content hash, all decoding options, and the engine's arguments."""
        return {
            "sampler": "vllm",
            "model": model_identity(self.model),
            **self.decoding.identity(),
            "source": self.source,
            "engine": self.engine,
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Sample each problem at each temperature; problems that fill the model's window are skipped."""
        from vllm import SamplingParams

        llm = self._load()
        window = llm.llm_engine.model_config.max_model_len
        samples, encoded = encode_prompts(problems, llm.get_tokenizer(), self.model, window)
        tasks = [
            (problem, ids, position, settings)
            for problem, ids in encoded
            for position, settings in enumerate(self.decoding)
        ]
        outputs = llm.generate(
            [{"prompt_token_ids": ids} for _, ids, _, _ in tasks],
            [
                SamplingParams(**self._options(problem, len(ids), position, settings, window))
                for problem, ids, position, settings in tasks
            ],
            use_tqdm=False,
        )
        for (problem, _, _, settings), output in zip(tasks, outputs, strict=True):
            samples.candidates += self._candidates(problem, settings, output)
        return samples

    def close(self) -> None:
        """Free the engine and its memory."""
        if self._llm is None:
            return
        import torch

        shutdown = getattr(getattr(self._llm.llm_engine, "engine_core", None), "shutdown", None)
        if shutdown is not None:
            shutdown()
        self._llm = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the engine out; the copy builds its own."""
        return {**vars(self), "_llm": None}

    def _load(self) -> Any:
        if self._llm is None:
            from vllm import LLM

            self._llm = LLM(model=self.model, seed=self.decoding.seed, **self.engine)
        return self._llm

    def _options(
        self, problem: Problem, prompt_tokens: int, position: int, settings: tuple[float, float, int], window: int
    ) -> dict[str, Any]:
        """Return the fields of vLLM's ``SamplingParams`` for a prompt; sample i of it gets the seed plus i."""
        temperature, top_p, draws = settings
        return {
            "n": draws,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": min(self.decoding.max_new_tokens, window - prompt_tokens),
            "seed": int(content_hash(self.decoding.seed, problem.content_key, position), 16) % 2**31,
        }

    def _candidates(self, problem: Problem, settings: tuple[float, float, int], output: Any) -> list[Candidate]:
        """Return the candidates of one ``RequestOutput``."""
        return [
            make_candidate(
                problem,
                sample.text,
                stopped=sample.finish_reason == "stop",
                source=self.source,
                model=Path(self.model).name,
                sampling={
                    "temperature": settings[0],
                    "top_p": settings[1],
                    "seed": self.decoding.seed,
                    "index": index,
                    "max_new_tokens": self.decoding.max_new_tokens,
                },
            )
            for index, sample in enumerate(output.outputs)
        ]
