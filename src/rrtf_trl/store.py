"""A run's durable memory: what was sampled and judged, from what, in one SQLite file.

Everything is keyed by content. A *unit* of work (a batch of problems through one sampler) is written with
its results in one transaction, so that after a kill at any moment it is there as a whole or not at all; a
verdict is keyed by feedback, problem and code, so that the same code is never judged twice. Runs share a
store: one that differs only in training finds all its samples and verdicts here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rrtf_trl.records import Candidate, Judgement, Problem, content_hash, to_json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS units (
    key TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    skipped TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS candidates (
    unit TEXT NOT NULL REFERENCES units (key),
    position INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    row TEXT NOT NULL,
    PRIMARY KEY (unit, position)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
    key TEXT PRIMARY KEY,
    feedback TEXT NOT NULL,
    state TEXT,
    score REAL,
    detail TEXT NOT NULL
) WITHOUT ROWID;
"""
_VERSION = 2

# Version 1 knew no abstentions: its scores could not be null.
_FROM_VERSION_1 = f"""
BEGIN IMMEDIATE;
ALTER TABLE verdicts RENAME TO verdicts_1;
{_SCHEMA}
INSERT INTO verdicts SELECT * FROM verdicts_1;
DROP TABLE verdicts_1;
PRAGMA user_version={_VERSION};
COMMIT;
"""


class StoreError(RuntimeError):
    """The store's file cannot be used."""


class Store:
    """The SQLite file, in WAL mode; several processes may read and write it at once.

    Args:
        path: The file; it and its folder are made where they are missing.

    Raises:
        StoreError: If the file is no store, or one of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, 1, _VERSION):
                raise StoreError(
                    f"{path} was written by another version of rrtf-trl (format {version}, not {_VERSION})"
                )
            if version == 1:
                self._db.executescript(_FROM_VERSION_1)
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} cannot be used as a store: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- Samples -----------------------------------------------------------------------------------------

    def has_unit(self, key: str) -> bool:
        """Return whether a unit of sampling is there."""
        return self._db.execute("SELECT 1 FROM units WHERE key = ?", (key,)).fetchone() is not None

    def add_unit(
        self, key: str, identity: dict[str, Any], candidates: list[Candidate], skipped: dict[str, str]
    ) -> None:
        """Write a unit with its candidates, all or nothing; a unit that is there already stays as it is."""
        rows = [(key, i, c.task_id, json.dumps(to_json(c))) for i, c in enumerate(candidates)]
        with self._transaction():
            unit = (key, json.dumps(identity), json.dumps(skipped))
            if self._db.execute("INSERT OR IGNORE INTO units VALUES (?, ?, ?)", unit).rowcount:
                self._db.executemany("INSERT INTO candidates VALUES (?, ?, ?, ?)", rows)

    def candidates(self, key: str) -> list[Candidate]:
        """Return a unit's candidates in the order in which they were drawn."""
        rows = self._db.execute("SELECT row FROM candidates WHERE unit = ? ORDER BY position", (key,))
        return [Candidate.from_json(json.loads(row)) for (row,) in rows]

    def skipped(self, key: str) -> dict[str, str]:
        """Return a unit's problems that could not be sampled: ``task_id`` to reason."""
        row = self._db.execute("SELECT skipped FROM units WHERE key = ?", (key,)).fetchone()
        return {} if row is None else dict(json.loads(row[0]))

    # -- Verdicts ----------------------------------------------------------------------------------------

    def add_verdicts(self, verdicts: Iterable[tuple[str, Judgement]]) -> None:
        """Write judgements under their keys (see :func:`verdict_key`); one that is there already stays."""
        rows = [(key, j.feedback, j.state, j.score, json.dumps(j.detail)) for key, j in verdicts]
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?)", rows)

    def verdict(self, key: str, candidate_id: str) -> Judgement | None:
        """Return the judgement under ``key`` as one of ``candidate_id``, or ``None`` if there is none yet."""
        row = self._db.execute("SELECT feedback, state, score, detail FROM verdicts WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        feedback, state, score, detail = row
        return Judgement(candidate_id, feedback, state, score, json.loads(detail))

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        tables = ("units", "candidates", "verdicts")
        return {name: self._db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def unit_key(identity: dict[str, Any], problems: Iterable[Problem]) -> str:
    """Return the key of a batch of problems through a sampler with this identity."""
    return content_hash("sample", identity, [(problem.content_key, problem.reference) for problem in problems])


def verdict_key(identity: dict[str, Any], problem: Problem, candidate: Candidate) -> str:
    """Return the key of a verdict: the feedback's identity, the problem, and the code.

    The reference is part of both keys: a sampler may hand it out, and tests may call what it defines.
    """
    return content_hash("verdict", identity, problem.content_key, problem.reference, candidate.code)


def batches(problems: Iterable[Problem], size: int) -> Iterator[list[Problem]]:
    """Yield the problems in lists of ``size``, in order; the same problems always fall into the same lists."""
    batch: list[Problem] = []
    for problem in problems:
        batch.append(problem)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
