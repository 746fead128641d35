"""What must be said before any test imports a library that reads it once, at its import."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRACKIO_DIR", tempfile.mkdtemp(prefix="trackio-"))
# What is tested here is what is built in, whatever is installed beside it; tests/plugins says otherwise for its own.
os.environ["RRTF_PLUGINS"] = "none"
