"""RELIABILITY C2, S5: no credential in a key, a value, a file name or an event of a cache."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.cache.entry import read, refusal, written
from engine.cache.memory import MemoryStore
from engine.cache.options import Options
from engine.errors import ConfigError
from engine.secret import Secret
from engine.types import Choice, Event, Part, Response, Usage
from tests.cache.stores import SECRET

KEY = "sk-canary-Zq7w0Xv9Lm4Rt2"
A = "groq/llama-3.3-70b-versatile"


class Seen(MemoryStore):
    """Keeps everything it was ever handed."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def put(self, scope: str, key: str, value: bytes, until: float) -> None:
        self.all += [scope, key, value.decode()]
        super().put(scope, key, value, until)


def answering(content: str, **more: Any) -> httpx.MockTransport:
    body = {
        "id": "r",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        **more,
    }
    return httpx.MockTransport(lambda request: httpx.Response(200, json=body))


@pytest.mark.parametrize(
    "echo", [KEY, f"it is {KEY}.", KEY[3:14], "".join(f"%{b:02x}" for b in KEY.encode()), "c2stY2FuYXJ5LVpxN3cwWHY5TG00UnQy"]
)
@pytest.mark.parametrize("where", ["text", "raw"])
def test_an_answer_that_repeats_a_credential_is_not_kept(echo: str, where: str) -> None:
    store = Seen()
    transport = answering(echo if where == "text" else "fine", **({"debug": {"auth": echo}} if where == "raw" else {}))
    client = engine.Client(providers={"groq": {"api_key": KEY}}, transport=transport, cache=store)
    answer = client.chat(A, "what is my key?")
    assert answer.report.cache == {"hit": False, "kept": False, "why": "the answer repeats a credential"} and store.all == []


def test_a_credential_called_like_a_field_spoils_nothing() -> None:
    client = engine.Client(
        providers={"groq": {"api_key": "provider-choices-response-0"}}, transport=answering("fine"), cache="memory"
    )
    assert client.chat(A, "hi").report.cache == {"hit": False, "kept": True}
    claude = engine.Client(
        providers={"groq": {"api_key": "team-claude-sonnet-and-llama-3.3-70b"}},
        transport=answering("fine", model="claude-sonnet-4-5"),
        cache="memory",
    )
    assert claude.chat(A, "hi").report.cache == {"hit": False, "kept": True}
    transport = answering("fine", debug={KEY + "-and-more": 1})  # a name that is none
    client = engine.Client(providers={"groq": {"api_key": KEY}}, transport=transport, cache="memory")
    assert client.chat(A, "hi").report.cache["kept"] is False  # type: ignore[index]


def test_keys_are_whole_hashes_and_hold_no_credential() -> None:
    store = Seen()
    for key in (KEY, "sk-another-key-0123456789"):
        client = engine.Client(providers={"groq": {"api_key": key}}, transport=answering("fine"), cache=store)
        client.chat(A, f"my key is {KEY}", tenant=KEY)
    scope, name, value = store.all
    assert re.fullmatch("[0-9a-f]{64}", scope) and re.fullmatch("[0-9a-f]{64}", name) and KEY not in value
    assert len(store.all) == 3  # whose key it is makes no other question of it: no credential goes into the name


