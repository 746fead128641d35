"""Sweeps: a run for each of many settings, launched by Hydra, each job with a folder that tells what became of it."""
