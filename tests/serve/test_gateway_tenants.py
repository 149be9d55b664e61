"""Clients that share a gateway and nothing else (RELIABILITY G1, G3, G4, G6, G7)."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import errors
from engine.ledger.store import SqliteLedger
from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import Config, config_of, read_config
from engine.testing import Simulator
from tests.serve.gateways import CATALOG, HOMES, Mounted, behind, client_of

ORIGIN = "http://127.0.0.1"
ACME, BOLT, ANY = "sk-acme-0123456789abc", "sk-bolt-0123456789abc", "sk-plain-0123456789ab"
ID, SECRET = "AKIAACME000000001", "acme-secret-0123456789"


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(catalog=CATALOG) as made:
        yield made


def configured(**given: Any) -> Config:
    """A configuration as llmkit.yaml writes it; `acme` and `bolt` say what their tenants have besides keys."""
    acme, bolt = given.pop("acme", {}), given.pop("bolt", {})
    tenants = {
        "acme": {"keys": {"env": "ACME_KEYS"}, "signers": {"env": "ACME_SIGNERS"}, **acme},
        "bolt": {"keys": {"env": "BOLT_KEYS"}, **bolt},
    }
    environ = {"ACME_KEYS": ACME, "ACME_SIGNERS": f"{ID}:{SECRET}", "BOLT_KEYS": BOLT, "PLAIN": ANY}
    return config_of({"tenants": tenants, "keys": {"env": "PLAIN"}, **given}, Path(), environ)


def gateway(sim: Simulator, **given: Any) -> Gateway:
    """A gateway with both tenants in front of the simulator."""
    config = configured(**given)
    config.providers, config.attempts = behind(sim).providers, 1
    app = Gateway(config, catalog=CATALOG)
    app.prepare()
    return app


def keyed(dialect: str, key: str) -> dict[str, Any]:
    """The settings with which a client of that dialect shows a key, or the signature of the same tenant."""
    return (
        {"access_key": ID, "secret_key": SECRET, "bearer": None}
        if dialect == "bedrock-converse" and key == ACME
        else {"api_key": key}
    )


def ask(app: Gateway, key: str, body: dict[str, Any], path: str = "/v1/chat/completions", method: str = "POST") -> httpx.Response:
    async def go() -> httpx.Response:
        async with httpx.AsyncClient(transport=Mounted(app), base_url=ORIGIN) as client:
            content = json.dumps(body) if method == "POST" else None
            return await client.request(method, path, content=content, headers={"authorization": f"Bearer {key}"})

    return asyncio.run(go())


def hello(model: str = "openai/m", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}


@pytest.mark.parametrize("dialect", HOMES)
def test_refusals_are_typed_errors_of_each_client_library(dialect: str, sim: Simulator) -> None:
    """401 for a key nobody has, 403 for a model that is not his, 429 with the seconds to wait past his limit."""

    async def talk() -> None:
        acme = {"models": ["fast"], "rates": {"requests": "1/h"}}
        app = gateway(sim, aliases={"fast": "openai/m", "slow": "openai/n"}, acme=acme)
        transport, target = Mounted(app), HOMES[dialect]
        sim.reset()
        async with client_of(dialect, ORIGIN, transport=transport, **keyed(dialect, ACME)) as client:
            with pytest.raises(errors.PermissionError):
                await client.chat(f"{target}/slow", "Hi", max_tokens=9)
            assert (await client.chat(f"{target}/fast", "Hi", max_tokens=9)).text
            with pytest.raises(errors.RateLimitError) as caught:
                await client.chat(f"{target}/fast", "Hi", max_tokens=9)
            assert caught.value.status == 429 and 3500 < caught.value.retry_after <= 3600 * 1.04 + 1
        async with client_of(dialect, ORIGIN, transport=transport, **keyed(dialect, ACME)) as client:
            with pytest.raises(errors.RateLimitError):
                await client.chat.stream(f"{target}/fast", "Hi", max_tokens=9).finish()
        wrong = (
            {"access_key": ID, "secret_key": SECRET + "x", "bearer": None}
            if dialect == "bedrock-converse"
            else {"api_key": ACME + "x"}
        )
        async with client_of(dialect, ORIGIN, transport=transport, **wrong) as client:
            with pytest.raises(errors.AuthenticationError):
                await client.chat(f"{target}/fast", "Hi", max_tokens=9)
        assert len(sim.requests) == 1
        await app.close()

    asyncio.run(talk())


def test_each_tenant_has_limits_of_his_own(sim: Simulator) -> None:
    app = gateway(sim, acme={"rates": {"tokens": "1000/min"}}, bolt={"rates": {"requests": "2/min"}})
    assert ask(app, ACME, hello(max_tokens=900)).status_code == 200
    assert ask(app, ACME, hello(max_tokens=900)).status_code == 200  # the first took few: what was set aside is put right
    long = hello(max_tokens=990)
    long["messages"][0]["content"] = "word " * 500
    assert ask(app, ACME, long).status_code == 429
    assert [ask(app, BOLT, hello()).status_code for _ in range(3)] == [200, 200, 429]
    assert ask(app, ANY, hello()).status_code == 200


def test_a_limit_can_be_shared_by_gateways(sim: Simulator) -> None:
    class OneOfFour(SqliteLedger):
        def processes(self) -> int:
            return 4

    shared = configured(acme={"rates": {"requests": "8/min", "shared": True}})
    shared.providers, shared.ledger = behind(sim).providers, OneOfFour(":memory:")
    app = Gateway(shared, catalog=CATALOG)
    assert [ask(app, ACME, hello()).status_code for _ in range(3)] == [200, 200, 429]
    shared.ledger = SqliteLedger(":memory:")
    with pytest.raises(errors.ConfigError, match="Redis"):
        Gateway(shared, catalog=CATALOG)


def test_a_tenant_at_his_limit_of_calls_leaves_room_for_others() -> None:
    async def talk(app: Gateway) -> None:
        transport = Mounted(app)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, timeout=30) as client:

            async def one(key: str) -> int:
                said = await client.post("/v1/chat/completions", json=hello(), headers={"authorization": f"Bearer {key}"})
                return said.status_code

            codes = await asyncio.gather(*(one(ACME) for _ in range(12)), *(one(BOLT) for _ in range(3)))
            assert sorted(codes[:12]) == [200] * 2 + [429] * 10 and codes[12:] == [200] * 3
            assert await one(ACME) == 200  # places are given back
        await app.close()

    with Simulator(fault={"delay": 0.3}, catalog=CATALOG) as slow:
        asyncio.run(talk(gateway(slow, acme={"rates": {"concurrency": 2}})))


def test_fields_without_a_name_are_closed_until_they_are_opened(sim: Simulator) -> None:
    def passed(app: Gateway, key: str) -> bool:
        sim.reset()
        assert ask(app, key, hello(x_secret_knob=1)).status_code == 200
        return b"x_secret_knob" in sim.requests[-1].body

    app = gateway(sim, acme={"extra": "forward"})
    assert passed(app, ACME) and not passed(app, BOLT) and not passed(app, ANY)
    opened = gateway(sim, acme={"extra": "drop"}, extra="forward")
    assert not passed(opened, ACME) and passed(opened, BOLT) and passed(opened, ANY)
    alone = Config(providers=behind(sim).providers)
    assert alone.extra_for(None) == "forward"


def test_budgets_and_the_ledger_are_kept_apart(sim: Simulator, tmp_path: Path) -> None:
    small, large = [{"usd": "0.0000001", "per": "day"}], [{"usd": 5, "per": "month"}]
    model = "openai/gpt-5-mini"
    app = gateway(sim, acme={"budgets": small}, bolt={"budgets": large}, ledger=str(tmp_path / "spend.sqlite"))
    refused = ask(app, ACME, hello(model, max_tokens=20))
    assert refused.status_code == 429 and "budget" in refused.json()["error"]["message"]
    assert ask(app, BOLT, hello(model, max_tokens=20)).status_code == 200
    assert ask(app, ANY, hello(model, max_tokens=20)).status_code == 200
    spent = {name: app.client._ledger.spent(name) for name in _counters(tmp_path / "spend.sqlite")}
    assert len(spent) == 1 and "tenant=bolt" in next(iter(spent)) and next(iter(spent.values()))[0] > 0


def _counters(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        return [name for (name,) in db.execute("SELECT name FROM counters")]


def test_models_are_listed_and_used_as_they_are_allowed(sim: Simulator) -> None:
    aliases = {"fast": "openai/m", "claude-x": "anthropic/x", "any-*": "anthropic/*"}
    app = gateway(sim, aliases=aliases, acme={"models": ["fast", "any-*"]})
    ids = {key: [m["id"] for m in ask(app, key, {}, "/v1/models", "GET").json()["data"]] for key in (ACME, BOLT)}
    assert ids == {ACME: ["fast"], BOLT: ["fast", "claude-x"]}
    assert ask(app, ACME, {}, "/v1/models/claude-x", "GET").status_code == 404
    assert ask(app, ACME, {}, "/v1/models/any-thing", "GET").status_code == 200
    assert ask(app, ACME, hello("any-thing", max_tokens=9)).status_code == 200
    for hidden in ("claude-x", "nobody-knows-this", "openai/m"):
        assert ask(app, ACME, hello(hidden)).status_code == 403
    assert ask(app, BOLT, hello("claude-x", max_tokens=9)).status_code == 200
    embed = {"model": "claude-x", "input": "Hi"}
    assert ask(app, ACME, embed, "/v1/embeddings").status_code == 403


def test_a_key_is_compared_as_slowly_when_it_fits_as_when_it_does_not() -> None:
    """All digests are looked at, whichever fits: the first, the last or none."""
    config = configured()
    many = config.known.joined([config.known, *(type(config.known)([f"sk-{i:020}"], f"t{i}") for i in range(500))])
    taken: dict[str, list[float]] = {ANY: [], f"sk-{499:020}": [], "sk-of-nobody-at-all-0": []}
    for _ in range(40):
        for key, times in taken.items():
            began = time.perf_counter()
            many.owner(key)
            times.append(time.perf_counter() - began)
    medians = [statistics.median(times) for times in taken.values()]
    assert max(medians) < 1.5 * min(medians)
    assert many.owner(f"sk-{499:020}") == "t499" and many.owner(ANY) == "" and many.owner("sk-of-nobody-at-all-0") is None


@pytest.mark.parametrize(
    ("tenants", "word"),
    [
        ([], "mapping"),
        ({"acme": {}}, "no key"),
        ({"acme": {"keys": {"env": "A"}, "model": ["x"]}}, "models"),
        ({"acme": {"keys": {"env": "A"}, "models": "fast", "extra": "some"}}, "forward"),
        ({"acme": {"keys": {"env": "A"}, "models": []}}, "list of names"),
        ({"acme": {"keys": {"env": "A"}, "rates": {"request": "1/s"}}}, "requests"),
        ({"acme": {"keys": {"env": "A"}, "budgets": [{"usd": 1, "tenant": "bolt"}]}}, "leave `tenant` out"),
        ({"acme": {"keys": {"env": "A"}}, "bolt": {"keys": {"env": "A"}}}, "both acme and bolt"),
        ({"ac/me": {"keys": {"env": "A"}}}, "letters"),
        ({"acme": {"keys": ACME}}, "not written"),
    ],
)
def test_what_is_wrong_is_said(tenants: Any, word: str) -> None:
    with pytest.raises(errors.ConfigError, match=word):
        config_of({"tenants": tenants}, Path(), {"A": ACME})


def test_the_url_of_a_redis_is_no_text_of_the_file() -> None:
    environ = {"REDIS": "redis://:canary-password@h:1/0"}
    with pytest.raises(errors.ConfigError, match="password"):
        config_of({"ledger": {"redis": "redis://:canary-password@h:1/0"}}, Path(), environ)
    config = config_of({"ledger": {"redis": {"env": "REDIS"}, "file": "spend.sqlite", "away": 30}}, Path("/x"), environ)
    assert config.ledger["file"] == "/x/spend.sqlite" and "canary" not in repr(config)
    assert config_of({"ledger": "redis://localhost:6379/0"}, Path(), {}).ledger == {"redis": "redis://localhost:6379/0"}


def test_the_page_shows_a_configuration_that_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(aliases:.*?^tenants:.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "llmkit.yaml").write_text(block)
    (tmp_path / "labs.txt").write_text(BOLT)
    (tmp_path / "labs-aws.txt").write_text(f"{ID}:{SECRET}")
    config = read_config(tmp_path / "llmkit.yaml", {"ACME_KEYS": ACME})
    assert config.known.owner(ACME) == "acme" and config.known.owner(BOLT) == "labs"
    assert [config.extra_for(config.tenants[name]) for name in ("acme", "labs")] == ["drop", "forward"]
    assert [budget.tenant for budget in config.spending()] == ["acme", "acme"]
