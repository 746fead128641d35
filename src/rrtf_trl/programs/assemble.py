"""The program that is run when a candidate is judged: its code, with the code that the problem puts around it."""

from __future__ import annotations

import ast
import re

from rrtf_trl.records import Problem

# Names start with an underscore and are deleted again, so that the program gets nothing but its imports.
_IMPORT_FILES = """\
import sys as _sys
class _Files:
    def __init__(self, files):
        self.files = files
        for name in [name for name in _sys.modules if self._find(name)]:
            del _sys.modules[name]
    def _find(self, name):
        path = name.replace(".", "/")
        if path + ".py" in self.files:
            return path + ".py", False
        if any(file.startswith(path + "/") for file in self.files):
            return path + "/__init__.py", True
    def find_spec(self, name, path=None, target=None):
        import importlib.machinery as machinery
        found = self._find(name)
        return machinery.ModuleSpec(name, self, origin=found[0], is_package=found[1]) if found else None
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        origin = module.__spec__.origin
        exec(compile(self.files.get(origin, ""), origin, "exec", dont_inherit=True), module.__dict__)
_sys.meta_path.insert(0, _Files({files!r}))
del _Files, _sys
"""

# A line of prose may start with "from" or "import" too.
_CODE = re.compile(
    r"^(?:\s*(?:async )?def \w+\(|\s*class \w+.*:|import [\w.]+(?: as \w+)?(?:, *[\w.]+)*$|from [\w.]+ import |@\w+)",
    re.MULTILINE,
)

_CALL_METHOD = """

if "{owner}" in globals():
    def {name}(*args, **kwargs):
        return {owner}().{name}(*args, **kwargs)
"""


def whole_program(problem: Problem, code: str) -> str:
    """Return the program that is run for ``code``.

    The code that makes the problem's ``files`` importable and its ``preamble`` come first. Where the entry point is a
    method, ``Solution.two_sum``, a function of the method's name follows, which calls it on a new object; a program
    without that class may define the function itself.

    Args:
        problem: The problem.
        code: A candidate's code, or that of the reference.
    """
    before = _IMPORT_FILES.replace("{files!r}", repr(problem.files)) if problem.files else ""
    if problem.preamble:
        before += problem.preamble.rstrip() + "\n"
    owner, _, name = (problem.entry_point or "").rpartition(".")
    after = _CALL_METHOD.format(owner=owner, name=name) if owner else ""
    if not before:
        return code + after
    head, rest = _future_imports(code)
    return head + before + rest + after


def called_name(problem: Problem) -> str | None:
    """Return the name of the function that the tests call: the entry point, or its method."""
    return None if problem.entry_point is None else problem.entry_point.rpartition(".")[2]


def is_code(prompt: str) -> bool:
    """Return whether a prompt is code, which a response may continue, and not prose."""
    return prompt.startswith("#") or prompt.rstrip().endswith(('"""', "'''")) or _CODE.search(prompt) is not None


def defined_functions(problem: Problem) -> tuple[str, ...]:
    """Return the functions that a problem itself defines beside the entry point: in its prompt, or its preamble.

    Its tests may call them, and a candidate must not replace them: HumanEval/32 checks zeros by the prompt's ``poly``.
    """
    found: dict[str, None] = {}
    for text in (problem.preamble, problem.prompt if isinstance(problem.prompt, str) else ""):
        tree = _parse(text) or _parse(text.rstrip() + "\n    pass\n")
        for node in tree.body if tree is not None else []:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_stub(node):
                found[node.name] = None
    found.pop(called_name(problem) or "", None)
    return tuple(found)


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return all(
        isinstance(one, ast.Pass) or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
        for one in node.body
    )


def _parse(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _future_imports(code: str) -> tuple[str, str]:
    """Split code after its ``from __future__`` imports, which must come first in a program."""
    tree = _parse(code)
    ends = [
        node.end_lineno or 0
        for node in (tree.body if tree is not None else [])
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    lines = code.splitlines(keepends=True)
    split = sum(len(line) for line in lines[: max(ends, default=0)])
    head = code[:split]
    return (head if not head or head.endswith("\n") else head + "\n"), code[split:]
