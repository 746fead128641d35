"""Runs: the stages in order, each resumed where it was, and the Python API over them."""
