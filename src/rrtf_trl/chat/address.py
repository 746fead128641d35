"""Where a server is: its address, proxies and certificates, with remedies for what is wrong in them."""

from __future__ import annotations

import os
import urllib.request
from urllib.parse import urlsplit

from rrtf_trl.errors import UserError

OPENAI = "https://api.openai.com/v1"
_ENDPOINTS = ("/chat/completions", "/completions", "/models", "/responses")


def server_address(base_url: str | None) -> str:
    """Return the address of a server, checked.

    Args:
        base_url: As set; ``None`` for the environment variable ``OPENAI_BASE_URL``, or OpenAI's own.

    Raises:
        UserError: If it is no such address; the message has the right one where it can be told.
    """
    given = (base_url or "").strip()
    name = "base_url" if given else "the environment variable OPENAI_BASE_URL"
    address = (given or os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI).rstrip("/")
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError as error:
        raise UserError(f"{name} must be as http://localhost:8000/v1, got {address!r} ({error})") from None
    if not is_address:
        guess = address if "://" not in address else address.partition("://")[2]
        hint = f"; did you mean http://{guess}?" if guess and parts.scheme not in ("file", "unix") else ""
        raise UserError(f"{name} must be as http://localhost:8000/v1, got {address!r}{hint}")
    if parts.username or parts.password or parts.query:
        raise UserError(f"{name} must hold no user, password or query: keys come from the environment only")
    for endpoint in _ENDPOINTS:
        if address.endswith(endpoint):
            raise UserError(f"{name} must end before {endpoint}, which is added: {address.removesuffix(endpoint)}")
    return address


def proxy_of(address: str) -> tuple[str, str] | None:
    """Return the environment variable and the address of the proxy through which a server is asked, if any.

    The rules are those of Python's ``urllib``, which the HTTP client follows: the variable of the scheme, then
    ``all_proxy``; none for the hosts in ``no_proxy``.
    """
    parts = urlsplit(address)
    found = urllib.request.getproxies_environment()
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    for scheme in (parts.scheme, "all"):
        if found.get(scheme):
            name = f"{scheme}_proxy"
            return name if name in os.environ else name.upper(), found[scheme]
    return None


def refuse_client(error: Exception, address: str) -> UserError:
    """Return the error for an HTTP client that cannot be made, as the environment has it."""
    proxy = proxy_of(address)
    host = urlsplit(address).hostname
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, ImportError) and proxy:
        name, where = proxy
        return UserError(
            f"{name}={_plain(where)} is a SOCKS proxy, which needs a package: pip install 'httpx[socks]'; "
            f"or set no_proxy={host} to do without it"
        )
    if isinstance(error, OSError) or "SSL" in reason:
        names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
        held = f": is {' and '.join(f'{name}={os.environ[name]}' for name in names)} right?" if names else ""
        return UserError(f"certificates cannot be loaded ({reason}){held}")
    set_here = [name for name in os.environ if name.lower().endswith("_proxy") and os.environ[name]]
    return UserError(f"no connection can be made ({reason}): look at {', '.join(sorted(set_here)) or 'base_url'}")


def explain_connection(fault: str, address: str) -> str:
    """Return a connection's fault in words, with what to look at.

    Args:
        fault: What the HTTP client says.
        address: The server's.
    """
    parts = urlsplit(address)
    if "CERTIFICATE_VERIFY_FAILED" in fault:
        return (
            f"{address}: its certificate is not trusted ({fault}); set SSL_CERT_FILE to the file of the authority "
            "that signed it"
        )
    if "[SSL" in fault:
        return f"{address}: no https is spoken there ({fault}); is it {address.replace('https://', 'http://', 1)}?"
    if proxy := proxy_of(address):
        name, where = proxy
        return (
            f"{address}: {fault}, through the proxy {name}={_plain(where)}; is it right? no_proxy={parts.hostname} "
            "does without it"
        )
    return f"{address}: {fault}; is the server running?"


def _plain(proxy: str) -> str:
    """Return a proxy's address without a user and password."""
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
