"""A vLLM server as the student: it is drawn from only when it has shown that it serves the policy.

The server runs in development mode, in which it loads other weights and gives checksums of those that it has. Weights
are loaded from the policy's folder, which the server reads under the same path, and a LoRA adapter on its base model.
After loading, the log-probabilities of a text are compared with those that the policy's files give here. The server
then keeps a mark of the policy's content and its checksums. So what was verified once is not loaded again, and weights
that somebody changed afterwards are noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rrtf_trl.errors import UserError
from rrtf_trl.models.identity import model_identity
from rrtf_trl.models.tokenize import encode
from rrtf_trl.records import content_hash

from .http import RequestRefused, get, post
from .process import Drawn
from .wanted import check_server

_AT_ONCE = 256
"""Requests that are sent before the first is answered."""

_TEXT = '''def median(values: list[float]) -> float:
    """Return the middle of some numbers, which need not be in order."""
    ordered = sorted(values)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2
'''
"""What the log-probabilities are compared on."""

_EXACT, _ROUNDED = 1e-3, 0.1
"""The mean difference of log-probabilities that passes for rounding, of a server in float32 and of others."""

_OURS = "rrtf-"
"""How the names of adapters begin that this module loads."""

_PLAIN: dict[str, Any] = {  # a server takes what is not set from the model's generation_config.json
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "ignore_eos": True,  # the tokens that end a response are asked for
    "skip_special_tokens": False,
    "return_token_ids": True,
}


class Server:
    """A running ``vllm serve``.

    Args:
        address: As ``http://127.0.0.1:8000``.
        engine: The arguments of ``vllm.LLM`` that the server must have been started with.
        logprobs: Whether log-probabilities are going to be asked for.
        lora_rank: Of the adapter that the run trains, which the server must be able to load, or ``None``.

    Raises:
        UserError: If it does not answer, was started otherwise, or does not run in development mode.
    """

    def __init__(self, address: str, engine: dict[str, Any], logprobs: bool, lora_rank: int | None) -> None:
        self.address = address.rstrip("/").removesuffix("/v1")
        self._config, self._version = check_server(self.address, engine, logprobs, lora_rank)
        self._served = ""
        self._mark = ""
        self.window: int = self._config["model_config"]["max_model_len"]

    def identity(self) -> dict[str, Any]:
        """Return what of the server decides the draws; its address does not."""
        model = self._config["model_config"]
        return {
            "version": self._version,
            "dtype": str(model["dtype"]).removeprefix("torch."),
            "quantization": model["quantization"],
            "kv_cache_dtype": self._config["cache_config"]["cache_dtype"],
        }

    def serve(self, base: str, adapter: str | None, tokenizer: Any) -> None:
        """Have it serve a policy, and verify that it does.

        Args:
            base: Folder or hub id of a model.
            adapter: Folder of a LoRA adapter of that model, or ``None``.
            tokenizer: The policy's.

        Raises:
            UserError: If it cannot load the policy, or gives other log-probabilities than the policy's files.
        """
        self._serve_base(base, tokenizer)
        self._served = self._models()[0]["id"]
        if adapter is not None:
            self._served = self._serve_adapter(str(Path(adapter).resolve()), tokenizer)

    def draw(self, prompts: list[list[int]], options: list[dict[str, Any]]) -> list[list[Drawn]]:
        """Return for each prompt its draws; see :meth:`.process.EngineProcess.draw`.

        Raises:
            UserError: If the server fails, or its weights were changed meanwhile.
        """
        post(self.address, "/reset_prefix_cache")  # as an engine's call: a cached prompt is computed in other steps
        requests = [
            {"model": self._served, "prompt": ids, **_PLAIN, **option}
            for ids, option in zip(prompts, options, strict=True)
        ]
        with ThreadPoolExecutor(min(len(requests), _AT_ONCE)) as pool:
            drawn = list(pool.map(self._draw_one, requests))
        if self._weight_version() != self._mark:
            raise UserError(
                f"vLLM's server {self.address}: its weights were changed while it was drawn from, perhaps by another "
                "run. What it drew is not kept: give each run a server of its own, and start the run again"
            )
        return drawn

    def close(self) -> None:
        """Leave the server as it is, with the policy's weights."""

    def _draw_one(self, request: dict[str, Any]) -> list[Drawn]:
        answer = post(self.address, "/v1/completions", request)
        choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
        return [
            (
                list(choice["token_ids"]),
                choice["finish_reason"] == "stop",
                list(choice["logprobs"]["token_logprobs"]) if choice.get("logprobs") else None,
            )
            for choice in choices
        ]

    # -- Weights -------------------------------------------------------------------------------------------

    def _serve_base(self, base: str, tokenizer: Any) -> None:
        policy = model_identity(base)
        mark = self._weight_version()
        if mark == self._mark_of(policy):
            self._mark = mark
            return
        folder = str(Path(base).resolve()) if Path(base).is_dir() else base
        post(self.address, "/update_weight_version", {"new_version": "rrtf: not verified"})
        self._unload_adapters()
        try:
            post(self.address, "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": folder}})
            post(self.address, "/reset_prefix_cache")
            self._verify(self._models()[0]["id"], base, tokenizer)
        except RequestRefused as error:
            raise UserError(
                f"vLLM's server {self.address} could not load {folder}: {error.reason}. It must see that folder under "
                "the same path, with a model of the architecture that it was started with; start it again where it "
                "does, since a failed loading may have ended it"
            ) from error
        self._mark = self._mark_of(policy)
        post(self.address, "/update_weight_version", {"new_version": self._mark})

    def _serve_adapter(self, adapter: str, tokenizer: Any) -> str:
        # Its name has its content: prompts that the server has cached under a name, or its files, are never another's.
        name = f"{_OURS}{content_hash(model_identity(adapter))}"
        if any(model["id"] == name and model["root"] == adapter for model in self._models()):
            return name
        self._unload_adapters()
        try:
            post(self.address, "/v1/load_lora_adapter", {"lora_name": name, "lora_path": adapter})
        except RequestRefused as error:
            raise UserError(
                f"vLLM's server {self.address} could not load the adapter {adapter}: {error.reason}. It must see that "
                "folder under the same path, and have been started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, "
                "--enable-lora and a --max-lora-rank of at least the adapter's"
            ) from error
        try:
            self._verify(name, adapter, tokenizer)
        except BaseException:
            post(self.address, "/v1/unload_lora_adapter", {"lora_name": name})
            raise
        return name

    def _unload_adapters(self) -> None:
        for model in self._models():
            if model["id"].startswith(_OURS):
                post(self.address, "/v1/unload_lora_adapter", {"lora_name": model["id"]})

    def _verify(self, served: str, policy: str, tokenizer: Any) -> None:
        """Compare the log-probabilities of a text with those of the policy's files."""
        ids = encode(_TEXT, tokenizer)[: self.window - 1]
        asked = {"model": served, "prompt": ids, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
        answer = post(self.address, "/v1/completions", asked)["choices"][0]["prompt_logprobs"]
        found = [float(of_token[str(token)]["logprob"]) for of_token, token in zip(answer[1:], ids[1:], strict=True)]
        difference = _mean_difference(found, _logprobs(policy, ids))
        if not difference <= (_EXACT if self.identity()["dtype"] == "float32" else _ROUNDED):
            raise UserError(
                f"vLLM's server {self.address} does not serve {policy}, though it was asked to load it: the "
                f"log-probabilities of a text differ by {difference:.2g} on average from those of its files. Start it "
                f"again on that model, and the run after it{self._why_not_loaded()}"
            )

    def _why_not_loaded(self) -> str:
        is_cpu = self._config["device_config"]["device"] == "cpu"
        return ". On a processor vLLM 0.32 does not load a head that is tied to the embeddings again" if is_cpu else ""

    def _mark_of(self, policy: str) -> str:
        """Return the mark of a policy with the weights that the server has now."""
        checksums = post(self.address, "/weight_checker", {"action": "checksum"})["checksums"]
        return f"rrtf {policy} {content_hash(checksums)}"

    def _weight_version(self) -> str:
        return str(get(self.address, "/weight_info")["weight_version"])

    def _models(self) -> list[dict[str, Any]]:
        """Return what it serves: its model, and its adapters."""
        return list(get(self.address, "/v1/models")["data"])


def _mean_difference(found: Iterable[float], expected: Iterable[float]) -> float:
    differences = [abs(one - other) for one, other in zip(found, expected, strict=True)]
    return sum(differences) / len(differences)


def _logprobs(policy: str, ids: list[int]) -> list[float]:
    """Return the log-probabilities of all tokens but the first, by the policy's files."""
    import torch

    from rrtf_trl.models.loading import load_for_generation

    model, _ = load_for_generation(policy)
    tokens = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        logprobs = model(input_ids=tokens).logits[0, :-1].float().log_softmax(dim=-1)
    of_tokens: list[float] = logprobs.gather(1, tokens[0, 1:, None])[:, 0].tolist()
    return of_tokens
