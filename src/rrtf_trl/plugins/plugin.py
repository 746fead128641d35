"""What is known of one plugin: where it comes from, what it brings, and what went wrong with it."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass, field
from typing import Any

from rrtf_trl.errors import UserError

from .hookspecs import Command, Target

BUILTIN = "built-in"
"""Stands for the distribution of what rrtf-trl itself registers."""
HERE = "this process"
"""Stands for the distribution of what :func:`rrtf_trl.plugins.register` was given."""


class PluginError(UserError):
    """Something is wrong with a plugin, and that cannot or should not be passed over; the message names it."""


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
        return f"{self.name} ({' '.join(filter(None, (self.distribution, self.version)))})"

    @property
    def is_builtin(self) -> bool:
        """Whether it is rrtf-trl's own."""
        return self.distribution == BUILTIN

    @property
    def owner(self) -> str:
        """Return whose it is, for messages about others."""
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
        module, _, attribute = target.partition(":")
        try:
            return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
        except Exception as error:  # an import runs the module, and that may raise anything
            if self.plugin.is_builtin:
                raise
            raise PluginError(
                f"{self.name!r} of plugin {self.plugin} cannot be loaded from {target}: {brief(error)}"
            ) from error


class Refused(Exception):
    """A plugin is refused by a check of ours: the message is for its author, and a traceback would tell nothing."""


def brief(error: BaseException) -> str:
    """Return an error as a short cause."""
    if isinstance(error, Refused):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__
