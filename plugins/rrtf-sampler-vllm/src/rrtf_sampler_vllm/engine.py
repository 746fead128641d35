"""vLLM's engine in a process of its own: the program that :mod:`.process` starts, perhaps with another interpreter.

It imports vLLM and the standard library alone. Each line that it reads is a JSON object, and so is each answer:

- ``{"arguments": …, "adapter": PATH or null}``, once: builds ``vllm.LLM`` with the arguments, and the LoRA adapter
  in that folder. Answer: ``{"window": N}``.
- ``{"prompts": [[…]], "options": [{…}]}``: each prompt's token ids, and its ``SamplingParams``. Answer:
  ``{"drawn": [[{"ids": […], "stopped": true, "logprobs": […] or null}]]}``, for each prompt its draws.

What fails is answered by ``{"error": …}``. It ends, with all that vLLM started, when its input does.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as ``max_lora_rank``."""


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what vLLM prints is no answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True).start()
    engine: Engine | None = None
    while True:
        asked = json.loads(lines.get())
        try:
            if engine is None:
                engine = Engine(asked["arguments"], asked["adapter"])
                answer: dict[str, Any] = {"window": engine.window}
            else:
                answer = {"drawn": engine.draw(asked["prompts"], asked["options"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Engine:
    """vLLM's engine with one model.

    Args:
        arguments: Of ``vllm.LLM``; they win over what is set here for engines on a CPU.
        adapter: Folder of a LoRA adapter of that model.
    """

    def __init__(self, arguments: dict[str, Any], adapter: str | None) -> None:
        # In one process with its scheduler, all requests of a call are there before the first step. Else it depends on
        # the time which of them share a step, and so do the last digits of their logits.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm import LLM
        from vllm.platforms import current_platform

        if current_platform.is_cpu():
            arguments = {**_ON_CPU, **arguments}
        self._lora: Any = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self._lora = LoRARequest("policy", 1, adapter)
            arguments = {"enable_lora": True, "max_lora_rank": _rank(adapter), **arguments}
        # Prompts come as token ids and responses go as such.
        self._llm = LLM(**arguments, skip_tokenizer_init=True, disable_log_stats=True)
        self.window: int = self._llm.llm_engine.model_config.max_model_len

    def draw(self, prompts: list[list[int]], options: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Return the draws of each prompt."""
        from vllm import SamplingParams

        # A call starts as the first one does: a prompt that is cached is computed in other steps.
        self._llm.reset_prefix_cache()
        outputs = self._llm.generate(
            [{"prompt_token_ids": ids} for ids in prompts],
            [SamplingParams(**option, detokenize=False) for option in options],
            use_tqdm=False,
            lora_request=self._lora,
        )
        return [
            [
                {
                    "ids": list(draw.token_ids),
                    "stopped": draw.finish_reason == "stop",
                    "logprobs": None if draw.logprobs is None else list(map(_of_drawn, draw.token_ids, draw.logprobs)),
                }
                for draw in output.outputs
            ]
            for output in outputs
        ]


_ON_CPU: dict[str, Any] = {
    "dtype": "float32",  # as transformers' sampler: half precision is slower on most
    "enforce_eager": True,  # compiling takes minutes
    # A prompt that is computed in parts takes its random numbers back, which a CPU's generator cannot: "CPU Generator
    # does not use offset".
    "enable_chunked_prefill": False,
}


def _of_drawn(token: int, logprobs: Any) -> float:
    return float(logprobs[token].logprob)


def _rank(adapter: str) -> int:
    with open(os.path.join(adapter, "adapter_config.json"), encoding="utf-8") as file:
        config = json.load(file)
    largest = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    return next((rank for rank in _RANKS if rank >= largest), largest)


def _read(source: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in source:
        lines.put(line)
    # The other side closed the sampler, or is gone. vLLM's workers are in this process' group.
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
