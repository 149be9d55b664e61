"""Answers on their way back: whole by the reply template, streamed by the encoder, both from canonical values (RELIABILITY G8)."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from engine import errors
from engine.call.json import dumps
from engine.serve.encoder import Encoder
from engine.serve.gateway.asked import Asked
from engine.serve.gateway.keeping import aged
from engine.serve.gateway.through import TOLD
from engine.serve.gateway.wording import shown
from engine.serve.reply import random_id, write_reply

if TYPE_CHECKING:
    from engine.client import AsyncClient
    from engine.types import Response

Begin = Callable[[int, dict[str, str]], Awaitable[None]]
Write = Callable[[bytes, bool], Awaitable[None]]  # (bytes, whether more follows)
Whole = Callable[[int, dict[str, str], bytes], Awaitable[None]]  # (status, headers, body)

WARNINGS = 1000  # characters of the header that tells what was dropped
_MADE = re.compile(r"call_[0-9]{1,4}")  # as the engine numbers calls


async def answer_whole(client: AsyncClient, asked: Asked, write: Whole) -> None:
    """One call, one body. Errors leave before anything was written."""
    response: Response = await client._run(asked.served.operation, asked.target, (), asked.fields)
    asked.used = used(response)
    _rename(response)
    reply = write_reply(asked.served, response, asked.request, now=time.time(), report=asked.report)
    body = dumps(reply, finite=asked.served.operation == "chat")  # of vectors somebody has to look
    headers = {"content-type": "application/json"}
    if response.report.cache is not None:
        headers.update(aged(response))
    if asked.report.warnings or response.warnings:
        headers.update(warned([*asked.report.warnings, *response.warnings]))
    await write(200, headers, body)


def used(response: Response) -> int | None:
    """Tokens that an answer came to, if its provider said so; none where nobody was asked."""
    if response.report.cache is not None and response.report.cache["hit"]:
        return 0
    return (response.usage.input_tokens or 0) + (response.usage.output_tokens or 0) or None


def _rename(response: Response) -> None:
    """Give calls that came without an id one that no other turn of the conversation has: theirs is unique in this answer only."""
    for choice in response.choices:
        for part in choice.parts:
            if part.type == "tool_call" and part.id is not None and _MADE.fullmatch(part.id):
                part.id = f"call_{random_id()[:24]}"


async def answer_streamed(client: AsyncClient, asked: Asked, dialect: str | None, words: str, begin: Begin, write: Write) -> None:
    """One call, one stream. Nothing is written before the first content: until then errors leave, afterwards they end the
    stream in the client's dialect."""
    encoder = Encoder(asked.served, asked.request, dialect=dialect, now=time.time(), report=asked.report, framing=asked.framing)
    begun = ended = False
    failed: errors.Error | None = None
    whole: Response | None = None

    async def out(data: bytes, more: bool) -> None:
        nonlocal begun
        if not begun:
            begun = True
            headers = {"content-type": encoder.content_type, "cache-control": "no-cache", "x-accel-buffering": "no"}
            await begin(200, {**headers, **aged(whole), **warned(asked.report.warnings)})
        await write(data, more)

    asked.fields[TOLD] = asked.report
    async with client.chat.stream(asked.target, **asked.fields) as stream:
        try:
            async for event in stream:
                events = [event, *stream.arrived()]
                if events[-1].kind == "error":
                    events.pop()  # the stream raises it next, complete and masked
                if events and events[-1].kind == "end":
                    whole = events[-1].response
                data = encoder.feed(events)
                if data and not ended:
                    ended = encoder.ended
                    await out(data, not ended)
        except errors.Error as error:
            failed = error
    if failed is None:
        asked.used = used(stream.response)
    if ended:
        return
    if failed is None:
        await out(encoder.end(), False)
    elif begun:
        await out(encoder.fail(shown(failed, words)), False)
    else:
        raise failed


def warned(warnings: Iterable[str]) -> dict[str, str]:
    """The header that says what the answer or the request lost on its way."""
    told = "; ".join(dict.fromkeys(warnings))
    if not told:
        return {}
    text = told[:WARNINGS].encode("ascii", "backslashreplace").decode()
    return {"x-llmkit-warnings": "".join(c if c.isprintable() else " " for c in text)}
