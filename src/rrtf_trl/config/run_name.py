"""The folder of a run: the same configuration gives the same folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from rrtf_trl.records import content_hash
from rrtf_trl.storage.run_folder import RunFolder

from .types import check_ungrouped

_FORMER_TARGETS = {"rrtf_trl.labeling.feedback.HumanLabels": "rrtf_trl.feedback.HumanLabels"}
"""Classes that were moved, with their earlier path: names of earlier runs were made with it."""
_FORMER_OPTIONS = {"rrtf_trl.feedback.UnitTests": {"backend": "executor"}}
"""Options that were renamed, with their earlier name, by class."""


def run_folder(config: DictConfig) -> RunFolder:
    """Return the folder of the run that a configuration describes."""
    check_ungrouped(config)
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return RunFolder(Path(config.runs_dir) / run_name(cast(dict[str, Any], plain)))


def run_name(config: dict[str, Any]) -> str:
    """Return the name of a run's folder; it does not depend on where the run is kept and executed."""
    # With more rounds, the finished ones are kept.
    indecisive = ("runs_dir", "name", "executor", "rounds", "early_stopping")
    decisive = _as_named({key: value for key, value in config.items() if key not in indecisive})
    return f"{config['name']}-{content_hash(decisive)[:8]}{'-rounds' if config['rounds'] > 1 else ''}"


def _as_named(node: Any) -> Any:
    """Return a node with earlier names and without budgets: with a larger budget, a stopped run continues."""
    if isinstance(node, dict):
        renamed = _FORMER_OPTIONS.get(node.get("_target_", ""), {})
        return {renamed.get(key, key): _as_named(value) for key, value in node.items() if key != "budget"}
    return _FORMER_TARGETS.get(node, node) if isinstance(node, str) else node
