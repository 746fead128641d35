"""Refusals of fields as servers word them, over a real server; the wordings are from public reports about each."""

import json
import logging
from typing import Any

import pytest

from rrtf_trl.chat import ChatClient, ChatError, ChatRequest, ChatSession, Reply, ask_concurrently
from rrtf_trl.chat.fields import in_users_turn
from rrtf_trl.chat.request import text_and_reasoning
from rrtf_trl.feedback import Teacher
from rrtf_trl.records import Candidate, CaseTests, Problem
from support.chat_requests import client
from support.scripted_server import Answer, Body, ScriptedServer

CHAT = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "Write f."}]


def openai(message: str, param: str | None = None) -> Body:
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_value"}
    }


def vllm(message: str) -> Body:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


def pydantic(field: str, said: str = "Extra inputs are not permitted") -> Body:
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", field], "msg": said, "input": 1}]}


WITH_MODEL = "is not supported with this model."
REFUSALS: list[tuple[str, int, Any]] = [
    ("temperature", 400, openai(f"Unsupported parameter: 'temperature' {WITH_MODEL}", "temperature")),
    ("temperature", 400, openai("`temperature` is deprecated for this model.")),
    ("temperature", 400, openai("invalid temperature: only 1 is allowed for this model")),
    ("temperature", 422, {"error": "Input validation error: `temperature` must be strictly positive"}),
    ("temperature", 422, {"status": 422, "message": "Invalid params: temperature must be in range (0, +inf)"}),
    ("temperature", 400, [{"error": {"code": 400, "message": 'Unknown name "temperature": Cannot find field.'}}]),
    ("temperature", 400, openai("Unsupported value", "temperature")),
    ("temperature", 500, {"error": "temperature not supported by this sampler"}),
    ("top_p", 400, openai("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")),
    ("top_p", 400, openai("Unrecognized request arguments supplied: topP")),
    ("top_p", 400, openai("Unsupported parameter: 'top_p'")),
    ("seed", 422, pydantic("seed")),
    ("seed", 400, vllm("[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs', 'input': 3}]")),
    ("seed", 400, openai("Unrecognized request argument supplied: seed")),
    ("seed", 400, {"error": {"message": "property 'seed' is unsupported"}}),
    ("seed", 404, openai("No endpoints found that support seed")),
    ("seed", 400, [{"error": {"message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}}]),
    ("response_format", 400, openai("This response_format type is unavailable now")),
    (
        "response_format",
        422,
        {"detail": "response_format.type `json_schema` is unavailable now at line 1 column 1193"},
    ),
    ("response_format", 400, openai("'response_format.type' : value is not one of the allowed values ['text']")),
    ("response_format", 405, {"message": "json_object response format is not supported for model: x"}),
    ("response_format", 400, openai("Failed to generate JSON. Please adjust your prompt.")),
    ("n", 500, openai("Only one completion choice is allowed")),
    ("n", 400, {"error": {"message": "'n' : number must be at most 1"}}),
    ("n", 400, openai("Model m with provider p does not support the n parameter for multiple choices.")),
    ("n", 422, {"detail": [{"loc": ["body", "n"], "msg": "n must equal 1 (multi-choice is not supported)"}]}),
    ("n", 400, vllm("When n > 1, temperature must be greater than 0 to ensure diverse outputs. Got n=2")),
    (
        "n",
        400,
        openai("Extra parameters ['n'] are not allowed when extra-parameters is not set or set to be 'error'."),
    ),
    ("n", 400, [{"error": {"message": "Multiple candidates is not enabled for this model"}}]),
    ("system", 400, openai("Unsupported value: 'messages[0].role' does not support 'system' with this model.")),
    ("system", 400, openai("Developer instruction is not enabled for models/gemma-3-27b-it")),
    ("system", 400, vllm("Conversation roles must alternate user/assistant/user/assistant/...")),
    ("system", 400, vllm("System role not supported")),
    ("system", 500, openai("System role not supported")),
    ("system", 400, openai("role 'system' is not supported on this model")),
    ("system", 400, {"message": "A conversation must start with a user message."}),
    ("system", 400, openai("messages[0].role: unknown variant `system`, expected `user` or `assistant`")),
    ("n", 400, openai("The number of completions that can be asked for is 1")),
    ("system", 422, {"errors": [{"loc": ["body", "messages", 0, "role"], "msg": "Input should be 'user'"}]}),
    ("max_tokens", 400, openai(f"Unsupported parameter: 'max_tokens' {WITH_MODEL} Use 'max_completion_tokens'")),
    ("max_tokens", 400, openai("Unrecognized request argument supplied: max_tokens")),
]


def sends(name: str, body: Body) -> bool:
    """Whether a request has what a server refuses."""
    if name == "system":
        return bool(body["messages"][0]["role"] == "system")
    return name in body


def ask(asker: ChatClient, draws: int = 2, prompt: Any = CHAT, **options: Any) -> list[Reply]:
    async def work(session: ChatSession, number: int) -> list[Reply]:
        asked = {"temperature": 0.7, "top_p": 0.9, "seed": 3, "schema": {"type": "object"}, **options}
        return await session.ask(ChatRequest(prompt, **asked), draws)

    (replies,) = ask_concurrently(asker, work, [0])
    return replies


@pytest.mark.parametrize(("name", "status", "body"), REFUSALS)
def test_what_a_server_refuses_is_done_without_told_once_and_recorded(
    name: str, status: int, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def script(asked: Body, before: int) -> Answer:
        return Answer(status=status, body=body) if sends(name, asked) else Answer("x")

    with ScriptedServer(script) as server:
        asker = client(server, retries=0)
        replies = ask(asker)
        refused = [asked for asked in server.bodies if sends(name, asked)]
        assert ask(asker, prompt=[*CHAT, {"role": "user", "content": "Another."}])
        assert [asked for asked in server.bodies if sends(name, asked)] == refused  # it is remembered
    kept = {"n", "temperature", "top_p", "seed", "response_format", "max_tokens", "system"} - {name}
    assert all(sends(other, refused[0]) for other in kept)
    assert len(replies) == 2
    instead = {"n": [], "max_tokens": []}.get(name, [name])
    assert all(reply.left_out == instead for reply in replies)
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == len(instead)
    assert all(f"does not support {name}" in line for line in told)
    for other in kept - {"n"}:  # nothing else is left out
        assert sends(other, server.bodies[-1])
    if name == "max_tokens":
        assert server.bodies[-1]["max_completion_tokens"] == 1024
    if name == "system":
        assert server.bodies[-1]["messages"][0] == {"role": "user", "content": "Be terse.\n\nWrite f."}


def test_of_a_temperature_the_value_is_refused_and_another_is_sent() -> None:
    words = "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is supported."

    def script(asked: Body, before: int) -> Answer:
        return Answer(status=400, body=openai(words)) if asked.get("temperature", 1) != 1 else Answer("x")

    with ScriptedServer(script) as server:
        asker = client(server)
        assert ask(asker)[0].left_out == ["temperature"]
        assert ask(asker, temperature=1.0)[0].left_out == []
        assert server.bodies[-1]["temperature"] == 1


def test_a_judge_and_its_spending_tell_what_was_left_out() -> None:
    def script(asked: Body, before: int) -> Answer:
        if "temperature" in asked:
            return Answer(status=400, body=openai("Unsupported parameter: 'temperature'"))
        return Answer('{"reason": "fine", "score": 7}')

    problem = Problem("a/0", "Write f.", CaseTests([{"args": [1], "expected": 2}]), "f")
    candidate = Candidate("c", "a/0", "x = 1\n", "x = 1\n", "student", "m", {}, "stop")
    with ScriptedServer(script) as server:
        teacher = Teacher(client(server), mode="grade")
        (judgement,) = teacher.judge([(problem, candidate)])
    assert judgement.detail["left_out"] == ["temperature"]
    assert judgement.score == pytest.approx(6 / 9)
    assert teacher.describe_spending().endswith("without temperature")


def test_a_server_that_refuses_nearly_everything_answers_in_the_end() -> None:
    refused = ["seed", "response_format", "n", "system", "top_p", "temperature"]

    def script(asked: Body, before: int) -> Answer:
        for name in refused:
            if sends(name, asked):
                return Answer(
                    status=400, body=openai(f"'{name}' role is not supported" if name == "system" else f"'{name}' no")
                )
        return Answer("x")

    with ScriptedServer(script) as server:
        replies = ask(client(server), draws=3)
    assert len(replies) == 3
    assert set(replies[0].left_out) == set(refused) - {"n"}


def test_what_is_told_to_be_left_out_is_never_sent() -> None:
    with ScriptedServer(lambda asked, before: Answer("x")) as server:
        asker = client(server, leave_out=["temperature", "n", "system"])
        replies = ask(asker)
        assert asker.identity() != client(server).identity()
    assert set(replies[0].left_out) == {"temperature", "system"}
    assert not any(sends(name, asked) for asked in server.bodies for name in ("temperature", "n", "system"))
    with pytest.raises(ValueError, match="leave_out: no field 'temp'; there are n, temperature"):
        ChatClient(model="m", base_url="http://h/v1", leave_out=["temp"])


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            400,
            openai("max_tokens is too large: 1024. This model supports at most 512 completion tokens"),
            "lower max_new",
        ),
        (400, openai("max_tokens: 1024 > 512, which is the maximum allowed number of output tokens"), "lower max_new"),
        (400, openai('Unknown name "top_k": Cannot find field.'), "extra_body sends top_k: leave it out there"),
        (500, openai("CUDA error near temperature"), "gave up after 1 tries"),
        (404, openai("The model `m` does not exist"), "the server has the models tiny"),
    ],
)
def test_what_leaving_out_does_not_cure_is_told(status: int, body: Any, message: str) -> None:
    with ScriptedServer(lambda asked, before: Answer(status=status, body=body)) as server:
        with pytest.raises(ChatError, match=message):
            ask(client(server, retries=0, extra_body={"top_k": 5}))
        assert server.asked.total() == 1


def test_a_prompt_that_is_too_long_leaves_nothing_out() -> None:
    words = (
        "'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum context length is 2048 "
        "tokens and your request has 1500 input tokens"
    )

    async def work(session: ChatSession, number: int) -> str:
        try:
            return (await session.ask(ChatRequest([{"role": "user", "content": str(number)}])))[0].text
        except Exception as error:
            return str(error)

    with ScriptedServer(
        lambda asked, before: Answer(status=400, body=openai(words)) if "1" in str(asked["messages"]) else Answer("x")
    ) as server:
        assert any("too large" in text for text in ask_concurrently(client(server), work, [0, 1]))
        assert all("max_tokens" in asked for asked in server.bodies)


def test_system_messages_stand_in_front_of_the_next_turn_of_the_user() -> None:
    parts = [{"type": "text", "text": "b"}]
    messages = [CHAT[0], {"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}, CHAT[0]]
    assert in_users_turn([*messages, {"role": "user", "content": parts}]) == [
        {"role": "user", "content": "Be terse.\n\na"},
        messages[2],
        {"role": "user", "content": [{"type": "text", "text": "Be terse."}, *parts]},
    ]
    assert in_users_turn([CHAT[0]]) == [{"role": "user", "content": "Be terse."}]


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "x"}, "x", ""),
        ({"content": None}, "", ""),
        ({}, "", ""),
        ({"content": None, "reasoning_content": "hm"}, "", "hm"),
        ({"content": "x", "reasoning": "hm"}, "x", "hm"),
        ({"content": "", "thinking": "hm"}, "", "hm"),
        ({"content": None, "refusal": "no"}, "no", ""),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                      {"type": "text", "text": "x"}]}, "x", "hm"),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "output_text", "text": "x"}, "y"]}, "xy", "hm"),
        ({"content": [{"type": "reasoning", "text": "hm"}]}, "", "hm"),
        ({"content": {"type": "text", "text": "x"}}, "x", ""),
        ({"content": [{"text": "x"}]}, "x", ""),
        ({"content": []}, "", ""),
        ({"content": "x", "reasoning_content": None}, "x", ""),
    ],
)  # fmt: skip
def test_thoughts_are_kept_apart_from_the_text(message: Body, text: str, reasoning: str) -> None:
    assert text_and_reasoning({"message": message}) == (text, reasoning)
    whole = json.dumps({"choices": [{"message": message, "finish_reason": "end_turn"}]}).encode()
    with ScriptedServer(lambda asked, before: Answer(body=whole)) as server:
        (reply,) = ask(client(server, retries=0), draws=1)
    assert (reply.text, reply.reasoning, reply.finish_reason) == (text, reasoning, "stop")
