"""Webhooks are believed only when they are verified, and then say what polling would have said (RELIABILITY J1)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client, errors
from engine.catalog import Catalog
from engine.check import check
from engine.reliability.deadline import Clock
from engine.spec.problem import Problems

NOW = 1767225600
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"id": "p1", "status": "succeeded", "output": ["https://replicate.delivery/a.png"]})


def signed(body: str, id: str = "msg_1", at: int = NOW, secret: str = SECRET) -> dict[str, str]:
    """Headers as https://github.com/standard-webhooks/standard-webhooks describes them."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = base64.b64encode(hmac.digest(key, f"{id}.{at}.{body}".encode(), "sha256")).decode()
    return {"Webhook-Id": id, "Webhook-Timestamp": str(at), "Webhook-Signature": f"v1a,x v1,{made}"}


def silent(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"nothing is asked, and {request.url} was")


def client(serve: Any = silent, now: list[float] | None = None, **settings: Any) -> Client:
    clock = Clock(wall=lambda: now[0] if now else NOW)
    given = {"replicate": {"api_key": "k", "webhook_secret": SECRET, **settings}, "fal": {"api_key": "k"}}
    return Client(transport=httpx.MockTransport(serve), providers=given, clock=clock)


def test_a_delivery_is_the_jobs_result() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.method == "POST"
        return httpx.Response(201, json={"id": "p1", "status": "starting"})

    made = client(serve)
    job = made.image.submit("replicate/black-forest-labs/flux-schnell", "A fog.")
    delivery = made.webhook("replicate", signed(BODY), BODY.encode())
    assert (delivery.id, delivery.time, delivery.event, delivery.job_id) == ("msg_1", NOW, "succeeded", "p1")
    answer = made.job(job.record).wait(delivery=delivery)
    assert answer.outputs[0].url == "https://replicate.delivery/a.png"


def test_a_delivery_of_a_failure_raises_it() -> None:
    body = json.dumps({"id": "p1", "status": "failed", "error": "out of paint"})
    made = client(lambda request: httpx.Response(201, json={"id": "p1", "status": "starting"}))
    job = made.image.submit("replicate/black-forest-labs/flux-schnell", "A fog.")
    with pytest.raises(errors.Error, match="out of paint"):
        job.wait(delivery=made.webhook("replicate", signed(body), body))


def test_a_delivery_about_another_job_is_not_mistaken() -> None:
    made = client(lambda request: httpx.Response(201, json={"id": "p2", "status": "starting"}))
    job = made.image.submit("replicate/black-forest-labs/flux-schnell", "A fog.")
    with pytest.raises(errors.ConfigError, match="about the job p1, not about p2"):
        job.wait(delivery=made.webhook("replicate", signed(BODY), BODY))


def test_a_repeated_delivery_is_known() -> None:
    made = client()
    found = [made.webhook("replicate", signed(BODY, id), BODY).repeated for id in ("msg_1", "msg_2", "msg_1")]
    assert found == [False, False, True]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**signed(BODY), "Webhook-Signature": "v1,"},
        {**signed(BODY), "Webhook-Signature": signed(BODY)["Webhook-Signature"].replace("v1,", "v2,")},
        {**signed(BODY), "Webhook-Id": "msg_2"},
        {**signed(BODY), "Webhook-Timestamp": str(NOW + 1)},
        {**signed(BODY), "Webhook-Timestamp": "soon"},
        {key: value for key, value in signed(BODY).items() if key != "Webhook-Timestamp"},
        signed(BODY, at=NOW - 301),
        signed(BODY, at=NOW + 301),
        signed(BODY + " "),
        signed(BODY, secret="whsec_" + base64.b64encode(b"another key").decode()),
    ],
)
def test_what_is_not_the_providers_or_not_of_now_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(errors.AuthenticationError):
        client().webhook("replicate", headers, BODY)


@pytest.mark.parametrize("shift", [-300, 300])
def test_five_minutes_either_way_are_tolerated(shift: int) -> None:
    assert client().webhook("replicate", signed(BODY, at=NOW + shift), BODY).job_id == "p1"


def test_headers_come_in_any_shape() -> None:
    pairs = [(name.lower().encode(), value.encode()) for name, value in signed(BODY).items()]
    assert client().webhook("replicate", pairs, BODY.encode()).job_id == "p1"


def test_a_secret_can_be_changed_and_be_the_endpoints() -> None:
    new = "whsec_" + base64.b64encode(b"the new key of the endpoint").decode()
    headers = signed(BODY, secret=new)
    assert client(webhook_secret=[SECRET, new]).webhook("replicate", headers, BODY).job_id == "p1"
    assert client().webhook("replicate", headers, BODY, secret=new).job_id == "p1"
    assert client().webhook("replicate", headers, BODY, secret=[SECRET, new]).job_id == "p1"
    with pytest.raises(errors.AuthenticationError):
        client().webhook("replicate", headers, BODY)


def test_without_a_secret_nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPLICATE_WEBHOOK_SIGNING_SECRET", raising=False)
    with pytest.raises(errors.ConfigError, match="`webhook_secret`"):
        client(webhook_secret=None).webhook("replicate", signed(BODY), BODY)
    for empty in ("", "whsec_"):
        with pytest.raises(errors.Error):
            client().webhook("replicate", signed(BODY, secret=""), BODY, secret=empty)


