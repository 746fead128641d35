"""Lists all options, from the configuration files, their comments, and the classes that they name."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra.utils import get_object

from rrtf_trl.errors import UserError

from .types import argument_types, dotted, written

_PACKAGE = re.compile(r"^# @package (\S+)$")
_PLACED = re.compile(r"(?:override )?/?([\w/]+)@([a-z][\w.]*)$")
_COMMENT = re.compile(r"(?:^|\s)#\s?(.*)$")

_FOREIGN = ("transformers", "trl", "peft", "torch")
"""Libraries whose own documentation describes their options."""


@dataclass(frozen=True)
class Option:
    """A value that can be set.

    Args:
        key: As on the command line, ``trainer.rank_weight``.
        type: Of the argument that it sets, or else of the default.
        default: As in the file.
        help: Its description.
    """

    key: str
    type: str
    default: str
    help: str


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file, which is one choice of a group.

    Args:
        group: The group, empty for a whole configuration such as ``config.yaml``.
        name: The choice.
        help: The first comment of the file.
        sets: The choices of other groups that it makes, and the options of them that an experiment sets.
        options: Its options.
    """

    group: str
    name: str
    help: str
    sets: list[str]
    options: list[Option]


def choices(folders: Sequence[Path], groups: Sequence[str] = ()) -> list[ConfigFile]:
    """Return the configuration files of some folders; of two with the same name, the first.

    Args:
        folders: In Hydra's order.
        groups: Only these groups, and whole configurations by their names; empty for all.

    Raises:
        UserError: If there is no such group.
    """
    files = sorted(_files(folders).items())
    names = dict.fromkeys(group or name for (group, name), _ in files)
    for requested in groups:
        if requested not in names:
            raise UserError(f"no group {requested!r}; there are {', '.join(names)}")
    found = [_choice(file, group) for (group, name), file in files if not groups or (group or name) in groups]
    # The comment on an option in one choice of a group applies to the other choices.
    helps = {(choice.group, option.key): option.help for choice in found for option in choice.options if option.help}

    def helped(choice: ConfigFile, option: Option) -> Option:
        return replace(option, help=option.help or helps.get((choice.group, option.key), ""))

    return [replace(choice, options=[helped(choice, option) for option in choice.options]) for choice in found]


def keys(folders: Sequence[Path]) -> list[str]:
    """Return every key and every group of some folders of configuration; the classes in them are not imported."""
    found: dict[str, None] = {}
    group_keys: dict[str, list[str]] = {}  # the keys of a group's choices, relative to the group
    placed: list[tuple[str, str]] = []  # a package, and the group that is also placed there
    for (group, _), file in _files(folders).items():
        package, _, text = _head(file, group)
        try:
            node: Any = yaml.safe_load(text) or {}
        except yaml.YAMLError:
            continue  # the error is reported when the file is used
        file_keys = list(dotted(node))
        group_keys.setdefault(group, []).extend(file_keys)
        parents = itertools.accumulate(filter(None, package.split(".")), "{}.{}".format)
        full = [f"{package}.{key}".lstrip(".") for key in file_keys]
        found |= dict.fromkeys([*filter(None, [group]), *parents, *full])
        chosen = [name for part in node.get("defaults", []) if isinstance(part, dict) for name in part]
        placed += [(f"{package}.{put[2]}".lstrip("."), put[1]) for put in map(_PLACED.match, chosen) if put]
    for place, group in placed:
        found |= dict.fromkeys([place, *(f"{place}.{key}" for key in group_keys.get(group, []))])
    return list(found)


def choices_with(folders: Sequence[Path], key: str) -> str:
    """Return the choices whose files have an option, as ``group=one, other``; empty for an option of none."""
    found: dict[str, list[str]] = {}
    for (group, name), file in sorted(_files(folders).items()):
        package, _, text = _head(file, group)
        try:
            node: Any = yaml.safe_load(text) or {}
        except yaml.YAMLError:
            continue
        if group and package and key in (f"{package}.{part}" for part in dotted(node)):
            found.setdefault(group, []).append(name)
    return ", ".join(f"{group}={', '.join(names)}" for group, names in found.items())


