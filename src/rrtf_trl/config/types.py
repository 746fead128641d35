"""Refuses values of the wrong type before any work; the message names the key and where it was set."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import yaml  # type: ignore[import-untyped]
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from rrtf_trl.errors import UserError

_UNGROUPED = {"name": str, "seed": int, "runs_dir": str, "rounds": int, "round": int}
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def check_types(config: DictConfig, leave_out: Sequence[str] = ()) -> None:
    """Check that each value has the type of the argument that it is for.

    Args:
        config: The whole configuration.
        leave_out: Groups that are not checked, because their classes are not to be imported.

    Raises:
        UserError: If a value does not; the message names the key, the type and where the value was set.
    """
    check_ungrouped(config)
    for name in map(str, config):
        node = None if name in leave_out or OmegaConf.is_missing(config, name) else config[name]
        if isinstance(node, DictConfig):
            for key, value, kind in _typed(node, name):
                _check(key, value, kind)


def check_ungrouped(config: DictConfig) -> None:
    """Check the values that are in no group, see :func:`check_types`."""
    for name, kind in _UNGROUPED.items():
        if name in config and not OmegaConf.is_missing(config, name):
            _check(name, config[name], kind)


def _typed(node: DictConfig, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the key, the value and the type of each value under a node that is an argument."""
    kinds = argument_types(node["_target_"]) if "_target_" in node else {}
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


def argument_types(target: str) -> dict[str, Any]:
    """Return the types of a class's or function's arguments; those that only a type checker can resolve as text."""
    thing = get_object(target)
    found: dict[str, Any] = {}
    # The class itself for a dataclass's fields; types of its bases may resolve only in their own modules.
    for part in [thing, *(vars(base).get("__init__") for base in reversed(getattr(thing, "__mro__", [])))]:
        try:
            found |= get_type_hints(part) if part else {}
        except (NameError, AttributeError):
            found = {**inspect.get_annotations(part), **found}
    return found


def _check(key: str, value: Any, kind: Any) -> None:
    if not fits(value, kind):
        place = set_in(key)
        where = f" (set {place})" if place else ""
        expected = re.sub(r"Literal\[(.*?)\]", lambda choices: "one of " + choices[1].replace("'", ""), written(kind))
        raise UserError(f"{key}: expected {expected}, got {value!r}{where}")


def fits(value: Any, kind: Any) -> bool:
    """Return whether a plain value may be of a type; true if the type alone does not decide it."""
    import msgspec  # not needed for a command's help

    try:
        msgspec.convert(value, kind, dec_hook=_not_plain)
    except msgspec.ValidationError:
        return False
    except (TypeError, NotImplementedError):  # a type that no plain value has
        return True
    return True


def _not_plain(kind: type, value: Any) -> NoReturn:
    raise NotImplementedError(kind)


def written(annotation: Any) -> str:
    """Return a type as text, with YAML's word for ``None``."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)  # without the modules
    text = re.sub(r"Optional\[(\w+)\]", r"\1 | None", text)
    return text.replace("NoneType", "null").replace("None", "null")


def set_in(key: str) -> str:
    """Return where a value was set, ``on the command line`` or ``in FILE``; empty if that is unknown."""
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
    """Return whether a file sets a key, in full or relative to the file's package."""
    parts = key.split(".")
    ends = {".".join(parts[start:]) for start in range(min(3, len(parts)))}
    return not ends.isdisjoint(dotted(yaml.safe_load(file.read_text(encoding="utf-8")) or {}))


def dotted(node: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the dotted keys of a configuration file, without Hydra's."""
    for name, value in node.items():
        if not str(name).startswith("_") and (name != "defaults" or path):
            key = f"{path}.{name}".lstrip(".")
            yield key
            yield from dotted(value, key) if isinstance(value, dict) else ()
