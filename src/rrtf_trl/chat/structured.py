"""Replies of a form: a JSON object that fits a schema, one try to repair it, and a reason where there is none."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import Refused
from .request import ChatRequest
from .session import ChatSession
from .templates import Templates

if TYPE_CHECKING:
    from pydantic import BaseModel

    Form = TypeVar("Form", bound=BaseModel)


async def ask_for(
    session: ChatSession, request: ChatRequest, form: type[Form], templates: Templates
) -> tuple[Form | None, str]:
    """Ask for a reply of a form.

    The form's JSON schema goes along for servers that can enforce it; the reply is checked in any case. One
    that does not fit is answered with the template ``repair``, once.

    Args:
        session: Where to ask.
        request: What to ask; chat messages.
        form: A pydantic model. Values that a checker of its own needs to know stand in its class.
        templates: With a template ``repair``, which gets ``problem_with_it``.

    Returns:
        The form, filled in, or ``None``; and in words why there is none.
    """
    assert not isinstance(request.prompt, str)
    request = dataclasses.replace(request, schema=strict_schema(form))
    try:
        reply = (await session.ask(request))[0]
        found, why = _read(reply.answer, form)
        if found is not None:
            return found, ""
        again = templates.messages("repair", problem_with_it=why)
        prompt = [*request.prompt, {"role": "assistant", "content": reply.text or "(nothing)"}, *again]
        reply = (await session.ask(dataclasses.replace(request, prompt=prompt)))[0]
        found, why = _read(reply.answer, form)
    except Refused as refused:
        return None, str(refused)
    cut = " (the reply was cut off)" if reply.finish_reason == "length" else ""
    return found, "" if found is not None else f"no usable reply in two tries: {why}{cut}"


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """Return a form's JSON schema as OpenAI's strict mode wants it: every field required, no others allowed."""
    schema = form.model_json_schema()
    for part in [schema, *schema.get("$defs", {}).values()]:
        if part.get("type") == "object":
            part["additionalProperties"] = False
            part["required"] = list(part.get("properties", {}))
    return schema


def _read(text: str, form: type[Form]) -> tuple[Form | None, str]:
    """Return the first JSON object in a reply that fits, or what is wrong with the first one."""
    from pydantic import ValidationError

    why = "there is no JSON object in it"
    decoder = json.JSONDecoder()
    start = text.find("{")
    first = True
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            if first:
                why = f"it is not JSON: {error}"
            end = start + 1
        else:
            try:
                return form.model_validate(value), ""
            except ValidationError as error:
                if first or why.startswith("it is not JSON"):
                    wrong = error.errors()[0]
                    field = ".".join(map(str, wrong["loc"])) or "the object"
                    why = f"{field}: {wrong['msg']}"
        first = False
        start = text.find("{", end)
    return None, why
