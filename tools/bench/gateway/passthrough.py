"""The floors: an ASGI application that passes bytes through, one request in, one out; with `LOOK` one that decodes the JSON of both
bodies and encodes it again, as whoever must look at them does. `UP` is the origin behind it."""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import orjson

LOOK = bool(os.environ.get("LOOK"))
UP = os.environ["UP"]
session: aiohttp.ClientSession | None = None


async def app(scope: Any, receive: Any, send: Any) -> None:
    global session
    if scope["type"] != "http":
        return
    if session is None:
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=600)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            break
    if LOOK:
        body = orjson.dumps(orjson.loads(body))
    headers = {"content-type": "application/json"}
    async with session.post(UP + scope["path"], data=body, headers=headers) as answer:
        kind = answer.headers.get("content-type", "application/json").encode()
        if answer.headers.get("transfer-encoding") == "chunked":
            await send({"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]})
            rest = b""
            async for data in answer.content.iter_any():
                if LOOK:
                    *events, rest = (rest + data).split(b"\n\n")
                    data = b"".join(map(looked, events))
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        whole = await answer.read()
        if LOOK:
            whole = orjson.dumps(orjson.loads(whole))
        told = [(b"content-type", kind), (b"content-length", str(len(whole)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": told})
        await send({"type": "http.response.body", "body": whole})


def looked(event: bytes) -> bytes:
    """An event of a stream, its data decoded and encoded again."""
    data = event.removeprefix(b"data: ")
    return b"data: %b\n\n" % (data if data == b"[DONE]" else orjson.dumps(orjson.loads(data)))
