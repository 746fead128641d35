"""Error messages for the user, with the nearest valid name for a mistyped one."""

from __future__ import annotations

import difflib
import inspect
import re
import shlex
from collections.abc import Iterable

from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, OverrideParseException
from hydra.utils import get_object
from omegaconf.errors import OmegaConfBaseException

from rrtf_trl.plugins import plugins
from rrtf_trl.storage.failure import failure_message

from .grammar import quoted
from .options import choices_with


def error_message(error: BaseException) -> str | None:
    """Return the message of an error that the user can correct, or ``None`` for a bug."""
    if isinstance(error, InstantiationException):
        return _instantiation_message(error)
    if isinstance(error, ConfigCompositionException | HydraException):
        if isinstance(error, OverrideParseException):
            return _grammar_message(error)
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


def _grammar_message(error: OverrideParseException) -> str:
    reason = str(error).splitlines()[0].removesuffix(f": {error.override}")
    if reason.startswith("Lexer"):
        reason = "it has a sign that is none there"
    as_text = quoted(error.override)
    remedy = f"; quote the value if it is a text: {shlex.quote(as_text)}" if as_text else ""
    return f"{error.override}: not valid in Hydra's grammar: {reason}{remedy}"


def _composition_message(text: str) -> str:
    """Return the message for a wrong setting, with the nearest valid name for a mistyped key, group or choice."""
    if several := re.match(r"Ambiguous value for argument '(.+?)'$", text, re.MULTILINE):
        key, _, value = several[1].partition("=")
        as_list, as_text = shlex.quote(f"{key}=[{value}]"), shlex.quote(quoted(several[1]) or "")
        return (
            f"{several[1]}: several values: add --multirun to run each, or write a list {as_list} or a text {as_text}"
        )
    if there := re.match(r"Could not append to config\. An item is already at '([^']+)'", text):
        return f"{there[1]} is an option already: set it without +"
    if key := re.match(r"Could not (override|delete) '([\w.@/]+)'", text):
        if owners := choices_with(plugins().config_folders(), key[2]):
            return f"no option {key[2]!r} here; {owners} {'have' if ', ' in owners else 'has'} it"
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
