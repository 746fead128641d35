"""Forms of the tests' statements: how they run, and what they leave to the program."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

from .names import FUNCTIONS, SCOPES, clone, loaded, local_names, outer_names, own_nodes, parameters, stored

_COMPOUND = (ast.For, ast.While, ast.If, ast.With, ast.Try)
_READING = {
    *("copy", "count", "difference", "elements", "get", "index", "intersection", "isdisjoint", "issubset"),
    *("issuperset", "items", "keys", "most_common", "symmetric_difference", "union", "values"),
    *(
        "all",
        "any",
        "astype",
        "dot",
        "flatten",
        "max",
        "mean",
        "min",
        "ravel",
        "reshape",
        "std",
        "sum",
        "tolist",
        "var",
    ),
}
"""Methods of containers and arrays that change nothing."""

_DECIDING = {"_rrtf_raises", "suppress", "fail", "skip", "skipTest", "exit", "_exit", "quit"}
"""Functions and methods that handle exceptions, or end a test."""


def loop_of_all(test: ast.expr, is_hidden: Callable[[str], bool]) -> ast.For | None:
    """Return ``for x in xs: assert f(x)`` for ``all(f(x) for x in xs)`` and ``not any``; None for other expressions.

    Args:
        test: The expression.
        is_hidden: Whether the tests or the program define a name of Python's anew.
    """
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    inner = test.operand if isinstance(test, ast.UnaryOp) and negated else test
    if not (isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and len(inner.args) == 1):
        return None
    found = inner.args[0]
    if inner.func.id != ("any" if negated else "all") or inner.keywords or is_hidden(inner.func.id):
        return None
    if not isinstance(found, ast.GeneratorExp | ast.ListComp) or len(found.generators) != 1:
        return None
    loop = found.generators[0]
    if loop.ifs or loop.is_async:
        return None
    truth = ast.UnaryOp(ast.Not(), found.elt) if negated else found.elt
    body: list[ast.stmt] = [ast.Assert(ast.copy_location(truth, found.elt), None)]
    return ast.fix_missing_locations(ast.copy_location(ast.For(loop.target, loop.iter, body, []), test))


Column = tuple[ast.expr, ast.expr, ast.expr | None]


def columns(node: ast.For, uses_guest: Callable[[ast.AST], bool]) -> list[Column]:
    """Return what ``for x, y in zip(xs, map(f, ys))`` loops over; nothing for loops of another form.

    Each column is its target, the data of the tests, and the function of ``map`` where it goes through the program.
    """
    outer = node.iter
    if not isinstance(outer, ast.Call) or outer.keywords or not isinstance(outer.func, ast.Name):
        return []
    if outer.func.id == "map":
        parts, targets = [outer], [node.target]
    elif outer.func.id == "zip" and isinstance(node.target, ast.Tuple):
        parts, targets = outer.args, node.target.elts  # type: ignore[assignment]
    else:
        return []
    found: list[Column] = []
    for target, part in zip(targets, parts, strict=False):
        is_map = isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "map"
        if isinstance(part, ast.Call) and is_map and len(part.args) == 2 and not uses_guest(part.args[1]):
            found.append((target, part.args[1], part.args[0]))
        elif isinstance(part, ast.Starred) or uses_guest(part):
            return []
        else:
            found.append((target, part, None))
    return found if len(found) == len(parts) == len(targets) else []


def leaves(node: ast.stmt) -> bool:
    """Return whether a statement may leave the loop or the function around it."""
    return any(True for _ in _jumps(node))


def _jumps(node: ast.AST, in_loop: bool = False) -> Iterator[ast.AST]:
    if isinstance(node, ast.Return) or (isinstance(node, ast.Break | ast.Continue) and not in_loop):
        yield node
    elif not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.expr)):
        is_loop = isinstance(node, ast.For | ast.AsyncFor | ast.While)
        after = node.orelse if isinstance(node, ast.For | ast.AsyncFor | ast.While) else []
        for one in ast.iter_child_nodes(node):
            yield from _jumps(one, in_loop or (is_loop and one not in after))


def leaves_by_data(node: ast.stmt, tainted: set[str]) -> bool:
    """Return whether the tests' own data decide if a statement leaves the loop around it.

    Args:
        node: The statement.
        tainted: Names that may hold something of the program's process.
    """
    if not leaves(node) or isinstance(node, ast.Break | ast.Continue | ast.Return):
        return True
    if isinstance(node, ast.If | ast.While):
        header: ast.expr = node.test
    elif isinstance(node, ast.For):
        header = node.iter
    else:
        return False
    inner = [*node.body, *node.orelse]
    return tainted.isdisjoint(loaded(header)) and all(leaves_by_data(one, tainted) for one in inner)


def tainted_names(statements: Iterable[ast.stmt], start: set[str]) -> set[str]:
    """Return the names that may ever hold something of the program's process, if those in ``start`` do."""
    tainted, statements = set(start), list(statements)
    while True:
        before = len(tainted)
        for statement in statements:
            for node in ast.walk(statement):
                if isinstance(node, ast.stmt) and not tainted.isdisjoint(loaded(node)):
                    if not isinstance(node, _COMPOUND):
                        tainted |= stored(node)
                    elif isinstance(node, ast.For) and not tainted.isdisjoint(loaded(node.iter)):
                        tainted |= stored(node.target)
        if len(tainted) == before:
            return tainted


