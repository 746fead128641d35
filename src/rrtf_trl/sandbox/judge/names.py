"""Which names a tree of the tests' source reads and binds."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
"""Expressions that bind names of their own."""
_COMPREHENSIONS = SCOPES[1:]
LOADED = "rrtf_loaded"
"""The attribute in which a tree keeps the names that it reads; trees are changed only as copies."""

Names = dict[str, None]
"""Names in the order in which they occur."""
_NONE: Names = {}


def clone(node: Any) -> Any:
    """Return a copy of a tree; many times faster than :func:`copy.deepcopy`."""
    kind: Any = type(node)
    if kind is list:
        return [clone(one) for one in node]
    if not isinstance(node, ast.AST):
        return node
    new = kind.__new__(kind)
    values = new.__dict__
    for name, value in node.__dict__.items():
        if name != LOADED:
            values[name] = clone(value) if isinstance(value, ast.AST | list) else value
    return new


def rebuilt(node: Any, **changes: Any) -> Any:
    """Return a node with other children, of which it keeps the rest."""
    kind: Any = type(node)
    new = kind.__new__(kind)
    vars(new).update(vars(node))
    vars(new).pop(LOADED, None)
    vars(new).update(changes)
    return new


def loaded(node: ast.AST) -> Names:
    """Return the names that a tree reads from outside of it; it must not be changed afterwards."""
    found: Names | None = node.__dict__.get(LOADED)
    if found is None:
        found = _find_loaded(node)
        node.__dict__[LOADED] = found
    return found


def _find_loaded(node: ast.AST) -> Names:
    if isinstance(node, ast.Name):
        return {node.id: None} if isinstance(node.ctx, ast.Load) else _NONE
    if isinstance(node, ast.Constant):
        return _NONE
    if isinstance(node, FUNCTIONS):
        outer = [*node.decorator_list, *_evaluated_with(node.args)]
        outer += [node.returns] if node.returns is not None else []
        return {**_all(outer), **_without(_all(node.body), parameters(node.args) | local_names(node.body))}
    if isinstance(node, ast.Lambda):
        return {**_all(_evaluated_with(node.args)), **_without(loaded(node.body), parameters(node.args))}
    if isinstance(node, ast.ClassDef):
        return _of_class(node)
    if isinstance(node, _COMPREHENSIONS):
        first, *more = node.generators
        inner = [part.iter for part in more] + [one for part in node.generators for one in part.ifs]
        inner += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        targets = {name for part in node.generators for name in stored(part.target)}
        return {**loaded(first.iter), **_without(_all(inner), targets)}
    found: Names = {}
    for one in ast.iter_child_nodes(node):
        found.update(loaded(one))
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        found[node.target.id] = None
    return found


def _of_class(node: ast.ClassDef) -> Names:
    found = _all([*node.decorator_list, *node.bases, *(word.value for word in node.keywords)])
    own = local_names(node.body)
    for statement in node.body:
        # Its functions do not see the names of the class.
        found.update(loaded(statement) if isinstance(statement, FUNCTIONS) else _without(loaded(statement), own))
    return found


def _all(nodes: Iterable[ast.AST]) -> Names:
    found: Names = {}
    for one in nodes:
        found.update(loaded(one))
    return found


def _without(names: Names, bound: set[str]) -> Names:
    return {name: None for name in names if name not in bound}


def _evaluated_with(arguments: ast.arguments) -> list[ast.expr]:
    """Return what is evaluated where a function is defined: defaults and annotations."""
    defaults = [*arguments.defaults, *(one for one in arguments.kw_defaults if one is not None)]
    return defaults + [one.annotation for one in _all_parameters(arguments) if one.annotation is not None]


def parameters(arguments: ast.arguments) -> set[str]:
    """Return the names of a function's parameters."""
    return {one.arg for one in _all_parameters(arguments)}


def _all_parameters(arguments: ast.arguments) -> list[ast.arg]:
    more = [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *more]


def stored(node: ast.AST) -> set[str]:
    """Return the names that a tree binds or deletes in the scope around it."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Name):
            if not isinstance(one.ctx, ast.Load):
                found.add(one.id)
            continue
        if isinstance(one, (*FUNCTIONS, ast.ClassDef)):
            found.add(one.name)
            waiting += one.decorator_list
        elif isinstance(one, ast.Lambda):
            waiting += _evaluated_with(one.args)
        elif isinstance(one, ast.Import | ast.ImportFrom):
            found.update((item.asname or item.name).partition(".")[0] for item in one.names)
        elif isinstance(one, _COMPREHENSIONS):
            found.update(walrus(one))
        else:
            name = getattr(one, "name", None) or getattr(one, "rest", None)  # of handlers and patterns
            if type(name) is str:
                found.add(name)
            waiting += ast.iter_child_nodes(one)
    return found


def walrus(node: ast.AST) -> set[str]:
    """Return the names that ``:=`` binds in the scope around an expression."""
    return {
        one.target.id
        for one in _outside_of(node, (ast.Lambda, *FUNCTIONS, ast.ClassDef))
        if isinstance(one, ast.NamedExpr)
    }


def local_names(body: Iterable[ast.stmt]) -> set[str]:
    """Return the names that are local to a function, by its body, apart from its parameters."""
    found: set[str] = set()
    for statement in body:
        found |= stored(statement)
    return found - outer_names(body)


def outer_names(body: Iterable[ast.stmt]) -> set[str]:
    """Return the names that functions bind outside of themselves: those of ``global`` and ``nonlocal``."""
    return {
        name
        for statement in body
        for one in ast.walk(statement)
        if isinstance(one, ast.Global | ast.Nonlocal)
        for name in one.names
    }


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a statement that are not inside of a function or class."""
    return _outside_of(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda))


def _outside_of(node: ast.AST, kinds: tuple[type, ...]) -> Iterator[ast.AST]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, kinds):
            yield one
            waiting += ast.iter_child_nodes(one)
