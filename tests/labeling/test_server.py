"""The page's server over real HTTP: who may talk to it, and what it lets out."""

import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rrtf_trl.cli.label import main as label
from rrtf_trl.errors import UserError
from rrtf_trl.labeling.guard import Access, is_loopback
from support.labelling import Page, make_rows

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(1)>&amp;"
TOKEN = "a-token-of-many-letters"


def first_item(page: Page, name: str = "alice") -> str:
    status, _ = page.act(name, f"{name}-opens", "open")
    assert status == 200
    return str(page.rows()[-1]["item_id"])


@pytest.mark.slow
def test_a_label_from_opening_to_the_file(serve: Callable[..., Page]) -> None:
    page = serve(make_rows(2))
    item = first_item(page)
    assert page.act("alice", "action-01", "rank", item, position=2)[1]["draft"] == [[2]]
    assert page.act("alice", "action-02", "rest", item)[1]["draft"] == [[2], [1, 3]]
    status, reply = page.act("alice", "action-03", "submit", item)
    assert (status, reply["reload"]) == (200, True)
    *_, submit, opened = page.rows()
    assert submit["kind"] == "submit"
    assert sorted(submit["ranks"].values()) == [1, 2, 2]
    assert opened["kind"] == "open"
    assert opened["item_id"] != item
    said = page.stop()
    assert "1 label by alice" in said
    assert "rrtf run 'feedback=[unit_tests,human]' feedback.human.labels=" in said


@pytest.mark.slow
def test_nothing_says_who_wrote_an_answer(serve: Callable[..., Page]) -> None:
    rows = make_rows(1)
    rows[0] |= {"sources": ["teacher", "student", "reference"], "models": ["model-a", "model-b", "model-c"]}
    page = serve(rows)
    item = first_item(page)
    _, _, html = page.request("GET", "/as/alice")
    _, _, diff = page.request("GET", f"/as/alice/diff/1?item={item}")
    for word in ("teacher", "student", "reference", "model-", "source"):
        assert word not in html + diff
    for answer in next(row for row in page.rows() if row["kind"] == "item")["answers"]:
        assert answer["answer_id"] not in html + diff


@pytest.mark.slow
def test_hostile_answers_prompts_and_tasks_are_text(serve: Callable[..., Page]) -> None:
    rows = [
        {"prompt": HOSTILE, "responses": [HOSTILE, f"def f():\n    {HOSTILE}", f"```python\n{HOSTILE}\n```"]},
        {"prompt": [{"role": HOSTILE, "content": HOSTILE}], "responses": [HOSTILE, "b"]},
    ]
    page = serve([{**row, "task_id": HOSTILE} for row in rows])
    for _ in range(2):
        page.act("eve", f"opening-{_}", "open")
        item = page.rows()[-1]["item_id"]
        _, _, html = page.request("GET", "/as/eve")
        assert html.count("<script") == 1
        assert "<script src=" in html
        for forbidden in ("<img", "<svg", "onerror=alert(1)>", "</script><"):
            assert forbidden not in html.replace('<script src="/label.js"></script>', "")
        page.act("eve", f"resting-{_}", "rest", item)
        page.act("eve", f"submits-{_}", "submit", item)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["<b>", "", "a" * 41, "-x", "../../etc", "a/b", "a\nb", "\u202ea", "a\x00", "a?b", "a#b", "%2e%2e"]
)
def test_names_that_are_none_are_refused_and_escaped(serve: Callable[..., Page], name: str) -> None:
    from urllib.parse import quote

    page = serve(make_rows(1))
    status, _, html = page.request("GET", f"/enter?name={quote(name)}")
    assert status in (400, 303)
    if status == 303:  # white space is put right
        assert name == "a\nb"
        return
    assert "A name has 1 to 40 letters" in html
    assert "<b>" not in html
    size = page.labels.stat().st_size
    status, _, _ = page.request(
        "POST", f"/as/{quote(name, safe='')}/act", {"id": "12345678", "do": "open", "item": None}
    )
    assert status in (400, 404)
    assert page.labels.stat().st_size == size


