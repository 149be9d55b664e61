"""`llmkit route`, `llmkit health`, and a gateway whose models are routes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.cli import main
from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import config_of, read_config
from tests.routing.targets import A, B, C, Several


def config(several: Several, tmp_path: Path, **more: Any) -> Path:
    file = tmp_path / "llmkit.yaml"
    settings = {id: {"base_url": one["base_url"], "api_key": {"file": "key"}} for id, one in several.settings().items()}
    (tmp_path / "key").write_text("key-of-the-operator-0123456789")
    file.write_text(json.dumps({"providers": settings, "routes": {"smart": {"targets": [A, B], "policy": "cheapest"}}, **more}))
    return file


def test_a_log_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "routes.log"
    with Several(groq="u_503_always") as several, several.client(route_log=log, attempts=1) as client:
        client.chat(engine.Route([A, B, C], name="smart"), "hi")
    assert main(["route", "--replay", str(log)]) == 0
    told = capsys.readouterr().out
    assert f"try {A} (order: place 1)" in told and f"try {B} (after overloaded, order: place 2)" in told
    assert f"{A}: overloaded after" in told and f"{B}: ok after" in told
    assert main(["route", "--replay", str(log), "--without", A]) == 0
    assert f"would be: try {B}" in capsys.readouterr().out
    assert main(["route", "--replay", str(log), "--set", f"{A}:breaker=open", "--set", f"{A}:opens_in=9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"][0]["now"]["skipped"][A] == "its breaker is open for 9 s more"
    changed = log.read_text().replace('"action":"try"', '"action":"wait"', 1)
    log.write_text(changed)
    assert main(["route", "--replay", str(log)]) == 1
    log.write_text("{}\n")
    assert main(["route", "--replay", str(log)]) == 2


def test_a_route_tells_what_it_would_choose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Several() as several:
        assert main(["route", "--config", str(config(several, tmp_path)), "smart", "hello"]) == 0
        told = capsys.readouterr().out
        assert told.startswith(A) and "cheapest: about" in told and several.asked("groq") == 0
        with several.client() as client:
            shown = client.chat.explain(engine.Route([B, A]), "hi")
            assert shown.provider == "openai" and shown.notes[0] == "route route: order: place 1"


def test_health_asks_every_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Several(openai={"kind": "authentication"}) as several:
        assert main(["health", "--config", str(config(several, tmp_path)), "--json"]) == 1
        found = {one["target"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
        assert found[A]["kind"] == "ok" and found[B]["kind"] == "authentication" and "key-of" not in str(found)
        assert main(["health", "--config", str(config(several, tmp_path)), A]) == 0

        async def check() -> list[Any]:
            async with several.async_client() as client:
                return await client.check(engine.Route([A, B]), call=True)

        assert [one.ok for one in asyncio.run(check())] == [True, False]


def test_a_gateway_offers_routes_as_models(tmp_path: Path) -> None:
    async def ask(several: Several) -> tuple[Any, Any, str]:
        gateway = Gateway(read_config(config(several, tmp_path)), catalog=next(iter(several.sims.values())).catalog)
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000") as http:
            body = {"model": "smart", "messages": [{"role": "user", "content": "hi"}]}
            whole = (await http.post("/v1/chat/completions", json=body)).json()
            listed = (await http.get("/v1/models")).json()
            streamed = (await http.post("/v1/chat/completions", json={**body, "stream": True, "seed": 7})).text
            other = await http.post("/v1/chat/completions", json={**body, "model": B})
            assert other.status_code == 404  # only what the operator named is offered
        await gateway.close()
        return whole, listed, streamed

    with Several(groq="u_503_always") as several:
        whole, listed, streamed = asyncio.run(ask(several))
    assert whole["choices"][0]["message"]["content"] == "Hello from openai."
    assert [model["id"] for model in listed["data"]] == ["smart"]
    text = "".join(
        choice["delta"].get("content") or ""
        for line in streamed.splitlines()
        if line.startswith("data: {")
        for choice in json.loads(line[6:])["choices"]
    )
    assert text == "Hello from openai."


def test_a_configuration_names_routes_rates_and_budgets(tmp_path: Path) -> None:
    given = {
        "routes": {"smart": [A, B]},
        "rates": {"groq": {"requests": "30/min"}},
        "budgets": [{"usd": 5, "per": "day", "route": "smart"}],
        "ledger": "spend.sqlite",
    }
    made = config_of(given, tmp_path, {})
    assert made.target("smart") == "smart" and made.ledger == str(tmp_path / "spend.sqlite") and not made.any_model
    for wrong in ({"routes": {"a/b": [A]}}, {"rates": {"groq": {"rpm": 3}}}, {"budgets": [{"per": "day"}]}):
        with pytest.raises(engine.errors.ConfigError):
            config_of(wrong, tmp_path, {})
