"""A run under `accelerate launch` or `torchrun`: one process runs the stages, all of them draw and train.

The first process composes the configuration and runs the stages. The others are its helpers: they receive the resolved
configuration, draw and judge a part of each stage, train with the first process, and end with the run. Messages go
through the key-value store of torch.distributed's rendezvous.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

_FOREVER = timedelta(days=365)  # the launcher ends the helpers when the first process dies


def processes() -> int:
    """Return how many processes the launcher started, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this process runs the stages."""
    return int(os.environ.get("RANK", "0")) == 0


def judges() -> bool:
    """Return whether this helper judges: the first one on a further machine, since a sandbox uses a whole machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def send(**message: Any) -> None:
    """Send a message to the helper processes, if there are any, from the first one.

    Args:
        message: ``do``, which is ``build``, ``help``, ``train`` or ``end``, and its arguments.
    """
    if processes() > 1 and is_first():
        number = _store().add("rrtf/messages", 1)
        _store().set(f"rrtf/{number}", json.dumps(message))


def messages() -> Iterator[dict[str, Any]]:
    """Yield the messages of the first process, as they come."""
    for number in itertools.count(1):
        _store().wait([f"rrtf/{number}"], _FOREVER)
        yield json.loads(_store().get(f"rrtf/{number}"))


@cache
def _store() -> Any:
    # torch is heavy, and most runs have one process
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    # torchrun and accelerate keep the store in a process of their own; else the first process does.
    hosts = is_first() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, processes(), hosts, timedelta(minutes=5), False, True)
