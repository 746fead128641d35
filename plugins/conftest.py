"""Sets, before any test of a plugin imports them, what libraries read once."""

from __future__ import annotations

import gc
import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes test at the same time
os.environ.setdefault("TRACKIO_DIR", tempfile.mkdtemp(prefix="trackio-"))


def pytest_collection_finish() -> None:
    """Leave what is imported by now aside in collections of garbage: each would look at half a million objects."""
    gc.collect()
    gc.freeze()
