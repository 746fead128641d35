"""Optuna search as a sweeper of Hydra: ``hydra/sweeper=rrtf_optuna``. Optuna itself is loaded when it is used."""

from .config import OptunaSweeperConfig
from .sweeper import OptunaSweeper

__all__ = ["OptunaSweeper", "OptunaSweeperConfig"]
