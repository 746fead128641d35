"""What must be said before any test of a plugin imports a library that reads it once; and runs that start sooner."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.warm_python import python

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes test at the same time
os.environ.setdefault("TRACKIO_DIR", tempfile.mkdtemp(prefix="trackio-"))


@pytest.fixture
def run_rrtf(run_rrtf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The fixture for authors of plugins, in a process that need not import torch first."""
    monkeypatch.setattr("rrtf_trl.testing.fixtures.sys", SimpleNamespace(executable=python()))
    return run_rrtf
