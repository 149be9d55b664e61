"""Clients that sign with AWS keys are known by their signature (SERVE.md 8, RELIABILITY G4)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import engine
from engine.errors import ConfigError
from engine.serve.gateway.config import config_of
from engine.serve.gateway.keys import Keys
from engine.serve.gateway.signers import Signers
from engine.testing import Simulator
from tests.serve.gateways import CATALOG, Mounted, gateway

ID, SECRET = "AKIAGATEWAY0001", "secret/of+the/gateway-0123456789"
ORIGIN = "http://127.0.0.1:4000"
PATH = "/model/openai%2Fm/converse"
BODY = json.dumps({"messages": [{"role": "user", "content": [{"text": "What is 2 + 3?"}]}]}).encode()


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(catalog=CATALOG) as made:
        yield made


def signed(secret: str = SECRET, id: str = ID, path: str = PATH, body: bytes = BODY, token: str | None = None) -> dict[str, str]:
    """The headers that AWS's own library makes."""
    request = AWSRequest("POST", ORIGIN + path, data=body, headers={"content-type": "application/json"})
    SigV4Auth(Credentials(id, secret, token), "bedrock", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def ask(sim: Simulator, headers: dict[str, str], path: str = PATH, body: bytes = BODY, **options: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        app = gateway(sim, **{"signers": Signers([f"{ID}:{SECRET}"]), **options})
        async with httpx.AsyncClient(transport=Mounted(app), base_url=ORIGIN) as client:
            answer = await client.post(path, content=body, headers=headers)
        await app.close()
        return answer

    return asyncio.run(go())


def test_a_signature_of_the_vendors_library_is_accepted(sim: Simulator) -> None:
    sim.reset()
    answer = ask(sim, signed())
    assert answer.status_code == 200 and answer.json()["output"]["message"]["content"][0]["text"] == "2 + 3 = 5."
    assert ask(sim, signed(token="a-session-token"), host="0.0.0.0").status_code == 200
    assert SECRET not in repr(sim.requests[-1].headers) and ID not in repr(sim.requests[-1].headers)


def test_our_own_client_is_accepted_too(sim: Simulator) -> None:
    async def talk() -> str:
        app = gateway(sim, signers=Signers([f"{ID}:{SECRET}"]), aliases={"fast": "openai/m"})
        keys = {"access_key": ID, "secret_key": SECRET, "base_url": ORIGIN}
        transport = Mounted(app)
        async with engine.AsyncClient(CATALOG, providers={"amazon-bedrock": keys}, transport=transport, attempts=1) as client:
            return (await client.chat("amazon-bedrock/fast", "What is 2 + 3?", max_tokens=9)).text

    assert asyncio.run(talk()) == "2 + 3 = 5."


@pytest.mark.parametrize("case", ["secret", "id", "body", "path", "header", "late", "unreadable", "host", "names"])
def test_a_signature_that_does_not_fit_is_refused(case: str, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.reset()
    headers, path, body = signed(), PATH, BODY
    if case == "secret":
        headers = signed(SECRET + "x")
    elif case == "id":
        headers = signed(id="AKIAOTHER00001")
    elif case == "body":
        body = BODY.replace(b"2 + 3", b"2 + 4")
    elif case == "path":
        path = PATH.replace("openai", "gemini")
    elif case == "header":
        headers["X-Amz-Date"] = headers["X-Amz-Date"][:-3] + "00Z" if headers["X-Amz-Date"][-3:] != "00Z" else "20260101T000000Z"
    elif case == "late":
        now = time.time()
        monkeypatch.setattr("engine.serve.gateway.app.time.time", lambda: now + 301)
    elif case == "unreadable":
        headers["Authorization"] = headers["Authorization"].replace("SignedHeaders", "Headers")
    elif case == "host":
        headers["Authorization"] = headers["Authorization"].replace("host;", "")
    elif case == "names":
        headers["Authorization"] = headers["Authorization"].replace("SignedHeaders=", "SignedHeaders=accept;")
    answer = ask(sim, headers, path, body)
    assert answer.status_code == 401, answer.text
    assert not sim.requests


def test_signers_and_keys_stand_beside_each_other(sim: Simulator) -> None:
    keys = Keys(["sk-gateway-0123456789"])
    assert ask(sim, {"authorization": "Bearer sk-gateway-0123456789"}, keys=keys).status_code == 200
    assert ask(sim, signed(), keys=keys).status_code == 200
    assert ask(sim, signed(), keys=keys, signers=Signers()).status_code == 401
    assert ask(sim, {"authorization": f"Bearer {ID}"}).status_code == 401


def test_signers_are_read_from_a_file_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "signers").write_text(f"{ID}:{SECRET}  # the laptop\n")
    config = config_of({"signers": {"file": "signers"}, "listen": "0.0.0.0:4000"}, tmp_path, {})
    assert len(config.signers) == 1 and SECRET not in repr(config)
    for wrong in ("no colon", "AKIA1:short"):
        with pytest.raises(ConfigError, match="ID:SECRET"):
            config_of({"signers": {"env": "S"}}, tmp_path, {"S": wrong})
