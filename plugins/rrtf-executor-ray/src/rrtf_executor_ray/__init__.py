"""Sampling, feedback and evaluation of rrtf-trl on a Ray cluster."""
