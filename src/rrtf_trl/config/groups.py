"""Choices of groups on the command line: ``null`` for one, and options of what only some jobs of a sweep choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from rrtf_trl.errors import UserError

from .grammar import override_key, parsed
from .options import keys

SEVERAL = ("sampler", "feedback")
"""Groups of which several are chosen; each choice has its options under its name."""
_NONE = "none"
_ALWAYS_USED = ("feedback", "unit_tests")
"""Evaluation uses their options, whatever judges."""


def choice_names(group: str, folders: Sequence[Path]) -> list[str]:
    """Return the choices of a group; empty if there is no such group."""
    return sorted(
        {file.stem for folder in folders for file in (folder / group).glob("*.yaml") if not file.stem.startswith("_")}
    )


def without_null(override: str, folders: Sequence[Path]) -> str:
    """Replace ``null`` for a group by its choice ``none``.

    Raises:
        UserError: If it has none, or if a choice is no name at all; the message has the choices.
    """
    key, equals, text = override.partition("=")
    group = override_key(override).partition("@")[0]
    names = choice_names(group, folders) if equals and group != "accelerate" else []
    read = parsed(override) if names else None
    if read is None or read.is_delete():
        return override
    sweep: Any = read.value() if read.is_sweep_override() else None
    values = list(getattr(sweep, "list", ())) if sweep is not None else [read.value()]
    if None in values and _NONE in names:
        return f"{key}={','.join(_NONE if part.strip() == 'null' else part for part in text.split(','))}"
    for value in values:
        is_empty = value == "" or (value == [] and group not in SEVERAL)
        if is_empty or not isinstance(value, list | str) or not all(isinstance(name, str) for name in value):
            written = (text or "''") if sweep is None else "null" if value is None else str(value).lower()
            without = f"; ~{group} leaves it out" if group == "experiment" else ""
            raise UserError(f"{group} has no choice {written}; there are {', '.join(names)}{without}")
    return override


def for_any_choice(override: str, folders: Sequence[Path]) -> str:
    """Let an option of :data:`SEVERAL` be set for what is not chosen; :func:`refuse_unused` judges that later."""
    key = override_key(override)
    owner = _owner(key)
    if override.startswith(("~", "++")) or owner is None or owner[1] not in choice_names(owner[0], folders):
        return override
    return f"++{override.lstrip('+')}" if key in keys(folders) else override


def refuse_unused(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise :class:`UserError` if an override sets an option of something that is not chosen."""
    for key, group, name in _unused(config, overrides):
        others = [known for known, node in config[group].items() if known != name and "_target_" in node]
        raise UserError(f"{key}: {name} is not chosen; add it: {group}=[{','.join([*others, name])}]")


def drop_unused(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Remove the options of what a job of a sweep does not choose, and return the overrides without them.

    The job then has the configuration, and so the run, that it has without these overrides.
    """
    unused = {key for key, _, _ in _unused(config, overrides)}
    for key in unused:
        _remove(config, key)
    return [override for override in overrides if override_key(override) not in unused]


def refuse_never_used(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    """Raise :class:`UserError` if no job of a sweep chooses what an override sets an option of."""
    for group in SEVERAL:
        choosing = [override for override in overrides if override_key(override) == group]
        if not choosing:
            continue
        chosen = {name for override in choosing for name in _chosen(override)}
        for key in map(override_key, overrides):
            owner = _owner(key)
            if owner is None or owner[0] != group or owner == _ALWAYS_USED:
                continue
            if owner[1] not in chosen and owner[1] in choice_names(group, folders):
                raise UserError(f"{key}: {owner[1]} is not chosen in any job of {choosing[-1]}")


def _chosen(override: str) -> Iterator[str]:
    """Yield the names that an override chooses, in any job."""
    read = parsed(override)
    value: Any = None if read is None else read.value()
    for one in getattr(value, "list", [value]):
        yield from map(str, one if isinstance(one, list) else [one])


def _remove(config: DictConfig, key: str) -> None:
    """Remove an option, and what is empty without it, from the node of a group."""
    path, _, last = key.rpartition(".")
    parent = OmegaConf.select(config, path)
    if not isinstance(parent, DictConfig):
        return
    with open_dict(config):
        parent.pop(last, None)
    if not parent and "." in path:
        _remove(config, path)


def _owner(key: str) -> tuple[str, str] | None:
    """Return the group and choice that an option belongs to, or ``None`` if it is of none of :data:`SEVERAL`."""
    group, _, rest = key.partition(".")
    name, dot, _ = rest.partition(".")
    return (group, name) if group in SEVERAL and dot else None


def _unused(config: DictConfig, overrides: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the key, group and name of each option that is set for something not chosen."""
    for key in map(override_key, overrides):
        owner = _owner(key)
        if owner is None or owner == _ALWAYS_USED or owner[0] not in config:
            continue
        group, name = owner
        node = config[group].get(name)
        holder = OmegaConf.select(config, key.rpartition(".")[0])
        is_set = isinstance(holder, DictConfig) and key.rpartition(".")[2] in holder
        if isinstance(node, DictConfig) and "_target_" not in node and is_set:
            yield key, group, name
