"""The plugin of rrtf-trl. It is imported whenever `rrtf` starts, so it imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from rrtf_trl import hookimpl
from rrtf_trl.plugins.hookspecs import Targets

RRTF_CONTRACT = 1


@hookimpl
def rrtf_samplers() -> Targets:
    """Return the sampler by its name."""
    return {"vllm": "rrtf_sampler_vllm.draw:VLLMSampler"}


@hookimpl
def rrtf_config_paths() -> Sequence[str | Path]:
    """Return the folder of the configuration."""
    return ["pkg://rrtf_sampler_vllm.conf"]
