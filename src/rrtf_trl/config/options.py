"""Every option of every group: read from the configuration files, their comments, and the classes that they name."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml  # type: ignore[import-untyped]
from hydra.utils import get_object

from rrtf_trl.errors import UserError

_PACKAGE = re.compile(r"^# @package (\S+)$")
_PLACED = re.compile(r"(?:override )?/?([\w/]+)@([a-z][\w.]*)$")
_LINE = re.compile(r"^( *)([\w@/.]+):(?: (.*))?$")
_COMMENT = re.compile(r"(?:^|\s)#\s?(.*)$")
_ENTRY = re.compile(r"\n[ \t]+(\w+)(?: \([^\n]*\))?:[ \n]\s*")

_FOREIGN = ("transformers", "trl", "peft", "torch")
"""Libraries whose own documentation tells of their options, at length."""


@dataclass(frozen=True)
class Option:
    """A value that can be set.

    Args:
        key: As on the command line, ``trainer.rank_weight``.
        type: As the class or function takes it that gets it, or else the default's.
        default: As in the file.
        help: What it does.
    """

    key: str
    type: str
    default: str
    help: str


@dataclass(frozen=True)
class Choice:
    """A file of a group.

    Args:
        group: The group, empty for a whole configuration such as ``config.yaml``.
        name: What the group is set to.
        help: What it is, the first comment of the file.
        sets: Other groups that it chooses, and what an experiment sets of them.
        options: Its options.
    """

    group: str
    name: str
    help: str
    sets: list[str]
    options: list[Option]


def choices(folders: Sequence[Path], groups: Sequence[str] = ()) -> list[Choice]:
    """Return all files of some folders of configuration; of two of the same name the first counts.

    Args:
        folders: In the order in which Hydra looks into them.
        groups: Only these; of the whole configurations, which have no group, those with such a name. None are all.

    Raises:
        UserError: If there is no such group.
    """
    files = _files(folders)
    names = dict.fromkeys(group or name for group, name in sorted(files))
    for asked in groups:
        if asked not in names:
            raise UserError(f"no group {asked!r}; there are {', '.join(names)}")
    found = [
        _choice(file, group)
        for (group, name), file in sorted(files.items())
        if not groups or (group or name) in groups
    ]
    # What one choice of a group says of an option goes for the others too.
    told = {(choice.group, option.key): option.help for choice in found for option in choice.options if option.help}
    return [
        replace(
            choice,
            options=[
                replace(option, help=option.help or told.get((choice.group, option.key), ""))
                for option in choice.options
            ],
        )
        for choice in found
    ]


def keys(folders: Sequence[Path]) -> list[str]:
    """Return every key of some folders of configuration, and every group; nothing that they name is imported."""
    found: dict[str, None] = {}
    inside: dict[str, list[str]] = {}  # the keys of a group's choices, from its place on
    placed: list[tuple[str, str]] = []  # where else a group is put, and which
    for (group, _), file in _files(folders).items():
        package, _, text = _head(file, group)
        try:
            node: Any = yaml.safe_load(text) or {}
        except yaml.YAMLError:
            continue  # it is told where the file is used
        own = list(_keys(node, ""))
        inside.setdefault(group, []).extend(own)
        around = itertools.accumulate(filter(None, package.split(".")), "{}.{}".format)
        found |= dict.fromkeys([*filter(None, [group]), *around, *(f"{package}.{key}".lstrip(".") for key in own)])
        chosen = [name for part in node.get("defaults", []) if isinstance(part, dict) for name in part]
        placed += [(f"{package}.{put[2]}".lstrip("."), put[1]) for put in map(_PLACED.match, chosen) if put]
    for place, group in placed:
        found |= dict.fromkeys([place, *(f"{place}.{key}" for key in inside.get(group, []))])
    return list(found)


def _keys(node: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, value in node.items():
        if not str(name).startswith("_") and (name != "defaults" or path):
            key = f"{path}.{name}".lstrip(".")
            yield key
            yield from _keys(value, key) if isinstance(value, dict) else ()


def _files(folders: Sequence[Path]) -> dict[tuple[str, str], Path]:
    """Return the files by group and name; of two the first counts."""
    files: dict[tuple[str, str], Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*.yaml")):
            group = "/".join(file.relative_to(folder).parts[:-1])
            if group != "accelerate":  # its files are for `accelerate launch`
                files.setdefault((group, file.stem), file)
    return files


def _head(file: Path, group: str) -> tuple[str, list[str], str]:
    """Return a file's package, the comment that it begins with, and its text."""
    text = file.read_text(encoding="utf-8")
    package, told = group.replace("/", "."), []
    for line in text.splitlines():
        if match := _PACKAGE.match(line):
            package = "" if match[1] == "_global_" else match[1]
        elif line.startswith("#"):
            told.append(line.lstrip("# "))
        else:
            break
    return package, told, text


