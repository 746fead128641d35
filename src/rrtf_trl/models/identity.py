"""Identifies models by content, so that one model's candidates are never taken for another's."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from rrtf_trl.errors import UserError

from .adapters import find_adapter

_DECIDES_OUTPUT = (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt")


def model_identity(model: str, revision: str | None = None) -> str:
    """Return a hash of a local model's files, or a hub id with the commit that the local cache has of it.

    That of an adapter's folder is followed by its base's.

    Args:
        model: A folder with a model or an adapter, or a hub id.
        revision: Of a hub id.

    Raises:
        UserError: If it is neither, or an adapter whose base is not there.
    """
    folder = Path(model)
    if folder.is_dir():
        # training_args.bin holds paths and dates, which decide no output.
        files = sorted(p for p in folder.iterdir() if p.suffix in _DECIDES_OUTPUT and p.name != "training_args.bin")
        stamps = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
        own = f"sha256:{_hash_files(stamps)}"
        adapter = find_adapter(model) if (folder / "adapter_config.json").is_file() else None
        return own if adapter is None else f"{own} on {model_identity(adapter.base)}"
    from transformers import AutoConfig

    try:
        commit = getattr(AutoConfig.from_pretrained(model, revision=revision or "main"), "_commit_hash", None)
    except OSError as error:
        raise UserError(
            f"model {model!r} is no folder here, and no hub has it: {str(error).splitlines()[0]}"
        ) from None
    return f"{model}@{commit}"


@functools.cache
def _hash_files(stamps: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256()
    for path, _, _ in stamps:
        total.update(path.name.encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]
