"""``~`` for the home folder, in any value of a configuration that is a path from there on."""

from __future__ import annotations

import os

from omegaconf import DictConfig, OmegaConf

from rrtf_trl.files.paths import home_expanded

OmegaConf.register_new_resolver("at_home", os.path.expanduser, replace=True)  # for Hydra's own folder of a sweep


def at_home(config: DictConfig) -> DictConfig:
    """Return a configuration with each ``~`` replaced; other values, and references to them, are as they were."""
    written = OmegaConf.to_container(config, resolve=False)
    expanded = home_expanded(written)
    if expanded == written:
        return config
    result: DictConfig = OmegaConf.create(expanded)
    OmegaConf.set_struct(result, OmegaConf.is_struct(config))
    return result
