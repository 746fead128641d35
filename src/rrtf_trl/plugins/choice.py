"""``RRTF_PLUGINS``: the choice of plugins to load."""

from __future__ import annotations

import re

from .plugin import Plugin, PluginError

VARIABLE = "RRTF_PLUGINS"


class PluginFilter:
    """Decides which plugins are loaded: empty (all), ``a,b`` (only these), ``-a,-b`` (all but these), or ``none``.

    A plugin is named by its entry point or its distribution; ``-`` and ``_`` are equal.

    Raises:
        PluginError: If the text mixes these forms.
    """

    def __init__(self, text: str) -> None:
        names = [name.strip() for name in text.split(",") if name.strip()]
        self.only = {_canonical(name) for name in names if not name.startswith("-")} - {"none"}
        self.none = "none" in names
        self.blocked = {_canonical(name[1:]) for name in names if name.startswith("-")}
        if sum(map(bool, (self.only, self.none, self.blocked))) > 1:
            raise PluginError(
                f"{VARIABLE}={text}: name either the plugins to load (a,b) or those to leave out (-a,-b), or none"
            )
        self._unused = self.only | self.blocked

    def accepts(self, plugin: Plugin) -> bool:
        """Return whether a plugin is to be loaded."""
        names = {_canonical(plugin.name), _canonical(plugin.distribution)}
        self._unused -= names
        return not self.none and not names & self.blocked and (not self.only or bool(names & self.only))

    def unused(self) -> list[str]:
        """Return the names that matched no plugin."""
        return sorted(self._unused)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
