"""Error messages for the user, with the nearest valid name for a mistyped one."""

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
    """Return the message of an error that the user can correct, or ``None`` for a bug."""
    if isinstance(error, InstantiationException):
        return _instantiation_message(error)
    if isinstance(error, ConfigCompositionException | HydraException):
        if isinstance(error, OverrideParseException):
            return f"{error.override}: not valid in Hydra's grammar: {str(error).splitlines()[0]}"
        cause = f": {error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return _composition_message(f"{error}{cause}".strip())
    if isinstance(error, OmegaConfBaseException):
        return f"configuration: {error}"
    return failure_message(error)


def _instantiation_message(error: BaseException) -> str:
    text = str(error)
    key = re.search(r"full_key: (\S+)", text)
    where = f"{key[1]}: " if key else ""
    if unknown := re.search(r"unexpected keyword argument '(\w+)'", text):
        target = re.search(r"call to target '([\w.]+)'", text)
        names = inspect.signature(get_object(target[1])).parameters if target else ()
        return f"{where}no option {unknown[1]!r}{_nearest(unknown[1], names)}"
    return f"{where}{error.__cause__ or text}"


def _composition_message(text: str) -> str:
    """Return the message for a wrong setting, with the nearest valid name for a mistyped key, group or choice."""
    if key := re.match(r"Could not (override|delete) '([\w.@/]+)'", text):
        hint = "" if key[1] == "delete" else f" (+{key[2]}=... adds one that is not there)"
        return f"no option {key[2]!r}{_nearest_key(key[2])}{hint}"
    if choice := re.match(r"(?:In '[^']*': )?Could not (?:find|load) '([\w@]+(?:/\w+)*)/([\w-]+)'", text):
        group, name = choice.groups()
        if listed := re.search(r"Available options in '[^']*':\n((?:\t\S+\n?)+)", text):
            names = listed[1].split()
        else:
            folders = plugins().config_folders()
            names = sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})
        names = [known for known in names if not known.startswith("_")]
        available = f"; there are {', '.join(names)}" if names else ""
        return f"{group} has no choice {name!r}{_nearest(name, names)}{available}"
    return text


def _nearest(name: str, names: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def _nearest_key(name: str) -> str:
    """Suggest the nearest key of all configuration files; under an existing node, the nearest key of that node."""
    from rrtf_trl.config.options import keys

    known = keys(plugins().config_folders())
    node, _, last = name.rpartition(".")
    siblings = {key.rpartition(".")[2]: key for key in reversed(known) if node and key.startswith(f"{node}.")}
    match = difflib.get_close_matches(last, siblings, n=1)
    return f"; did you mean {siblings[match[0]]!r}?" if match else _nearest(name, known)
