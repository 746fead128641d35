"""Addresses, keys, proxies and certificates that cannot work: one line each, with the remedy."""

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rrtf_trl.chat.session as session_module
from rrtf_trl.chat import ChatClient
from rrtf_trl.chat.address import explain_connection, proxy_of, server_address
from rrtf_trl.errors import UserError
from support.chat_requests import ask_all, client, echo
from support.scripted_server import ScriptedServer

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies, and waits that a test does not wait for."""
    for name in (*PROXIES, "OPENAI_BASE_URL", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(session_module, "_FIRST_WAIT", 0.01)


def fault(asker: ChatClient) -> str:
    """Return the message of the error with which a request ends."""
    with pytest.raises(UserError) as error:
        ask_all(asker, ["q"])
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("localhost:8000/v1", "did you mean http://localhost:8000/v1?"),
        ("10.0.0.1:8000", "did you mean http://10.0.0.1:8000?"),
        ("htp://h/v1", "did you mean http://h/v1?"),
        ("http://h:80a/v1", "base_url must be as http://localhost:8000/v1, got 'http://h:80a/v1'"),
        ("http://[::1/v1", "base_url must be as"),
        ("http://", "base_url must be as"),
        ("http://h/v1/chat/completions", "must end before /chat/completions, which is added: http://h/v1"),
        ("http://h/v1/chat/completions/", "must end before /chat/completions, which is added: http://h/v1"),
        ("http://h/v1/completions", "must end before /completions, which is added: http://h/v1"),
        ("http://h/v1/models", "must end before /models"),
        ("http://user:secret@h/v1", "must hold no user, password"),
        ("https://h/v1?api-version=1", "must hold no user, password or query"),
    ],
)
def test_an_address_that_cannot_be_one_is_told_with_the_right_one(address: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        server_address(address)
    assert message in str(error.value)


def test_an_address_is_taken_with_blanks_around_it_and_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_address(" http://h:8000/v1/\n") == "http://h:8000/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000\n")
    with pytest.raises(
        UserError, match=r"environment variable OPENAI_BASE_URL must be as .* did you mean http://local"
    ):
        server_address(None)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sk-ümlaut-secret", "SOME_KEY holds no API key: there is a sign that no HTTP header can hold in it"),
        ("sk-“secret”", "a sign that no HTTP header can hold"),
        ("sk-secret\nsk-other", "there is a space in it"),
        ("Bearer sk-secret", "there is a space in it"),
        ("sk-sec\x00ret", "a sign that no HTTP header can hold"),
    ],
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(
    key: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.environ", {**os.environ, "SOME_KEY": key})  # which holds no null byte
    with ScriptedServer(echo) as server:
        told = fault(client(server, api_key_env="SOME_KEY"))
    assert message in told
    assert "secret" not in told


def test_blanks_around_a_key_are_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-secret-key\n")
    with ScriptedServer(echo) as server:
        ask_all(client(server, api_key_env="SOME_KEY"), ["q"])
        assert server.headers[0]["authorization"] == "Bearer sk-secret-key"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"http_proxy": "http://me:secret@127.0.0.1:9"},
            "through the proxy http_proxy=http://127.0.0.1:9; is it right?",
        ),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, "through the proxy HTTP_PROXY=http://127.0.0.1:9"),
        ({"all_proxy": "http://127.0.0.1:9"}, "through the proxy all_proxy=http://127.0.0.1:9"),
        ({"http_proxy": "ftp://127.0.0.1:9"}, "no connection can be made"),
        ({"all_proxy": "socks4://127.0.0.1:9"}, "all_proxy"),
        ({"http_proxy": "http://127.0.0.1:port"}, "http_proxy"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE"),
    ],
)
def test_a_proxy_that_is_none_is_named(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with ScriptedServer(echo) as server:
        told = fault(client(server, retries=2))
    assert message in told
    assert "secret" not in told
    assert not server.asked


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_without_its_package_is_told_with_what_to_install(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("all_proxy", f"{scheme}://me:secret@127.0.0.1:9")
    with ScriptedServer(echo) as server:
        told = fault(client(server))
        assert told == (
            f"all_proxy={scheme}://127.0.0.1:9 is a SOCKS proxy, which needs a package: pip install 'httpx[socks]'; "
            "or set no_proxy=127.0.0.1 to do without it"
        )
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("all_proxy")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert ask_all(client(server), ["q"]) == {"q": ["re: q"]}  # the remedy works


def test_which_proxy_a_server_is_asked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_of("http://h/v1") is None
    monkeypatch.setenv("ALL_PROXY", "http://a")
    monkeypatch.setenv("https_proxy", "http://s")
    assert proxy_of("https://h/v1") == ("https_proxy", "http://s")
    assert proxy_of("http://h/v1") == ("ALL_PROXY", "http://a")
    monkeypatch.setenv("no_proxy", "localhost,h")
    assert proxy_of("https://h/v1") is None


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody trusts, and its key, in one file."""
    path = tmp_path / "server.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(tmp_path / "c.pem")]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("openssl cannot make a certificate")
    path.write_text(path.read_text() + (tmp_path / "c.pem").read_text())
    return path


def test_certificates_that_are_not_trusted_and_https_where_there_is_none(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    start = asyncio.start_server

    def with_tls(*arguments: Any, **options: Any) -> Any:
        return start(*arguments, ssl=context, **options)

    monkeypatch.setattr(asyncio, "start_server", with_tls)
    with ScriptedServer(echo) as server:
        address = server.url.replace("http://", "https://")
        told = fault(ChatClient(model="m", base_url=address))
        assert "its certificate is not trusted" in told
        assert "set SSL_CERT_FILE to the file of the authority that signed it" in told
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert ask_all(ChatClient(model="m", base_url=address), ["q"]) == {"q": ["re: q"]}  # the remedy works
    monkeypatch.setattr(asyncio, "start_server", start)
    with ScriptedServer(echo) as server:
        told = fault(ChatClient(model="m", base_url=server.url.replace("http://", "https://")))
        assert "no https is spoken there" in told
        assert told.endswith(f"is it {server.url}?")


def test_where_nobody_listens_the_server_is_asked_about() -> None:
    assert explain_connection("refused", "http://h/v1") == "http://h/v1: refused; is the server running?"
