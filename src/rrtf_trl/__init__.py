"""rrtf-trl: align code models with test, teacher and human feedback.

Only the public names. They are loaded on first use: importing the package must not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rrtf_trl import registry

if TYPE_CHECKING:  # for type checkers alone
    from rrtf_trl.pipeline.api import Candidates as Candidates
    from rrtf_trl.pipeline.api import Figures as Figures
    from rrtf_trl.pipeline.api import evaluate as evaluate
    from rrtf_trl.pipeline.api import judge as judge
    from rrtf_trl.pipeline.api import rank as rank
    from rrtf_trl.pipeline.api import read_problems as read_problems
    from rrtf_trl.pipeline.api import sample as sample
    from rrtf_trl.pipeline.check import evaluate_functional_correctness as evaluate_functional_correctness
    from rrtf_trl.plugins import hookimpl as hookimpl
    from rrtf_trl.records import Candidate as Candidate
    from rrtf_trl.records import Judgement as Judgement
    from rrtf_trl.records import Problem as Problem
    from rrtf_trl.records import RankedGroup as RankedGroup
    from rrtf_trl.training import RRTFConfig as RRTFConfig
    from rrtf_trl.training import RRTFTrainer as RRTFTrainer

__version__ = "0.1.0"

_MODULES = {
    "RRTFConfig": "rrtf_trl.training",
    "RRTFTrainer": "rrtf_trl.training",
    "Candidates": "rrtf_trl.pipeline.api",
    "Figures": "rrtf_trl.pipeline.api",
    "evaluate": "rrtf_trl.pipeline.api",
    "judge": "rrtf_trl.pipeline.api",
    "rank": "rrtf_trl.pipeline.api",
    "read_problems": "rrtf_trl.pipeline.api",
    "sample": "rrtf_trl.pipeline.api",
    "evaluate_functional_correctness": "rrtf_trl.pipeline.check",
    "Candidate": "rrtf_trl.records",
    "Judgement": "rrtf_trl.records",
    "Problem": "rrtf_trl.records",
    "RankedGroup": "rrtf_trl.records",
    "hookimpl": "rrtf_trl.plugins",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'rrtf_trl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _plugin_objects(kind: registry.Kind) -> Any:
    """Return the plugins' objects of a kind; plugins are loaded only here."""
    return import_module("rrtf_trl.plugins.objects").PluginObjects(kind)


registry.ask_plugins(_plugin_objects)
