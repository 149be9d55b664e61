"""What a spec of a session may say, and what is found in it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.catalog import Catalog
from engine.errors import ConfigError, UnsupportedError
from engine.examples.given import given_operation

BASE = {"name": "Acme", "base_url": "https://api.example.com/v1", "secrets": {"key": "ACME_KEY"}, "auth": {"bearer": "{{ key }}"}}
LIVE: dict[str, Any] = {
    "connect": "/live",
    "send": {"audio": "{{ audio.bytes }}"},
    "match": "type",
    "events": {"words": {"transcript": {"full": "text", "final": "done"}}},
}


def operation(live: dict[str, Any], **fields: Any) -> Any:
    catalog = Catalog([{"acme": {**BASE, "realtime": live}}])
    return given_operation(catalog, "acme/m", "realtime", **fields)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"connect": None}, "needs `connect`"),
        ({"events": None, "match": None}, "needs `map` or `events`"),
        ({"send": {"open": "hello"}}, "`open` is one message, a mapping"),
        ({"keepalive_every": 5}, "`send` needs `keepalive`"),
        ({"events": {"beat": {"ping": "id"}}}, "`send` needs `pong`"),
        ({"events": {"words": {"transcripts": "text"}}}, "did you mean `transcript`"),
        ({"events": {"words": {"transcript": {"words": "text"}}}}, "`words` is not a key of a transcript output"),
        ({"send": {"audio": {"chunk": "{{ audio.dat }}"}}}, "did you mean `data`"),
        ({"send": {"audio": "{{ key }}"}}, "`key`"),
        ({"send": {"shout": {"a": 1}}}, "shout"),
        ({"binary_frames": "text"}, "binary_frames"),
        ({"connect": "wss://elsewhere.example.org/live"}, "elsewhere.example.org"),
    ],
)
def test_what_is_wrong_is_found(change: dict[str, Any], told: str) -> None:
    whole = {k: v for k, v in {**LIVE, **change}.items() if v is not None}
    with pytest.raises(ConfigError) as caught:
        operation(whole).render()
    assert told in str(caught.value)


def test_an_address_of_its_own_is_met_over_a_socket() -> None:
    assert operation(LIVE).render().url == "wss://api.example.com/v1/live"
    assert operation({**LIVE, "base_url": "wss://api.example.com"}).render().url == "wss://api.example.com/live"
    whole = operation({**LIVE, "connect": "wss://api.example.com/v2/live"})
    assert whole.render().url == "wss://api.example.com/v2/live"


def test_a_credential_may_stand_in_the_first_message() -> None:
    from engine.examples.given import signed

    live = {**LIVE, "auth": {"body": {"api_key": "{{ key }}"}}, "send": {"open": {"model": "{{ model }}"}}}
    made = operation(live)
    assert signed(made, made.render()).body == b'{"model":"m","api_key":"k"}'


def test_what_the_caller_adds_goes_into_the_first_message_and_the_query() -> None:
    live = {
        **LIVE,
        "query": {"a": 1},
        "params": {"temperature": "options.heat"},
        "send": {"open": {"options": {"model": "{{ model }}"}}},
    }
    request = operation(live).render(temperature=0.5, extra_body={"options": {"more": True}}, extra_query={"b": 2})
    assert request.body == b'{"options":{"model":"m","heat":0.5,"more":true}}'
    assert request.url == "wss://api.example.com/v1/live?a=1&b=2"


def test_sound_has_the_formats_of_the_spec() -> None:
    live = {
        **LIVE,
        "query": {"f": "{{ audio_format }}", "r": "{{ sample_rate }}"},
        "audio": {"in": ["pcm16", "mulaw"], "rate": [16000, 8000]},
    }
    assert operation(live).render().url.endswith("?f=pcm16&r=16000")
    assert operation(live).render(audio_format="mulaw").url.endswith("?f=mulaw&r=8000")
    with pytest.raises(UnsupportedError, match="one of 16000, 8000, not 44100"):
        operation(live).render(sample_rate=44100)
