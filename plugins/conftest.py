"""Sets, before any test of a plugin imports them, what libraries read once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from rrtf_trl.models.memory import importing

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes test at the same time
os.environ.setdefault("TRACKIO_DIR", tempfile.mkdtemp(prefix="trackio-"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Have collections of garbage leave aside what is imported for the tests."""
    with importing():
        return (yield)
