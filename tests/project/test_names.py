"""What the documentation, the configuration and docstrings name is there."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"(?<![\w./-])rrtf_trl(?:\.\w+)+")
_FILE = re.compile(
    r"(?<![\w/])((?:src|tests|scripts|benchmarks|conf|examples|plugins|docs)/[\w./-]+\.(?:py|yaml|md|sh))"
)
_ENDINGS = (".md", ".py", ".yaml", ".toml", ".jinja", ".txt")


def texts() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone: git does not list the files")
    found = [ROOT / name for name in listed.stdout.split() if name.endswith(_ENDINGS)]
    left_out = {"results", "tests", "CHANGELOG.md", "run_name.py"}  # the last has former names, to find runs of then
    return [path for path in found if path.is_file() and not left_out & set(path.parts)]


def is_there(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_every_dotted_name_of_ours_is_there() -> None:
    named = {(name, path) for path in texts() for name in _NAME.findall(path.read_text(encoding="utf-8"))}
    gone = sorted({f"{path.relative_to(ROOT)}: {name}" for name, path in named if not is_there(name)})
    assert not gone, "\n".join(["gone:", *gone])


def test_every_file_of_ours_that_is_named_is_there() -> None:
    gone = []
    for path in texts():
        if path.suffix != ".md":
            continue
        for name in _FILE.findall(path.read_text(encoding="utf-8")):
            places = [ROOT / name, path.parent / name, *path.parent.glob(f"src/*/{name}")]
            if "mine" not in name and not any(place.exists() for place in places):  # what a reader is to write
                gone.append(f"{path.relative_to(ROOT)}: {name}")
    assert not gone, "\n".join(["gone:", *gone])
