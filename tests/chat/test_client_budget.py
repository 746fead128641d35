"""What the client may spend, and the key that it keeps to itself."""

import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl.chat.session as session_module
from rrtf_trl.chat import Budget, BudgetExhausted, ChatClient, ChatError
from rrtf_trl.errors import UserError
from support.chat_requests import ask_all, client
from support.scripted_server import Answer, Body, ScriptedServer, said

KEY = "sk-secret-0123456789abcdef"


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits after faults that a test does not wait for."""
    monkeypatch.setattr(session_module, "_FIRST_WAIT", 0.01)


# -- Budget ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    # Each reply costs 10 + 1 tokens; the most that one could cost is far more: its bytes and max_tokens.
    texts = [str(i) for i in range(40)]
    with ScriptedServer(lambda body, before: Answer("x", delay=0.01)) as server:
        small = client(server, cache=tmp_path / "r", budget=Budget(tokens=300), concurrency=8)
        with pytest.raises(BudgetExhausted, match=r"budget for m .* spent so far .*budget 300 tokens.*larger budget"):
            ask_all(small, texts, max_tokens=20)
        done = server.answered.total()
        assert 10 <= done <= 300 // 11
        assert small.spent.prompt_tokens + small.spent.completion_tokens == 11 * done <= 300
        with pytest.raises(BudgetExhausted):  # the same budget again buys nothing more
            ask_all(client(server, cache=tmp_path / "r", budget=Budget(tokens=300)), texts, max_tokens=20)
        assert server.answered.total() == done
        large = client(server, cache=tmp_path / "r", budget=Budget(tokens=1000))
        assert len(ask_all(large, texts, max_tokens=20)) == 40
    assert set(server.answered.values()) == {1}
    assert large.spent.requests == 40 - done


def test_money_is_counted_by_prices(tmp_path: Path) -> None:
    prices = Budget(usd=0.02, prompt_price=100.0, completion_price=200.0)
    with ScriptedServer(lambda body, before: Answer("one two")) as server:
        asker = client(server, cache=tmp_path / "r", budget=prices)
        ask_all(asker, ["a", "b"], max_tokens=10)
        assert asker.describe_spending() == "m: 2 requests, 20 + 4 tokens, 0.0028 USD, budget 0.02 USD"
        with pytest.raises(BudgetExhausted, match=r"USD"):
            ask_all(asker, [str(i) for i in range(20)], max_tokens=10)
    cost = prices.cost(asker.spent)
    assert cost is not None
    assert cost <= 0.02


@pytest.mark.parametrize("options", [{"usd": 1.0}, {"tokens": -1}, {"usd": 1.0, "prompt_price": 1.0}])
def test_impossible_budgets_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**options)


# -- The key -----------------------------------------------------------------------------------------------


def test_the_key_is_sent_and_stands_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level("DEBUG")

    def script(body: Body, before: int) -> Answer:
        if said(body) == "tell":
            return Answer(status=401, body={"error": {"message": f"wrong key {KEY}"}})
        return Answer(f"your key is {KEY}", model=f"m {KEY}")

    with ScriptedServer(script) as server:
        asker = client(server, cache=tmp_path / "r.sqlite")
        assert ask_all(asker, ["q"]) == {"q": ["your key is [API key]"]}
        with pytest.raises(ChatError) as raised:
            ask_all(asker, ["tell"])
        assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
    assert KEY not in str(raised.value)
    assert KEY not in repr(vars(asker))
    assert KEY not in json.dumps(asker.identity())
    assert KEY not in caplog.text
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_word_for_servers_that_check_no_key_is_left_in_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with ScriptedServer(lambda body, before: Answer("EMPTY = 1")) as server:
        assert ask_all(client(server), ["q"]) == {"q": ["EMPTY = 1"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key_env": KEY}, "the name of an environment variable"),
        ({"api_key_env": "gsk_0123456789abcdef"}, "the name of an environment variable"),
        ({"api_key_env": "hf_AbCdEf0123456789"}, "the name of an environment variable"),
        ({"base_url": f"http://user:{KEY}@h/v1"}, "no user, password or query"),
        ({"base_url": f"http://h/v1?key={KEY}"}, "no user, password or query"),
        ({"base_url": "localhost:8000"}, "as http://localhost:8000/v1"),
    ],
)
def test_a_key_given_as_an_option_is_refused_and_not_repeated(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        ChatClient(model="m", **options)
    assert not any(part in str(raised.value) for part in (KEY, "gsk_", "hf_"))


def test_a_budget_without_an_account_is_refused() -> None:
    with pytest.raises(UserError, match="a budget needs a cache, which keeps the spending"):
        ChatClient(model="m", base_url="http://h/v1", budget=Budget(tokens=100))


def test_what_others_spend_counts_against_the_budget(tmp_path: Path) -> None:
    texts = [str(i) for i in range(40)]
    with ScriptedServer(lambda body, before: Answer("x", delay=0.01)) as server:
        one, other = (client(server, cache=tmp_path / "r", budget=Budget(tokens=500), concurrency=1) for _ in "12")
        threads = [
            threading.Thread(target=_until_spent, args=(asker, texts[i::2])) for i, asker in enumerate((one, other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    together = one.spent + other.spent
    under_way = 60  # of the other one: its bytes and max_tokens
    assert together.prompt_tokens + together.completion_tokens <= 500 + under_way


def _until_spent(asker: ChatClient, texts: list[str]) -> None:
    with contextlib.suppress(BudgetExhausted):
        ask_all(asker, texts, max_tokens=20)


def test_the_hosted_server_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        ask_all(ChatClient(model="m"), ["q"])
