"""How errors are shown: one message, with the nearest right name where one was mistyped."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable

from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
from hydra.utils import get_object
from omegaconf.errors import OmegaConfBaseException

from rrtf_trl.plugins import plugins
from rrtf_trl.storage.failure import failure_message


def error_message(error: BaseException) -> str | None:
    """Return an error as one message for the user, or ``None`` if it is a mistake of ours."""
    if isinstance(error, InstantiationException):
        return _explain_instantiation(error)
    if isinstance(error, ConfigCompositionException | HydraException):
        if isinstance(error, OverrideParseException):
            return f"{error.override}: no setting of Hydra's grammar: {str(error).splitlines()[0]}"
        cause = f": {error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return _explain_composition(f"{error}{cause}".strip())
    if isinstance(error, OmegaConfBaseException):
        return f"configuration: {error}"
    return failure_message(error)


def _explain_instantiation(error: BaseException) -> str:
    text = str(error)
    key = re.search(r"full_key: (\S+)", text)
    where = f"{key.group(1)}: " if key else ""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", text)
    if unknown:
        target = re.search(r"call to target '([\w.]+)'", text)
        names = _arguments(target.group(1)) if target else []
        return f"{where}no option {unknown.group(1)!r}" + _nearest(unknown.group(1), names)
    cause = error.__cause__
    return f"{where}{cause if cause is not None else text}"


def _explain_composition(text: str) -> str:
    """Tell what is wrong with a setting; of a mistyped key, group or choice the nearest right name too."""
    key = re.match(r"Could not (?:override|delete) '([\w.@/]+)'", text)
    if key:
        added = "" if "delete" in key.group(0) else f" (+{key.group(1)}=... adds one that is not there)"
        return f"no option {key.group(1)!r}{_nearest_key(key.group(1))}{added}"
    choice = re.match(r"(?:In '[^']*': )?Could not (?:find|load) '([\w@]+(?:/\w+)*)/([\w-]+)'", text)
    if choice:
        group, name = choice.groups()
        listed = re.search(r"Available options in '[^']*':\n((?:\t\S+\n?)+)", text)
        names = listed.group(1).split() if listed else _choices(group)
        names = [known for known in names if not known.startswith("_")]
        there = f"; there are {', '.join(names)}" if names else ""
        return f"{group} has no choice {name!r}{_nearest(name, names)}{there}"
    return text


def _choices(group: str) -> list[str]:
    return sorted({file.stem for folder in plugins().config_folders() for file in (folder / group).glob("*.yaml")})


def _nearest(name: str, names: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def _nearest_key(name: str) -> str:
    """Suggest the nearest key of our and the plugins' configuration; where its place is right, the nearest there."""
    from rrtf_trl.config.options import keys

    known = keys(plugins().config_folders())
    place, _, last = name.rpartition(".")
    there = {key.rpartition(".")[2]: key for key in reversed(known) if place and key.startswith(f"{place}.")}
    match = difflib.get_close_matches(last, there, n=1)
    return f"; did you mean {there[match[0]]!r}?" if match else _nearest(name, known)


def _arguments(target: str) -> list[str]:
    return list(inspect.signature(get_object(target)).parameters)
