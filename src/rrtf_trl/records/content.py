"""The JSON of a record, and the hash of any content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any


def content_hash(*parts: Any) -> str:
    """Return 16 hex digits that depend on the content of ``parts`` alone (SHA-256 over canonical JSON).

    Args:
        parts: Anything JSON can hold. Order matters, the order of keys in a dict does not.
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def to_json(record: Any) -> dict[str, Any]:
    """Return a record as the dict that is written to disk; a test kind writes its name under ``kind``."""
    row: dict[str, Any] = {}
    kind = getattr(record, "kind", None)
    if kind is not None:
        row["kind"] = kind
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        row[item.name] = to_json(value) if dataclasses.is_dataclass(value) else value
    return row
