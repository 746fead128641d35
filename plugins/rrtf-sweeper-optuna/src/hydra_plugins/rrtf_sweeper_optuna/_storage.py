"""Opens the storage of a study."""

from __future__ import annotations

from pathlib import Path

import optuna


def load_storage(name: str) -> optuna.storages.BaseStorage:
    """Open a storage: a database by its URL, or a journal file by its path."""
    if name.endswith(".log"):
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        Path(name).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(name))
    return optuna.storages.get_storage(name)
