"""Samples with vLLM: an engine on this machine, or a server."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

from rrtf_trl.assets import model_path
from rrtf_trl.errors import UserError
from rrtf_trl.models.identity import model_identity
from rrtf_trl.models.tokenize import end_tokens
from rrtf_trl.records import Problem, Source, content_hash
from rrtf_trl.samplers.base import Samples
from rrtf_trl.samplers.candidates import encode_prompts, sampled_candidate, until_end
from rrtf_trl.samplers.decoding import Decoding
from rrtf_trl.samplers.stops import Stops, stops_of

from .engines import Engines
from .server import Server

_RULES = 3
"""Raised where the same options draw other responses: 2 ends them where the model's chat template ends a turn, and has
prompts computed whole on a CPU; 3 has stops."""


class VLLMSampler:
    """Samples with vLLM's engine, which is started on first use, in a process of its own, and ended by :meth:`close`.

    With ``server`` it is a running server's engine, which is made to serve the model; see :mod:`.server`.

    The random numbers of a draw depend on the seed and its problem, not on the batch.

    Args:
        model: Path or hub id of a causal language model, or ``embedded``; a folder with a LoRA adapter is served on
            its base model.
        n: Draws of a prompt at each temperature.
        temperatures: One or several; 0 is greedy decoding.
        top_ps: Nucleus sampling, one value for all temperatures or one for each.
        max_new_tokens: The most tokens of a response; fewer where the model's window ends earlier.
        seed: Determines the draws.
        source: ``student`` for the policy that is trained, ``teacher`` for a stronger model.
        batch_size: Problems per call; vLLM batches them itself, so it may be large.
        engine: Further arguments of ``vllm.LLM``, for instance ``tensor_parallel_size``,
            ``gpu_memory_utilization``, ``max_model_len``, ``dtype`` or ``quantization``. ``data_parallel_size`` starts
            so many engines. A server must have been started with them.
        chat_template_kwargs: Variables of the chat template, such as ``{"enable_thinking": False}``.
        stop: Texts that end a response: a list, or ``auto`` for those that end a base model's, or ``None``. The engine
            draws on, as it gets and gives tokens alone, and the response is cut.
        logprobs: Whether candidates get the log-probability of each token as it was drawn.
        python: The interpreter of the environment that vLLM is installed in; ``None`` for this one.
        server: Address of a running ``vllm serve``, as ``http://127.0.0.1:8000``; ``None`` starts an engine.
        lora_rank: Of the adapter that the run trains, which a server must be able to load; ``None`` if there is none.

    Raises:
        UserError: If vLLM is not installed, or there is no such interpreter; on sampling, if the engine fails, or a
            prompt is chat messages and the model has no chat template; and with ``server`` also by :meth:`identity`,
            if the server does not answer or was not started as the run needs it.
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
        chat_template_kwargs: dict[str, Any] | None = None,
        stop: Stops = "auto",
        logprobs: bool = False,
        python: str | None = None,
        server: str | None = None,
        lora_rank: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError("n, max_new_tokens and batch_size must be at least 1")
        self.decoding = Decoding.checked(n, temperatures, top_ps, max_new_tokens, seed)
        if server is None and python is None and importlib.util.find_spec("vllm") is None:
            raise UserError(
                "vLLM is not installed: pip install vllm; or name the interpreter of an environment that has it, "
                "sampler.vllm.python=VENV/bin/python"
            )
        if server is None and python is not None and shutil.which(python) is None:
            raise UserError(f"python: {python} is no program")
        self.model = model_path(model)
        self.source = source
        self.batch_size = batch_size
        self.draws = self.decoding.draws
        self.python = python
        self.chat_template_kwargs = chat_template_kwargs or {}
        self.stop = stop
        self.logprobs = logprobs
        # The model's own generation_config.json may ask for penalties or top_k, which no paper's decoding has.
        self.engine = {"generation_config": "vllm", **(engine or {})}
        self.server = server
        self.lora_rank = lora_rank
        self._connected: Server | None = None
        self._loaded: tuple[Engines | Server, Any, int | list[int] | None] | None = None

    def identity(self) -> dict[str, Any]:
        """Return the model's content hash, all decoding options, and the engine's arguments.

        Of a server it is vLLM's version and how it computes, not the address.
        """
        optional = {
            "chat_template_kwargs": self.chat_template_kwargs,
            "logprobs": self.logprobs,
            "server": None if self.server is None else self._connect(self.server).identity(),
        }
        return {
            "sampler": "vllm",
            "rules": _RULES,
            "model": model_identity(self.model),
            **self.decoding.identity(),
            "source": self.source,
            "engine": self.engine,
            "stop": self.stop,
            **{name: value for name, value in optional.items() if value},
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Draw for each problem at each temperature; problems that fill the model's window are skipped."""
        engine, tokenizer, of_model = self._load()
        samples, encoded = encode_prompts(problems, tokenizer, self.model, engine.window, self.chat_template_kwargs)
        tasks = []
        for problem, ids in encoded:
            ends = end_tokens(tokenizer, of_model, chat=not isinstance(problem.prompt, str))
            budget = min(self.decoding.max_new_tokens, engine.window - len(ids))
            tasks += [
                (problem, ids, budget, ends, position, settings) for position, settings in enumerate(self.decoding)
            ]
        if not tasks:
            return samples
        prompts = [ids for _, ids, *_ in tasks]
        options = [
            self._options(problem, position, settings, budget, ends)
            for problem, _, budget, ends, position, settings in tasks
        ]
        try:
            drawn = engine.draw(prompts, options)
        except BaseException:
            self._loaded = None  # the engine has ended
            raise
        for (problem, prompt_ids, budget, ends, _, settings), draws in zip(tasks, drawn, strict=True):
            for index, (ids, stopped, logprobs) in enumerate(draws):
                response, ended = until_end(ids, ends)
                samples.candidates.append(
                    sampled_candidate(
                        problem,
                        prompt_ids,
                        response,
                        tokenizer,
                        stopped=stopped or ended,
                        stops=stops_of(problem, self.stop),
                        source=self.source,
                        model=Path(self.model).name,
                        sampling={
                            "temperature": settings[0],
                            "top_p": settings[1],
                            "seed": self.decoding.seed,
                            "index": index,
                            "max_new_tokens": budget,
                        },
                        logprobs=logprobs,
                    )
                )
        return samples

    def close(self) -> None:
        """End the engine; its memory is free when this returns."""
        if self._loaded is not None:
            self._loaded[0].close()
            self._loaded = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the engine out; the copy starts its own."""
        return {**vars(self), "_loaded": None, "_connected": None}

    def _connect(self, address: str) -> Server:
        if self._connected is None:
            self._connected = Server(address, self.engine, self.logprobs, self.lora_rank)
        return self._connected

    def _load(self) -> tuple[Engines | Server, Any, int | list[int] | None]:
        if self._loaded is None:
            from transformers import AutoConfig, AutoTokenizer, GenerationConfig

            base, adapter = _split(self.model)
            tokenizer = AutoTokenizer.from_pretrained(self.model)
            try:
                of_model = GenerationConfig.from_pretrained(base).eos_token_id
            except OSError:  # it has no such file
                of_model = AutoConfig.from_pretrained(base).get_text_config().eos_token_id
            arguments = {"model": base, "seed": self.decoding.seed, **self.engine}
            if self.logprobs:  # at the temperature and top_p, as the tokens are drawn
                arguments = {"logprobs_mode": "processed_logprobs", **arguments}
            engine: Engines | Server
            if self.server is None:
                engine = Engines(self.python, arguments, adapter)
            else:
                engine = self._connect(self.server)
                engine.serve(base, adapter, tokenizer)
            self._loaded = engine, tokenizer, of_model
        return self._loaded

    def _options(
        self,
        problem: Problem,
        position: int,
        settings: tuple[float, float, int],
        budget: int,
        ends: list[int],
    ) -> dict[str, Any]:
        """Return the fields of vLLM's ``SamplingParams`` for a prompt; draw i of it gets the seed plus i."""
        temperature, top_p, draws = settings
        return {
            "n": draws,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": budget,
            "seed": int(content_hash(self.decoding.seed, problem.content_key, position), 16) % 2**31,
            "stop_token_ids": ends,
            **({"logprobs": 0} if self.logprobs else {}),  # of the drawn token alone
        }


def _split(model: str) -> tuple[str, str | None]:
    """Return a model, or the base model of an adapter's folder and that folder.

    Raises:
        UserError: If vLLM cannot serve the adapter.
    """
    saved = Path(model) / "adapter_config.json"
    if not saved.is_file():
        return model, None
    config = json.loads(saved.read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or config.get("modules_to_save") or config.get("use_dora"):
        raise UserError(
            f"{model}: vLLM serves LoRA adapters without DoRA and without modules_to_save, and this one is another: "
            "merge it into its base model, or use sampler=[transformers]"
        )
    return str(config["base_model_name_or_path"]), str(model)
