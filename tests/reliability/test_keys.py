"""Several keys of one provider, as their user meets them: in turn, one that is refused set aside (RELIABILITY E2, F4)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

import engine
from tests.client.fakes import FakeClock

MODEL = "groq/llama-3.3-70b-versatile"
NAMES = ("one", "two", "three")
ANSWER = {
    "id": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


class Provider:
    """Answers each key as it was told to, and writes down which was used."""

    def __init__(self, **says: tuple[int, dict[str, str]]) -> None:
        self.says = {name: says.get(name, (200, {})) for name in NAMES}
        self.used: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.headers["authorization"].split("-")[1]
        self.used.append(name)
        status, headers = self.says[name]
        return httpx.Response(status, json=ANSWER if status == 200 else {"error": {"message": "no"}}, headers=headers)

    def since(self) -> list[str]:
        used, self.used = self.used, []
        return used


class Both:
    """The same calls through either client."""

    def __init__(self, way: str, provider: Provider) -> None:
        self.clock = FakeClock()
        said: dict[str, Any] = {"providers": {"groq": {"api_key": [f"key-{n}-0123456789" for n in NAMES]}}, "clock": self.clock}
        made = engine.Client if way == "sync" else engine.AsyncClient
        self.client: Any = made(transport=httpx.MockTransport(provider), **said)
        self.runner = asyncio.Runner() if way == "async" else None

    def chat(self, model: str = MODEL) -> Any:
        made = self.client.chat(model, "hi")
        return made if self.runner is None else self.runner.run(made)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_refused_key_is_left_out_as_long_as_was_asked(way: str) -> None:
    provider = Provider(one=(429, {"retry-after": "30"}), two=(401, {}))
    both = Both(way, provider)
    first = both.chat()
    assert [(a["kind"], a["key"]) for a in first.report.attempts] == [("rate_limit", 0), ("authentication", 1), ("ok", 2)]
    assert provider.since() == ["one", "two", "three"] and not both.clock.waits  # another key is asked at once
    for _ in range(3):
        both.chat()
    assert provider.since() == ["three"] * 3
    provider.says["one"] = provider.says["two"] = (200, {})
    both.clock.now += 31
    for _ in range(4):
        both.chat()
    assert provider.since() == ["one", "three"] * 2
    both.clock.now += 300  # nobody says how long a key that was refused stays away: five minutes
    for _ in range(3):
        both.chat()
    assert sorted(provider.since()) == sorted(NAMES)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_when_every_key_rests_nobody_is_asked(way: str) -> None:
    provider = Provider(**{name: (429, {"retry-after": seconds}) for name, seconds in zip(NAMES, ("300", "90", "200"))})
    both = Both(way, provider)
    with pytest.raises(engine.errors.RateLimitError):
        both.chat()
    assert sorted(provider.since()) == sorted(NAMES)
    with pytest.raises(engine.errors.UnavailableError) as caught:
        both.chat()
    assert not provider.since() and caught.value.retry_after == 90
    provider.says["two"] = (200, {})
    both.clock.now += 91
    assert both.chat().text == "Hello." and provider.since() == ["two"]


def test_out_of_credit_rests_five_minutes_and_one_key_alone_never() -> None:
    provider = Provider(one=(402, {}))
    both = Both("sync", provider)
    for _ in range(4):
        both.chat()
    assert provider.since() == ["one", "two", "three", "two", "three"]
    alone = engine.Client(
        providers={"groq": {"api_key": "key-one-0123456789"}}, transport=httpx.MockTransport(provider), clock=FakeClock()
    )
    for _ in range(2):
        with pytest.raises(engine.errors.QuotaError):
            alone.chat(MODEL, "hi")
    assert provider.since() == ["one", "one"]  # its owner may have paid meanwhile
