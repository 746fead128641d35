"""Find near-duplicate tasks by MinHash (datasketch); the index is on disk, so memory does not grow with the tasks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .work import WorkFile

if TYPE_CHECKING:
    from datasketch import MinHash

_PERMUTATIONS, _BANDS = 128, 32
"""With 32 bands of 4 hashes, tasks of Jaccard similarity 0.7 share a band with probability 0.9998, 0.3 with 0.23."""
_SHINGLE = 3
_FAMILY = 0.95


class NearDuplicates:
    """An index of tasks, for finding one that is nearly the same as a new task.

    Args:
        work: The file with the index.
        threshold: Two tasks count as the same from this estimated Jaccard similarity of their three-word n-grams.
    """

    def __init__(self, work: WorkFile, threshold: float) -> None:
        self._work = work
        self.threshold = threshold

    def find(self, text: str, root: str) -> str | None:
        """Return the ``task_id`` of a task that is nearly the same, or ``None``.

        Args:
            text: A new task.
            root: The task that it was evolved from. This one and the others evolved from it are similar by nature, so
                they count as the same only from similarity 0.95.
        """
        hashes = _minhash(text)
        for task_id, other in self._work.with_a_band(_bands(hashes)):
            family = task_id == root or task_id.startswith(f"{root}/evolved/")
            if float(np.mean(hashes == other)) >= (max(_FAMILY, self.threshold) if family else self.threshold):
                return task_id
        return None

    def add(self, task_id: str, text: str) -> None:
        """Add a task."""
        hashes = _minhash(text)
        self._work.add_signature(task_id, hashes, _bands(hashes))


def _minhash(text: str) -> np.ndarray[Any, Any]:
    from datasketch import MinHash

    tokens = re.findall(r"[^\W_]+", text.lower())
    runs = {" ".join(tokens[start : start + _SHINGLE]) for start in range(max(1, len(tokens) - _SHINGLE + 1))}
    sketch: MinHash = MinHash(num_perm=_PERMUTATIONS, seed=1)
    sketch.update_batch([run.encode() for run in sorted(runs)])
    return np.asarray(sketch.hashvalues, dtype=np.uint64)


def _bands(hashes: np.ndarray[Any, Any]) -> list[bytes]:
    return [band.tobytes() for band in np.split(hashes, _BANDS)]
