"""Candidates and judgements in one SQLite file, which runs share.

Everything is keyed by content. A *unit* (a batch of problems through one sampler) is written with its candidates in
one transaction, so that after a kill at any moment it is there as a whole or not at all; a judgement is keyed by
feedback source, problem and code, so that the same code is never judged twice. A run that differs from an earlier one
only in training finds all its candidates and judgements here. Concurrent runs lock the work that they are about to do
(:mod:`rrtf_trl.storage.work_locks`), so that none does what another is doing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

from rrtf_trl.errors import StoreError
from rrtf_trl.files.paths import user_path
from rrtf_trl.records import Candidate, Judgement, Problem, content_hash, to_json

from .work_locks import Presence, is_on_network, process_name

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
# Which process is doing what: it may be lost, and is no part of the format.
_LOCKS = """
CREATE TABLE IF NOT EXISTS users (
    number INTEGER PRIMARY KEY,
    who TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY,
    user INTEGER NOT NULL
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

Item = TypeVar("Item")

_AT_ONCE = 500  # keys in one statement; SQLite takes 999 in its oldest builds


@dataclass(frozen=True)
class LockResult:
    """The answer to a request to lock some work.

    Args:
        state: ``acquired``: the caller is to do it; ``done``: its result is there; ``held``: another process does it.
        holder: That process, where it is held.
    """

    state: Literal["acquired", "done", "held"]
    holder: str = ""


class Store:
    """The SQLite file; several processes may read and write it at once.

    It is in WAL mode, but on a file system that machines share: there a log that needs shared memory would not hold.

    Args:
        path: The file; it and its folder are made where they are missing. ``None`` keeps all of it in memory.

    Raises:
        StoreError: If the file is no store, or one of another version.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else user_path(path)
        self._presence: Presence | None = None
        try:
            if self.path is None:
                self._open(":memory:")
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._presence = Presence(self.path.with_name(self.path.name + ".lock"))
                with self._presence.alone():
                    self._open(self.path)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path} cannot be used as a store: {error}") from None

    def _open(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        on_network = self.path is not None and is_on_network(self.path)
        self._db.execute(f"PRAGMA journal_mode={'DELETE' if on_network else 'WAL'}")
        self._db.execute(f"PRAGMA synchronous={'FULL' if on_network else 'NORMAL'}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, 1, _VERSION):
            raise StoreError(
                f"{self.path} was written by another version of rrtf-trl (format {version}, not {_VERSION})"
            )
        if version == 1:
            self._db.executescript(_FROM_VERSION_1)
        self._db.executescript(_SCHEMA + _LOCKS)
        if version != _VERSION:
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        for (number,) in self._db.execute("SELECT number FROM users").fetchall():
            if self._presence is not None and not self._presence.is_alive(number):
                self._db.execute("DELETE FROM claims WHERE user = ?", (number,))
                self._db.execute("DELETE FROM users WHERE number = ?", (number,))

    def close(self) -> None:
        """Close the file and release this process's locks."""
        self._db.close()
        if self._presence is not None:
            self._presence.leave()

    # -- Candidates -----------------------------------------------------------------------------------------

    def has_unit(self, key: str) -> bool:
        """Return whether a unit of sampling is there."""
        return bool(self.present("units", [key]))

    def add_unit(
        self, key: str, identity: dict[str, Any], candidates: list[Candidate], skipped: dict[str, str]
    ) -> None:
        """Write a unit with its candidates, all or nothing; a unit that is there already stays as it is."""
        rows = [(key, i, c.task_id, json.dumps(to_json(c))) for i, c in enumerate(candidates)]
        with self._transaction():
            unit = (key, json.dumps(identity), json.dumps(skipped))
            if self._db.execute("INSERT OR IGNORE INTO units VALUES (?, ?, ?)", unit).rowcount:
                self._db.executemany("INSERT INTO candidates VALUES (?, ?, ?, ?)", rows)
            self._free([key])

    def candidates(self, key: str) -> list[Candidate]:
        """Return a unit's candidates in the order in which they were drawn."""
        rows = self._db.execute("SELECT row FROM candidates WHERE unit = ? ORDER BY position", (key,))
        return [Candidate.from_json(json.loads(row)) for (row,) in rows]

    def skipped(self, key: str) -> dict[str, str]:
        """Return a unit's problems that could not be sampled: ``task_id`` to reason."""
        row = self._db.execute("SELECT skipped FROM units WHERE key = ?", (key,)).fetchone()
        return {} if row is None else dict(json.loads(row[0]))

    # -- Judgements ----------------------------------------------------------------------------------------

    def add_judgements(self, judgements: Iterable[tuple[str, Judgement]]) -> None:
        """Write judgements under their keys (see :func:`judgement_keys`); one that is there already stays."""
        rows = [(key, j.feedback, j.state, j.score, json.dumps(j.detail)) for key, j in judgements]
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?)", rows)
            self._free([row[0] for row in rows])

    def judgements(self, keys: Iterable[str]) -> dict[str, Judgement]:
        """Return the judgements that are there, by key, without ``candidate_id``: candidates share them."""
        rows = self._select("key, feedback, state, score, detail", "verdicts", keys)
        return {
            key: Judgement("", feedback, state, score, json.loads(detail))
            for key, feedback, state, score, detail in rows
        }

    # -- Locks --------------------------------------------------------------------------------------------

    def lock(self, table: Literal["units", "verdicts"], work: Sequence[Sequence[str]]) -> list[LockResult]:
        """Lock what is neither done nor locked, in one transaction.

        What is ``acquired`` must be written, by :meth:`add_unit` or :meth:`add_judgements`, or given back by
        :meth:`release`. Where this process ends before that, the lock ends with it.

        Args:
            table: Where the results go.
            work: Keys of results; each group of keys is done by one process as a whole.

        Returns:
            A result for each group of keys.
        """
        if not work:
            return []
        if self._presence is None:  # nobody else sees what is in memory
            done = self.present(table, chain.from_iterable(work))
            return [LockResult("done" if done.issuperset(keys) else "acquired") for keys in work]
        number = self._presence.number
        alive = {number: True}
        found: list[LockResult] = []
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO users VALUES (?, ?)", (number, process_name()))
            done = self.present(table, chain.from_iterable(work))
            for keys in work:
                if done.issuperset(keys):
                    found.append(LockResult("done"))
                    continue
                holder = self._holder(keys, alive, self._presence)
                if holder is None:
                    self._db.executemany(
                        "INSERT OR REPLACE INTO claims VALUES (?, ?)", [(key, number) for key in keys]
                    )
                found.append(LockResult("acquired") if holder is None else LockResult("held", holder))
        return found

    def release(self, keys: Sequence[str]) -> None:
        """Give up locks on work that is not done."""
        if keys:
            with self._transaction():
                self._free(keys)

    def present(self, table: Literal["units", "verdicts"], keys: Iterable[str]) -> set[str]:
        """Return which of the keys a table has."""
        return {key for (key,) in self._select("key", table, keys)}

    def _select(self, columns: str, table: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        for some in batches(dict.fromkeys(keys), _AT_ONCE):
            marks = ", ".join("?" * len(some))
            yield from self._db.execute(f"SELECT {columns} FROM {table} WHERE key IN ({marks})", some).fetchall()

    def _holder(self, keys: Sequence[str], alive: dict[int, bool], presence: Presence) -> str | None:
        """Return another living process that has locked any of the keys."""
        for key in keys:
            row = self._db.execute("SELECT user FROM claims WHERE key = ?", (key,)).fetchone()
            if row is None or row[0] == presence.number:
                continue
            if row[0] not in alive:
                alive[row[0]] = presence.is_alive(row[0])
            if alive[row[0]]:
                name = self._db.execute("SELECT who FROM users WHERE number = ?", row).fetchone()
                return str(name[0]) if name else "another process"
        return None

    def _free(self, keys: Sequence[str]) -> None:
        if self._presence is not None and self._presence.is_locked:
            user = self._presence.number
            self._db.executemany("DELETE FROM claims WHERE key = ? AND user = ?", [(key, user) for key in keys])

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


def judgement_keys(identity: dict[str, Any], problem: Problem, candidates: Iterable[Candidate]) -> list[str]:
    """Return the keys of judgements: of a source's identity, the problem, which is hashed once, and the code.

    The reference is part of the keys of units and judgements, since a sampler may return it and tests may call what
    it defines.
    """
    content = problem.content_key
    return [content_hash("verdict", identity, content, problem.reference, item.code) for item in candidates]


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of ``size``, in order; the same items always fall into the same lists."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
