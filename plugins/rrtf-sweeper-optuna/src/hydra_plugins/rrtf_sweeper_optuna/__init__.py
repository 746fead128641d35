"""Optuna search as a sweeper of Hydra: ``hydra/sweeper=rrtf_optuna``.

It imports nothing: `rrtf` imports this package whenever it starts, to load :mod:`._plugin`.
"""
