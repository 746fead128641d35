"""A data set of the library ``datasets``: from a file by its ending, from a folder, or from a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrtf_trl.errors import InputError

from .paths import user_path
from .rows import HUB, ending_of, is_table, parse_json, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMS = (
    "a file that ends in .jsonl, .json, .csv, .tsv, .parquet or .arrow, plain or gzipped; a folder of such files or "
    "of save_to_disk; or the name of a data set on a hub"
)
_LISTS = ("responses", "scores", "sources")
"""Columns of a table whose cells are lists, as JSON."""
_BUILDERS = {"parquet": "parquet", "arrow": "arrow", "feather": "arrow"}


def builder_of(path: Path) -> str:
    """Return which of the library's builders reads a file: by its ending, and JSON where that says nothing."""
    return _BUILDERS.get(ending_of(path), "json")


def load_dataset(name: str, subset: str | None = None, streaming: bool = False) -> Mapping[str, Any]:
    """Return a data set by split; a file is the split ``train``.

    Args:
        name: A file or folder; else a data set on a hub, with ``hub:`` before it or not.
        subset: Of a hub's data set, where it has several.
        streaming: Whether rows are read as they are used.

    Raises:
        InputError: If it cannot be read.
    """
    import datasets

    path = user_path(name)
    found: Mapping[str, Any]
    try:
        if path.is_file() and is_table(path):
            return {"train": _of_table(path, streaming)}
        if path.is_file():
            found = datasets.load_dataset(builder_of(path), data_files=str(path), streaming=streaming)
            return found
        if any((path / saved).is_file() for saved in ("dataset_dict.json", "state.json")):
            saved = datasets.load_from_disk(str(path))
            return saved if isinstance(saved, dict) else {"train": saved}
        if not path.exists() and ending_of(path) in (*_BUILDERS, "json", "jsonl", "csv", "tsv"):
            raise InputError(f"{path}: no such file")
        source = str(path) if path.is_dir() else name.removeprefix(HUB)
        found = datasets.load_dataset(source, name=subset, streaming=streaming)
        return found
    except InputError:
        raise
    except Exception as error:  # each of the libraries below raises its own kinds
        raise InputError(f"{name}: cannot be read as a data set ({_reason(error)}). Expected {FORMS}.") from None


def _of_table(path: Path, streaming: bool) -> Any:
    """Return a CSV file's rows, all cells as text: a program that is only ``1`` or ``None`` is text too."""
    import datasets

    if streaming:
        return datasets.IterableDataset.from_generator(_rows, gen_kwargs={"path": str(path)})
    return datasets.Dataset.from_list(list(_rows(str(path))))


def _rows(path: str) -> Iterator[dict[str, Any]]:
    for where, row in read_rows(path):
        yield {name: _list(where, name, cell) if name in _LISTS else cell for name, cell in row.items()}


def _list(where: str, name: str, cell: str) -> Any:
    try:
        return parse_json(cell)
    except ValueError:
        raise InputError(f"{where}: column {name}: expected a list as JSON, got {cell[:60]!r}") from None


def _reason(error: BaseException) -> str:
    """Return the first line of the error that is behind a library's, which says what is wrong with the file."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