def variables_changed(node: ast.AST) -> set[str]:
    """Return the names with values that code changes in place: by a method, or by an index or attribute."""
    found: set[str] = set()
    for one in ast.walk(node):
        base: ast.AST | None = None
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr not in _READING:
            base = one.func.value
        elif isinstance(one, ast.Subscript | ast.Attribute) and not isinstance(one.ctx, ast.Load):
            base = one.value
        while isinstance(base, ast.Subscript | ast.Attribute):
            base = base.value
        if isinstance(base, ast.Name):
            found.add(base.id)
    return found


def constants_bound(node: ast.stmt, uses_guest: Callable[[ast.AST], bool]) -> set[str]:
    """Return the names that a statement binds to data of the tests, so that how it runs decides their values."""
    found: set[str] = set()
    for one in own_nodes(node):
        value = one.value if isinstance(one, ast.Assign | ast.AugAssign | ast.AnnAssign) else None
        if value is not None and not uses_guest(value):
            found |= stored(one)
    return found


def decides_there(node: ast.AST, is_of_program: Callable[[str], bool]) -> bool:
    """Return whether code decides by how it runs in the program's process, whatever is compared later.

    It does where it raises, or ends or leaves the test; where it handles exceptions, or has an object of the program
    handle them; and where it matches patterns.

    Args:
        node: The code.
        is_of_program: Whether a name may hold something of the program's.
    """
    return any(_decides(one, is_of_program) for one in ast.walk(node))


def _decides(node: ast.AST, is_of_program: Callable[[str], bool]) -> bool:
    if isinstance(node, ast.Try | ast.TryStar):
        return bool(node.handlers)
    if isinstance(node, ast.withitem):
        manager = _root(node.context_expr)
        return manager is not None and is_of_program(manager)
    if isinstance(node, ast.Name):
        return node.id in _DECIDING and not is_of_program(node.id)
    if isinstance(node, ast.Attribute):
        if node.attr not in _DECIDING:
            return node.attr.startswith("assert")
        owner = _root(node)
        return owner is not None and (owner == "self" or not is_of_program(owner))
    return isinstance(node, ast.Raise | ast.Match)


def _root(node: ast.expr) -> str | None:
    """Return ``a`` for ``a.b(1)[2].c``; None where there is no name at the root."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def bound_inside(node: ast.AST) -> set[str]:
    """Return all names that a statement binds, also in its functions."""
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            if not isinstance(one.ctx, ast.Load):
                found.add(one.id)
        elif isinstance(one, ast.arg):
            found.add(one.arg)
        elif not isinstance(one, ast.alias):
            found.update(
                part for part in (getattr(one, "name", None), getattr(one, "rest", None)) if type(part) is str
            )
    return found


def names_of_outer(node: ast.stmt) -> set[str]:
    """Return the names outside of a definition that its functions bind, by ``global`` or ``nonlocal``."""
    inner: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, FUNCTIONS):
            inner |= parameters(one.args) | local_names(one.body)
    return outer_names([node]) - inner


class _Globals(ast.NodeTransformer):
    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        ours = [one for one in node.names if one in self._names]
        return ast.copy_location(ast.Global(ours), node) if len(ours) == len(node.names) else node


def with_globals(node: ast.stmt) -> ast.stmt:
    """Return a definition in a function of the tests as it is on the level of a module, where the judge runs it."""
    names = names_of_outer(node)
    return _Globals(names).visit(clone(node)) if names else node


class _WithoutWalrus(ast.NodeTransformer):
    def __init__(self, run: Callable[[ast.NamedExpr], bool]) -> None:
        self._run = run

    def visit(self, node: ast.AST) -> ast.AST:
        return node if isinstance(node, SCOPES) else super().visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        is_run = self._run(node)
        return ast.copy_location(ast.Name(node.target.id, ast.Load()), node) if is_run else self.generic_visit(node)


def without_walrus(test: ast.expr, run: Callable[[ast.NamedExpr], bool]) -> ast.expr:
    """Return an expression without those ``:=`` that ``run`` bound beforehand."""
    found = _WithoutWalrus(run).visit(clone(test))
    assert isinstance(found, ast.expr)
    return found
