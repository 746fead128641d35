"""Which folder a run has: the same configuration is the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from rrtf_trl.records import content_hash
from rrtf_trl.storage.run_folder import RunFolder

from .types import check_own

_FORMER_TARGETS = {"rrtf_trl.labeling.feedback.HumanLabels": "rrtf_trl.feedback.HumanLabels"}
"""Classes that had another place: it is in the names of runs of then, which are found so."""
_FORMER_OPTIONS = {"rrtf_trl.feedback.UnitTests": {"backend": "executor"}}
"""Options that had another name, by the class that has them."""


def run_folder(config: DictConfig) -> RunFolder:
    """Return the folder of the run that a configuration describes."""
    check_own(config)
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return RunFolder(Path(config.runs_dir) / run_name(cast(dict[str, Any], plain)))


def run_name(config: dict[str, Any]) -> str:
    """Return the name of a run's folder: the same configuration is the same run, wherever it is kept and done."""
    # With more rounds, those that are there go on.
    indecisive = ("runs_dir", "name", "executor", "rounds", "early_stopping")
    decisive = _as_named({key: value for key, value in config.items() if key not in indecisive})
    return f"{config['name']}-{content_hash(decisive)[:8]}{'-rounds' if config['rounds'] > 1 else ''}"


def _as_named(node: Any) -> Any:
    """Leave out what may be spent: a run that stopped for want of budget goes on, in its folder, with a larger one."""
    if isinstance(node, dict):
        former = _FORMER_OPTIONS.get(node.get("_target_", ""), {})
        return {former.get(key, key): _as_named(value) for key, value in node.items() if key != "budget"}
    return _FORMER_TARGETS.get(node, node) if isinstance(node, str) else node
