"""The client, the sampler and the judge against `transformers serve`: a real server, with a tiny model of ours."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rrtf_trl.chat import ChatClient, ChatError, ChatRequest, ChatSession, ask_concurrently
from rrtf_trl.feedback import Teacher
from rrtf_trl.records import Candidate, CaseTests, Problem
from rrtf_trl.samplers import OpenAISampler

pytestmark = pytest.mark.slow

pytest.importorskip("fastapi", reason="transformers' server is not installed: pip install 'transformers[serving]'")

PROBLEMS = [Problem(f"t/{i}", f"Write f{i}.", CaseTests([{"args": [1], "expected": 2}]), "f") for i in range(8)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Llama of one layer with random weights and a chat template."""
    path = tmp_path_factory.mktemp("model") / "tiny"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=280, special_tokens=["<eos>"], initial_alphabet=alphabet)
    bpe.train_from_iterator(["def f(x):\n    return x + 1\n"] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<eos>", pad_token="<eos>")
    tokenizer.chat_template = (
        "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    tiny = LlamaForCausalLM(config)
    tiny.generation_config.do_sample = True  # the server samples only if the model's own settings say so
    tiny.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def url(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("serve") / "log.txt").open("w+")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [str(Path(sys.executable).with_name("transformers")), "serve", model, "--device", "cpu"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log, env=environment)
    address = f"http://localhost:{port}/v1"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/models", timeout=5)
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert process.poll() is None, log.seek(0) or log.read()
                time.sleep(0.5)
        yield address
    finally:
        process.kill()
        process.wait()
        log.close()


def test_load_with_draws_that_the_server_gives_one_at_a_time(url: str, model: str, tmp_path: Path) -> None:
    client = ChatClient(model=model, base_url=url, concurrency=16, cache=tmp_path / "r.sqlite")

    async def work(session: ChatSession, index: int) -> tuple[int, int]:
        request = ChatRequest([{"role": "user", "content": str(index)}], 1.0, max_tokens=4, seed=index)
        return index, len(await session.ask(request, draws=2))

    assert sorted(ask_concurrently(client, work, range(100))) == [(index, 2) for index in range(100)]
    assert client.fields.one_at_a_time
    assert client.spent.requests == 200
    assert client.spent.estimated == 0
    assert 200 <= client.spent.completion_tokens <= 800
    assert sorted(ask_concurrently(client, work, range(100))) == [(index, 2) for index in range(100)]
    assert client.spent.requests == 200


def test_the_sampler_draws_and_the_judge_abstains_where_a_random_model_answers(
    url: str, model: str, tmp_path: Path
) -> None:
    def client() -> ChatClient:
        return ChatClient(model=model, base_url=url, cache=tmp_path / "r.sqlite")

    samples = OpenAISampler(client(), n=2, max_new_tokens=8).sample(PROBLEMS)
    assert len(samples.candidates) == 16
    assert not samples.skipped
    assert "served_model" not in samples.candidates[0].sampling
    for mode in ("grade", "pair", "rank"):
        judge = Teacher(client(), mode=mode, max_tokens=8)  # type: ignore[arg-type]
        fields = ("student", "m", {}, "stop")
        items = [Candidate(f"c{i}", "t/0", f"# {i}", f"# {i}", *fields) for i in range(3)]  # type: ignore[arg-type]
        judged = list(judge.judge((PROBLEMS[0], item) for item in items))
        assert [j.score for j in judged] == [None] * 3
        assert all("no usable reply in two tries" in j.detail["abstained"] for j in judged)
        assert "(the reply was cut off)" in judged[0].detail["abstained"]


def test_a_model_that_is_not_there_is_told(url: str) -> None:
    async def work(session: ChatSession, index: int) -> None:
        await session.ask(ChatRequest([{"role": "user", "content": "x"}]))

    with pytest.raises(ChatError, match=r"400: Server is pinned to .*\(model 'other'\)"):
        list(ask_concurrently(ChatClient(model="other", base_url=url), work, [1]))
