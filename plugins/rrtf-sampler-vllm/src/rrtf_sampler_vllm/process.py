"""The engine's process, seen from the sampler."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rrtf_trl.errors import UserError

_LAUNCHERS = re.compile(
    r"(TORCHELASTIC|ACCELERATE|FSDP|DEEPSPEED|PMI|OMPI|ROLE|GROUP)_\w+"
    r"|(LOCAL_|CROSS_)?(RANK|WORLD_SIZE)|NODE_RANK|MASTER_(ADDR|PORT)"
)
"""Variables by which launchers of training name a process' place. An engine that inherits them waits for its peers."""

_LINES_SHOWN = 15

_LONGEST_END = 5.0
"""Seconds. Where nothing reaps orphans, as in some containers, their entries stay for ever; their memory does not."""


Drawn = tuple[list[int], bool, list[float] | None]
"""A draw: its token ids, whether it was stopped, and its log-probabilities if they were asked for."""


class EngineProcess:
    """A process in which vLLM runs: its memory is given back when it ends, whatever vLLM leaves behind.

    Args:
        python: The interpreter; ``None`` for this one.
        arguments: Of ``vllm.LLM``.
        adapter: Folder of a LoRA adapter, or ``None``.
        environment: Further variables of its environment.

    Raises:
        UserError: If it does not start; with the last lines that it wrote.
    """

    def __init__(
        self,
        python: str | None,
        arguments: dict[str, Any],
        adapter: str | None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        # Its folder would come first among those that are searched for modules.
        command = [python or sys.executable, "-P", str(Path(__file__).with_name("engine.py"))]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**engine_environment(dict(os.environ), own_python=python is None), **(environment or {})},
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        self.window: int = self._ask({"arguments": arguments, "adapter": adapter})["window"]

    def draw(self, prompts: list[list[int]], options: list[dict[str, Any]]) -> list[list[Drawn]]:
        """Return for each prompt its draws.

        Args:
            prompts: Token ids.
            options: Fields of vLLM's ``SamplingParams``, for each prompt.

        Raises:
            UserError: If the engine fails.
        """
        drawn = self._ask({"prompts": prompts, "options": options})["drawn"]
        return [[(draw["ids"], draw["stopped"], draw["logprobs"]) for draw in of_prompt] for of_prompt in drawn]

    def close(self) -> None:
        """End the process and those that it started, and wait until they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        gone_by = time.monotonic() + _LONGEST_END
        while _group_lives(self._process.pid) and time.monotonic() < gone_by:
            time.sleep(0.01)
        for file in (self._process.stdin, self._process.stdout, self._log):
            if file is not None:
                file.close()

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        except BaseException:  # such as an interrupt: the answer that is on its way is no later question's
            self.close()
            raise
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            self._log.seek(0)
            last = self._log.read().decode(errors="replace").splitlines()[-_LINES_SHOWN:]
            self.close()
            raise UserError("\n".join([f"vLLM's engine: {answer['error']}", *(["It wrote:"] if last else []), *last]))
        return answer


def engine_environment(own: dict[str, str], own_python: bool) -> dict[str, str]:
    """Return the environment of an engine: this one's, without what a launcher of training put there.

    Args:
        own: The environment of this process.
        own_python: Whether the engine has this process' interpreter; another one has modules of its own.
    """
    kept = {name: value for name, value in own.items() if not _LAUNCHERS.fullmatch(name)}
    if not own_python:
        kept = {name: value for name, value in kept.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    quiet = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
    # Threads of an engine on a CPU are left to the system: pinned, those of two runs would share a core.
    return {**quiet, "VLLM_CPU_OMP_THREADS_BIND": "nobind", **kept}


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
