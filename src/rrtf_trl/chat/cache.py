"""Replies and what they cost, in one SQLite file.

A reply and its cost are written in one transaction as the reply arrives, so a process that is killed at any moment
leaves every reply that had arrived, and the cost of exactly these.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, astuple
from pathlib import Path

from .budget import Spending
from .errors import ChatError
from .request import Reply

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT NOT NULL,
    draw INTEGER NOT NULL,
    reply TEXT NOT NULL,
    PRIMARY KEY (key, draw)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    name TEXT PRIMARY KEY,
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    estimated INTEGER NOT NULL
) WITHOUT ROWID;
"""
_VERSION = 1


class ReplyCache:
    """The SQLite file, in WAL mode; several processes may share it.

    Args:
        path: The file, made where it is missing; ``None`` keeps no replies, and the spending in memory only.

    Raises:
        ChatError: If the file is not a reply cache, or is of another version.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._keeps_replies = path is not None
        if path is not None:
            path = Path(path).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Used by one thread at a time: the one that runs the requests.
            self._db = sqlite3.connect(path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise ChatError(f"{path} was written by another version of rrtf-trl (format {version})")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_VERSION}")
        except sqlite3.DatabaseError as error:
            raise ChatError(f"{path} cannot be used as a cache of replies: {error}") from None

    def replies(self, key: str, draws: int) -> dict[int, Reply]:
        """Return the kept replies to a request, by the number of the draw."""
        rows = self._db.execute("SELECT draw, reply FROM replies WHERE key = ? AND draw < ?", (key, draws))
        return {draw: Reply(**json.loads(reply)) for draw, reply in rows}

    def add(self, key: str, replies: dict[int, Reply], account: str, spent: Spending) -> Spending:
        """Write replies and what they cost; return the account's total spending."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self._keeps_replies:
                rows = [(key, draw, json.dumps(asdict(reply))) for draw, reply in replies.items()]
                self._db.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", rows)
            self._db.execute("INSERT OR IGNORE INTO accounts VALUES (?, 0, 0, 0, 0)", (account,))
            self._db.execute(
                "UPDATE accounts SET requests = requests + ?, prompt_tokens = prompt_tokens + ?, "
                "completion_tokens = completion_tokens + ?, estimated = estimated + ? WHERE name = ?",
                (*astuple(spent), account),
            )
            total = self.spent(account)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return total

    def spent(self, account: str) -> Spending:
        """Return an account's total spending; an account is a server and model."""
        row = self._db.execute(
            "SELECT requests, prompt_tokens, completion_tokens, estimated FROM accounts WHERE name = ?", (account,)
        ).fetchone()
        return Spending(*row) if row else Spending()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