def test_a_key_that_is_no_key_is_told_without_it() -> None:
    with pytest.raises(errors.ConfigError) as caught:
        client().webhook("replicate", signed(BODY), BODY, secret="whsec_canary!")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"x" * (17 << 20), b"no json"])
def test_bodies_that_are_none(body: bytes) -> None:
    text = body.decode("latin-1")
    with pytest.raises((errors.AuthenticationError, errors.LimitError, errors.ProtocolError)):
        client().webhook("replicate", signed(text), body)


def test_providers_without_signed_webhooks_say_so() -> None:
    with pytest.raises(errors.UnsupportedError, match="does not say how"):
        client().webhook("groq", {}, "{}")


# --- public keys --------------------------------------------------------------------------------------------------------


class Fal:
    """Signs as https://docs.fal.ai/model-endpoints/webhooks says, and shows its public keys."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.make = Ed25519PrivateKey.generate
        self.keys = [self.make()]
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url == "https://rest.fal.ai/.well-known/jwks.json"
        assert "authorization" not in request.headers
        self.asked += 1
        shown = [base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=") for key in self.keys]
        return httpx.Response(200, json={"keys": [{"kty": "OKP", "x": x} for x in shown]})

    async def later(self, request: httpx.Request) -> httpx.Response:
        return self(request)

    def headers(self, body: str, at: int = NOW, key: Any = None) -> dict[str, str]:
        import hashlib

        message = f"r1\nu1\n{at}\n{hashlib.sha256(body.encode()).hexdigest()}".encode()
        made = (key or self.keys[-1]).sign(message).hex()
        names = {"Request-Id": "r1", "User-Id": "u1", "Timestamp": str(at), "Signature": made}
        return {f"X-Fal-Webhook-{name}": value for name, value in names.items()}


RESULT = json.dumps({"request_id": "r1", "status": "OK", "payload": {"images": [{"url": "https://v3.fal.media/a.png"}]}})


def test_public_keys_are_asked_for_once() -> None:
    pytest.importorskip("cryptography")
    fal = Fal()
    made = client(fal)
    for _ in range(3):
        delivery = made.webhook("fal", fal.headers(RESULT), RESULT)
    assert fal.asked == 1
    record = {"operation": "image", "model": "fal/fal-ai/flux/dev", "id": "r1", "submit": {"request_id": "r1"}}
    assert made.job(record).wait(delivery=delivery).outputs[0].url == "https://v3.fal.media/a.png"


def test_a_new_public_key_is_found_and_a_stranger_does_not_make_us_ask_each_time() -> None:
    pytest.importorskip("cryptography")
    fal, now = Fal(), [float(NOW)]
    made = client(fal, now)
    made.webhook("fal", fal.headers(RESULT), RESULT)
    now[0] += 100
    fal.keys.append(fal.make())
    assert made.webhook("fal", fal.headers(RESULT, NOW + 100), RESULT).job_id == "r1"
    assert fal.asked == 2
    for _ in range(3):
        with pytest.raises(errors.AuthenticationError):
            made.webhook("fal", fal.headers(RESULT, NOW + 100, fal.make()), RESULT)
    assert fal.asked == 2


def test_the_async_client_verifies_too() -> None:
    pytest.importorskip("cryptography")
    fal = Fal()

    async def run() -> Any:
        clock = Clock(wall=lambda: NOW)
        async with AsyncClient(transport=httpx.MockTransport(fal.later), providers={"fal": {"api_key": "k"}}, clock=clock) as made:
            with pytest.raises(errors.AuthenticationError):
                await made.webhook("fal", fal.headers(RESULT, key=fal.make()), RESULT)
            return await made.webhook("fal", fal.headers(RESULT), RESULT)

    assert asyncio.run(run()).result == {"images": [{"url": "https://v3.fal.media/a.png"}]}


# --- files --------------------------------------------------------------------------------------------------------------

OWN = """
name: Own
base_url: https://own.test
secrets: {{word: {{env: OWN_WORD, optional: true}}}}
webhooks:
  signature: "{{{{ headers['x-word'] }}}}"
  {how}
  examples:
    - name: right
      secrets: {{word: w}}
      headers: {{x-word: {given}}}
      body: '{{"id": "j1"}}'
      gives: {{job_id: {job}}}
  job: id
chat: openai-chat
"""


@pytest.mark.parametrize(
    ("how", "given", "job", "rule"),
    [
        ('equals: "{{ word }}"', "w", "j1", None),
        ('equals: "{{ word }}"', "v", "j1", "webhook-example"),
        ('equals: "{{ word }}"', "w", "j2", "webhook-example"),
        ("tolerance: 3", "w", "j1", "one-verification"),
        ('equals: "{{ wort }}"', "w", "j1", "unknown-name"),
    ],
)
def test_a_file_of_your_own_is_checked(tmp_path: Path, how: str, given: str, job: str, rule: str | None) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN.format(how=how, given=given, job=job))
    findings = check(Catalog([path], findings=Problems()), [("providers", "own")])
    found = {problem.rule for problem in findings.problems if problem.severity == "error"}
    assert found == ({rule} if rule else set())
