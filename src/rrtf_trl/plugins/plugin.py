"""One plugin: its origin, what it registers, and its faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rrtf_trl import registry
from rrtf_trl.errors import UserError

from .hookspecs import Command, Target

BUILTIN = "built-in"
"""The distribution's name for the plugin of rrtf-trl itself."""
HERE = "this process"
"""The distribution's name for plugins passed to :func:`rrtf_trl.plugins.register`."""


class PluginError(UserError):
    """An error in a plugin that stops the command; the message names the plugin."""


@dataclass(frozen=True)
class PluginFault:
    """An error in a plugin: a short cause, and the traceback if there is one."""

    cause: str
    traceback: str = ""


@dataclass
class Plugin:
    """An installed plugin.

    Args:
        name: Of its entry point.
        distribution: The name of its package.
        version: Of the package.
        status: ``loaded``, ``failed``, or ``blocked`` by ``RRTF_PLUGINS``.
        hooks: The hooks that it implements.
        seconds: How long it took to load.
        faults: Its errors.
        names: The names that it registered, by kind.
        configs: Its configuration files, as ``group/choice``.
    """

    name: str
    distribution: str
    version: str
    status: str = "loaded"
    hooks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    faults: list[PluginFault] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    configs: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name} ({' '.join(filter(None, (self.distribution, self.version)))})"

    @property
    def is_builtin(self) -> bool:
        """Whether it is rrtf-trl's own."""
        return self.distribution == BUILTIN

    @property
    def owner(self) -> str:
        """The plugin, for error messages of other plugins."""
        return "rrtf-trl" if self.is_builtin else f"plugin {self}"


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
        try:
            return registry.load(target)
        except Exception as error:  # an import runs the module, and that may raise anything
            if self.plugin.is_builtin:
                raise
            raise PluginError(
                f"{self.name!r} of plugin {self.plugin} cannot be loaded from {target}: {brief(error)}"
            ) from error


class PluginRefused(Exception):
    """A check refuses a plugin; the message is for its author, and the traceback is not shown."""


def brief(error: BaseException) -> str:
    """Return the cause of an error on one line."""
    if isinstance(error, PluginRefused):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__
