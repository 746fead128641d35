"""Objects that are found by name: samplers, feedback sources, losses, readers of rows, sections of a report.

A built-in name has a target, ``"module:attribute"``, which is imported on first use. Plugins are asked only for a name
that is not built in, or to list all names.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

Kind = Literal["sampler", "feedback", "ranking", "executor", "loss", "problem_reader", "report_section"]

BUILTIN: dict[Kind, dict[str, str]] = {
    "sampler": {
        "transformers": "rrtf_trl.samplers:TransformersSampler",
        "teacher": "rrtf_trl.samplers:TransformersSampler",
        "openai": "rrtf_trl.samplers:OpenAISampler",
        "reference": "rrtf_trl.samplers:ReferenceSampler",
        "replay": "rrtf_trl.samplers:ReplaySampler",
    },
    "feedback": {
        "unit_tests": "rrtf_trl.feedback:UnitTests",
        "teacher": "rrtf_trl.feedback:Teacher",
        "human": "rrtf_trl.labeling.feedback:HumanLabels",
    },
    "ranking": dict.fromkeys(("ordinal", "coderl", "rltf", "pass_ratio"), "rrtf_trl.ranking:Ranking"),
    "executor": {"local": "rrtf_trl.pipeline.executor:LocalExecutor"},
    "loss": {
        "rrtf": "rrtf_trl.training.losses:ranking_loss",
        "rrhf": "rrtf_trl.training.losses:ranking_loss",
        **{
            name: f"rrtf_trl.training.losses:{name}_loss"
            for name in ("list_mle", "lipo", "dpo_pl", "simpo", "asymre", "topr", "nft", "real", "tree_credit")
        },
    },
    "problem_reader": {  # in the order in which they are tried
        "rrtf": "rrtf_trl.problems.formats:from_ours",
        "evalplus": "rrtf_trl.problems.evalplus:from_evalplus",
        "livecodebench": "rrtf_trl.problems.contests:from_livecodebench",
        "apps": "rrtf_trl.problems.contests:from_apps",
        "humaneval": "rrtf_trl.problems.formats:from_humaneval",
        "mbpp": "rrtf_trl.problems.formats:from_mbpp",
    },
    "report_section": {  # in the order of the page
        name: f"rrtf_trl.report.sections:{name}"
        for name in ("training", "answers", "spread", "dropped", "judges", "ranked", "heldout", "how")
    },
}

_plugin_objects: Callable[[Kind], Mapping[str, Any]] = lambda kind: {}  # noqa: E731


def ask_plugins(objects: Callable[[Kind], Mapping[str, Any]]) -> None:
    """Set the function that returns the plugins' objects of a kind, by name; it loads an object on look-up."""
    global _plugin_objects
    _plugin_objects = objects


def names(kind: Kind) -> Iterator[str]:
    """Yield all names of a kind, the built-in ones first; plugins are loaded after those."""
    yield from BUILTIN[kind]
    yield from _plugin_objects(kind)


def find(kind: Kind, name: str) -> Any:
    """Return the object of a kind that has a name.

    Raises:
        KeyError: If there is none.
    """
    target = BUILTIN[kind].get(name)
    return _plugin_objects(kind)[name] if target is None else load(target)


def load(target: str) -> Any:
    """Import ``module:attribute``."""
    module, _, attribute = target.partition(":")
    return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
