"""What tests may leave behind in the judge's process, put right after each job, or at least noticed."""

from __future__ import annotations

import builtins
import os
import resource
import sys
import threading
import types


class Housekeeping:
    """Remembers how things are before the first job."""

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
        """The environment as it is kept; to compare ``os.environ`` itself takes longer than the rest of a job."""
        kept: dict[bytes, bytes] = vars(os.environ)["_data"]
        return kept

    def look(self) -> None:
        """Note what the loaded modules hold, for :meth:`tidy` to compare with."""
        self._modules = {name: (module, _identities(module)) for name, module in _loaded()}

    def tidy(self, look_at_modules: bool) -> str:
        """Put right what can be; return what cannot, or nothing.

        Args:
            look_at_modules: Whether to compare loaded modules with what :meth:`look` noted.
        """
        found = vars(builtins)
        if found != self._builtins:
            found.clear()
            found.update(self._builtins)
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
        if look_at_modules:
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
    """The identities of what a module holds, in the order in which it came to hold them."""
    return [id(value) for value in vars(module).values()]
