"""The client against a server that fails as it is told to."""

import email.utils
import itertools
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl.chat.session as session_module
from rrtf_trl.chat import ChatClient, ChatError, ChatRequest, ChatSession, RequestRefused, ask_concurrently
from support.chat_requests import ask_all, client, echo, request
from support.scripted_server import Answer, Body, ScriptedServer, fault, said


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits after faults that a test does not wait for."""
    monkeypatch.setattr(session_module, "_FIRST_WAIT", 0.01)


# -- Nothing lost, nothing asked twice -----------------------------------------------------------------

LOAD = """
import json, sys
from rrtf_trl.chat import ChatClient, ChatRequest, ask_concurrently

url, cache, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = ChatClient(model="m", base_url=url, concurrency=64, timeout=30, cache=cache)

async def work(session, index):
    request = ChatRequest([{"role": "user", "content": f"question {index} " + "x" * 500}])
    return index, (await session.ask(request))[0].text

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

memory, seen = [], set()
for index, text in ask_concurrently(client, work, range(count)):
    assert text.startswith(f"re: question {index} "), text[:50]
    assert index not in seen
    seen.add(index)
    if len(seen) % (count // 5) == 0:
        memory.append(resident())
        print(json.dumps({"memory": memory, "count": len(seen), "spent": client.spent.requests}), flush=True)
"""


def load(server: ScriptedServer, cache: Path, count: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", LOAD, server.url, str(cache), str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def with_faults(delay: float = 0.0) -> Callable[[Body, int], Answer]:
    chance = random.Random(0)
    kinds = ["429", "500", "html", "cut", "garbage", "empty", "null"]

    def script(body: Body, before: int) -> Answer:
        if chance.random() < 0.1:
            return fault(chance.choice(kinds))
        return Answer(f"re: {said(body)}", delay=delay)

    return script


@pytest.mark.slow
def test_five_thousand_requests_with_faults_are_each_answered_once_in_flat_memory(tmp_path: Path) -> None:
    with ScriptedServer(with_faults()) as server:
        server.keep_bodies = False
        output, _ = load(server, tmp_path / "r.sqlite", 5000).communicate(timeout=300)
    last = json.loads(output.splitlines()[-1])
    assert last["count"] == last["spent"] == 5000
    assert len(server.answered) == 5000
    assert set(server.answered.values()) == {1}
    assert server.asked.total() > 5300
    assert 1 < server.most_under_way <= 64
    assert last["memory"][-1] - last["memory"][0] < 8  # MiB, from a thousand on


@pytest.mark.slow
def test_killed_in_the_middle_nothing_that_was_kept_is_asked_again(tmp_path: Path) -> None:
    cache = tmp_path / "r.sqlite"
    with ScriptedServer(with_faults(delay=0.02)) as server:
        killed = load(server, cache, 1000)
        assert killed.stdout is not None
        killed.stdout.readline()  # a fifth is done
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        time.sleep(0.1)
        kept = sqlite3.connect(cache).execute("SELECT count(*) FROM replies").fetchone()[0]
        sent_before = server.answered.total()
        output, _ = load(server, cache, 1000).communicate(timeout=120)
    last = json.loads(output.splitlines()[-1])
    assert 200 <= kept < 1000
    assert last["count"] == 1000
    assert last["spent"] == 1000 - kept
    assert server.answered.total() - sent_before == 1000 - kept
    # Only what was on its way to the killed process may have been answered twice.
    assert sum(count - 1 for count in server.answered.values()) <= 64


@pytest.mark.slow
def test_the_same_request_at_the_same_time_is_asked_once(tmp_path: Path) -> None:
    with ScriptedServer(lambda body, before: Answer("x", delay=0.05)) as server:

        async def work(session: ChatSession, index: int) -> str:
            return (await session.ask(request("same")))[0].text

        asker = client(server, cache=tmp_path / "r.sqlite")
        assert list(ask_concurrently(asker, work, range(20))) == ["x"] * 20
        assert server.answered.total() == 1
        assert list(ask_concurrently(asker, work, range(3))) == ["x"] * 3
    assert server.answered.total() == 1
    assert asker.reused == 19 + 3


@pytest.mark.slow
def test_no_more_requests_are_under_way_than_allowed_and_results_stream() -> None:
    taken: list[int] = []

    def texts() -> Iterator[str]:
        for index in range(50):
            taken.append(index)
            yield str(index)

    async def work(session: ChatSession, text: str) -> str:
        await session.ask(request(text))  # several requests an item still share the slots
        return (await session.ask(request(text + "!")))[0].text

    with ScriptedServer(lambda body, before: Answer("x", delay=0.01)) as server:
        results = ask_concurrently(client(server, concurrency=4), work, texts())
        next(results)
        assert len(taken) <= 5
        assert len(list(results)) == 49
        assert server.most_under_way == 4


# -- Faults ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("name", ["429", "500", "html", "cut", "garbage", "empty", "null"])
def test_a_fault_is_overcome(name: str) -> None:
    with ScriptedServer(lambda body, before: fault(name) if before < 2 else Answer("fine")) as server:
        asker = client(server)
        assert ask_all(asker, ["q"]) == {"q": ["fine"]}
    assert asker.faults == 2
    assert asker.spent.requests == 1


@pytest.mark.usefixtures("_quick")
def test_bytes_that_dribble_in_do_not_hold_a_request_for_ever() -> None:
    with ScriptedServer(lambda body, before: Answer("x", drip=0.05 if before == 0 else 0)) as server:
        assert ask_all(client(server, timeout=0.5), ["q"]) == {"q": ["x"]}
    assert server.asked.total() == 2


@pytest.mark.slow
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_holds_back_all_requests(form: str) -> None:
    def script(body: Body, before: int) -> Answer:
        if server.asked.total() == 0:
            header = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
            return Answer(status=429, body={"error": {"message": "slow down"}}, headers={"Retry-After": header})
        return Answer("x", delay=0.1)

    with ScriptedServer(script) as server:
        ask_all(client(server, concurrency=2), [str(i) for i in range(6)])
    first, *others = server.times
    # The second one was under way with the first; all others were held back.
    assert all(moment - first > 0.9 for moment in others[1:])


@pytest.mark.slow
def test_a_busy_server_that_answers_others_is_not_given_up() -> None:
    """Rate limits are no faults: with one retry allowed, ten refusals in a row are still waited out."""

    def script(body: Body, before: int) -> Answer:
        if said(body) == "unlucky" and before < 10:
            return Answer(status=429, body={"error": "busy"}, headers={"Retry-After": "0.01"}, delay=0.2)
        return Answer("x", delay=0.01)

    with ScriptedServer(script) as server:
        found = ask_all(client(server, concurrency=3, retries=1), ["unlucky", *map(str, range(400))])
    assert len(found) == 401


@pytest.mark.slow
def test_a_busy_server_that_names_no_time_is_not_asked_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_FIRST_WAIT", 0.2)
    asked: list[float] = []

    def script(body: Body, before: int) -> Answer:
        if said(body) == "unlucky":
            asked.append(time.monotonic())
            if before < 3:
                headers = {"Retry-After": "0"} if before == 0 else {}
                return Answer(status=429, body={"error": "busy"}, headers=headers, delay=0.03)
        return Answer("x", delay=0.01)

    with ScriptedServer(script) as server:
        assert len(ask_all(client(server, concurrency=3), ["unlucky", *map(str, range(100))])) == 101
    assert len(asked) == 4
    assert min(after - before for before, after in itertools.pairwise(asked)) > 0.15


@pytest.mark.usefixtures("_quick")
def test_after_the_last_try_it_says_why_and_keeps_the_rest(tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        return fault("500") if said(body) == "bad" else Answer("x", delay=0.2)

    with ScriptedServer(script) as server:
        asker = client(server, retries=2, cache=tmp_path / "r.sqlite", concurrency=4)
        with pytest.raises(ChatError, match=r"gave up after 3 tries: 500: oops"):
            ask_all(asker, ["a", "b", "bad", "c"])
        assert server.answered.total() == 3
        server.script = echo
        assert len(ask_all(asker, ["a", "b", "c", "bad"])) == 4
    assert server.answered.total() == 4  # what had been under way was kept


def test_requests_that_wait_give_up_when_another_one_ends_it_all() -> None:
    def script(body: Body, before: int) -> Answer:
        if said(body) == "bad":
            return Answer(status=401, body={"error": "no"}, delay=0.3)
        return Answer(status=429, body={"error": "busy"}, headers={"Retry-After": "300"})

    start = time.monotonic()
    with ScriptedServer(script) as server, pytest.raises(ChatError, match="401: no"):
        ask_all(client(server), ["a", "b", "bad", "c"])
    assert time.monotonic() - start < 30


def test_a_wait_beyond_all_patience_is_told() -> None:
    answer = Answer(status=429, body={"error": {"message": "quota"}}, headers={"Retry-After": "7200"})
    with ScriptedServer(lambda body, before: answer) as server, pytest.raises(ChatError, match="asks to wait 7200 s"):
        ask_all(client(server), ["q"])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(status=401, body={"error": {"message": "no such key"}}), "no such key.*environment variable SOME_KEY"),
        (Answer(status=404, body={"error": {"message": "no model m"}}), "no model m; the server has the models tiny"),
        (Answer(status=400, body={"detail": "Server is pinned to 'x'"}), "400: Server is pinned to 'x' .model 'm'"),
        (Answer(status=429, body={"error": {"message": "no", "code": "insufficient_quota"}}), "429: no .insufficient"),
        (Answer(status=403, body={"error": "forbidden"}), "403: forbidden"),
        (Answer(status=422, body={"message": "temporary?"}), "422: temporary"),
    ],
)
def test_what_no_retry_cures_is_told_at_once(answer: Answer, message: str) -> None:
    with ScriptedServer(lambda body, before: answer) as server:
        with pytest.raises(ChatError, match=message):
            ask_all(client(server, api_key_env="SOME_KEY"), ["q"])
        assert server.asked.total() == 1


@pytest.mark.slow
def test_where_nobody_listens_it_says_so_soon() -> None:
    start = time.monotonic()
    with pytest.raises(ChatError, match="is the server running"):
        ask_all(ChatClient(model="m", base_url="http://127.0.0.1:9/v1"), ["q"])
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=400, body={"error": {"message": "This model's maximum context length is 10 tokens"}}),
        Answer(status=413, body=b"too big"),
        Answer(status=400, body={"error": {"message": "content_filter"}}),
        Answer(status=400, body={"error": {"message": "something odd"}}),
    ],
)
def test_a_single_request_may_be_refused_while_others_go_on(answer: Answer) -> None:
    async def work(session: ChatSession, text: str) -> str:
        await session.ask(request("first"))
        try:
            return (await session.ask(request(text)))[0].text
        except RequestRefused as refused:
            return str(refused)

    with ScriptedServer(lambda body, before: answer if said(body) == "long" else Answer("x")) as server:
        found = list(ask_concurrently(client(server, concurrency=1), work, ["a", "long", "b"]))
    assert found[0] == found[2] == "x"
    assert found[1].startswith("the server refuses it: ")


def test_another_model_than_asked_for_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(lambda body, before: Answer("x", model="other-7b")) as server:
        ask_all(client(server), ["a", "b"])
    assert sum("answers as other-7b" in record.message for record in caplog.records) == 1
    caplog.clear()
    with ScriptedServer(lambda body, before: Answer("x", model="m-2026-01-01")) as server:
        ask_all(client(server), ["a"])
    assert not caplog.records


# -- Servers differ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["ignored", "refused", "half"])
def test_several_draws_from_a_server_that_gives_one_or_fewer_at_a_time(way: str, tmp_path: Path) -> None:
    def script(body: Body, before: int) -> Answer:
        if way == "refused" and body.get("n", 1) > 1:
            return Answer(status=400, body={"error": {"message": "'n' must be 1"}})
        choices = {"ignored": 1, "refused": None, "half": 2 if body.get("n", 1) > 1 else 1}[way]
        return Answer([f"{body['seed']}", f"{body['seed']}+"], choices=choices)

    with ScriptedServer(script) as server:
        found = ask_all(client(server, cache=tmp_path / "r.sqlite"), ["q"], draws=4, seed=7)["q"]
        assert len(found) == len(set(found)) == 4
        again = ask_all(client(server, cache=tmp_path / "r.sqlite"), ["q"], draws=4, seed=7)["q"]
    assert again == found


def test_several_draws_in_one_request_and_more_of_them_later(tmp_path: Path) -> None:
    with ScriptedServer(lambda body, before: Answer([f"{body['seed'] + i}" for i in range(8)])) as server:
        asker = client(server, cache=tmp_path / "r.sqlite")
        assert ask_all(asker, ["q"], draws=3, seed=10)["q"] == ["10", "11", "12"]
        assert server.asked.total() == 1
        assert ask_all(asker, ["q"], draws=5, seed=10)["q"] == ["10", "11", "12", "13", "14"]
        assert server.bodies[-1]["n"] == 2
        assert ask_all(asker, ["q"], draws=2, seed=10)["q"] == ["10", "11"]
    assert server.asked.total() == 2


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ("response_format is not supported", "response_format"),
        ("Unsupported parameter: seed", "seed"),
        ("Use 'max_completion_tokens' instead", "max_tokens"),
        ("json_schema: grammar failed", "response_format"),
    ],
)
def test_what_a_server_does_not_support_is_done_without(words: str, gone: str) -> None:
    def script(body: Body, before: int) -> Answer:
        return Answer(status=400, body={"error": {"message": words}}) if gone in body else Answer("x", delay=0.05)

    texts = [str(i) for i in range(8)]  # all are under way when the first one is refused
    with ScriptedServer(script) as server:
        assert len(ask_all(client(server), texts, seed=1, schema={"type": "object"})) == 8
    kept = {"seed", "response_format", "max_tokens"} - {gone}
    assert kept <= server.bodies[-1].keys()
    if gone == "max_tokens":
        assert server.bodies[-1]["max_completion_tokens"] == 1024


def test_a_server_that_counts_no_tokens_is_estimated() -> None:
    with ScriptedServer(lambda body, before: Answer("abcdef", usage=False)) as server:
        asker = client(server)
        ask_all(asker, ["q" * 300])
    assert asker.spent.estimated == 1
    assert 100 <= asker.spent.prompt_tokens <= 120
    assert asker.spent.completion_tokens == 2


def test_text_prompts_go_to_the_completions_endpoint_and_extra_fields_along() -> None:
    async def work(session: ChatSession, text: str) -> str:
        return (await session.ask(ChatRequest(text, 0.5, 0.9)))[0].text

    with ScriptedServer(lambda body, before: Answer("x")) as server:
        assert list(ask_concurrently(client(server, extra_body={"top_k": 5}), work, ["def f():"])) == ["x"]
    (body,) = server.bodies
    assert (body["prompt"], body["temperature"], body["top_p"], body["top_k"]) == ("def f():", 0.5, 0.9, 5)


def test_half_a_character_and_no_text_are_replies_too(tmp_path: Path) -> None:
    answers = {"half": b'"\\ud83d"', "none": b"null", "refusal": b'null, "refusal": "no"'}

    def script(body: Body, before: int) -> Answer:
        return Answer(body=b'{"choices": [{"message": {"content": ' + answers[said(body)] + b"}}]}")

    with ScriptedServer(script) as server:
        assert ask_all(client(server, cache=tmp_path / "r"), ["half"]) == {"half": ["?"]}
        assert ask_all(client(server), ["none"]) == {"none": [""]}
        assert ask_all(client(server), ["refusal"]) == {"refusal": ["no"]}


# -- Odds and ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"retries": -1}, {"timeout": 0.0}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ChatClient(model="m", **options)


def test_a_consumer_that_stops_early_leaves_no_thread_behind() -> None:
    async def work(session: ChatSession, text: str) -> str:
        return (await session.ask(request(text)))[0].text

    with ScriptedServer(lambda body, before: Answer("x", delay=0.05)) as server:
        results = ask_concurrently(client(server), work, map(str, range(100)))
        next(results)
        results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "rrtf-chat"]


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(ChatError, match="cannot be used as a cache of replies"):
        ask_all(ChatClient(model="m", base_url="http://127.0.0.1:9/v1", cache=tmp_path / "text"), ["q"])


def test_without_the_client_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['openai'] = sys.modules['pydantic'] = None\n"
        "import rrtf_trl.samplers, rrtf_trl.feedback, importlib.util\n"
        "from rrtf_trl.chat import ChatClient\n"
        "importlib.util.find_spec = lambda name: None\n"
        "ChatClient(model='m')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'rrtf-trl[openai]'" in done.stderr


def test_what_would_keep_a_server_from_answering_is_found_before_anything_is_asked() -> None:
    with ScriptedServer(echo) as server:
        assert client(server, model="tiny").first_fault() is None
        assert client(server).first_fault() == f"{server.url} has no model m: it lists tiny"
        assert not server.asked
        gone = client(server, model="tiny")
    fault = gone.first_fault()
    assert fault is not None
    assert fault.startswith(f"{gone.base_url} does not answer")
