"""Sampling from a server with OpenAI's API."""

import json
from pathlib import Path
from typing import Any

import pytest

from rrtf_trl.chat import ChatClient, ChatError
from rrtf_trl.records import CaseTests, Problem
from rrtf_trl.samplers import OpenAISampler, Sampler
from support.scripted_server import Answer, Body, ScriptedServer, said

TESTS = CaseTests([{"args": [1], "expected": 2}])
PROBLEMS = [Problem(f"t/{i}", f"def f{i}(x):\n", TESTS, f"f{i}") for i in range(5)]
CODE = "    return x + 1\n"


def fenced(body: Body, before: int = 0) -> Answer:
    """A chat model's answer: the whole function, different in each draw."""
    head = said(body).rsplit("\n", 1)[-1]
    return Answer([f"Sure.\n```python\n{head}\n    return {body['seed'] + i}\n```\n" for i in range(body.get("n", 1))])


def sampler(server: ScriptedServer, **options: Any) -> OpenAISampler:
    client = ChatClient(model="teach/er", base_url=server.url, **options.pop("client", {}))
    return OpenAISampler(client, **{"n": 2, **options})


def test_answers_come_in_the_problems_order_with_their_program() -> None:
    def script(body: Body, before: int) -> Answer:
        answer = fenced(body)
        answer.delay = 0.1 if "f0" in said(body) else 0.0  # the first one ends last
        return answer

    with ScriptedServer(script) as server:
        samples = sampler(server, seed=3).sample(PROBLEMS)
    assert [c.task_id for c in samples.candidates] == [p.task_id for p in PROBLEMS for _ in range(2)]
    first = samples.candidates[0]
    assert first.code == "def f0(x):\n    return 3\n"
    assert first.response == "Sure.\n```python\ndef f0(x):\n    return 3\n```\n"
    assert (first.source, first.model, first.finish_reason) == ("teacher", "teach/er", "stop")
    assert first.sampling == {"temperature": 1.0, "top_p": 1.0, "index": 0, "seed": 3, "max_new_tokens": 1024}
    assert samples.candidates[1].code == "def f0(x):\n    return 4\n"
    assert "Solve this task with a Python program." in said(server.bodies[0])


def test_temperatures_are_the_sources_own_and_greedy_is_drawn_once() -> None:
    with ScriptedServer(fenced) as server:
        one = sampler(server, temperatures=[0.0, 0.8], top_ps=[1.0, 0.9], n=3)
        assert one.draws == 4
        drawn = one.sample(PROBLEMS[:1]).candidates
    settings = [(c.sampling["temperature"], c.sampling["top_p"], c.sampling["index"]) for c in drawn]
    assert settings == [(0.0, 1.0, 0), (0.8, 0.9, 0), (0.8, 0.9, 1), (0.8, 0.9, 2)]
    assert len({c.candidate_id for c in drawn}) == 4
    assert [body.get("n") for body in sorted(server.bodies, key=lambda b: b["temperature"])] == [None, 3]


def test_chat_messages_go_as_they_are_and_a_thinker_is_read_after_its_thoughts() -> None:
    chat = Problem("c", [{"role": "user", "content": "write f"}], TESTS, "f")
    thoughts = "<think>```python\ndef f(x):\n    return 0\n```</think>\n```python\ndef f(x):\n    return 1\n```"
    with ScriptedServer(lambda body, before: Answer(thoughts)) as server:
        (answer,) = sampler(server, n=1).sample([chat]).candidates
    assert server.bodies[0]["messages"] == chat.prompt
    assert answer.code == "def f(x):\n    return 1\n"
    assert answer.response == thoughts


def test_base_models_continue_the_prompt() -> None:
    with ScriptedServer(lambda body, before: Answer(CODE, finish_reason="length")) as server:
        one = sampler(server, endpoint="completions", n=1)
        (answer,) = one.sample(PROBLEMS[:1]).candidates
        chat = Problem("c", [{"role": "user", "content": "write f"}], TESTS, "f")
        assert "does not take" in one.sample([chat]).skipped["c"]
    assert server.bodies[0]["prompt"] == PROBLEMS[0].prompt
    assert (answer.code, answer.finish_reason) == (f"{PROBLEMS[0].prompt}{CODE}", "length")


def test_what_was_left_out_is_recorded_with_each_candidate() -> None:
    def script(body: Body, before: int) -> Answer:
        if "temperature" in body:
            return Answer(status=400, body={"error": {"message": "`temperature` is deprecated for this model."}})
        return Answer(CODE)

    with ScriptedServer(script) as server:
        (answer,) = sampler(server, n=1, temperatures=[0.2]).sample(PROBLEMS[:1]).candidates
    assert answer.sampling["left_out"] == ["temperature"]
    assert answer.sampling["temperature"] is None
    assert answer.sampling["top_p"] == 1.0


def test_another_model_that_answers_is_noted() -> None:
    with ScriptedServer(lambda body, before: Answer(CODE, model="other")) as server:
        (answer,) = sampler(server, n=1).sample(PROBLEMS[:1]).candidates
    assert answer.sampling["served_model"] == "other"


def test_a_problem_that_the_server_refuses_is_skipped_with_its_reason() -> None:
    refusal = Answer(status=400, body={"error": {"message": "maximum context length is 5 tokens"}})
    with ScriptedServer(lambda body, before: refusal if "f1" in said(body) else fenced(body)) as server:
        samples = sampler(server).sample(PROBLEMS)
    assert samples.skipped == {"t/1": "the server refuses it: maximum context length is 5 tokens"}
    assert len(samples.candidates) == 8


def test_an_interrupted_batch_is_not_paid_for_again(tmp_path: Path) -> None:
    cache = {"client": {"cache": tmp_path / "r.sqlite", "concurrency": 1}}
    broken = Answer(status=401, body={"error": "gone"})
    with ScriptedServer(lambda body, before: broken if "f3" in said(body) else fenced(body)) as server:
        with pytest.raises(ChatError, match="gone"):
            sampler(server, **cache).sample(PROBLEMS)
        assert server.answered.total() == 3
        server.script = fenced
        assert len(sampler(server, client=dict(cache["client"])).sample(PROBLEMS).candidates) == 10
    assert set(server.answered.values()) == {1}


def test_the_identity_follows_what_decides_an_answer(tmp_path: Path) -> None:
    with ScriptedServer(fenced) as server:
        same = sampler(server).identity()
        assert same == sampler(server, batch_size=3, client={"concurrency": 2, "timeout": 5}).identity()
        (tmp_path / "answer.jinja").write_text("{% block user %}{{ problem }}{% endblock %}")
        others: list[dict[str, Any]] = [
            {"n": 3},
            {"seed": 1},
            {"temperatures": [0.5]},
            {"endpoint": "completions"},
            {"templates": str(tmp_path)},
            {"client": {"extra_body": {"top_k": 1}}},
        ]
        assert all(sampler(server, **options).identity() != same for options in others)
    json.dumps(same)


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"temperatures": [-1.0]}, {"top_ps": [0.0]}, {"batch_size": 0}, {"endpoint": "edits"}]
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        OpenAISampler(ChatClient(model="m", base_url="http://h/v1"), **options)


def test_it_is_a_sampler() -> None:
    assert isinstance(OpenAISampler(ChatClient(model="m", base_url="http://h/v1")), Sampler)
