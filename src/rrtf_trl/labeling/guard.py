"""Who may reach the page: checks of host and origin, a token, and security headers.

- ``Host`` must be a name of this server: a foreign page whose name was made to resolve to this machine (DNS
  rebinding) is refused.
- A request that changes something must have the server's own ``Origin``: a foreign page cannot label in
  somebody's name (cross-site request forgery).
- Where other machines reach the server, every request needs the token: the first as ``?token=``, later ones as a
  cookie that no script can read and that requests from foreign pages do not carry.
- The content security policy allows this server's own script and style sheet and nothing else, and only that script
  may insert HTML, which it gets from this server; the page may not be framed, and nothing is cached.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rrtf_trl.errors import UserError

MIN_TOKEN = 16

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types page"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """How the server may be reached.

    Args:
        host: The address that it listens on.
        token: The token that every request needs, or ``None``.
        public_url: Where a proxy in front of it is reached, such as ``https://label.example.org``, or ``None``.

    Raises:
        UserError: If the token is too short, or the URL is not one of a server's root.
    """

    host: str
    token: str | None = None
    public_url: str | None = None

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < MIN_TOKEN:
            raise UserError(f"the token RRTF_LABEL_TOKEN must have at least {MIN_TOKEN} characters")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise UserError(f"--public-url must be like https://label.example.org, got {self.public_url!r}")

    def is_own_host(self, host: str) -> bool:
        """Return whether a ``Host`` header names this server."""
        name = _name(host)
        if name is None:
            return False
        if self.public_url is not None and host.lower() == urlsplit(self.public_url).netloc.lower():
            return True
        if is_loopback(self.host):
            return is_loopback(name)
        if _address(name) is not None:  # DNS rebinding needs a name
            return True
        return name in {"localhost", self.host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Return whether an ``Origin`` header names this server, for a request to ``host``."""
        if self.public_url is not None and origin.lower() == self.public_url.rstrip("/").lower():
            return True
        return origin.lower() == f"http://{host.lower()}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address reaches this machine alone."""
    address = _address(host)
    return address.is_loopback if address is not None else host.lower() == "localhost"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _name(host: str) -> str | None:
    """Return the host of a ``Host`` header, without the port; ``None`` if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return name if name and not set(host) & set("/@?#\\ ") else None


class Guard:
    """ASGI middleware that applies :class:`Access` to every request.

    Args:
        app: The application.
        access: The rules.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle or refuse one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refuse(Request(scope))
        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refuse(self, request: Request) -> Response | None:
        headers: Headers = request.headers
        host = headers.get("host", "")
        if not self.access.is_own_host(host):
            return PlainTextResponse("This server is not known by that name.", 421)
        if request.method not in ("GET", "HEAD") and not self.access.is_own_origin(headers.get("origin", ""), host):
            return PlainTextResponse("This request comes from another site.", 403)
        if self.access.token is None:
            return None
        cookie = f"rrtf_label_{request.url.port or 80}"
        key = hashlib.sha256(f"rrtf label {self.access.token}".encode()).hexdigest()
        if hmac.compare_digest(request.cookies.get(cookie, "").encode(), key.encode()):
            return None
        token = request.query_params.get("token", "")
        if request.method == "GET" and hmac.compare_digest(token.encode(), self.access.token.encode()):
            rest = request.url.remove_query_params("token")
            # 303 to a path of this server, to keep the token out of the history and of links.
            response = RedirectResponse(f"/{rest.path.lstrip('/')}" + (f"?{rest.query}" if rest.query else ""), 303)
            secure = (self.access.public_url or "").startswith("https:")
            response.set_cookie(cookie, key, max_age=30 * 86400, httponly=True, samesite="lax", secure=secure)
            return response
        return PlainTextResponse(
            "This page needs its token: open the address that `rrtf label` printed, with ?token= at its end.", 401
        )
