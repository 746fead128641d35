"""Runs of rrtf-trl on a trackio dashboard."""
