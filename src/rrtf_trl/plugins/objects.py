"""The objects that plugins add to :mod:`rrtf_trl.registry`: loaded by name, with their errors isolated."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from rrtf_trl.problems import NoTests
from rrtf_trl.records import RecordError
from rrtf_trl.registry import Kind
from rrtf_trl.report import Section

from .manager import plugins
from .plugin import Registered


class PluginObjects(Mapping[str, Any]):
    """The objects of one kind that plugins registered, by name; loaded on look-up.

    An error of a reader or a report section is noted with its plugin and not raised.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        found = plugins().registered(kind)
        self._registered = {name: entry for name, entry in found.items() if not entry.plugin.is_builtin}

    def __getitem__(self, name: str) -> Any:
        registered = self._registered[name]
        if self._kind == "problem_reader":
            return functools.partial(_read, registered)
        if self._kind == "report_section":
            return functools.partial(_show, registered)
        return registered.load()

    def __iter__(self) -> Iterator[str]:
        return iter(self._registered)

    def __len__(self) -> int:
        return len(self._registered)


def _read(reader: Registered, row: dict[str, Any]) -> Any:
    return plugins().guarded(
        reader.plugin,
        f"problem reader {reader.name}",
        lambda: reader.load()(row),
        passing=(RecordError, NoTests),
    )


def _show(section: Registered, run: Any) -> Section | None:
    """Return a section; if the plugin fails, one that shows the error."""
    plugin = section.plugin
    before = len(plugin.faults)
    found: Section | None = plugins().guarded(
        plugin, f"report section {section.name}", lambda: checked_section(section.load()(run))
    )
    if found is None and len(plugin.faults) > before:
        return Section(section.name.replace("_", " "), f"Plugin {plugin}: {plugin.faults[-1].cause}.")
    return found


def checked_section(found: Any) -> Section | None:
    """Return ``found`` if it is a section or ``None``.

    Raises:
        TypeError: If it is something else.
    """
    if found is not None and not isinstance(found, Section):
        raise TypeError(f"expected a rrtf_trl.report.Section or None, got {type(found).__name__}")
    return found
