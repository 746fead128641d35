"""What a piece of a model's code defines and needs, by its syntax tree. Nothing is run."""

from __future__ import annotations

import ast
import builtins
import symtable
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# No model writes a program as long as this; parsing takes about a second a million characters.
LONGEST = 100_000

_BUILTINS = {*dir(builtins), "__file__"}
_FAILURES = (SyntaxError, ValueError, RecursionError, MemoryError)  # null bytes, deep nesting
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_IMPORTS = ast.Import | ast.ImportFrom
_READS = {"input", "raw_input", "open", "stdin"}


def parsed(text: str) -> ast.Module | None:
    """Return the syntax tree; ``None`` if the text is no Python, nested too deep or longer than ``LONGEST``."""
    if len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(text)
    except _FAILURES:
        return None


def is_idle(statement: ast.stmt) -> bool:
    """Return whether a statement does nothing, as a word or two of prose that happen to be Python do."""
    if isinstance(statement, ast.AnnAssign):
        return statement.value is None
    acts = ast.Call | ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr
    return isinstance(statement, ast.Expr) and not any(isinstance(node, acts) for node in ast.walk(statement))


def is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is a string alone, such as a docstring."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def is_stub(body: list[ast.stmt]) -> bool:
    """Return whether the body of a function or class is still to be written."""
    return all(
        isinstance(node, ast.Pass)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Raise) and node.exc is not None and "NotImplemented" in ast.dump(node.exc))
        for node in body
    )


def top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run at import, those within ``if``, ``try``, ``with`` and loops too, in order."""
    waiting = list(body)[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _DEFINITIONS):
            within = [node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())]
            lists = [getattr(part, name, []) for part in within for name in ("body", "orelse", "finalbody")]
            waiting.extend(reversed([inner for part in lists for inner in part]))


def bound_names(statement: ast.stmt) -> set[str]:
    """Return the names that a statement defines, imports (``*`` too) or assigns to, in part or whole."""
    if isinstance(statement, _DEFINITIONS):
        return {statement.name}
    if isinstance(statement, _IMPORTS):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AugAssign) or (isinstance(statement, ast.AnnAssign) and statement.value):
        targets = [statement.target]
    names, waiting = set(), [*targets]
    while waiting:
        target = waiting.pop()
        if isinstance(target, ast.Name):
            names.add(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            waiting.extend(target.elts)
        elif isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
            waiting.append(target.value)
    return names


def free_names(text: str) -> set[str]:
    """Return the names that code needs from elsewhere: not bound in it, and not built in; none if it is no Python."""
    if len(text) > LONGEST:
        return set()
    try:
        with warnings.catch_warnings(action="ignore"):
            module = symtable.symtable(text, "<code>", "exec")
    except _FAILURES:
        return set()
    free, tables = set(), [module]
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        for symbol in table.get_symbols():
            # Not `is_global`: in Python 3.11 it takes a function that is named "top" for the module.
            here = symbol.is_assigned() or symbol.is_imported() or symbol.is_parameter() or symbol.is_free()
            if symbol.is_referenced() and (symbol.is_declared_global() or not here):
                free.add(symbol.get_name())
    bound = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    return free - bound - _BUILTINS


def reads_input(node: ast.AST) -> bool:
    """Return whether code calls what reads the program's input."""
    calls = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
    return any(_name(part) in _READS for function in calls for part in ast.walk(function))


def writes_output(node: ast.AST) -> bool:
    """Return whether code calls ``print``, or a ``write`` of some file."""
    calls = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
    return any(_name(function) in ("print", "write", "writelines", "exit") for function in calls)


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@dataclass(frozen=True)
class Helper:
    """A statement that others may need: an import, a definition, an assignment that reads no input."""

    names: frozenset[str]
    text: str
    line: int


def helpers(text: str, tree: ast.Module) -> list[Helper]:
    """Return the top-level statements of code that do nothing but bind names, with their text."""
    lines, found = text.split("\n"), []
    for statement in tree.body:
        parts = list(top_level([statement]))
        binds = [part for part in parts if bound_names(part)]
        others = [
            part for part in parts if not bound_names(part) and not isinstance(part, ast.If | ast.Try | ast.Pass)
        ]
        if not binds or others or any(not isinstance(part, _DEFINITIONS) and reads_input(part) for part in parts):
            continue
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            continue
        if isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test):
            continue
        names = frozenset().union(*map(bound_names, binds))
        first = min([statement.lineno, *(node.lineno for node in getattr(statement, "decorator_list", ()))])
        found.append(Helper(names, "\n".join(lines[first - 1 : statement.end_lineno]), first))
    return found


def after_future_imports(text: str, added: str) -> str:
    """Return code with ``added`` in front of it, but behind its ``from __future__`` imports."""
    tree = parsed(text)
    future = [node for node in (tree.body if tree else ()) if isinstance(node, ast.ImportFrom)]
    last = max((node.end_lineno or 0 for node in future if node.module == "__future__"), default=0)
    lines = text.split("\n")
    return "\n".join([*lines[:last], added.rstrip("\n"), *lines[last:]]) if added.strip() else text


class Entry:
    """The name that a program should define.

    Args:
        entry_point: A function's name, or a method's with its class, as ``Solution.two_sum``.
    """

    def __init__(self, entry_point: str) -> None:
        self.owner, _, self.name = entry_point.rpartition(".")
        self.outer = entry_point.partition(".")[0]

    def strength(self, tree: ast.Module) -> int:
        """Return how well code defines it: 3 in full, 2 as a function in place of a method, 1 a stub, 0 not."""
        found = [self._of(statement) for statement in top_level(tree.body)]
        return max(found, default=0)

    def _of(self, statement: ast.stmt) -> int:
        if isinstance(statement, ast.ClassDef) and statement.name == self.outer:
            methods = [node for node in statement.body if isinstance(node, _FUNCTIONS)]
            if self.owner:
                methods = [node for node in methods if node.name == self.name]
                return 3 if any(not is_stub(node.body) for node in methods) else 1
            written = any(not is_stub(node.body) for node in methods) or not (methods or is_stub(statement.body))
            return 3 if written or statement.bases else 1
        if isinstance(statement, _FUNCTIONS) and statement.name == self.name:
            return 1 if is_stub(statement.body) else 2 if self.owner else 3
        if isinstance(statement, _IMPORTS):
            renamed = any(alias.asname == self.outer != alias.name for alias in statement.names)
            return 3 if renamed else 0
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or self.outer not in _targets(statement):
            return 0
        used = statement.value is None or isinstance(statement.value, ast.Constant) or self._uses_itself(statement)
        return 0 if used else 3

    def _uses_itself(self, statement: ast.Assign | ast.AnnAssign) -> bool:
        """Whether an assignment, as ``top = top(xs)``, uses what other code defines."""
        waiting: list[ast.AST] = [statement.value] if statement.value else []
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Name) and node.id == self.outer:
                return True
            if not isinstance(node, ast.Lambda):
                waiting.extend(ast.iter_child_nodes(node))
        return False


def _targets(statement: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}
