"""Read the tasks that an evolution starts from: problems, or prompts alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtf_trl.errors import InputError
from rrtf_trl.files.rows import read_jsonl
from rrtf_trl.forms import check
from rrtf_trl.records import RecordError, prompt_text

from ..formats import problem_from_row
from ..syntax import functions, parsed


@dataclass(frozen=True)
class Seed:
    """A task.

    Args:
        task_id: Unique in its file.
        task: The task's text, prose or the head of a function.
        signature: ``def name(first, second)``, or ``None`` if it is not known.
        reference: A program known to be good, or ``None``.
        root: The task of the file that it was evolved from, or its own ``task_id``.
        generation: How often it was evolved.
        method: The method that made it from its parent, or ``None``.
        parent: The task that it was made from, or ``None``.
    """

    task_id: str
    task: str
    signature: str | None
    reference: str | None
    root: str
    generation: int = 0
    method: str | None = None
    parent: str | None = None

    @property
    def entry_point(self) -> str | None:
        """The function's name."""
        return None if self.signature is None else function_of(self.signature)[0]


def read_seeds(path: str | Path) -> Iterator[Seed]:
    """Yield the tasks of a file, in its order.

    Rows are problems (ours, HumanEval's, MBPP's), or have a ``prompt``, or an ``instruction`` and perhaps an
    ``input`` as in Alpaca. A row without ``task_id`` is named by its line.

    Raises:
        InputError: On iteration, before the first task is yielded, if a row cannot be read, a ``task_id`` occurs twice
            or there is no row.
    """
    lines: dict[str, int] = {}
    for number, seed in _read(path):
        if seed.task_id in lines:
            raise InputError(f"{path}:{number}: field task_id: {seed.task_id!r} is on line {lines[seed.task_id]} too")
        lines[seed.task_id] = number
    if not lines:
        raise InputError(f"{path}: no tasks in this file")
    yield from (seed for _, seed in _read(path))


def _read(path: str | Path) -> Iterator[tuple[int, Seed]]:
    for number, row in read_jsonl(path):
        try:
            yield number, _seed(row, f"{Path(path).name.split('.')[0]}/{number}")
        except RecordError as error:
            raise InputError(f"{path}:{number}: {error}") from None


def _seed(row: dict[str, Any], name: str) -> Seed:
    if "tests" in row or "test" in row or "test_list" in row:
        problem = problem_from_row(row)
        task = prompt_text(problem.prompt)
        nodes = (node for code in (problem.reference or "", task + "\n    pass\n") for node in functions(code))
        found = (f"def {node.name}({ast.unparse(node.args)})" for node in nodes if node.name == problem.entry_point)
        return Seed(problem.task_id, task, next(found, None), problem.reference, problem.task_id)
    text: Any = row.get("prompt", row.get("instruction"))
    if isinstance(text, list) and text and all(isinstance(message, dict) for message in text):
        text = prompt_text([{"role": "user", "content": "", **message} for message in text])
    if not isinstance(text, str) or not text.strip():
        raise RecordError("field prompt: expected text or chat messages (or `instruction`, as in Alpaca's files)")
    extra = row.get("input")
    if isinstance(extra, str) and extra.strip():
        text = f"{text}\n{extra}"
    check(str, text, "prompt")
    task_id = str(row.get("task_id", name))
    return Seed(task_id, text.strip(), None, None, task_id)


def function_of(signature: str) -> tuple[str, int]:
    """Return a signature's function name and number of parameters.

    Raises:
        ValueError: If it is not the signature of one function.
    """
    tree = parsed(signature.strip().removesuffix(":") + ":\n    pass\n")
    match tree and tree.body:
        case [ast.FunctionDef(name=name, args=args)]:
            return name, len(args.posonlyargs + args.args + args.kwonlyargs)
    raise ValueError(f"no signature of a function: {signature[:80]!r}")
