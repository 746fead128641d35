"""What loading a model may send: requests to the hub that it is loaded from, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SWITCH = "DISABLE_SAFETENSORS_CONVERSION"


@contextmanager
def only_the_hub() -> Iterator[None]:
    """Keep ``from_pretrained`` from asking another server to convert a hub's model to safetensors, in this block."""
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SWITCH]
        else:
            os.environ[_SWITCH] = before
