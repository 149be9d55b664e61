"""What the tests of this folder share: small hostile specs, a provider in memory, and every surface an error shows."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import httpx

import engine
from engine.errors import Error

KEY = "sk-canary/Zq7+w0Xv9=Lm4&Rt2"  # every character that some encoding changes
HOST = "api.stranger.test"
ANSWER = {"text": "hello", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}

HEAD = f"""\
name: Stranger
base_url: https://{HOST}/v1
secrets: {{api_key: STRANGER_API_KEY}}
auth: {{bearer: "{{{{ api_key }}}}"}}
"""
CHAT = "chat: {extends: openai-chat}\n"
BARE = "  response: {text: text}\n"  # what an operation of one's own needs at least


def stranger(text: str = HEAD + CHAT, hosts: Iterable[str] = (HOST,), id: str = "stranger") -> Any:
    return engine.remote(text, id=id, hosts=list(hosts))


def local(text: str, id: str = "stranger") -> dict[str, str]:
    """A spec the operator named: the text of his file, by id."""
    return {id: text}


def provider(reply: Callable[[httpx.Request], httpx.Response] | None = None) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A provider in memory, and the requests it has seen."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return reply(request) if reply else httpx.Response(200, json=ANSWER)

    return httpx.MockTransport(handle), seen


def client(
    *catalog: Any, settings: Mapping[str, Any] | None = None, reply: Any = None, **options: Any
) -> tuple[engine.Client, list[httpx.Request]]:
    transport, seen = provider(reply)
    providers = {"stranger": {"api_key": KEY, **(settings or {})}}
    options.setdefault("attempts", 1)
    return engine.Client(catalog=list(catalog), providers=providers, transport=transport, **options), seen


def forms(key: str = KEY) -> list[str]:
    """A key as it may stand in a text."""
    plain = base64.b64encode(key.encode()).decode()
    return [
        key,
        plain,
        base64.urlsafe_b64encode(key.encode()).decode(),
        base64.b64encode(f"user:{key}".encode()).decode(),
        quote(key),
        quote(key, safe=""),
        re.sub("%..", lambda code: code[0].lower(), quote(key, safe="")),
        json.dumps(key)[1:-1],
        key.replace("/", "\\/"),
    ]


def leaks(text: str, key: str = KEY) -> bool:
    """Whether any run of 8 characters of the key, in any form, stands in the text."""
    return any(run in text for run in _runs(key))


@lru_cache(maxsize=8)
def _runs(key: str) -> frozenset[str]:
    return frozenset(form[i : i + 8] for form in forms(key)[:3] + forms(key)[4:] for i in range(len(form) - 7))


def surfaces(error: BaseException) -> list[str]:
    """Everything a program can print, store or send of an exception."""
    shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
    if isinstance(error, Error):
        shown += [json.dumps(error.to_dict(), default=repr), str(copy.copy(error)), repr(error.raw), repr(error.partial)]
        if error.partial is not None:
            shown.append(json.dumps(error.partial.to_dict(), default=repr))
    try:
        shown.append(pickle.dumps(error).decode("latin-1"))
    except Exception as refused:
        shown.append(repr(refused))
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    while told is not None:
        shown += list(told.format_exception_only())
        shown += [f"{frame.line} {frame.locals}" for frame in told.stack if "/engine/" in frame.filename]
        told = told.__cause__ or told.__context__  # type: ignore[assignment]
    for inner in (error.__cause__, error.__context__):
        if inner is not None:
            shown += [repr(inner), repr(vars(inner))]
    return shown


@contextmanager
def every_logger() -> Iterator[list[str]]:
    """Everything any logger says at DEBUG meanwhile, formatted."""
    said: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(f"{record.name} {record.getMessage()} {record.exc_text} {record.__dict__}")

    root, keeper = logging.getLogger(), Keeper(logging.DEBUG)
    level = root.level
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.removeHandler(keeper)
        root.setLevel(level)


ELSEWHERE = [
    "https://evil.test/x",
    "https://evil.test:443/x",
    f"https://{HOST}:8443/x",
    f"https://{HOST}:80/x",
    f"https://{HOST}:0/x",
    f"https://{HOST}@evil.test/x",
    f"https://evil.test@{HOST}/x",
    f"https://user:pw@{HOST}/x",
    f"https://{HOST}.evil.test/x",
    f"https://evil{HOST}/x",
    f"https://evil.test#@{HOST}/x",
    f"https://evil.test?@{HOST}/x",
    f"https://evil.test\\\\@{HOST}/x",
    f"https://evil.test\\t.{HOST}/x",
    f"https://evil.test%2f.{HOST}/x",
    f"https://evil.test%00.{HOST}/x",
    f"https://{HOST}%2eevil.test/x",
    f"https://{HOST}\u3002evil.test/x",
    "https://еvil.test/x",
    "https://ⓔvil.test/x",
    f"http://{HOST}/x",
    "http://127.0.0.1/x",
    "http://localhost/x",
    "http://localhost.evil.test/x",
    "http://127.0.0.1.evil.test/x",
    "http://2130706433/x",
    "http://0x7f.1/x",
    "http://[::1]/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://169.254.169.254/latest/meta-data",
    "ftp://evil.test/x",
    "file:///etc/passwd",
    "gopher://evil.test/x",
    "javascript:alert(1)",
    "data:text/plain,x",
    "//evil.test/x",
    "evil.test/x",
    "x",
    "https://",
    "https:///x",
    "https:evil.test/x",
    "https:\\\\\\\\evil.test/x",
    "HTTPS://EVIL.TEST/x",
    "https://[::1/x",
    "https://evil.test:99999/x",
    "https://evil.test:x/x",
    "https://*.test/x",
    "https://.test/x",
    "https://evil..test/x",
]
