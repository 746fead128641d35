"""Replies that must fit a form: a JSON object of a schema, with one attempt to repair it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import RequestRefused
from .request import ChatRequest
from .session import ChatSession
from .templates import Templates

if TYPE_CHECKING:
    from pydantic import BaseModel

    Form = TypeVar("Form", bound=BaseModel)


async def ask_for(
    session: ChatSession, request: ChatRequest, form: type[Form], templates: Templates
) -> tuple[Form | None, str]:
    """Ask for a reply that fits a form.

    The form's JSON schema is sent along for servers that can enforce it; the reply is checked in any case. One
    that does not fit is answered once with the template ``repair``.

    Args:
        session: Sends the requests.
        request: Its prompt is chat messages.
        form: A pydantic model. Values that its validators need are attributes of its class.
        templates: With a template ``repair``, which gets ``problem_with_it``.

    Returns:
        The filled-in form, or ``None``; and the reason why there is none.
    """
    assert not isinstance(request.prompt, str)
    request = dataclasses.replace(request, schema=strict_schema(form))
    try:
        reply = (await session.ask(request))[0]
        filled, fault = _read(reply.answer, form)
        if filled is not None:
            return filled, ""
        repair = templates.messages("repair", problem_with_it=fault)
        prompt = [*request.prompt, {"role": "assistant", "content": reply.text or "(nothing)"}, *repair]
        reply = (await session.ask(dataclasses.replace(request, prompt=prompt)))[0]
        filled, fault = _read(reply.answer, form)
    except RequestRefused as refused:
        return None, str(refused)
    cut_off = " (the reply was cut off)" if reply.finish_reason == "length" else ""
    return filled, "" if filled is not None else f"no usable reply in two tries: {fault}{cut_off}"


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """Return a form's JSON schema as OpenAI's strict mode requires it: every field required, no others allowed."""
    schema = form.model_json_schema()
    for part in [schema, *schema.get("$defs", {}).values()]:
        if part.get("type") == "object":
            part["additionalProperties"] = False
            part["required"] = list(part.get("properties", {}))
    return schema


def _read(text: str, form: type[Form]) -> tuple[Form | None, str]:
    """Return the first JSON object in a reply that fits, or ``None`` and the fault of the first one."""
    from pydantic import ValidationError

    fault = "there is no JSON object in it"
    decoder = json.JSONDecoder()
    start = text.find("{")
    first = True
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            if first:
                fault = f"it is not JSON: {error}"
            end = start + 1
        else:
            try:
                return form.model_validate(value), ""
            except ValidationError as error:
                if first or fault.startswith("it is not JSON"):
                    details = error.errors()[0]
                    field = ".".join(map(str, details["loc"])) or "the object"
                    fault = f"{field}: {details['msg']}"
        first = False
        start = text.find("{", end)
    return None, fault
