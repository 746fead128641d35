"""Sampling with a vLLM engine on this machine's GPUs, for rrtf-trl."""
