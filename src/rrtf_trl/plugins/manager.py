"""All plugins of a process: loaded, called, and what they registered."""

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

from . import builtin, choice, hookspecs
from .contract import check_target, hooks_of
from .folders import choices_in, folder_of
from .hookspecs import PROJECT
from .plugin import BUILTIN, HERE, Fault, Plugin, PluginError, Refused, Registered, brief

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
"""What is registered by name, and the hook that registers it."""
GROUPS = ("sampler", "feedback", "ranking", "executor")
"""Those that are chosen by a configuration group of the same name."""


class Plugins:
    """All plugins, loaded.

    Args:
        chosen: As ``RRTF_PLUGINS``.
        strict: Whether what goes wrong is raised.

    Raises:
        PluginError: If ``strict`` and something is wrong, or ``chosen`` makes no sense.
    """

    def __init__(self, chosen: str = "", strict: bool = False) -> None:
        self.strict = strict
        self.quiet = False
        self.all: list[Plugin] = []
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._objects: list[tuple[Plugin, Any]] = []
        self._untold: list[str] = []
        self._forget()

        self._add(Plugin("rrtf", BUILTIN, metadata.version("rrtf-trl")), lambda: builtin)
        wanted = choice.Choice(chosen)
        points = sorted(metadata.entry_points(group=PROJECT), key=lambda point: (point.name, point.value))
        for point in points:
            name = str(point.dist.metadata["Name"]) if point.dist is not None else "?"
            plugin = Plugin(point.name, name, point.dist.version if point.dist is not None else "?")
            if wanted.takes(plugin):
                self._add(plugin, point.load)
            else:
                plugin.status = "blocked"
                self.all.append(plugin)
        if unknown := wanted.unused():
            self._tell(f"{choice.VARIABLE} names {', '.join(unknown)}, and no such plugin is installed")

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
                self._manager.unregister(known)
                self._objects.remove((plugin, known))
                self.all.remove(plugin)
        self._forget()
        plugin = Plugin(name, HERE, "")
        was_strict, self.strict = self.strict, True  # who registers is there to be told
        try:
            self._add(plugin, lambda: loaded)
            for kind in KINDS:
                self.registered(kind)
        except PluginError:
            if self._manager.is_registered(loaded):
                self._manager.unregister(loaded)
            self._objects = [pair for pair in self._objects if pair[0] is not plugin]
            self.all.remove(plugin)
            self._forget()
            raise
        finally:
            self.strict = was_strict

    def _forget(self) -> None:
        """Have the hooks that register things called again when they are next needed."""
        self._registered: dict[str, dict[str, Registered]] = {}
        self._paths: list[str] | None = None
        for plugin in self.all:
            plugin.names.clear()
            plugin.configs.clear()

    def _fault(self, plugin: Plugin, cause: str, error: BaseException | None = None) -> None:
        if any(fault.cause == cause for fault in plugin.faults):
            return
        told = error is None or isinstance(error, Refused)
        trace = "" if told else "".join(traceback.format_exception(error))
        plugin.faults.append(Fault(cause, trace))
        self._tell(f"plugin {plugin}: {cause}", error)

    def _tell(self, message: str, error: BaseException | None = None) -> None:
        if self.strict:
            raise PluginError(message) from error
        self._untold.append(message)

    def tell(self) -> None:
        """Print on stderr what went wrong since it was last told."""
        for message in [] if self.quiet else self._untold:
            print(f"rrtf: {message}; see `rrtf plugins`", file=sys.stderr)
        self._untold.clear()

    # -- Hooks -------------------------------------------------------------------------------------------

    def call(self, hook: str, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Call a hook plugin by plugin; return what each returned, leaving out those that raise and ``None``."""
        results = []
        for plugin, implementation in self._implementations(hook):
            taken = {name: arguments[name] for name in implementation.argnames}
            result = self.guarded(plugin, f"hook {hook}", functools.partial(implementation.function, **taken))
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
        """Do some of a plugin's work; where it raises, note that with the plugin and return ``None``.

        Args:
            plugin: Whose work it is; our own is not guarded.
            what: Names the work.
            work: Called without arguments.
            passing: Errors that are part of the contract, and are raised as they are.
        """
        try:
            return work()
        except Exception as error:
            if plugin.is_builtin or isinstance(error, passing):
                raise
            cause = error.__cause__ if isinstance(error, PluginError) else None  # of a target that does not load
            self._fault(plugin, f"{what} raised {brief(cause or error)}", error)
            self.tell()
            return None

    def registered(self, kind: str) -> Mapping[str, Registered]:
        """Return what is registered of a kind (see ``KINDS``), by name: ours first, and the first of a name."""
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
                    except Refused as error:
                        self._fault(plugin, str(error), error)
                        continue
                    found[name] = Registered(name, target, plugin)
                    plugin.names.setdefault(kind, []).append(name)
            self.tell()
        return self._registered[kind]

    def _check_registration(
        self, kind: str, name: Any, target: Any, plugin: Plugin, found: Mapping[str, Registered]
    ) -> None:
        check_target(kind, name, target)
        what = f"{kind.replace('_', ' ')} {name!r} is refused"
        if name in found:
            raise Refused(f"{what}: {found[name].plugin.owner} has this name")
        if kind in GROUPS:
            self.config_paths()
            if f"{kind}/{name}" not in plugin.configs:
                raise Refused(f"{what}: no {kind}/{name}.yaml of its own is on its rrtf_config_paths")

    # -- Configuration -----------------------------------------------------------------------------------

    def config_paths(self) -> list[str]:
        """Return the folders of configuration as Hydra takes them, ours first."""
        if self._paths is None:
            self._paths = []
            owners: dict[str, Plugin] = {}
            for plugin, paths in self.call("rrtf_config_paths"):
                try:
                    kept = [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
                    choices = list(dict.fromkeys(choice for path in kept for choice in choices_in(folder_of(path))))
                except (TypeError, Refused) as error:
                    self._fault(plugin, f"hook rrtf_config_paths: {error}", error)
                    continue
                for name in choices:
                    if name in owners:
                        self._fault(plugin, f"its configuration {name}.yaml is not used: {owners[name].owner} has one")
                plugin.configs += [name for name in choices if name not in owners]
                owners.update((name, plugin) for name in plugin.configs)
                self._paths += [path if "://" in path else f"file://{path}" for path in kept]
            self.tell()
        return self._paths

    def config_folders(self) -> list[Path]:
        """Return the same as folders."""
        return [folder_of(path) for path in self.config_paths()]


@functools.cache
def plugins() -> Plugins:
    """Return the plugins of this process, as the environment has them; loaded on the first call."""
    strict = os.environ.get(STRICT, "").lower() not in ("", "0", "false", "no")
    return Plugins(os.environ.get(choice.VARIABLE, ""), strict)


def register(plugin: Any, name: str | None = None) -> None:
    """Add a plugin without installing it, in this process: for a notebook, a script, or a test.

    Args:
        plugin: A module, class or object as an entry point would name: with ``RRTF_CONTRACT`` and hooks.
        name: Its name; by default that of the module or class. One registered before under it is replaced.

    Raises:
        PluginError: If something is wrong with it.
    """
    plugins().register(plugin, name or str(getattr(plugin, "__name__", type(plugin).__name__)))
