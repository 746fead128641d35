"""Errors that a user can cause, and how they are told: what was wrong, where, and what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable

_MACHINES_OWN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}
"""What goes wrong with files for reasons of the machine and not of ours."""


class UserError(RuntimeError):
    """Something that the user can put right; the message says how."""


class Pruned(UserError):
    """A search ended a training early, for it did worse than others had at that point."""


def explain(error: BaseException) -> str | None:
    """Return an error as one message for the user, or ``None`` if it is a mistake of ours."""
    import sqlite3

    from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    from rrtf_trl.feedback.base import FeedbackError
    from rrtf_trl.problems import InputError
    from rrtf_trl.rank_stage import NothingToTrainOn
    from rrtf_trl.store import StoreError

    if isinstance(error, UserError | FeedbackError | NothingToTrainOn | InputError | StoreError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _MACHINES_OWN and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, sqlite3.DatabaseError):
        return f"the store of samples and verdicts: {error}; what was written before is kept"
    if isinstance(error, InstantiationException):
        return _explain_instantiation(error)
    if isinstance(error, ConfigCompositionException | HydraException):
        if isinstance(error, OverrideParseException):
            return f"{error.override}: no setting of Hydra's grammar: {str(error).splitlines()[0]}"
        cause = f": {error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return _explain_composition(f"{error}{cause}".strip())
    if isinstance(error, OmegaConfBaseException):
        return f"configuration: {error}"
    return None


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
    from rrtf_trl.plugins import plugins

    return sorted({file.stem for folder in plugins().config_folders() for file in (folder / group).glob("*.yaml")})


def _nearest(name: str, names: Iterable[str]) -> str:
    import difflib

    match = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def _nearest_key(name: str) -> str:
    """Suggest the nearest key of our and the plugins' configuration; where its place is right, the nearest there."""
    import difflib

    from rrtf_trl.configuration.options import keys
    from rrtf_trl.plugins import plugins

    known = keys(plugins().config_folders())
    place, _, last = name.rpartition(".")
    there = {key.rpartition(".")[2]: key for key in reversed(known) if place and key.startswith(f"{place}.")}
    match = difflib.get_close_matches(last, there, n=1)
    return f"; did you mean {there[match[0]]!r}?" if match else _nearest(name, known)


def _arguments(target: str) -> list[str]:
    import inspect

    from hydra.utils import get_object

    return list(inspect.signature(get_object(target)).parameters)