def _files(folders: Sequence[Path]) -> dict[tuple[str, str], Path]:
    """Return the files by group and name; of two with the same name, the first."""
    files: dict[tuple[str, str], Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*.yaml")):
            group = "/".join(file.relative_to(folder).parts[:-1])
            if group != "accelerate":  # its files are for `accelerate launch`
                files.setdefault((group, file.stem), file)
    return files


def _head(file: Path, group: str) -> tuple[str, str, str]:
    """Return a file's package, its first comment, and its text."""
    text = file.read_text(encoding="utf-8")
    package, comment = group.replace("/", "."), []
    for line in itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()):
        if match := _PACKAGE.match(line):
            package = "" if match[1] == "_global_" else match[1]
        else:
            comment.append(line.lstrip("# "))
    return package, " ".join(comment), text


def _choice(file: Path, group: str) -> ConfigFile:
    package, description, text = _head(file, group)
    node: Any = yaml.safe_load(text)
    node = node if isinstance(node, dict) else {}
    defaults = node.get("defaults", [])
    sets = [
        f"{key.removeprefix('override ')}={value}"
        for part in defaults
        if isinstance(part, dict)
        for key, value in part.items()
    ]
    sets += [part for part in defaults if isinstance(part, str) and part != "_self_"]
    comments = dict(_comments(yaml.compose(text, yaml.SafeLoader), text.splitlines()))
    options = list(_options(node, package, "", comments, {}))
    if group and not package:  # an experiment sets options of others
        sets += [f"{option.key}={option.default}" for option in options]
        options = []
    return ConfigFile(group, file.stem, description, sets, options)


def _comments(node: yaml.Node, lines: Sequence[str], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each dotted key that has a comment, beside it or in the line above, with the comment."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        dotted_key, line = f"{path}.{key.value}".lstrip("."), key.end_mark.line
        end = value.end_mark if value.end_mark.line == line else key.end_mark
        comment = _COMMENT.search(lines[line][end.column :]) or _COMMENT.match(lines[line - 1].strip() if line else "")
        if comment:
            yield dotted_key, comment[1]
        yield from _comments(value, lines, dotted_key)


def _options(
    node: Mapping[str, Any], package: str, path: str, comments: Mapping[str, str], known: Mapping[str, tuple[str, str]]
) -> Iterator[Option]:
    target = node.get("_target_")
    known = _arguments(target) if target else known
    for name, value in node.items():
        if name.startswith("_") or (name == "defaults" and not path):
            continue
        file_key = f"{path}.{name}".lstrip(".")
        kind, description = known.get(name, ("", ""))
        if isinstance(value, dict) and value and (not kind or "_target_" in value):
            yield from _options(value, package, file_key, comments, {})
            continue
        key = f"{package}.{file_key}".lstrip(".")
        yield Option(key, kind or _type_of(value), _shown(value), comments.get(file_key) or description)


def _arguments(target: str) -> dict[str, tuple[str, str]]:
    """Return the type and description of each argument of a class or function; not descriptions of ``_FOREIGN``."""
    thing = get_object(target)
    described: dict[str, str] = {}
    for part in reversed(getattr(thing, "__mro__", [thing])):
        if part.__module__.partition(".")[0] not in _FOREIGN:
            described |= _described(inspect.getdoc(part) or "")
    return {name: (written(kind), described.get(name, "")) for name, kind in argument_types(target).items()}


def _described(doc: str) -> dict[str, str]:
    """Return the first sentence on each argument in a docstring of any common style."""
    from docstring_parser import parse  # needed only to list options

    arguments = parse(re.sub(r"(?m)^\s*> .*$", "", doc)).params  # without Hugging Face's headings between arguments
    return {each.arg_name: _first_sentence(each.description or "") for each in arguments}


def _first_sentence(text: str) -> str:
    """Return a docstring's first sentence on one line, without its markup."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"\1", re.sub(r"\s+", " ", text)).replace("``", "`").strip()
    return re.split(r"(?<=[.;]) ", text)[0].rstrip(".;")


def _type_of(value: Any) -> str:
    if value is None or (isinstance(value, str) and ("${" in value or value == "???")):
        return ""
    return type(value).__name__


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return str(yaml.safe_dump(value, default_flow_style=True, width=10_000)).strip()
    return "must be given" if value == "???" else str(value)
