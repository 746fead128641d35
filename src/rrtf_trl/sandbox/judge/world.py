"""What tests use of the world that a program sees: functions that run code or open files by what they get."""

from __future__ import annotations

import ast
import builtins

WORLD = {
    *("open", "input", "eval", "exec", "compile", "__import__", "globals", "locals", "breakpoint"),
    *("_rrtf_raises", "_rrtf_raised"),
}
"""What tests use of the world that the program sees; code in texts that may be answers must not run in the judge."""
_JUDGED_MODULES = {
    *("__future__", "abc", "array", "ast", "base64", "binascii", "bisect", "calendar", "cmath", "collections", "copy"),
    *("dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "hmac"),
    *("html", "inspect", "itertools", "json", "keyword", "math", "numbers", "numpy", "operator", "pprint", "pytest"),
    *("random", "re", "secrets", "statistics", "string", "struct", "sys", "textwrap", "time", "types", "typing"),
    *("unicodedata", "unittest", "uuid", "warnings", "zlib", "zoneinfo"),
}
"""Modules whose functions the judge may apply to answers: they neither run code nor open files by them."""


def is_of_the_world(node: ast.Import | ast.ImportFrom) -> bool:
    """Return whether an import is for the program's process alone."""
    modules = [item.name for item in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return any(name.partition(".")[0] not in _JUDGED_MODULES for name in modules)


def is_builtin(name: str) -> bool:
    """Return whether Python itself defines a name, and the judge may use it."""
    return hasattr(builtins, name) and name not in WORLD
