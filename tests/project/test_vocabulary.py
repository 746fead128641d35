"""One word for each thing: names in the source do not go back to those that docs/glossary.md lists as replaced."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPLACED = {"verdict", "verdicts", "claim", "claims", "walls", "told", "said", "lent", "whose"}
PARTS = re.compile(r"[A-Z]?[a-z]+")


def names_in(text: str) -> set[str]:
    """Return the names in a Python source, with the prose of its comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.string for token in tokens if token.type in (tokenize.NAME, tokenize.COMMENT)}


def test_no_name_or_comment_uses_a_replaced_word() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "src").rglob("*.py")
        for name in names_in(path.read_text(encoding="utf-8"))
        if REPLACED & {part.lower() for part in PARTS.findall(name)}
        if not (name.startswith("#") and "whose" in name)  # a plain word in a sentence
    }
    assert not found


def test_it_would_find_one() -> None:
    assert names_in("told = 1  # by its verdict\n") == {"told", "# by its verdict"}


def test_the_glossary_names_what_is_there() -> None:
    """Its roles and paths are checked by test_names and the build; here, that each word has a meaning."""
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs/glossary.md").read_text().splitlines() if line[:2] == "| "]
    assert len(rows) > 30
    assert all(cell.strip() for row in rows for cell in row)
