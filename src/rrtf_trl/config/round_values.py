"""The settings that depend on the round, and are resolved in each round."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

SET_IN_EACH_ROUND = ("round", "model.path")
"""The keys that a run of several rounds sets in each round."""


def resolved_but_for_rounds(config: DictConfig) -> DictConfig:
    """Return a configuration in which all values are resolved that do not depend on the round."""
    unresolved = dict(_leaves(OmegaConf.to_container(config, resolve=False)))
    resolved = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
    dependent = set(SET_IN_EACH_ROUND)
    while more := {
        key for key, value in unresolved.items() if key not in dependent and _refers(key, value, dependent)
    }:
        dependent |= more
    for key in dependent.difference(SET_IN_EACH_ROUND):
        OmegaConf.update(resolved, key, unresolved[key], merge=False)
    return resolved


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, f"{path}.{name}".lstrip("."))
    else:
        yield path, node


def _refers(key: str, value: Any, others: Collection[str]) -> bool:
    """Return whether the unresolved value of a key refers to one of ``others``, or to a node around or inside one.

    Each word of an interpolation counts as a name, since a resolver may look it up. A word that is not a name does no
    harm: the value is only resolved later.
    """
    _, _, interpolated = str(value).partition("${")
    for name in re.split(r"[\s${}:,'\"\[\]]+", interpolated):
        dots = len(name) - len(name.lstrip("."))
        whole = ".".join([*key.split(".")[:-dots], name[dots:]]) if dots else name
        if any(f"{other}.".startswith(f"{whole}.") or f"{whole}.".startswith(f"{other}.") for other in others):
            return True
    return False
