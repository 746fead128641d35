"""The labelling page's server: HTML for an annotator's current item, and one URL that their actions are sent to."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from . import view
from .draft import LabelRefused
from .guard import Access, Guard
from .items import Item
from .session import LabelingSession, StalePage, positions

_PAGE = Path(__file__).parent / "page"
_ASSETS = {"label.js": "text/javascript", "label.css": "text/css", "icon.svg": "image/svg+xml"}
_MAX_BODY = 16_384  # bytes of an action
_NAME = re.compile(r"[^\W_][\w .'@+-]{0,39}")


def build_app(session: LabelingSession, access: Access, ready: Callable[[], None]) -> Starlette:
    """Return the page as an ASGI application.

    Args:
        session: The items and the annotators.
        access: How it may be reached.
        ready: Called when it starts to handle requests; from then on Ctrl-C shuts it down cleanly.
    """
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def page(template: str, status: int = 200, **facts: Any) -> Response:
        text = environment.get_template(template).render(facts)
        return HTMLResponse(text.encode("utf-8", "replace"), status)

    async def start(_: Request) -> Response:
        return start_page()

    def start_page(error: str = "", name: str = "", status: int = 200) -> Response:
        people = [
            (name, len(person.done)) for name, person in session.file.ledger.annotators.items() if _is_name(name)
        ]
        everyone = session.progress("")
        return page("start.html.jinja", status, people=people, progress=everyone, error=error, name=name, url=_url)

    async def enter(request: Request) -> Response:
        name = request.query_params.get("name", "")
        try:
            return RedirectResponse(_url(check_name(name)), 303)
        except ValueError as error:
            return start_page(str(error), name, 400)

    async def label(request: Request) -> Response:
        name = request.path_params["name"]
        if not _is_name(name):
            return RedirectResponse("/", 303)
        item, progress = session.item(name), session.progress(name)
        facts = {"name": name, "url": _url(name), "progress": progress}
        if item is None:
            return page("pause.html.jinja", **facts, waiting=session.waiting(name))
        return page("item.html.jinja", **facts, **_item_facts(session, item, name))

    async def act(request: Request) -> Response:
        name = request.path_params["name"]
        body = await _body(request)
        if body is None or not _is_name(name):
            return JSONResponse({"message": "This is not an action"}, 400)
        try:
            return JSONResponse(asdict(session.act(name, body)))
        except LabelRefused as error:
            return JSONResponse({"message": str(error)}, 422)
        except StalePage as error:
            return JSONResponse({"message": str(error)}, 409)
        except ValueError as error:
            return JSONResponse({"message": f"This is not an action: {error}"}, 400)
        except OSError as error:
            return JSONResponse({"message": f"Not saved: {error.strerror}"}, 507)

    async def diff(request: Request) -> Response:
        item, base = session.item(request.path_params["name"]), request.path_params["base"]
        shown = session.file.ledger.annotators[request.path_params["name"]].shown if item else []
        if item is None or not 1 <= base <= len(shown) or request.query_params.get("item") != item.item_id:
            return JSONResponse({"message": "This page is out of date"}, 409)
        texts = [item.candidate(key).text for key in shown]
        return JSONResponse([view.difference(texts[base - 1], text) for text in texts])

    async def asset(request: Request) -> Response:
        name = request.path_params["file"]
        if name not in _ASSETS:
            return JSONResponse({"message": "no such file"}, 404)
        return FileResponse(_PAGE / name, media_type=_ASSETS[name])

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ready()
        yield

    routes = [
        Route("/", start),
        Route("/enter", enter),
        Route("/as/{name}", label),
        Route("/as/{name}/act", act, methods=["POST"]),
        Route("/as/{name}/diff/{base:int}", diff),
        Route("/{file}", asset),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Guard, access=access)])


def check_name(name: str) -> str:
    """Return an annotator's name in NFC, with single spaces.

    Raises:
        ValueError: If it is not a name.
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not _NAME.fullmatch(name):
        raise ValueError(
            "A name has 1 to 40 letters, digits, spaces, or any of . ' @ + - _ and begins with a letter or a digit"
        )
    return name


def _is_name(name: str) -> bool:
    try:
        return check_name(name) == name
    except ValueError:
        return False


def _url(name: str) -> str:
    return f"/as/{quote(name, safe='')}"


def _item_facts(session: LabelingSession, item: Item, name: str) -> dict[str, Any]:
    """Return the values of ``item.html.jinja``; the source of a candidate is not among them."""
    person = session.file.ledger.annotators[name]
    draft = person.draft()
    candidates = [item.candidate(key) for key in person.shown]
    return {
        "item_id": item.item_id,
        "number": session.progress(name).mine + 1,
        "draft": positions(person, draft),
        "tie": draft.tie,
        "prompt": view.messages(item.prompt),
        "candidates": [
            {
                "code": view.highlighted(candidate.text),
                "response": view.highlighted(candidate.response) if candidate.response else None,
                "tests": _tests(candidate.tests),
            }
            for candidate in candidates
        ],
        "has_tests": any(candidate.tests for candidate in candidates),
        "has_responses": any(candidate.response for candidate in candidates),
    }


def _tests(tests: dict[str, Any] | None) -> dict[str, Any] | None:
    if tests is None:
        return None
    state = str(tests.get("state", ""))
    return {
        "state": state.replace("_", " "),
        "kind": state if state in ("passed", "partial") else "failed",
        "passed": tests.get("passed"),
        "total": tests.get("total"),
        "message": view.visible(str(tests.get("message") or "")),
    }


async def _body(request: Request) -> dict[str, Any] | None:
    """Return a request's JSON object, or ``None`` if it has none or is larger than an action can be."""
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        return None
    text = b""
    try:
        async for chunk in request.stream():
            text += chunk
            if len(text) > _MAX_BODY:
                return None
    except (ClientDisconnect, asyncio.CancelledError):  # the request broke off, or the server ends
        return None
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