def test_a_file_holds_neither_key_nor_prompt(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    client = engine.Client(providers={"groq": {"api_key": KEY}}, transport=answering("fine"), cache=path)
    client.chat(A, "a private question", tenant="acme")
    client._cache.store.close()  # type: ignore[union-attr]
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert KEY.encode() not in data and b"private question" not in data and b"acme" not in data
        assert b"api_key" not in data


def test_what_is_cleared_is_gone_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    client = engine.Client(providers={"groq": {"api_key": KEY}}, transport=answering("a private answer " * 50), cache=path)
    client.chat(A, "hi")
    store = client._cache.store  # type: ignore[union-attr]
    assert store.clear() == 1
    store.close()
    assert all(b"a private answer" not in file.read_bytes() for file in tmp_path.iterdir())


def test_the_url_and_secret_of_a_store_are_never_shown() -> None:
    url = f"redis://user:{KEY}@127.0.0.1:1/0"
    options = Options.of({"store": url, "secret": KEY + SECRET})
    assert KEY not in repr(options) and KEY not in str(options)
    for given in (
        {"store": url},
        {"store": url + "/x/y", "secret": SECRET},
        {"store": f"redis://u:{KEY}@[::1/0", "secret": SECRET},
    ):
        try:
            engine.Client(cache=given)
        except ConfigError as error:
            assert KEY not in str(error) and error.__context__ is None
    seen: list[Any] = []
    client = engine.Client(
        providers={"groq": {"api_key": KEY}},
        transport=answering("fine"),
        cache={"store": Secret(url), "secret": SECRET},
        on=seen.append,
    )
    assert client.chat(A, "hi").text == "fine"  # nobody listens at port 1
    assert KEY not in repr(seen)


def test_entries_are_json_that_comes_back_as_it_was() -> None:
    from decimal import Decimal

    part = Part("tool_call", id="1", name="f", arguments={"$part": {"type": "x"}, "y": [1.5, None, True]}, arguments_json="{}")
    odd = [
        Part("text", text="a\ud800b"),
        Part("image", data="AAAA", media_type="image/png"),
        Part("native", native={"$bytes": "x"}, dialect="d"),
    ]
    response = Response(
        id="r", model="m", provider="p", created=7,
        choices=[Choice(0, [part, *odd], text="a", tool_calls=[part], finish_reason="tool_calls", logprobs=[{"t": -0.5}])],
        outputs=[Event("audio", {"data": b"\x00\xff", "n": Decimal("0.1")}), Event("embedding", {"vector": [0.1, -2.0], "index": 3}, 2)],
        usage=Usage(input_tokens=0, cost=Decimal("0.000012345678901234567890")), warnings=["careful"], raw={"$map": {"a": b"\x01"}},
    )  # fmt: skip
    payload = written(response, 10.0, 20.0)
    assert payload is not None
    found = read(payload)
    assert found is not None and (found.at, found.until) == (10.0, 20.0)
    back = found.response
    odd[0].text = "a\ufffdb"  # half a character is none
    assert back.choices == response.choices and back.outputs == response.outputs and back.usage == response.usage
    assert back.raw == response.raw and back.warnings == ["careful"] and back.choices[0].tool_calls[0] is back.choices[0].parts[0]


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"null", b"\x80\x04.", b'{"format":1}', b'{"format":2,"at":1,"until":9e9,"cost":null,"warnings":[],"ignored":{},"raw":null,"response":{}}',
                                     b'{"format":1,"at":1,"until":9e9,"cost":null,"warnings":[],"ignored":{},"raw":null,"response":{"usage":{"$nothing":1}}}',
                                     b'{"format":1,"at":1,"until":9e9,"cost":null,"warnings":[],"ignored":{},"raw":null,"response":{"report":{}}}',
                                     b'{"format":1,"at":"x","until":9e9,"cost":"y","warnings":[],"ignored":{},"raw":null,"response":{}}'])  # fmt: skip
def test_what_is_no_entry_is_a_miss(payload: bytes) -> None:
    assert read(payload) is None


def test_only_plain_data_is_kept() -> None:
    assert written(Response(raw={"x": object()}), 1.0, 2.0) is None
    assert refusal(Response(), {}, "chat") == "the answer is empty"
    assert refusal(Response(choices=[Choice()]), {}, "chat") == "the answer ended with no reason"
    assert refusal(Response(choices=[Choice(finish_reason="stop")], completeness="unverified"), {}, "chat") is not None


def test_an_async_client_keeps_no_credential_either(tmp_path: Path) -> None:
    body = {"choices": [{"index": 0, "message": {"content": KEY}, "finish_reason": "stop"}]}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))

    async def run() -> None:
        async with engine.AsyncClient(
            providers={"groq": {"api_key": KEY}}, transport=transport, cache=tmp_path / "a.sqlite"
        ) as client:
            await client.chat(A, "hi")

    asyncio.run(run())
    with sqlite3.connect(tmp_path / "a.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM answers").fetchone() == (0,)
