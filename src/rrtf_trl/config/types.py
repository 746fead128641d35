"""Values of the wrong type are refused before any work, by key and by the place where they were set."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped]
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from rrtf_trl.errors import UserError

from .options import written

_OWN = {"name": str, "seed": int, "runs_dir": str, "rounds": int, "round": int}
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def check_types(config: DictConfig, leave_out: Sequence[str] = ()) -> None:
    """Refuse values that what they are for cannot take.

    Args:
        config: The whole configuration.
        leave_out: Groups that are not looked at, since what they name is not loaded.

    Raises:
        UserError: If there is one; the message names the key, the type and where the value was set.
    """
    check_own(config)
    for name in map(str, config):
        node = None if name in leave_out or OmegaConf.is_missing(config, name) else config[name]
        if isinstance(node, DictConfig):
            for key, value, kind in _typed(node, name):
                _check(key, value, kind)


def check_own(config: DictConfig) -> None:
    """The same for what is in no group."""
    for name, kind in _OWN.items():
        if name in config and not OmegaConf.is_missing(config, name):
            _check(name, config[name], kind)


def _typed(node: DictConfig, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each value under a node that is an argument of something, with its key and its type."""
    kinds = _kinds(node["_target_"]) if "_target_" in node else {}
    unresolved: Any = OmegaConf.to_container(node, resolve=False)
    for name in map(str, node):
        if OmegaConf.is_missing(node, name):
            continue
        value, refers = node[name], OmegaConf.is_interpolation(node, name)
        builds = isinstance(value, DictConfig) and "_target_" in value
        if isinstance(value, DictConfig) and not refers and (builds or name not in kinds):
            yield from _typed(value, f"{path}.{name}")
        elif name in kinds and not builds:
            plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            reference = _REFERENCE.fullmatch(unresolved[name]) if refers else None
            yield reference[1] if reference else f"{path}.{name}", plain, kinds[name]


def _kinds(target: str) -> dict[str, Any]:
    """Return the types of the arguments of a class or function, as far as they are known."""
    thing = get_object(target)
    found: dict[str, Any] = {}
    for part in [*reversed(getattr(thing, "__mro__", [])[:-1]), thing] if isinstance(thing, type) else [thing]:
        try:
            found |= typing.get_type_hints(part.__init__ if inspect.isclass(part) else part)
        except (NameError, AttributeError):
            continue  # a name that only the type checker imports
    return found


def _check(key: str, value: Any, kind: Any) -> None:
    if not fits(value, kind):
        place = set_in(key)
        where = f" (set {place})" if place else ""
        expected = re.sub(r"Literal\[(.*?)\]", lambda choices: "one of " + choices[1].replace("'", ""), written(kind))
        raise UserError(f"{key}: expected {expected}, got {value!r}{where}")


def fits(value: Any, kind: Any) -> bool:
    """Return whether a plain value may be of a type; what cannot be told from the type alone fits."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in arguments)
    if origin is Literal:
        return value in arguments
    if origin is typing.Annotated:
        return fits(value, arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(fits(part, arguments[1]) for part in value.values())
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, list) and all(fits(part, arguments[0]) for part in value)
    if kind is None or kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if kind in (int, str, bool):
        return type(value) is kind
    return True


def set_in(key: str) -> str:
    """Return where a value was set, in words: on the command line, or in which file; empty where it cannot be told."""
    if not HydraConfig.initialized():
        return ""
    hydra = HydraConfig.get()
    if any(override.partition("=")[0].lstrip("+") == key for override in hydra.overrides.task):
        return "on the command line"
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    chosen = {group.partition("@")[0]: name for group, name in hydra.runtime.choices.items() if isinstance(name, str)}
    files = [f"experiment/{chosen['experiment']}"] if "experiment" in chosen else []
    group, _, rest = key.partition(".")
    files += [f"{group}/{chosen.get(group)}", f"{group}/{rest.partition('.')[0]}", str(hydra.job.config_name)]
    for name in files:
        for folder in folders:
            file = folder / f"{name}.yaml"
            if file.is_file() and _holds(file, key):
                return f"in {file}"
    return ""


def _holds(file: Path, key: str) -> bool:
    """Whether a file sets a key, given whole or from the file's place in the configuration on."""
    node = yaml.safe_load(file.read_text(encoding="utf-8"))
    parts = key.split(".")
    return any(_at(node, parts[start:]) for start in range(min(3, len(parts))))


def _at(node: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return bool(parts)
