"""rrtf-trl: align code models with test, teacher and human feedback.

The public names, nothing else. They load on first use: importing the package must not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers alone
    from rrtf_trl.hookspecs import hookimpl as hookimpl
    from rrtf_trl.records import Candidate as Candidate
    from rrtf_trl.records import Judgement as Judgement
    from rrtf_trl.records import Problem as Problem
    from rrtf_trl.records import RankedGroup as RankedGroup
    from rrtf_trl.training import RRTFConfig as RRTFConfig
    from rrtf_trl.training import RRTFTrainer as RRTFTrainer

__version__ = "0.1.0"

_HOMES = {
    "RRTFConfig": "rrtf_trl.training",
    "RRTFTrainer": "rrtf_trl.training",
    "Candidate": "rrtf_trl.records",
    "Judgement": "rrtf_trl.records",
    "Problem": "rrtf_trl.records",
    "RankedGroup": "rrtf_trl.records",
    "hookimpl": "rrtf_trl.hookspecs",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rrtf_trl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
