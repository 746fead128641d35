"""What plugins add to :mod:`rrtf_trl.registry`: loaded by name, and kept from harming the rest."""

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
    """The objects of one kind that plugins have registered, by name; loaded when they are looked up.

    A reader or a report section that raises is noted with its plugin, and ends nothing.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._registered = {name: one for name, one in plugins().registered(kind).items() if not one.plugin.is_builtin}

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
    """Return a section; where it fails, one that says so in its place."""
    plugin = section.plugin
    before = len(plugin.faults)
    found: Section | None = plugins().guarded(
        plugin, f"report section {section.name}", lambda: checked_section(section.load()(run))
    )
    if found is None and len(plugin.faults) > before:
        return Section(section.name.replace("_", " "), f"Plugin {plugin}: {plugin.faults[-1].cause}.")
    return found


def checked_section(found: Any) -> Section | None:
    """Refuse what is no section.

    Raises:
        TypeError: If it is none.
    """
    if found is not None and not isinstance(found, Section):
        raise TypeError(f"expected a rrtf_trl.report.Section or None, got {type(found).__name__}")
    return found
