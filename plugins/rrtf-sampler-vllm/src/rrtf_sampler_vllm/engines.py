"""Several engines on this machine, each on devices of its own, that divide the prompts of a call.

``vllm.LLM`` in one process refuses ``data_parallel_size``, so each engine is a process of its own here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rrtf_trl.errors import UserError

from .process import Drawn, EngineProcess


class Engines:
    """Engines with the same model.

    Args:
        python: The interpreter; ``None`` for this one.
        arguments: Of ``vllm.LLM``; ``data_parallel_size`` is how many engines there are, each on as many GPUs as
            ``tensor_parallel_size`` and ``pipeline_parallel_size`` say. On a CPU they share its cores.
        adapter: Folder of a LoRA adapter, or ``None``.

    Raises:
        UserError: If there are too few GPUs, or an engine does not start.
    """

    def __init__(self, python: str | None, arguments: dict[str, Any], adapter: str | None) -> None:
        arguments = dict(arguments)
        count = int(arguments.pop("data_parallel_size", 1))
        width = int(arguments.get("tensor_parallel_size", 1)) * int(arguments.get("pipeline_parallel_size", 1))
        places = _divide(_devices(), count, width)
        self._engines: list[EngineProcess] = []

        def start(environment: dict[str, str]) -> None:
            self._engines.append(EngineProcess(python, arguments, adapter, environment))

        self._all(start, places)
        self.window = self._engines[0].window

    def draw(self, prompts: list[list[int]], options: list[dict[str, Any]]) -> list[list[Drawn]]:
        """Return for each prompt its draws; see :meth:`.process.EngineProcess.draw`."""
        drawn: list[list[Drawn]] = [[] for _ in prompts]
        count = len(self._engines)

        def draw_share(number: int) -> None:
            if prompts[number::count]:
                drawn[number::count] = self._engines[number].draw(prompts[number::count], options[number::count])

        self._all(draw_share, list(range(count)))
        return drawn

    def close(self) -> None:
        """End all engines, and wait until they are gone."""
        for engine in self._engines:
            engine.close()

    def _all(self, work: Callable[[Any], None], items: list[Any]) -> None:
        """Do the work for each item at the same time; where one fails, end all engines."""
        with ThreadPoolExecutor(len(items)) as pool:
            running = [pool.submit(work, item) for item in items]
            try:
                for one in running:
                    one.result()
            except BaseException:
                self.close()
                raise


def _devices() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _divide(devices: list[str], count: int, width: int) -> list[dict[str, str]]:
    """Return what each of ``count`` engines finds in its environment, with ``width`` devices for each."""
    if count < 1:
        raise ValueError(f"sampler.vllm.engine.data_parallel_size must be at least 1, got {count}")
    if count == 1 or not devices:
        return [{}] * count
    if len(devices) < count * width:
        raise UserError(
            f"sampler.vllm.engine: {count} engines on {width} GPUs each need {count * width}, and there are "
            f"{len(devices)}: choose a smaller data_parallel_size or tensor_parallel_size"
        )
    return [
        {"CUDA_VISIBLE_DEVICES": ",".join(devices[number * width : (number + 1) * width])} for number in range(count)
    ]
