"""`uuid(name)` is the same through a call, and another one in the next (SPEC_LANGUAGE 3.3)."""

from __future__ import annotations

import json

import httpx

import engine

SPEC = {
    "name": "Named",
    "base_url": "https://named.test",
    "chat": {
        "before": {"place": {"put": "/places/{{ uuid('place') }}", "value": "ok"}},
        "post": "/chat",
        "body": {
            "place": "{{ uuid('place') }}",
            "again": "{{ uuid('place') }}",
            "other": "{{ uuid('other') }}",
            "any": ["{{ uuid() }}", "{{ uuid() }}"],
        },
        "response": {"text": "text"},
    },
}


def test_a_name_has_one_id_in_every_request_of_a_call() -> None:
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"text": "hi", "ok": True})

    with engine.Client(catalog=[{"named": SPEC}], transport=httpx.MockTransport(handle)) as client:
        client.chat("named/m", "one")
        client.chat("named/m", "two")
    places = [request.url.path.rpartition("/")[2] for request in asked[::2]]
    bodies = [json.loads(request.content) for request in asked[1::2]]
    assert [body["place"] for body in bodies] == [body["again"] for body in bodies] == places
    ids = [*places, *(body["other"] for body in bodies), *(id for body in bodies for id in body["any"])]
    assert len(set(ids)) == len(ids) == 8