@pytest.mark.parametrize("name", ["Ann-Marie O'Neil", "张伟", "Renée", "a.b@example.org", "7"])
def test_names_of_people_are_names(serve: Callable[..., Page], name: str) -> None:
    from urllib.parse import quote

    page = serve(make_rows(1))
    status, headers, _ = page.request("GET", f"/enter?name={quote(name)}")
    assert status == 303
    status, _ = page.act(quote(name, safe=""), "12345678", "open")
    assert status == 200
    assert page.rows()[-1]["annotator"] == name
    assert name.replace("'", "&#39;") in page.request("GET", headers["location"])[2]


def test_every_reply_carries_the_policy(serve: Callable[..., Page]) -> None:
    page = serve(make_rows(1))
    first_item(page)
    for method, path in (("GET", "/"), ("GET", "/as/alice"), ("GET", "/label.js"), ("GET", "/nothing"), ("POST", "/")):
        _, headers, _ = page.request(method, path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize(
    "origin",
    ["", "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:{port}", "http://localhost:{port}"],
)
def test_requests_from_other_sites_change_nothing(serve: Callable[..., Page], origin: str) -> None:
    page = serve(make_rows(1))
    size = page.labels.stat().st_size
    sent = {"Origin": origin.format(port=page.port)}
    status, _, _ = page.request("POST", "/as/alice/act", {"id": "12345678", "do": "open", "item": None}, sent)
    assert status == 403
    assert page.labels.stat().st_size == size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("[::1]:{port}", True),
        ("evil.example", False),
        ("evil.example:{port}", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.1.1:{port}", False),
        ("127.0.0.1:port", False),
        ("user@127.0.0.1", False),
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(serve: Callable[..., Page], host: str, known: bool) -> None:
    page = serve(make_rows(1))
    status, _, _ = page.request("GET", "/", headers={"Host": host.format(port=page.port)})
    assert status == (200 if known else 421)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"{", {}),
        (b"[1]", {}),
        (b'{"id": "12345678", "do": "open"}' + b" " * 20_000, {}),
        (b'{"id": "12345678", "do": "open", "item": null}', {"Content-Type": "text/plain"}),
        (b'{"id": "12345678", "do": "open", "item": null}', {"Content-Type": "application/x-www-form-urlencoded"}),
        (b'{"do": "open", "item": null}', {}),
        (b'{"id": "12345678", "do": ["open"], "item": null}', {}),
        (b"[" * 10_000, {}),
    ],
)
def test_what_is_no_action_is_refused(serve: Callable[..., Page], body: bytes, sent: dict[str, str]) -> None:
    page = serve(make_rows(1))
    size = page.labels.stat().st_size
    status, _, _ = page.request("POST", "/as/alice/act", body, sent)
    assert status in (400, 409)
    assert page.labels.stat().st_size == size
    assert page.request("GET", "/")[0] == 200


@pytest.mark.slow
def test_only_the_pages_own_files_are_served(serve: Callable[..., Page]) -> None:
    page = serve(make_rows(1))
    for path in ("/server.py", "/item.html.jinja", "/..%2fserver.py", "/%2e%2e/server.py", "/etc/passwd"):
        assert page.request("GET", path)[0] == 404
    assert page.request("GET", "/label.css")[1]["content-type"].startswith("text/css")


def test_a_token_keeps_others_out(serve: Callable[..., Page]) -> None:
    page = serve(make_rows(1), env={"RRTF_LABEL_TOKEN": TOKEN})
    for path in ("/", "/as/alice", "/label.js", "/?token=wrong", f"/?token={TOKEN}x"):
        assert page.request("GET", path)[0] == 401
    assert (
        page.request("POST", f"/as/alice/act?token={TOKEN}", {"id": "12345678", "do": "open", "item": None})[0] == 401
    )
    status, headers, _ = page.request("GET", f"/as/alice?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/as/alice")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert TOKEN not in cookie
    sent = {"Cookie": cookie.split(";")[0]}
    assert page.request("GET", "/as/alice", headers=sent)[0] == 200
    assert page.request("POST", "/as/alice/act", {"id": "12345678", "do": "open", "item": None}, sent)[0] == 200
    assert page.request("GET", f"//evil.example/?token={TOKEN}")[1]["location"].startswith("/evil.example")


