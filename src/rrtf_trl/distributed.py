"""A run under `accelerate launch` or `torchrun`: one process runs it, all of them train.

The first process composes the configuration and goes through the stages. The others compose nothing: they get the
resolved configuration from it, wait until it trains, train with it, and end when the run ends. What they are told goes
through the key-value store at which the launcher lets its processes meet.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from rrtf_trl.run_folder import RunFolder

_FOREVER = timedelta(days=365)  # the launcher ends the others when the first one dies


def processes() -> int:
    """Return how many processes the launcher started, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this process is the one that runs."""
    return int(os.environ.get("RANK", "0")) == 0


def tell(**message: Any) -> None:
    """Tell the others what to do; nothing where there are none.

    Args:
        message: ``do``, which is ``build``, ``train`` or ``end``, with what belongs to it.
    """
    if processes() > 1:
        number = _store().add("rrtf/told", 1)
        _store().set(f"rrtf/{number}", json.dumps(message))


def help_train() -> int:
    """Do what the first process tells until it ends; return the exit status."""
    from omegaconf import OmegaConf
    from rich.console import Console

    from rrtf_trl.build import quiet_libraries, train_callable

    train, folder, number = None, RunFolder("."), 0
    with Path(os.devnull).open("w") as nowhere:
        while True:
            number += 1
            _store().wait([f"rrtf/{number}"], _FOREVER)
            message = json.loads(_store().get(f"rrtf/{number}"))
            if message["do"] == "end":
                return 0
            if message["do"] == "build":
                quiet_libraries()
                config, folder = OmegaConf.create(message["config"]), RunFolder(message["folder"])
                train = train_callable(config, message["config"], message["policy"], folder, Console(file=nowhere))
            else:
                assert train is not None, "told to train before it was told what"
                train(folder)


@cache
def _store() -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    # torchrun and accelerate keep the store in a process of their own; else the first process does.
    hosts = is_first() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, processes(), hosts, timedelta(minutes=5), False, True)
