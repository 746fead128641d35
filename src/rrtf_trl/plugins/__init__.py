"""Finds plugins, keeps a broken one from harming the rest, and knows what each has registered.

Every entry point of group ``rrtf_trl`` is loaded in its own ``try``, and every hook is called plugin by plugin, ours
first and then the others by name. Whatever goes wrong is noted with the plugin, told once, and left out.

The environment decides what is loaded: ``RRTF_PLUGINS=a,b`` only these, ``RRTF_PLUGINS=-a`` all but this one,
``RRTF_PLUGINS=none`` none; ``RRTF_STRICT_PLUGINS=1`` (or ``rrtf --strict-plugins``) makes what goes wrong an error.
"""

from .hooks import PluginHooks
from .hookspecs import Command, hookimpl
from .manager import KINDS, Plugins, plugins, register
from .plugin import Fault, Plugin, PluginError, Registered

__all__ = [
    "KINDS",
    "Command",
    "Fault",
    "Plugin",
    "PluginError",
    "PluginHooks",
    "Plugins",
    "Registered",
    "hookimpl",
    "plugins",
    "register",
]
