"""Finds and loads plugins, isolates their errors, and keeps what each registered.

Each entry point of group ``rrtf_trl`` is loaded in its own ``try``, and each hook is called plugin by plugin, that of
rrtf-trl first and then the others by name. An error is noted with its plugin and printed once; the rest works.

``RRTF_PLUGINS=a,b`` loads only these plugins, ``RRTF_PLUGINS=-a`` all but this one, ``RRTF_PLUGINS=none`` none;
``RRTF_STRICT_PLUGINS=1`` (or ``rrtf --strict-plugins``) raises plugins' errors.
"""

from .hookspecs import Command, hookimpl
from .manager import KINDS, Plugins, plugins, register
from .plugin import Plugin, PluginError, PluginFault, Registered

__all__ = [
    "KINDS",
    "Command",
    "Plugin",
    "PluginError",
    "PluginFault",
    "Plugins",
    "Registered",
    "hookimpl",
    "plugins",
    "register",
]
