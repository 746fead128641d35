"""What follows a round: the settings that each round of a run resolves for itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

ROUNDS_OWN = ("round", "model.path")
"""What a run in rounds sets anew in each round."""


def resolved_but_for_rounds(config: DictConfig) -> DictConfig:
    """Resolve what is the same in all rounds; what refers to a round's own keys is for each to resolve."""
    written = dict(_leaves(OmegaConf.to_container(config, resolve=False)))
    found = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
    following = set(ROUNDS_OWN)
    while more := {key for key, value in written.items() if key not in following and _refers(key, value, following)}:
        following |= more
    for key in following.difference(ROUNDS_OWN):
        OmegaConf.update(found, key, written[key], merge=False)
    return found


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, f"{path}.{name}".lstrip("."))
    else:
        yield path, node


def _refers(key: str, value: Any, others: Collection[str]) -> bool:
    """Whether the unresolved value of a key names one of some others, a node around it, or one within.

    Each word of an interpolation counts as a name, for a resolver may look any up. One taken for a name that is none
    does no harm: what refers to it is resolved later.
    """
    _, _, interpolated = str(value).partition("${")
    for name in re.split(r"[\s${}:,'\"\[\]]+", interpolated):
        dots = len(name) - len(name.lstrip("."))
        whole = ".".join([*key.split(".")[:-dots], name[dots:]]) if dots else name
        if any(f"{other}.".startswith(f"{whole}.") or f"{whole}.".startswith(f"{other}.") for other in others):
            return True
    return False
