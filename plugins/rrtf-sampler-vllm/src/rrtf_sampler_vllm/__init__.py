"""Sampling with a vLLM engine in this process's own GPUs, for rrtf-trl."""
