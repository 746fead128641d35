"""Real distributions, as pip leaves them, in a folder of their own on the path."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from support.warm_python import python

# The plugins that are installed in this environment have tests of their own.
OTHERS = ",".join(f"-{point.name}" for point in metadata.entry_points(group="rrtf_trl"))

Install = Callable[..., None]
HEAD = "from rrtf_trl import hookimpl\nRRTF_CONTRACT = 1\n"


def write_distribution(site: Path, name: str, code: str, files: dict[str, str] | None = None) -> None:
    """Lay down the package ``rrtf_NAME`` of the distribution ``rrtf-NAME``, version 1.2."""
    package = site / f"rrtf_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(textwrap.dedent(code))
    for path, text in (files or {}).items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(textwrap.dedent(text))
    info = site / f"rrtf_{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rrtf-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[rrtf_trl]\n{name} = rrtf_{name}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("rrtf_") and not name.startswith("rrtf_trl"):
            del sys.modules[name]


@pytest.fixture
def install(site: Path) -> Install:
    """Install a plugin: ``install(NAME, CODE, FILES)``, the code after the usual first lines."""

    def installed(name: str, code: str, files: dict[str, str] | None = None, head: str = HEAD) -> None:
        write_distribution(site, name, head + textwrap.dedent(code), files)

    return installed


@pytest.fixture
def rrtf(site: Path, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Run `rrtf` in a process that sees the folder; give its status, stdout and stderr."""

    def run(*arguments: str, with_python: str = "", **environment: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [with_python or python(), "-m", "rrtf_trl.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200", "RRTF_PLUGINS": OTHERS, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return run
