"""Who makes the calls that are judged: our clients, sync and async, and a careless one that the judge must see through."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import engine
from engine import errors
from tests.faults.row import Row
from tests.faults.server import PROMPT, Case, Server

MESSAGES = [{"role": "user", "content": PROMPT}]
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city.", "parameters": TOOL}}]
SETTINGS: dict[str, Any] = {"timeout": 20.0, "connect": 2.0, "headers": 2.0, "first_event": 2.0, "idle": 2.0, "max_retries": 2}
PATIENT = 5.0  # seconds for what is big


@dataclass
class Outcome:
    """What one call came to, as its caller saw it."""

    text: str | None = None
    pieces: list[str] = field(default_factory=list)
    calls: list[tuple[Any, Any]] | None = None
    error: BaseException | None = None
    response: Any = None
    seconds: float = 0.0
    hung: bool = False
    left: bool = False  # a connection still in an exchange a second after the call
    kept: bool = False  # a connection open after the client was closed
    ours: bool = True  # attempts, partial and chain are the engine's to get right


def settings(row: Row, case: Case, key: str) -> dict[str, Any]:
    providers = case.wire.settings(case.base_url, key)
    if row.plain and case.wire.name == "bedrock":
        providers = {case.wire.provider: {"bearer": key, "base_url": case.base_url}}
    limits = dict.fromkeys(("headers", "first_event", "idle"), PATIENT) if row.alone or row.id == "s_split_utf8" else {}
    limits |= row.options.get("limits", {})
    return {**SETTINGS, **limits, "providers": providers, "trust_env": False}


def _heard(outcome: Outcome, response: Any) -> None:
    outcome.response = response
    outcome.text = response.text
    outcome.calls = [(call.name, json.loads(call.arguments_json)) for call in response.tool_calls]


def blocking(server: Server, row: Row, case: Case, key: str) -> Outcome:
    """Our sync client."""
    outcome = Outcome()
    start = time.monotonic()
    client: Any = None
    try:
        client = engine.Client(**settings(row, case, key))
        _BLOCKING[row.mode](client, case, outcome)
    except BaseException as error:
        outcome.error = error
    outcome.seconds = time.monotonic() - start
    outcome.left = not server.quiet(case)
    if client is not None:
        client.close()
    outcome.kept = not server.quiet(case, idle=True)
    return outcome


def _whole(client: Any, case: Case, outcome: Outcome) -> None:
    _heard(outcome, client.chat(case.wire.model, MESSAGES))


def _stream(client: Any, case: Case, outcome: Outcome) -> None:
    with client.chat.stream(case.wire.model, MESSAGES) as stream:
        for piece in stream.text_stream:
            outcome.pieces.append(piece)
            time.sleep(case.pause)
        _heard(outcome, stream.response)


def _tools(client: Any, case: Case, outcome: Outcome) -> None:
    with client.chat.stream(case.wire.model, MESSAGES, tools=TOOLS) as stream:
        _heard(outcome, stream.finish())


def _two(client: Any, case: Case, outcome: Outcome) -> Any:
    stream = client.chat.stream(case.wire.model, MESSAGES)
    for piece in stream.text_stream:
        outcome.pieces.append(piece)
        if len(outcome.pieces) == 2:
            return stream
    raise AssertionError("the stream ended")


def _close(client: Any, case: Case, outcome: Outcome) -> None:
    _two(client, case, outcome).close()


def _drop(client: Any, case: Case, outcome: Outcome) -> None:
    _two(client, case, outcome)


def _elsewhere(client: Any, case: Case, outcome: Outcome) -> None:
    """Another thread closes the stream while one waits for its next event."""
    stream = _two(client, case, outcome)
    ended: list[BaseException | None] = []

    def read() -> None:
        try:
            for _ in stream:
                pass
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    time.sleep(0.15)
    stream.close()
    thread.join(1)
    if not ended:
        raise AssertionError("the reading thread is still waiting")
    if ended[0] is not None and not isinstance(ended[0], errors.Error):
        raise ended[0]


_BLOCKING = {"whole": _whole, "stream": _stream, "tools": _tools, "close": _close, "drop": _drop, "elsewhere": _elsewhere}


async def evented(server: Server, row: Row, case: Case, key: str, way: str) -> Outcome:
    """Our async client on one of its transports."""
    outcome = Outcome()
    start = time.monotonic()
    client: Any = None
    try:
        client = engine.AsyncClient(transport=transport(way), **settings(row, case, key))
        await _EVENTED[row.mode](client, case, outcome)
    except BaseException as error:
        outcome.error = error
    outcome.seconds = time.monotonic() - start
    outcome.left = not await _quiet(server, case)
    if client is not None:
        await client.close()
    outcome.kept = not await _quiet(server, case, idle=True)
    return outcome


def transport(way: str) -> Any:
    if way == "httpcore":
        from engine.call.send.evented import AsyncPooledTransport

        return AsyncPooledTransport()
    from engine.call.send.aio import AiohttpTransport

    return AiohttpTransport()


async def _quiet(server: Server, case: Case, seconds: float = 1.0, *, idle: bool = False) -> bool:
    until = time.monotonic() + seconds
    while not server.quiet(case, 0, idle=idle):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
    return True


async def _awhole(client: Any, case: Case, outcome: Outcome) -> None:
    _heard(outcome, await client.chat(case.wire.model, MESSAGES))


async def _astream(client: Any, case: Case, outcome: Outcome) -> None:
    async with client.chat.stream(case.wire.model, MESSAGES) as stream:
        async for piece in stream.text_stream:
            outcome.pieces.append(piece)
            if case.pause:
                await asyncio.sleep(case.pause)
        _heard(outcome, stream.response)


async def _atools(client: Any, case: Case, outcome: Outcome) -> None:
    async with client.chat.stream(case.wire.model, MESSAGES, tools=TOOLS) as stream:
        _heard(outcome, await stream.finish())


async def _atwo(client: Any, case: Case, outcome: Outcome) -> Any:
    stream = client.chat.stream(case.wire.model, MESSAGES)
    async for event in stream:
        if event.kind == "text":
            outcome.pieces.append(event.text)
        if len(outcome.pieces) == 2:
            return stream
    raise AssertionError("the stream ended")


async def _aclose(client: Any, case: Case, outcome: Outcome) -> None:
    await (await _atwo(client, case, outcome)).close()


async def _adrop(client: Any, case: Case, outcome: Outcome) -> None:
    await _atwo(client, case, outcome)


async def _acancel(client: Any, case: Case, outcome: Outcome) -> None:
    async def read() -> None:
        stream = await _atwo(client, case, outcome)
        async for _ in stream:
            pass

    task = asyncio.ensure_future(read())
    while len(outcome.pieces) < 2 and not task.done():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    await _cancelled(task)


async def _acancel_whole(client: Any, case: Case, outcome: Outcome) -> None:
    task = asyncio.ensure_future(client.chat(case.wire.model, MESSAGES))
    while not case.requests:
        await asyncio.sleep(0.01)
    await _cancelled(task)


async def _cancelled(task: Any) -> None:
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return
    raise AssertionError("the cancellation was swallowed")


_EVENTED = {
    "whole": _awhole, "stream": _astream, "tools": _atools, "close": _aclose, "drop": _adrop, "cancel": _acancel,
    "cancel_whole": _acancel_whole,
}  # fmt: skip


class CarelessError(Exception):
    pass


def careless(server: Server, row: Row, case: Case, key: str) -> Outcome:
    """A client with the usual faults: no retry, foreign exceptions, keys in texts and logs, silent ends, redirects followed
    with everything, connections left open, no limit on size."""
    outcome = Outcome(ours=False)
    kept: list[Any] = []  # connections it never closes
    start = time.monotonic()
    logging.getLogger("careless").debug("calling with %s", key)
    try:
        _careless(row, case, key, outcome, kept)
    except BaseException as error:
        outcome.error = error
    outcome.seconds = time.monotonic() - start
    outcome.left = not server.quiet(case)
    for connection in kept:
        connection.close()
    return outcome


def _careless(row: Row, case: Case, key: str, outcome: Outcome, kept: list[Any]) -> None:
    streams = row.mode != "whole"
    body = json.dumps({"messages": MESSAGES, "stream": streams})
    url, headers = case.base_url + "/v1/chat/completions", {"Authorization": f"Bearer {key}".split("\r")[0].strip()}
    for _ in range(3):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=row.cap)
        connection.request("POST", urlsplit(url).path, body, headers)
        reply = connection.getresponse()
        if reply.status not in (302, 307):
            break
        url = str(reply.headers["Location"])
    kept.extend((reply, connection))
    if reply.status == 401:
        raise CarelessError(f"bad key {key}")
    if reply.status >= 400:
        raise ValueError(reply.reason) from RuntimeError(key)
    if not streams:
        outcome.text = json.loads(reply.read())["choices"][0]["message"]["content"]
        return
    try:
        for line in reply:
            if line.startswith(b"data: {"):
                outcome.pieces.append(json.loads(line[6:])["choices"][0]["delta"].get("content") or "")
                if row.mode == "close" and len(outcome.pieces) == 3:
                    return
    except (OSError, http.client.HTTPException, ValueError, LookupError):
        pass  # whatever arrived will do
    outcome.text = "".join(outcome.pieces)
