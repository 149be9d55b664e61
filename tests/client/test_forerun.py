"""What must be got before a request can be written: media by address, uploads, `before` calls (SPEC_LANGUAGE 3.4, 4)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import engine

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
SPEC = {
    "name": "Acme",
    "base_url": "https://api.acme.example/v1",
    "secrets": {"api_key": "ACME_KEY"},
    "auth": {"bearer": "{{ api_key }}"},
    "chat": {
        "post": "/chat",
        "before": {"session": {"post": "/sessions", "body": {"model": "{{ model }}"}, "value": "id"}},
        "upload": {"image": {"post": "/files", "multipart": {"file": "{{ part }}"}, "value": "file.id"}},
        "inline": ["document"],
        "body": {
            "session": "{{ session }}",
            "items": {"$for": "m in messages", "role": "{{ m.role }}", "parts": "{{ parts(m.parts) }}"},
        },
        "parts": {
            "text": {"t": "{{ part.text }}"},
            "image": {"file": "{{ part.file_id }}"},
            "document": {"type": "{{ part.media_type }}", "data": "{{ part.data }}"},
        },
        "response": {"text": "text", "finish": "'stop'"},
    },
}
MESSAGE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "look"},
        {"type": "image", "data": base64.b64encode(PNG).decode(), "media_type": "image/png"},
        {"type": "document", "url": "https://papers.example/one.pdf"},
    ],
}


class Acme:
    """A hand-written Acme that notes what it was asked."""

    def __init__(self, fail_first: str | None = None) -> None:
        self.seen: list[httpx.Request] = []
        self.fail_first = fail_first

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if request.url.path == self.fail_first:
            self.fail_first = None
            return httpx.Response(503, headers={"retry-after-ms": "1"})
        if request.url.host == "papers.example":
            return httpx.Response(200, content=b"%PDF-1.4", headers={"content-type": "application/pdf"})
        answers: dict[str, Any] = {"/v1/sessions": {"id": "s1"}, "/v1/files": {"file": {"id": "f1"}}, "/v1/chat": {"text": "seen"}}
        return httpx.Response(200, json=answers[request.url.path])


def client(handler: Callable[[httpx.Request], httpx.Response]) -> engine.Client:
    return engine.Client(
        catalog=[{"acme": SPEC}], providers={"acme": {"api_key": "k-123456789"}}, transport=httpx.MockTransport(handler)
    )


def test_everything_is_got_in_order_and_then_sent() -> None:
    acme = Acme()
    answer = client(acme).chat("acme/m", [MESSAGE])
    assert answer.text == "seen"
    assert [r.url.path for r in acme.seen] == ["/v1/files", "/one.pdf", "/v1/sessions", "/v1/chat"]
    sent = json.loads(acme.seen[-1].content)
    assert sent["session"] == "s1"
    assert sent["items"][0]["parts"] == [
        {"t": "look"},
        {"file": "f1"},
        {"type": "application/pdf", "data": base64.b64encode(b"%PDF-1.4").decode()},
    ]
    assert PNG in acme.seen[0].content


def test_a_fetched_address_never_sees_the_key() -> None:
    """RELIABILITY A7, S2: media of other hosts are asked for without credentials."""
    acme = Acme()
    client(acme).chat("acme/m", [MESSAGE])
    foreign = [r for r in acme.seen if r.url.host == "papers.example"]
    assert foreign and "authorization" not in foreign[0].headers
    assert all("authorization" in r.headers for r in acme.seen if r.url.host == "api.acme.example")


def test_what_was_got_is_not_got_again_when_an_attempt_is_repeated() -> None:
    acme = Acme(fail_first="/v1/sessions")
    assert client(acme).chat("acme/m", [MESSAGE]).text == "seen"
    paths = [r.url.path for r in acme.seen]
    assert paths.count("/v1/files") == 1 and paths.count("/one.pdf") == 1 and paths.count("/v1/sessions") == 2


def test_the_callers_message_is_left_alone() -> None:
    before = json.dumps(MESSAGE)
    client(Acme()).chat("acme/m", [MESSAGE])
    assert json.dumps(MESSAGE) == before


def test_explain_says_what_would_be_got_without_getting_it() -> None:
    acme = Acme()
    explained = client(acme).chat.explain("acme/m", [MESSAGE])
    assert not acme.seen
    assert any("uploaded first" in note for note in explained.notes) and any("fetched first" in note for note in explained.notes)


def test_a_pure_rendering_says_that_it_cannot() -> None:
    operation = client(Acme()).operation("acme/m", "chat")
    with pytest.raises(engine.errors.UnsupportedError, match="a client does that"):
        operation.render(messages=[MESSAGE])
