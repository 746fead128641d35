"""Values of the command line that Hydra's grammar does not know, as paths have them: ``lr=1e-5/train.jsonl``.

Such a value is taken as it is. What may be a mistyped list, dict or sweep is left to Hydra, whose refusal is told
with the way to write it (:func:`quoted`).
"""

from __future__ import annotations

import re
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from rrtf_trl.files.paths import user_path

_CALL = re.compile(r"(\w+)\s*\(")


def override_key(override: str) -> str:
    """Return the key that an override sets: ``+trainer.x=1`` sets ``trainer.x``."""
    return override.partition("=")[0].lstrip("+~")


def parsed(override: str) -> Override | None:
    """Return an override as Hydra reads it, or ``None`` where it does not."""
    try:
        return _parser().parse_override(override)
    except HydraException:
        return None


def quoted(override: str) -> str | None:
    """Return an override with its value in quotes, which make a text of it; ``None`` if Hydra does not read that."""
    key, equals, value = override.partition("=")
    result = f"{key}={QuotedString(value, Quote.double).with_quotes()}"
    return result if equals and parsed(result) is not None else None


def as_it_is(override: str, sweeps: bool) -> str:
    """Quote a value that Hydra cannot read and that can only be meant as it stands.

    Args:
        override: From the command line.
        sweeps: Whether a comma separates the values of a sweep.
    """
    key, equals, value = override.partition("=")
    read = parsed(override)
    if not equals or (read is not None and (sweeps or not read.is_sweep_override())):
        return override
    if not _exists(value):
        if read is not None or _may_be_mistyped(value):
            return override
        if sweeps and "," in value:
            parts = [as_it_is(f"{key}={part}", sweeps=False).partition("=")[2] for part in value.split(",")]
            return f"{key}={','.join(parts)}"
    return quoted(override) or override


def _may_be_mistyped(value: str) -> bool:
    """Whether a value may be meant as a list, a dict, a text in quotes, or one of Hydra's functions."""
    call = _CALL.match(value)
    return value.startswith(("[", "{", "'", '"')) or (call is not None and call[1] in create_functions().functions)


def _exists(value: str) -> bool:
    try:
        return user_path(value).exists()
    except (OSError, ValueError):  # too long for a name, or a null byte
        return False


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()