def _choice(file: Path, group: str) -> Choice:
    package, told, text = _head(file, group)
    node: Any = yaml.safe_load(text) or {}
    chosen = [part for part in node.get("defaults", []) if part != "_self_"] if isinstance(node, dict) else []
    sets = [f"{key.removeprefix('override ')}={value}" for part in chosen if isinstance(part, dict)
            for key, value in part.items()]  # fmt: skip
    sets += [part for part in chosen if isinstance(part, str)]
    comments = _comments(text.splitlines())
    options = list(_options(node, package, "", comments, {})) if isinstance(node, dict) else []
    if group and not package:  # an experiment sets options of others
        sets += [f"{option.key}={option.default}" for option in options]
        options = []
    return Choice(group, file.stem, " ".join(told), sets, options)


def _comments(lines: Sequence[str]) -> dict[str, str]:
    """Return the comment beside each key, or in the line above it, by its dotted path."""
    found: dict[str, str] = {}
    path = [("", -1)]
    for above, line in itertools.pairwise(["", *lines]):
        match = _LINE.match(line)
        if match is None:
            continue
        indent = len(match[1])
        while path[-1][1] >= indent:
            path.pop()
        key = f"{path[-1][0]}.{match[2]}".lstrip(".")
        path.append((key, indent))
        if comment := _COMMENT.search(match[3] or "") or _COMMENT.match(above.strip()):
            found[key] = comment[1]
    return found


def _options(
    node: Mapping[str, Any], package: str, path: str, comments: Mapping[str, str], known: Mapping[str, tuple[str, str]]
) -> Iterator[Option]:
    target = node.get("_target_")
    known = _arguments(target) if target else known
    for name, value in node.items():
        if name.startswith("_") or (name == "defaults" and not path):
            continue
        inside = f"{path}.{name}".lstrip(".")
        kind, told = known.get(name, ("", ""))
        if isinstance(value, dict) and value and (not kind or "_target_" in value):
            yield from _options(value, package, inside, comments, {})
            continue
        key = f"{package}.{inside}".lstrip(".")
        yield Option(key, kind or _type_of(value), _shown(value), comments.get(inside) or told)


def _arguments(target: str) -> dict[str, tuple[str, str]]:
    """Return the type and the description of each argument of a class or function, what others describe left out."""
    thing = get_object(target)
    classes = [part for part in getattr(thing, "__mro__", [thing]) if part is not object]
    types: dict[str, str] = {}
    for part in classes:
        for name, parameter in inspect.signature(part).parameters.items():
            types.setdefault(name, written(parameter.annotation))
    if isinstance(thing, type):
        types |= {name: written(kind) for name, kind in get_type_hints(thing).items()}
    described: dict[str, str] = {}
    for part in (part for part in classes if part.__module__.partition(".")[0] not in _FOREIGN):
        described = {**_described(inspect.getdoc(part) or ""), **described}
    return {name: (kind, described.get(name, "")) for name, kind in types.items()}


def _described(doc: str) -> dict[str, str]:
    """Return the first sentence on each argument of a docstring, in Google's or Hugging Face's style."""
    parts = _ENTRY.split(doc)
    return {name: re.split(r"(?<=[.;]) |\n\n", _plain(text))[0].rstrip(".;") for name, text in
            zip(parts[1::2], parts[2::2], strict=True)}  # fmt: skip


def _plain(text: str) -> str:
    """Return a docstring's text on one line, without its markup."""
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", re.sub(r"\s+", " ", text)).replace("``", "`").strip()


def written(annotation: Any) -> str:
    """Return a type as it is written, with YAML's word for ``None``."""
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)  # without the modules
    text = re.sub(r"Optional\[(\w+)\]", r"\1 | None", text)
    return text.replace("NoneType", "null").replace("None", "null")


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
