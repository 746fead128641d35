"""The parts of `gpu_checks.py`, each run in a process of its own."""
