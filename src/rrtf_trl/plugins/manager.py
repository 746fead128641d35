"""The plugins of a process: loads them, calls their hooks, and keeps what they registered."""

from __future__ import annotations

import functools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from . import builtin, hookspecs
from .choice import VARIABLE, PluginFilter
from .contract import check_target, hooks_of
from .folders import choices_in, folder_of
from .hookspecs import PROJECT
from .plugin import BUILTIN, HERE, Plugin, PluginError, PluginFault, PluginRefused, Registered, brief

STRICT = "RRTF_STRICT_PLUGINS"

KINDS = {
    "sampler": "rrtf_samplers",
    "feedback": "rrtf_feedback",
    "ranking": "rrtf_rankings",
    "executor": "rrtf_executors",
    "loss": "rrtf_losses",
    "problem_reader": "rrtf_problem_readers",
    "report_section": "rrtf_report_sections",
    "command": "rrtf_commands",
}
"""The kinds of registered names, and the hook of each."""
GROUPS = ("sampler", "feedback", "ranking", "executor")
"""The kinds that are chosen by a configuration group of the same name."""


class Plugins:
    """The loaded plugins.

    Args:
        chosen: As ``RRTF_PLUGINS``.
        strict: Raise faults of plugins.

    Raises:
        PluginError: If ``strict`` and a plugin has a fault, or ``chosen`` is not valid.
    """

    def __init__(self, chosen: str = "", strict: bool = False) -> None:
        self.strict = strict
        self.quiet = False
        self.all: list[Plugin] = []
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._objects: list[tuple[Plugin, Any]] = []
        self._pending: list[str] = []
        self._clear_registrations()

        self._add(Plugin("rrtf", BUILTIN, metadata.version("rrtf-trl")), lambda: builtin)
        wanted = PluginFilter(chosen)
        for point in sorted(metadata.entry_points(group=PROJECT), key=lambda point: (point.name, point.value)):
            name = str(point.dist.metadata["Name"]) if point.dist is not None else "?"
            plugin = Plugin(point.name, name, point.dist.version if point.dist is not None else "?")
            if wanted.accepts(plugin):
                self._add(plugin, point.load)
            else:
                plugin.status = "blocked"
                self.all.append(plugin)
        if unknown := wanted.unused():
            self._report(f"{VARIABLE} names {', '.join(unknown)}, and no such plugin is installed")

    # -- Loading -----------------------------------------------------------------------------------------

    def _add(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        start = time.perf_counter()
        self.all.append(plugin)
        try:
            loaded = load()
            plugin.hooks = hooks_of(plugin, loaded, self._manager)
            self._manager.register(loaded, name=f"{plugin.name}:{plugin.distribution}:{len(self.all)}")
        except (Exception, SystemExit) as error:
            plugin.status = "failed"
            self._fault(plugin, brief(error), error)
            return
        plugin.seconds = time.perf_counter() - start
        self._objects.append((plugin, loaded))

    def register(self, loaded: Any, name: str) -> None:
        """Add a plugin that no entry point names; see :func:`register`."""
        for plugin, known in list(self._objects):
            if plugin.distribution == HERE and plugin.name == name:
                self._remove(plugin, known)
        self._clear_registrations()
        plugin = Plugin(name, HERE, "")
        was_strict, self.strict = self.strict, True  # the caller of `register` can handle the error
        try:
            self._add(plugin, lambda: loaded)
            for kind in KINDS:
                self.registered(kind)
        except PluginError:
            self._remove(plugin, loaded)
            raise
        finally:
            self.strict = was_strict

    def _remove(self, plugin: Plugin, loaded: Any) -> None:
        if self._manager.is_registered(loaded):
            self._manager.unregister(loaded)
        self._objects = [pair for pair in self._objects if pair[0] is not plugin]
        self.all.remove(plugin)
        self._clear_registrations()

    def _clear_registrations(self) -> None:
        """Forget all registrations; the hooks are called again when they are next needed."""
        self._registered: dict[str, dict[str, Registered]] = {}
        self._paths: list[str] | None = None
        for plugin in self.all:
            plugin.names.clear()
            plugin.configs.clear()

    def _fault(self, plugin: Plugin, cause: str, error: BaseException | None = None) -> None:
        if any(fault.cause == cause for fault in plugin.faults):
            return
        expected = error is None or isinstance(error, PluginRefused)
        trace = "" if expected else "".join(traceback.format_exception(error))
        plugin.faults.append(PluginFault(cause, trace))
        self._report(f"plugin {plugin}: {cause}", error)

    def _report(self, message: str, error: BaseException | None = None) -> None:
        if self.strict:
            raise PluginError(message) from error
        self._pending.append(message)

    def report(self) -> None:
        """Print new faults on stderr."""
        for message in [] if self.quiet else self._pending:
            print(f"rrtf: {message}; see `rrtf plugins`", file=sys.stderr)
        self._pending.clear()

    # -- Hooks -------------------------------------------------------------------------------------------

    def call(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Call a hook of each plugin; return the results, without ``None`` and without plugins that raise."""
        results = []
        for plugin, implementation in self._implementations(hook):
            used = {name: arguments[name] for name in implementation.argnames}
            result = self.guarded(plugin, f"hook {hook}", functools.partial(implementation.function, **used))
            if result is not None:
                results.append((plugin, result))
        return results

    def _implementations(self, hook: str) -> Iterator[tuple[Plugin, pluggy.HookImpl]]:
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        for plugin, loaded in list(self._objects):
            yield from ((plugin, one) for one in implementations if one.plugin is loaded)

    def guarded(
        self, plugin: Plugin, what: str, work: Callable[[], Any], passing: tuple[type[Exception], ...] = ()
    ) -> Any:
        """Return the result of a plugin's function; if it raises, note a fault and return ``None``.

        Args:
            plugin: The plugin; errors of the built-in one are raised.
            what: Names the function in messages.
            work: The function, without arguments.
            passing: Errors that are part of the contract, and are raised.
        """
        try:
            return work()
        except Exception as error:
            if plugin.is_builtin or isinstance(error, passing):
                raise
            cause = error.__cause__ if isinstance(error, PluginError) else None  # why a target cannot be loaded
            self._fault(plugin, f"{what} raised {brief(cause or error)}", error)
            self.report()
            return None

    def registered(self, kind: str) -> Mapping[str, Registered]:
        """Return a kind's registrations (see ``KINDS``) by name, built-in ones first; the first with a name counts."""
        if kind not in self._registered:
            found = self._registered[kind] = {}
            for plugin, targets in self.call(KINDS[kind]):
                try:
                    pairs = list(dict(targets).items())
                except (TypeError, ValueError):
                    self._fault(plugin, f"hook {KINDS[kind]} returned {type(targets).__name__}, not a mapping")
                    continue
                for name, target in pairs:
                    try:
                        self._check_registration(kind, name, target, plugin, found)
                    except PluginRefused as error:
                        self._fault(plugin, str(error), error)
                        continue
                    found[name] = Registered(name, target, plugin)
                    plugin.names.setdefault(kind, []).append(name)
            self.report()
        return self._registered[kind]

    def _check_registration(
        self, kind: str, name: Any, target: Any, plugin: Plugin, found: Mapping[str, Registered]
    ) -> None:
        check_target(kind, name, target)
        what = f"{kind.replace('_', ' ')} {name!r} is refused"
        if name in found:
            raise PluginRefused(f"{what}: {found[name].plugin.owner} has this name")
        if kind in GROUPS:
            self.config_paths()
            if f"{kind}/{name}" not in plugin.configs:
                raise PluginRefused(f"{what}: no {kind}/{name}.yaml of its own is on its rrtf_config_paths")

    # -- Configuration -----------------------------------------------------------------------------------

    def config_paths(self) -> list[str]:
        """Return the folders of configuration as Hydra's search paths, that of rrtf-trl first."""
        if self._paths is None:
            self._paths = []
            owners: dict[str, Plugin] = {}
            for plugin, paths in self.call("rrtf_config_paths"):
                try:
                    found = [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
                    choices = list(dict.fromkeys(choice for path in found for choice in choices_in(folder_of(path))))
                except (TypeError, PluginRefused) as error:
                    self._fault(plugin, f"hook rrtf_config_paths: {error}", error)
                    continue
                for name in choices:
                    if name in owners:
                        self._fault(plugin, f"its configuration {name}.yaml is not used: {owners[name].owner} has one")
                plugin.configs += [name for name in choices if name not in owners]
                owners.update((name, plugin) for name in plugin.configs)
                self._paths += [path if "://" in path else f"file://{path}" for path in found]
            self.report()
        return self._paths

    def config_folders(self) -> list[Path]:
        """Return the folders of :meth:`config_paths`."""
        return [folder_of(path) for path in self.config_paths()]


@functools.cache
def plugins() -> Plugins:
    """Return the plugins of this process, loaded on the first call; environment variables choose them."""
    strict = os.environ.get(STRICT, "").lower() not in ("", "0", "false", "no")
    return Plugins(os.environ.get(VARIABLE, ""), strict)


def register(plugin: Any, name: str | None = None) -> None:
    """Add a plugin without installing it, in this process: for a notebook, a script, or a test.

    Args:
        plugin: A module, class or object with ``RRTF_CONTRACT`` and hooks, as an entry point names.
        name: Its name; by default that of the module or class. A plugin registered before with the name is replaced.

    Raises:
        PluginError: If it has a fault.
    """
    plugins().register(plugin, name or str(getattr(plugin, "__name__", type(plugin).__name__)))
