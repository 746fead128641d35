"""Finds plugins, keeps a broken one from harming the rest, and knows what each has registered.

Every entry point of group ``rrtf_trl`` is loaded in its own ``try``, and every hook is called plugin by plugin, ours
first and then the others by name. Whatever goes wrong is noted with the plugin, told once, and left out.

The environment decides what is loaded: ``RRTF_PLUGINS=a,b`` only these, ``RRTF_PLUGINS=-a`` all but this one,
``RRTF_PLUGINS=none`` none; ``RRTF_STRICT_PLUGINS=1`` (or ``rrtf --strict-plugins``) makes what goes wrong an error.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from rrtf_trl import hookspecs
from rrtf_trl.hookspecs import CONTRACT, PROJECT, Command, Target

CHOICE = "RRTF_PLUGINS"
STRICT = "RRTF_STRICT_PLUGINS"
BUILTIN = "built-in"

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


class PluginError(RuntimeError):
    """Something is wrong with a plugin, and that was asked to be an error; the message names it."""


@dataclass(frozen=True)
class Fault:
    """What went wrong with a plugin: a short cause, and the traceback where there is one."""

    cause: str
    traceback: str = ""


@dataclass
class Plugin:
    """A plugin that is installed.

    Args:
        name: Of its entry point.
        distribution: The package that brings it, as pip knows it.
        version: Of the package.
        status: ``loaded``, ``failed``, or ``blocked`` by ``RRTF_PLUGINS``.
        hooks: The hooks that it implements.
        seconds: What loading it took.
        faults: What went wrong with it.
        names: What it has registered, by kind.
        configs: The files of configuration that it brings, as ``group/choice``.
    """

    name: str
    distribution: str
    version: str
    status: str = "loaded"
    hooks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    configs: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


@dataclass(frozen=True)
class Registered:
    """A name with its target, and the plugin that registered it."""

    name: str
    target: Target
    plugin: Plugin

    def load(self) -> Any:
        """Import the target.

        Raises:
            PluginError: If it cannot be imported.
        """
        target = self.target.main if isinstance(self.target, Command) else self.target
        if not isinstance(target, str):
            return target
        module, _, attribute = target.partition(":")
        try:
            return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        except (ImportError, AttributeError, SyntaxError) as error:
            if self.plugin.distribution == BUILTIN:
                raise
            raise PluginError(
                f"{self.name!r} of plugin {self.plugin} cannot be loaded from {target}: {_brief(error)}"
            ) from error


class Plugins:
    """All plugins, loaded.

    Args:
        choice: As ``RRTF_PLUGINS``.
        strict: Whether what goes wrong is raised.
        quiet: Whether it is not told on stderr either.

    Raises:
        PluginError: If ``strict`` and something is wrong, or ``choice`` makes no sense.
    """

    def __init__(self, choice: str = "", strict: bool = False, quiet: bool = False) -> None:
        self.strict, self.quiet = strict, quiet
        self.all: list[Plugin] = []
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._objects: list[tuple[Plugin, Any]] = []
        self._registered: dict[str, dict[str, Registered]] = {}
        self._paths: list[tuple[str, Plugin]] | None = None
        from rrtf_trl import __version__, builtin

        self._add(Plugin("rrtf", BUILTIN, __version__), lambda: builtin)
        wanted = _Choice(choice)
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
            self._tell(f"{CHOICE} names {', '.join(unknown)}, and no such plugin is installed")

    # -- Loading -----------------------------------------------------------------------------------------

    def _add(self, plugin: Plugin, load: Any) -> None:
        start = time.perf_counter()
        try:
            loaded = load()
            self._check(plugin, loaded)
            self._manager.register(loaded, name=f"{plugin.name}:{plugin.distribution}:{len(self.all)}")
        except (Exception, SystemExit) as error:
            plugin.status = "failed"
            self.all.append(plugin)
            self._fault(plugin, _brief(error), error if not isinstance(error, _Refused) else None)
            return
        plugin.seconds = time.perf_counter() - start
        self.all.append(plugin)
        self._objects.append((plugin, loaded))

    def _check(self, plugin: Plugin, loaded: Any) -> None:
        """Refuse what keeps another contract, and say what is wrong in the author's words rather than pluggy's."""
        version = getattr(loaded, "RRTF_CONTRACT", None)
        if version is None:
            raise _Refused(f"it does not say which contract it keeps: add RRTF_CONTRACT = {CONTRACT}")
        if version != CONTRACT:
            older = isinstance(version, int) and version < CONTRACT
            remedy = f"upgrade {plugin.distribution}" if older else "upgrade rrtf-trl, or install an older plugin"
            raise _Refused(f"it keeps version {version} of the contract, and this rrtf-trl has {CONTRACT}: {remedy}")
        known = [name for name in dir(hookspecs) if name.startswith("rrtf_")]
        for name in dir(loaded):
            options = self._manager.parse_hookimpl_opts(loaded, name)
            if options is None:
                if name in known and callable(getattr(loaded, name)):
                    raise _Refused(f"function {name} lacks its @hookimpl")
                continue
            hook = options.get("specname") or name
            if hook not in known:
                raise _Refused(f"there is no hook {hook}{_nearest(hook, known)}")
            if options.get("wrapper") or options.get("hookwrapper"):
                raise _Refused(f"hook {hook} is a wrapper: plugins are called one by one, and wrap nothing")
            offered = list(inspect.signature(getattr(hookspecs, hook)).parameters)
            for argument in inspect.signature(getattr(loaded, name)).parameters:
                if argument not in offered:
                    has = f"it has {', '.join(offered)}" if offered else "it has none"
                    raise _Refused(f"hook {hook} has no argument {argument}: {has}")
            plugin.hooks.append(hook)
        if not plugin.hooks:
            raise _Refused("it implements no hook")

    def _fault(self, plugin: Plugin, cause: str, error: BaseException | None = None) -> None:
        trace = "".join(traceback.format_exception(error)) if error is not None else ""
        if any(fault.cause == cause for fault in plugin.faults):
            return
        plugin.faults.append(Fault(cause, trace))
        self._tell(f"plugin {plugin}: {cause}", error)

    def _tell(self, message: str, error: BaseException | None = None) -> None:
        if self.strict:
            raise PluginError(message) from error
        if not self.quiet:
            print(f"rrtf: {message}; see `rrtf plugins`", file=sys.stderr)

    # -- Hooks -------------------------------------------------------------------------------------------

    def call(self, hook: str, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """Call a hook plugin by plugin; yield what each returned, leaving out those that raise and ``None``."""
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        for plugin, loaded in self._objects:
            for implementation in implementations:
                if implementation.plugin is not loaded:
                    continue
                try:
                    result = implementation.function(**{name: arguments[name] for name in implementation.argnames})
                except Exception as error:
                    if plugin.distribution == BUILTIN:
                        raise
                    self._fault(plugin, f"hook {hook} raised {_brief(error)}", error)
                    continue
                if result is not None:
                    yield plugin, result

    def registered(self, kind: str) -> Mapping[str, Registered]:
        """Return what is registered of a kind (see ``KINDS``), by name: ours, then the others', the first of a name."""
        if kind not in self._registered:
            found = self._registered[kind] = {}
            for plugin, targets in self.call(KINDS[kind]):
                try:
                    pairs = [(_checked(kind, name, target), target) for name, target in dict(targets).items()]
                except (TypeError, ValueError) as error:
                    self._fault(plugin, f"hook {KINDS[kind]}: {error}")
                    continue
                for name, target in pairs:
                    if name in found:
                        owner = found[name].plugin
                        whose = "rrtf-trl" if owner.distribution == BUILTIN else f"plugin {owner}"
                        self._fault(plugin, f"{_words(kind)} {name!r} is refused: {whose} has this name")
                        continue
                    if kind in GROUPS and f"{kind}/{name}" not in self._configs_of(plugin):
                        self._fault(
                            plugin,
                            f"{_words(kind)} {name!r} is refused: no {kind}/{name}.yaml is on its rrtf_config_paths",
                        )
                        continue
                    found[name] = Registered(name, target, plugin)
                    plugin.names.setdefault(kind, []).append(name)
        return self._registered[kind]

    def find(self, kind: str, name: str) -> Registered | None:
        """Return what is registered under a name, or ``None``."""
        return self.registered(kind).get(name)

    # -- Configuration -----------------------------------------------------------------------------------

    def config_paths(self) -> list[str]:
        """Return the folders of configuration as Hydra takes them, ours first."""
        return [path for path, _ in self._config_paths()]

    def config_folders(self) -> list[Path]:
        """Return the same as folders."""
        return [_folder(path) for path in self.config_paths()]

    def _config_paths(self) -> list[tuple[str, Plugin]]:
        if self._paths is None:
            self._paths = []
            owners: dict[str, Plugin] = {}
            for plugin, paths in self.call("rrtf_config_paths"):
                try:
                    kept = [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
                    choices = {choice: path for path in kept for choice in _choices(_folder(path))}
                except (TypeError, ValueError) as error:
                    self._fault(plugin, f"hook rrtf_config_paths: {error}")
                    continue
                for choice in choices:
                    if choice in owners:
                        whose = "rrtf-trl" if owners[choice].distribution == BUILTIN else f"plugin {owners[choice]}"
                        self._fault(plugin, f"its configuration {choice}.yaml is not used: {whose} has one")
                plugin.configs += sorted(choice for choice in choices if choice not in owners)
                for choice in choices:
                    owners.setdefault(choice, plugin)
                self._paths += [(path if "://" in path else f"file://{path}", plugin) for path in kept]
        return self._paths

    def _configs_of(self, plugin: Plugin) -> list[str]:
        self._config_paths()
        return plugin.configs


@functools.cache
def plugins() -> Plugins:
    """Return the plugins of this process, as the environment has them; loaded on the first call."""
    return Plugins(os.environ.get(CHOICE, ""), strict=is_strict())


def is_strict() -> bool:
    """Whether the environment makes an error of what goes wrong with plugins."""
    return os.environ.get(STRICT, "").lower() not in ("", "0", "false", "no")


# -- Details ---------------------------------------------------------------------------------------------


class _Refused(Exception):
    """A plugin that is refused by a check of ours: its traceback would tell nothing."""


class _Choice:
    """What ``RRTF_PLUGINS`` says."""

    def __init__(self, text: str) -> None:
        names = [name.strip() for name in text.split(",") if name.strip()]
        self.only = {_canonical(name) for name in names if not name.startswith("-")} - {"none"}
        self.none = "none" in names
        self.blocked = {_canonical(name[1:]) for name in names if name.startswith("-")}
        if (self.only and (self.blocked or self.none)) or (self.none and self.blocked):
            raise PluginError(
                f"{CHOICE}={text}: name either the plugins to load (a,b) or those to leave out (-a,-b), or none"
            )
        self._left = self.only | self.blocked

    def takes(self, plugin: Plugin) -> bool:
        names = {_canonical(plugin.name), _canonical(plugin.distribution)}
        self._left -= names
        return not self.none and not names & self.blocked and (not self.only or bool(names & self.only))

    def unused(self) -> list[str]:
        return sorted(self._left)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _checked(kind: str, name: Any, target: Any) -> str:
    """Refuse names that no command line takes, and targets that are none."""
    pattern = r"[a-z][a-z0-9-]*" if kind == "command" else r"[A-Za-z_][A-Za-z0-9_]*"
    if not isinstance(name, str) or not re.fullmatch(pattern, name):
        raise ValueError(f"{name!r} is no name of a {_words(kind)}")
    if kind == "command":
        if not isinstance(target, Command):
            raise ValueError(f"{name!r} must be a Command(help, main)")
        target = target.main
    module, colon, attribute = target.partition(":") if isinstance(target, str) else ("", "", "")
    if isinstance(target, str) and not (colon and module and attribute):
        raise ValueError(f"{name!r} has the target {target!r}: expected an object or 'module:attribute'")
    if not isinstance(target, str) and not callable(target):
        raise ValueError(f"{name!r} has a target that cannot be called: {target!r}")
    return name


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _folder(path: str) -> Path:
    """Return the folder of a search path; refuse one that is not there."""
    if path.startswith("pkg://"):
        package = path.removeprefix("pkg://").replace("/", ".")
        try:
            spec = importlib.util.find_spec(package)
        except ImportError:
            spec = None
        places = list(spec.submodule_search_locations or []) if spec is not None else []
        if not places:
            raise ValueError(f"there is no package {package} (for {path})")
        return Path(places[0])
    folder = Path(path.removeprefix("file://"))
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    return folder


def _choices(folder: Path) -> list[str]:
    """Return the files of configuration under a folder as ``group/choice``."""
    return [str(file.relative_to(folder).with_suffix("")) for file in sorted(folder.rglob("*.yaml"))]


def _brief(error: BaseException) -> str:
    if isinstance(error, _Refused):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__


def _nearest(name: str, names: list[str]) -> str:
    match = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {match[0]}?" if match else ""
