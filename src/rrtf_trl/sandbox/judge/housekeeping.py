"""Undoes, or at least detects, what tests leave behind in the judge's process."""

from __future__ import annotations

import builtins
import os
import resource
import sys
import threading
import types


class Housekeeping:
    """Remembers the state of this process before the first job."""

    def __init__(self) -> None:
        self.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self._builtins = dict(vars(builtins))
        self._environment = dict(self._variables())
        self._folder = os.getcwd()
        self._recursion = sys.getrecursionlimit()
        self._finders = list(sys.meta_path)
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._modules: dict[str, tuple[types.ModuleType, list[int]]] = {}

    @staticmethod
    def _variables() -> dict[bytes, bytes]:
        """Return the data of ``os.environ``, which itself takes longer to compare than the rest of a job."""
        data: dict[bytes, bytes] = vars(os.environ)["_data"]
        return data

    def remember_modules(self) -> None:
        """Note the contents of the loaded modules, for :meth:`tidy` to compare with."""
        self._modules = {name: (module, _identities(module)) for name, module in _loaded()}

    def tidy(self, compare_modules: bool) -> str:
        """Undo what can be undone; return a description of what cannot, or an empty text.

        Args:
            compare_modules: Whether to compare loaded modules with what :meth:`remember_modules` noted.
        """
        now = vars(builtins)
        if now != self._builtins:
            now.clear()
            now.update(self._builtins)
        if self._variables() != self._environment:
            os.environ.clear()
            os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in self._environment.items()})
        if (sys.stdin, sys.stdout, sys.stderr) != self._streams:
            sys.stdin, sys.stdout, sys.stderr = self._streams
        sys.setrecursionlimit(self._recursion)
        sys.meta_path[:] = self._finders
        os.chdir(self._folder)
        if threading.active_count() > 1:
            return "a thread"
        if compare_modules:
            for name, (module, before) in self._modules.items():
                if sys.modules.get(name) is not module or _identities(module)[: len(before)] != before:
                    return f"a changed module {name}"
            self._modules = {}
        return ""


def _loaded() -> list[tuple[str, types.ModuleType]]:
    own = __name__.removesuffix(".judge.housekeeping")  # the sandbox itself
    return [
        (name, module)
        for name, module in sys.modules.items()
        if type(module) is types.ModuleType and not name.startswith((own, "rrtf_tests", "rrtf_context", "__main__"))
    ]


def _identities(module: types.ModuleType) -> list[int]:
    """Return the identities of a module's values, in the order in which they were set."""
    return [id(value) for value in vars(module).values()]
