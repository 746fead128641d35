"""Sweeps: a run for each of many settings, launched by Hydra; each job has a folder with its settings and outcome."""
