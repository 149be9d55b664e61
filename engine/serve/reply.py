"""A canonical Response becomes the body of a served reply (SERVE.md 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import getrandbits
from typing import Any

from engine.call.media import vector_base64
from engine.plan import Served
from engine.serve.answer import MEDIA, Places, choice_view, native_usage, part_view
from engine.types import Choice, Report, Response


def random_id() -> str:
    """An id for a client that may send it back. It is no secret: whoever has it may do nothing with it."""
    return f"{getrandbits(128):032x}"


def write_reply(
    served: Served,
    response: Response,
    request: Mapping[str, Any] | None = None,
    *,
    now: float = 0.0,
    make_id: Callable[[], str] = random_id,
    report: Report | None = None,
) -> Any:
    """The body of one full reply.

    `request` is the accepted canonical request, `now` Unix seconds for an answer that has no time of its own. What the
    dialect has no place for is a warning on `report`; content that would be lost raises UnsupportedError.
    """
    report = report if report is not None else Report()
    context = base_context(served, request, report, response.id or make_id(), response.model, response.created, now)
    if served.operation != "chat":
        return served.reply({**context, **_listed(response, context["request"]), "usage": native_usage(served, response.usage)})
    places = Places(served, False, report)
    choices = []
    for choice in response.choices or (Choice(),):
        choices.append(_choice(served, places, choice, context["id"]))
    context.update(choices[0], choices=choices, usage=native_usage(served, response.usage))
    if len(choices) > 1 and "choices" not in served.reads:
        places.warn(f"{places.label} has a place for one choice; {len(choices) - 1} were dropped")
    return served.reply(context)


def _listed(response: Response, request: Mapping[str, Any]) -> dict[str, Any]:
    """What operations without choices give, by name: vectors, models."""
    models = [event.fields for event in response.outputs if event.kind == "model"]
    encoded = request.get("encoding") == "base64"
    embeddings = []
    for event in response.outputs:
        if event.kind == "embedding":
            view = dict(event.fields)
            if encoded:
                view["base64"] = vector_base64(view["vector"], view.get("dtype"))
            embeddings.append(view)
    return {"models": models, "embeddings": embeddings}


def _choice(served: Served, places: Places, choice: Choice, id: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    whole: set[str] | None = None  # ids of native items, which say all of the media they came with
    named, writes = "item_id" in served.reads, places.writes
    for part in choice.parts:
        if part.type in MEDIA and "native" in writes:
            if whole is None:
                whole = _native_ids(choice)
            if part.id in whole:
                continue
        number = len(parts)
        view = part_view(part, item_id(id, number, part.type, part.id) if named else "", number)
        fitting = view if view["type"] == "text" and "text" in writes else places.fit(view)
        if fitting is not None:
            parts.append(fitting)
    finish = native_finish(served, places, choice.finish_reason)
    citations = [c.to_dict() for c in choice.citations] if choice.citations else None
    return choice_view(choice.index, parts, citations, finish, choice.logprobs)


def _native_ids(choice: Choice) -> set[str]:
    items = [part.native for part in choice.parts if part.type == "native"]
    return {item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)}


def native_finish(served: Served, places: Places, reason: str | None) -> str | None:
    """The wire's own word for why an answer ended. Where it has none it says `stop`, with a warning; calls speak for themselves."""
    word = served.finish.get(reason or "stop")
    if reason not in (None, "stop", "tool_calls") and served.plan.finish_reasons.get(word or "") != reason:
        places.warn(f"that the answer ended with `{reason}` was dropped: {places.label} has no word for it")
    return word


def item_id(id: str, number: int, type: str, own: str | None) -> str:
    """The stable name of a block: the id that its thinking has, else one made from the answer's."""
    return own if type == "thinking" and own else f"{''.join(filter(str.isalnum, id))[-24:]}{number:02x}"


def base_context(
    served: Served,
    request: Mapping[str, Any] | None,
    report: Report,
    id: str,
    model: str | None,
    created: int | None,
    now: float,
) -> dict[str, Any]:
    """The names that every template of an answer sees."""
    return {
        "id": id,
        "model": model or (request or {}).get("model"),
        "created": created if created is not None else int(now),
        "request": request if request.__class__ is dict else dict(request or {}),
        "$report": report,
        "$dialects": served.plan.dialects,
        "$now": now,
        "$uuid": _uuid,
    }


def _uuid(name: str | None = None) -> str:
    return random_id()
