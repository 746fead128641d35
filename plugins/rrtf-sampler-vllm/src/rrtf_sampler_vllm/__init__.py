"""Sampling with a vLLM engine on this machine, for rrtf-trl."""
