"""The working data of an evolution in one SQLite file next to its output, so that memory stays small.

The results of checks survive a kill: no program is run twice with the same tests. The tasks of the generations and the
index of near-duplicates are rebuilt from the teacher's replies, which are cached.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .seeds import Seed

_SCHEMA = """
CREATE TABLE IF NOT EXISTS checks (key TEXT PRIMARY KEY, held TEXT NOT NULL) WITHOUT ROWID;
DROP TABLE IF EXISTS pool;
DROP TABLE IF EXISTS signatures;
DROP TABLE IF EXISTS bands;
CREATE TABLE pool (generation INTEGER, position INTEGER, seed TEXT NOT NULL, PRIMARY KEY (generation, position))
    WITHOUT ROWID;
CREATE TABLE signatures (number INTEGER PRIMARY KEY, task_id TEXT NOT NULL, hashes BLOB NOT NULL);
CREATE TABLE bands (band INTEGER, hash BLOB, number INTEGER, PRIMARY KEY (band, hash, number)) WITHOUT ROWID;
"""


class WorkFile:
    """The file; remove it when the output is complete.

    Args:
        path: The file, created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # all of it can be rebuilt
        self._db.executescript(_SCHEMA)

    def remove(self) -> None:
        """Close the file and delete it."""
        self.close()
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- Checks ------------------------------------------------------------------------------------------------

    def held(self, key: str) -> list[bool] | None:
        """Return for each test of a check whether it held, or ``None`` if the check has not been run."""
        row = self._db.execute("SELECT held FROM checks WHERE key = ?", (key,)).fetchone()
        return None if row is None else list(json.loads(row[0]))

    def add_held(self, key: str, held: list[bool]) -> None:
        """Keep for each test of a check whether it held."""
        self._db.execute("INSERT OR IGNORE INTO checks VALUES (?, ?)", (key, json.dumps(held)))

    # -- The tasks of each generation -----------------------------------------------------------------------------

    def add_task(self, generation: int, position: int, seed: Seed) -> None:
        """Keep a task for the next generation to start from."""
        self._db.execute("INSERT INTO pool VALUES (?, ?, ?)", (generation, position, json.dumps(asdict(seed))))

    def tasks(self, generation: int) -> Iterator[Seed]:
        """Yield the tasks of a generation, in order; tasks may be added in between."""
        position = -1
        while True:
            rows = self._db.execute(
                "SELECT position, seed FROM pool WHERE generation = ? AND position > ? ORDER BY position LIMIT 100",
                (generation, position),
            ).fetchall()
            if not rows:
                return
            yield from (Seed(**json.loads(seed)) for _, seed in rows)
            position = rows[-1][0]

    # -- Near-duplicates --------------------------------------------------------------------------------------------

    def add_signature(self, task_id: str, hashes: np.ndarray[Any, Any], bands: list[bytes]) -> None:
        """Keep a task's MinHash and its bands."""
        number = self._db.execute(
            "INSERT INTO signatures (task_id, hashes) VALUES (?, ?)", (task_id, hashes.tobytes())
        ).lastrowid
        rows = [(index, band, number) for index, band in enumerate(bands)]
        self._db.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?, ?)", rows)

    def with_a_band(self, bands: list[bytes]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Yield the ids of the tasks that have one of the bands, with their MinHash."""
        seen: set[int] = set()
        for index, band in enumerate(bands):
            for (number,) in self._db.execute(
                "SELECT number FROM bands WHERE band = ? AND hash = ? LIMIT 100", (index, band)
            ).fetchall():
                if number not in seen:
                    seen.add(number)
                    task_id, hashes = self._db.execute(
                        "SELECT task_id, hashes FROM signatures WHERE number = ?", (number,)
                    ).fetchone()
                    yield task_id, np.frombuffer(hashes, dtype=np.uint64)
