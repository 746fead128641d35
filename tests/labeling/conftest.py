"""A served page."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.labelling import Page


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Write rows of prompts with responses to a file, and serve them."""
    pages: list[Page] = []

    def start(rows: list[dict[str, Any]], *options: str, env: dict[str, str] | None = None) -> Page:
        source = tmp_path / "answers.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        pages.append(Page(source, *options, env=env))
        return pages[-1]

    yield start
    for page in pages:
        if page.process.poll() is None:
            page.kill()
