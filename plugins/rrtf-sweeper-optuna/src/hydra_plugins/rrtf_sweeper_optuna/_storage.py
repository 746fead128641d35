"""Where a study is kept, and how a trial's process is told which one is its own."""

from __future__ import annotations

from pathlib import Path

import optuna

NUMBER = "RRTF_OPTUNA_TRIAL"
"""The environment variable with the trial's number."""


def load_storage(name: str) -> optuna.storages.BaseStorage:
    """Open a storage: a database by its URL, or a journal file by its path."""
    if name.endswith(".log"):
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        Path(name).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(name))
    return optuna.storages.get_storage(name)