def test_another_address_needs_consent_and_gets_a_token(serve: Callable[..., Page]) -> None:
    page = serve(make_rows(1), "--host", "0.0.0.0", "--allow-remote")
    said = "".join(page.output)
    assert "/?token=" in said
    assert page.request("GET", "/")[0] == 401
    token = said.split("/?token=")[1].split()[0]
    assert len(token) >= 32
    assert page.request("GET", f"/?token={token}")[0] == 303


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines: add --allow-remote"),
        (["--host", "::"], "add --allow-remote"),
        (["--public-url", "https://label.example.org"], "add --allow-remote"),
        (["--public-url", "label.example.org", "--allow-remote"], "--public-url must be like"),
        (["--per-item", "0"], "--per-item must be 1 or more"),
        (["--answers", "10"], "--answers must be from 2 to 9"),
        (["--port", "1048576"], "--port must be from 0 to 65535"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Any, arguments: list[str], message: str) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps(make_rows(1)[0]) + "\n")
    with pytest.raises(UserError, match=message):
        label([str(source), *arguments])
    assert not (tmp_path / "a.labels.jsonl").exists()


def test_a_short_token_and_a_taken_port_are_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps(make_rows(1)[0]) + "\n")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="cannot listen on"):
        label([str(source), "--port", str(taken.getsockname()[1])])
    monkeypatch.setenv("RRTF_LABEL_TOKEN", "short")
    with pytest.raises(UserError, match="at least 16 characters"):
        label([str(source)])


def test_access_by_name_and_proxy() -> None:
    proxied = Access("127.0.0.1", TOKEN, "https://label.example.org")
    assert proxied.is_own_host("label.example.org")
    assert not proxied.is_own_host("other.example.org")
    assert proxied.is_own_origin("https://label.example.org", "label.example.org")
    assert not proxied.is_own_origin("https://evil.example", "label.example.org")
    everywhere = Access("0.0.0.0", TOKEN)
    assert everywhere.is_own_host("192.168.1.7:8017")
    assert everywhere.is_own_host(socket.gethostname())
    assert not everywhere.is_own_host("evil.example")
    assert [is_loopback(h) for h in ("127.0.0.9", "::1", "localhost", "0.0.0.0", "10.0.0.1", "example.org")] == [
        *(True, True, True, False, False, False)
    ]


@pytest.mark.slow
def test_ctrl_c_ends_it_whatever_is_under_way(serve: Callable[..., Page]) -> None:
    page = serve(make_rows(1))
    first_item(page)
    head = f"POST /as/alice/act HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.url}\r\n"
    with (
        socket.create_connection(("127.0.0.1", page.port)) as half,
        socket.create_connection(("127.0.0.1", page.port)),
    ):
        half.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{".encode())
        assert page.request("GET", "/")[0] == 200
        said = page.stop()
    assert page.process.returncode == 0
    assert "0 labels by nobody" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_many_people_at_once_never_share_the_last_place(serve: Callable[..., Page]) -> None:
    page = serve(make_rows(12), "--per-item", "2")
    errors: list[str] = []

    def work(name: str) -> None:
        number = 0
        page.act(name, f"{name}-opens-", "open")
        while True:
            mine = [r for r in page.rows() if r.get("annotator") == name and r["kind"] in ("open", "submit")]
            if not mine or mine[-1]["kind"] != "open":
                return
            item = mine[-1]["item_id"]
            for do in ("rest", "submit"):
                number += 1
                status, reply = page.act(name, f"{name}-does-{number}", do, item)
                if status != 200:
                    errors.append(reply["message"])
                    return

    people = [threading.Thread(target=work, args=(f"person-{n}",)) for n in range(8)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert not errors
    labels: dict[str, list[str]] = {}
    for row in page.rows():
        if row["kind"] == "submit":
            labels.setdefault(row["item_id"], []).append(row["annotator"])
    assert len(labels) == 12
    assert all(len(names) == len(set(names)) == 2 for names in labels.values())
