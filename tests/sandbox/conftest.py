"""Sandboxes that the tests share: one with all isolation this machine offers, one without namespaces."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.sandbox import Job, Outcome, Sandbox


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == "test_controls.py")  # it waits until the attacks are done


JudgeAtOnce = Callable[[Iterable[tuple[Sandbox, list[Job]]]], list[list[Outcome]]]


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder() -> Iterator[None]:
    """Where several processes test, what the others make in theirs is not what our programs left."""
    with tempfile.TemporaryDirectory(prefix="rrtf-of-one-") as folder:
        os.chmod(folder, 0o755)
        before, tempfile.tempdir = tempfile.tempdir, folder
        yield
        tempfile.tempdir = before


@pytest.fixture(scope="session")
def judge_at_once() -> JudgeAtOnce:
    """Have several sandboxes judge at the same time, each its own jobs: mostly they wait for limits of time."""

    def judge(work: Iterable[tuple[Sandbox, list[Job]]]) -> list[list[Outcome]]:
        with ThreadPoolExecutor() as threads:
            return list(threads.map(lambda pair: list(pair[0].run_many(pair[1])), work))

    return judge


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, timeout=1.0, memory_mb=256) as shared:
        yield shared


@pytest.fixture(scope="session")
def bare_sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, timeout=1.0, memory_mb=256, tier="no-namespaces") as shared:
        yield shared


def read_rows(name: str) -> list[dict[str, Any]]:
    folder = os.environ.get("RRTF_DATA_DIR", "")
    path = Path(folder) / name
    if not folder or not path.exists():
        pytest.skip(f"RRTF_DATA_DIR names no folder with {name}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="session")
def humaneval() -> list[dict[str, Any]]:
    return read_rows("HumanEval.jsonl.gz")


@pytest.fixture(scope="session")
def mbpp() -> list[dict[str, Any]]:
    return read_rows("mbpp-001-600.jsonl.gz")


@pytest.fixture(scope="module")
def hasty() -> Iterator[Sandbox]:
    with Sandbox(workers=2, timeout=0.3, memory_mb=256) as runner:
        yield runner


@pytest.fixture(scope="module")
def hasty_ones() -> Iterator[list[Sandbox]]:
    """Five to judge at once: those that run out of wall time wait for their second try until the others are done."""
    with ExitStack() as stack:
        yield [stack.enter_context(Sandbox(workers=1, timeout=0.3, memory_mb=256)) for _ in range(5)]


@pytest.fixture(scope="module")
def bare_and_hasty() -> Iterator[Sandbox]:
    with Sandbox(workers=2, timeout=0.3, memory_mb=256, tier="no-namespaces") as runner:
        yield runner
