"""Checks that a plugin keeps the contract, with error messages for its author."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any

import pluggy

from . import hookspecs
from .hookspecs import CONTRACT, Command
from .plugin import Plugin, PluginRefused

HOOKS = [name for name in dir(hookspecs) if name.startswith("rrtf_")]
"""The names of all hooks."""


def hooks_of(plugin: Plugin, loaded: Any, manager: pluggy.PluginManager) -> list[str]:
    """Return the hooks that a plugin implements.

    Raises:
        PluginRefused: If it keeps another contract, or has a hook or an argument that does not exist.
    """
    _check_version(plugin, getattr(loaded, "RRTF_CONTRACT", None))
    hooks = []
    for name in dir(loaded):
        options = manager.parse_hookimpl_opts(loaded, name)
        if options is None:
            if name in HOOKS and callable(getattr(loaded, name)):
                raise PluginRefused(f"function {name} lacks its @hookimpl")
            continue
        hook = options.get("specname") or name
        if hook not in HOOKS:
            raise PluginRefused(f"there is no hook {hook}{_nearest(hook)}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginRefused(f"hook {hook} is a wrapper: plugins are called one by one, and wrap nothing")
        offered = list(inspect.signature(getattr(hookspecs, hook)).parameters)
        for argument in inspect.signature(getattr(loaded, name)).parameters:
            if argument not in offered:
                has = f"it has {', '.join(offered)}" if offered else "it has none"
                raise PluginRefused(f"hook {hook} has no argument {argument}: {has}")
        hooks.append(hook)
    if not hooks:
        raise PluginRefused("it implements no hook")
    return hooks


def _check_version(plugin: Plugin, version: Any) -> None:
    if version is None:
        raise PluginRefused(f"it does not state which contract it keeps: add RRTF_CONTRACT = {CONTRACT}")
    if version != CONTRACT:
        older = isinstance(version, int) and version < CONTRACT
        remedy = f"upgrade {plugin.distribution}" if older else "upgrade rrtf-trl, or install an older plugin"
        raise PluginRefused(f"it keeps version {version} of the contract, and this rrtf-trl has {CONTRACT}: {remedy}")


def check_target(kind: str, name: Any, target: Any) -> None:
    """Check the name and the target of a registration.

    Raises:
        PluginRefused: If one of them is not valid.
    """
    description = kind.replace("_", " ")
    pattern = r"[a-z][a-z0-9-]*" if kind == "command" else r"[A-Za-z_][A-Za-z0-9_]*"
    if not isinstance(name, str) or not re.fullmatch(pattern, name):
        raise PluginRefused(f"{name!r} is not a valid name of a {description}")
    if kind == "command":
        if not isinstance(target, Command):
            raise PluginRefused(f"{description} {name!r} must be a Command(help, main)")
        target = target.main
    if isinstance(target, str):
        module, _, attribute = target.partition(":")
        if not (module and attribute):
            raise PluginRefused(
                f"{description} {name!r} has the target {target!r}: expected an object or 'module:attribute'"
            )
    elif not callable(target):
        raise PluginRefused(f"{description} {name!r} has a target that cannot be called: {target!r}")


def _nearest(name: str) -> str:
    match = difflib.get_close_matches(name, HOOKS, n=1)
    return f"; did you mean {match[0]}?" if match else ""
