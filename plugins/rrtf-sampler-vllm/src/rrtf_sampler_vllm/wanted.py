"""How a vLLM server must have been started to be drawn from, and what of that it was not."""

from __future__ import annotations

from typing import Any

from rrtf_trl.errors import UserError

from .http import RequestRefused, get

_OWN = {"generation_config"}  # each request names its decoding


def check_server(
    address: str, engine: dict[str, Any], logprobs: bool, lora_rank: int | None
) -> tuple[dict[str, Any], str]:
    """Return a server's configuration, and vLLM's version.

    Args:
        address: The server's.
        engine: The arguments of ``vllm.LLM`` that it must have been started with.
        logprobs: Whether log-probabilities are going to be asked for.
        lora_rank: Of the adapter that is going to be trained, or ``None``.

    Raises:
        UserError: With the option or variable to start it with.
    """
    try:
        version = get(address, "/version")["version"]
        info = get(address, "/server_info?config_format=json")
    except (RequestRefused, TypeError, KeyError):
        raise UserError(
            f"sampler.vllm.server: {address} is no vLLM server in development mode, in which alone weights can be "
            "loaded and verified: start it with the environment variable VLLM_SERVER_DEV_MODE=1, for this machine only"
        ) from None
    config: dict[str, Any] = info["vllm_config"]
    for remedy in _faults(config, info["vllm_env"], engine, logprobs, lora_rank):
        raise UserError(f"sampler.vllm.server: {address} cannot be used for this run: start it with {remedy}")
    return config, str(version)


def _faults(
    config: dict[str, Any], variables: dict[str, Any], engine: dict[str, Any], logprobs: bool, lora_rank: int | None
) -> list[str]:
    faults = []
    if config["parallel_config"]["data_parallel_size"] > 1:
        faults.append("--data-parallel-size 1, since the weights of one engine are verified")
    if config["device_config"]["device"] == "cpu" and config["scheduler_config"]["enable_chunked_prefill"]:
        faults.append("--no-enable-chunked-prefill, without which draws with seeds end an engine on a processor")
    if logprobs and config["model_config"]["logprobs_mode"] != "processed_logprobs":
        faults.append("--logprobs-mode processed_logprobs, for log-probabilities at the temperature of the draws")
    if lora_rank is not None:
        lora = config["lora_config"]
        if lora is None or lora["max_lora_rank"] < lora_rank:
            faults.append(f"--enable-lora --max-lora-rank {lora_rank}, since an adapter is trained")
        if not variables.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
            faults.append("VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, since an adapter is trained")
    for name, value in engine.items():
        if name not in _OWN and (found := _setting(config, name)) != str(value):
            faults.append(f"{name}={value}, as sampler.vllm.engine has it; the server has {found}")
    return faults


def _setting(config: dict[str, Any], name: str) -> str:
    """Return the value of an argument of ``vllm.LLM`` in a server's configuration."""
    sections = (section for section in config.values() if isinstance(section, dict))
    return next((str(section[name]).removeprefix("torch.") for section in sections if name in section), "none")
