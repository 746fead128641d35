"""Whether a plugin keeps the contract; what does not is said in its author's words rather than pluggy's."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any

import pluggy

from . import hookspecs
from .hookspecs import CONTRACT, Command
from .plugin import Plugin, Refused

HOOKS = [name for name in dir(hookspecs) if name.startswith("rrtf_")]
"""The names of all hooks."""


def hooks_of(plugin: Plugin, loaded: Any, manager: pluggy.PluginManager) -> list[str]:
    """Return the hooks that a plugin implements.

    Raises:
        Refused: If it keeps another contract, or has a hook or an argument that there is not.
    """
    _check_version(plugin, getattr(loaded, "RRTF_CONTRACT", None))
    hooks = []
    for name in dir(loaded):
        options = manager.parse_hookimpl_opts(loaded, name)
        if options is None:
            if name in HOOKS and callable(getattr(loaded, name)):
                raise Refused(f"function {name} lacks its @hookimpl")
            continue
        hook = options.get("specname") or name
        if hook not in HOOKS:
            raise Refused(f"there is no hook {hook}{_nearest(hook)}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise Refused(f"hook {hook} is a wrapper: plugins are called one by one, and wrap nothing")
        offered = list(inspect.signature(getattr(hookspecs, hook)).parameters)
        for argument in inspect.signature(getattr(loaded, name)).parameters:
            if argument not in offered:
                has = f"it has {', '.join(offered)}" if offered else "it has none"
                raise Refused(f"hook {hook} has no argument {argument}: {has}")
        hooks.append(hook)
    if not hooks:
        raise Refused("it implements no hook")
    return hooks


def _check_version(plugin: Plugin, version: Any) -> None:
    if version is None:
        raise Refused(f"it does not say which contract it keeps: add RRTF_CONTRACT = {CONTRACT}")
    if version != CONTRACT:
        older = isinstance(version, int) and version < CONTRACT
        remedy = f"upgrade {plugin.distribution}" if older else "upgrade rrtf-trl, or install an older plugin"
        raise Refused(f"it keeps version {version} of the contract, and this rrtf-trl has {CONTRACT}: {remedy}")


def check_target(kind: str, name: Any, target: Any) -> None:
    """Refuse names that no command line takes, and targets that are none.

    Raises:
        Refused: The message says what is wrong.
    """
    words = kind.replace("_", " ")
    pattern = r"[a-z][a-z0-9-]*" if kind == "command" else r"[A-Za-z_][A-Za-z0-9_]*"
    if not isinstance(name, str) or not re.fullmatch(pattern, name):
        raise Refused(f"{name!r} is no name of a {words}")
    if kind == "command":
        if not isinstance(target, Command):
            raise Refused(f"{words} {name!r} must be a Command(help, main)")
        target = target.main
    if isinstance(target, str):
        module, _, attribute = target.partition(":")
        if not (module and attribute):
            raise Refused(f"{words} {name!r} has the target {target!r}: expected an object or 'module:attribute'")
    elif not callable(target):
        raise Refused(f"{words} {name!r} has a target that cannot be called: {target!r}")


def _nearest(name: str) -> str:
    match = difflib.get_close_matches(name, HOOKS, n=1)
    return f"; did you mean {match[0]}?" if match else ""
