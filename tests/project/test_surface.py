"""Options, hooks and commands change by decision: what is there is what was written down."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_surface_is_the_one_that_was_decided_on() -> None:
    spec = importlib.util.spec_from_file_location("surface", ROOT / "scripts" / "surface.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "tests" / "project" / "surface.json").read_text()
    found = script.as_text(script.surface())
    change = "".join(difflib.unified_diff(written.splitlines(True), found.splitlines(True), "decided", "found", n=1))
    assert not change, (
        f"{change}\nIf this is meant: write it into CHANGELOG.md, and run "
        "`python scripts/surface.py > tests/project/surface.json`."
    )
