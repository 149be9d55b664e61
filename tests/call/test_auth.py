"""Credentials and tokens (SPEC_LANGUAGE 9; RELIABILITY A8, S1, S2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib.util
import json
from typing import Any

import pytest

from engine import errors
from engine.call.auth import TokenCache, sign
from engine.call.sign.jwt import make_jwt
from engine.plan import Auth, Call, Token
from engine.types import HttpRequest
from tests.call.wires import make, path

NOW = 1_700_000_000.0
SECRET = "sk-very-secret-key"
VALUES: dict[str, Any] = {"api_key": SECRET, "user": "u", "password": "p", "$uuid": lambda name=None: "uuid-1"}
Replies = list[tuple[int, dict[str, str], bytes]]


def run(
    auth: Auth, replies: Replies | None = None, tokens: TokenCache | None = None, **more: Any
) -> tuple[HttpRequest, list[HttpRequest]]:
    request = HttpRequest("POST", "https://api.acme.test/v1/x?a=1", {"authorization": "old", "X-A": "b"}, b'{"m":1}')
    steps = sign(auth, request, more.pop("values", VALUES), more.pop("now", NOW), tokens or TokenCache(), **more)
    calls: list[HttpRequest] = []
    reply: Any = None
    try:
        while True:
            calls.append(steps.send(reply))
            reply = (replies or []).pop(0)
    except StopIteration as done:
        return done.value, calls


def bearer(name: str = "api_key") -> Auth:
    return Auth("bearer", value=lambda c: c.get(name), needs=("api_key",), reads=("api_key",))


def test_where_credentials_stand() -> None:
    assert run(Auth())[0].headers == {"authorization": "old", "X-A": "b"}
    assert run(bearer())[0].headers == {"Authorization": f"Bearer {SECRET}", "X-A": "b"}
    header = run(Auth("header", value=lambda c: {"x-api-key": c["api_key"], "x-a": "c"}))[0].headers
    assert header == {"authorization": "old", "x-api-key": SECRET, "x-a": "c"}
    assert run(Auth("query", value=lambda c: {"key": c["api_key"] + " &\n"}))[0].url.endswith(f"?a=1&key={SECRET}%20%26")
    basic = run(Auth("basic", value=lambda c: {"username": c["user"], "password": c["password"]}))[0]
    assert basic.headers["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    body = run(Auth("body", value=lambda c: {"api_key": c["api_key"]}))[0].body
    assert json.loads(body or b"") == {"m": 1, "api_key": SECRET}
    keys = {"service": "bedrock", "region": "r", "access_key": "AK", "secret_key": SECRET}
    signed = run(Auth("sign", value=lambda c: keys, signer="aws-sigv4"))[0]
    assert signed.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/") and SECRET not in str(signed.headers)


@pytest.mark.parametrize("scheme", ["bearer", "header", "query", "basic", "body"])
def test_a_missing_credential_is_named(scheme: str) -> None:
    with pytest.raises(errors.ConfigError, match="api_key"):
        run(Auth(scheme, value=lambda c: None if scheme != "basic" else {"username": None}, needs=("api_key",)))


def test_white_space_around_a_key_is_trimmed() -> None:
    assert run(bearer(), values={"api_key": f" {SECRET}\n"})[0].headers["Authorization"] == f"Bearer {SECRET}"


def test_a_key_with_a_line_end_is_refused_and_not_quoted() -> None:
    """A8, S2."""
    for scheme, value in (("bearer", lambda c: c["api_key"]), ("header", lambda c: {"k": c["api_key"]})):
        with pytest.raises(errors.ConfigError) as raised:
            run(Auth(scheme, value=value), values={"api_key": f"{SECRET}\r\nX-Injected: 1"})
        assert SECRET not in str(raised.value) and "Injected" not in str(raised.value)


def test_the_first_way_whose_secrets_are_there() -> None:
    auth = Auth("any", options=(("token", Auth("bearer", value=lambda c: c["t"], needs=("t",))), ("key", bearer())))
    assert run(auth, values={"api_key": "k"})[0].headers["Authorization"] == "Bearer k"
    assert run(auth, values={"api_key": "k", "t": "first"})[0].headers["Authorization"] == "Bearer first"
    with pytest.raises(errors.ConfigError, match="t or api_key"):
        run(auth, values={})


# --- tokens ---------------------------------------------------------------------------------------------------------


def fetched(**over: Any) -> Auth:
    call: dict[str, Any] = {
        "url": lambda c: "https://login.acme.test/token",
        "payload": "form",
        "headers": lambda c: {"RqUID": c["$uuid"]()},
        "body": lambda c: {"key": c["api_key"]},
        "value": lambda d: path(d, "access_token"),
        "expires_in": lambda d: path(d, "expires_in"),
        **over,
    }
    return Auth("bearer", value=lambda c: c["access"], tokens=(Token("access", call=Call("POST", **call)),))


PLAN = make(hosts=("login.acme.test",))


def reply(status: int = 200, **document: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {"content-type": "application/json"}, json.dumps(document).encode()


def test_a_token_is_fetched_once_and_kept_until_a_minute_before_its_end() -> None:
    auth, tokens = fetched(), TokenCache()
    request, calls = run(auth, [reply(access_token="T1", expires_in=600)], tokens, plan=PLAN)
    assert request.headers["Authorization"] == "Bearer T1"
    assert (calls[0].url, calls[0].body, calls[0].headers["RqUID"]) == (
        "https://login.acme.test/token",
        f"key={SECRET}".encode(),
        "uuid-1",
    )
    assert calls[0].context is None
    assert run(auth, [], tokens, plan=PLAN, now=NOW + 539)[1] == []
    assert run(auth, [reply(access_token="T2")], tokens, plan=PLAN, now=NOW + 541)[0].headers["Authorization"] == "Bearer T2"
    tokens.invalidate()
    assert len(run(auth, [reply(access_token="T3")], tokens, plan=PLAN, now=NOW + 542)[1]) == 1


@pytest.mark.parametrize(
    ("document", "ttl", "seconds"),
    [
        ({"expires_at": NOW + 1000}, None, 1000),
        ({"expires_at": (NOW + 1000) * 1000}, None, 1000),
        ({"expires_at": "2023-11-14T22:30:00Z"}, None, 1000),
        ({"expires_in": "500"}, None, 500),
        ({"expires_in": "soon"}, 700, 700),
        ({}, None, 300),
    ],
)
def test_when_a_token_ends(document: dict[str, Any], ttl: float | None, seconds: float) -> None:
    auth, tokens = fetched(expires_at=lambda d: path(d, "expires_at"), ttl=ttl), TokenCache()
    run(auth, [reply(access_token="T", **document)], tokens, plan=PLAN)
    assert tokens.get(auth.tokens[0], NOW + seconds - 61) == "T" and tokens.get(auth.tokens[0], NOW + seconds - 60) is None


def test_tokens_may_use_earlier_ones() -> None:
    first = Token("assertion", jwt=lambda c: {"key": c["api_key"], "claims": {"iat": int(c["$now"])}}, ttl=3500)
    second = Token(
        "access",
        call=Call("POST", lambda c: "/token", payload="form", body=lambda c: {"a": c["assertion"]}, value=lambda d: d["t"]),
    )
    request, calls = run(Auth("bearer", value=lambda c: c["access"], tokens=(first, second)), [reply(t="T")])
    assert calls[0].url == "https://api.acme.test:443/token" and (calls[0].body or b"").count(b".") == 2
    assert request.headers["Authorization"] == "Bearer T"


def test_a_token_call_may_have_its_own_credentials() -> None:
    basic = Auth("basic", value=lambda c: {"username": c["user"], "password": c["password"]})
    _, calls = run(fetched(auth=basic), [reply(access_token="T")], plan=PLAN)
    assert calls[0].headers["Authorization"].startswith("Basic ")


def test_a_token_call_goes_to_known_hosts_only() -> None:
    """A2, A7."""
    with pytest.raises(errors.ConfigError, match=r"login\.acme\.test"):
        run(fetched(), [], plan=make())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(400, error="invalid_grant"), "authentication"),
        (reply(401, error="invalid_client"), "authentication"),
        (reply(503), "overloaded"),
        (reply(200, error={"message": "no"}), "server"),
        (reply(200, other=1), "config"),
        ((200, {}, b"<html>"), "protocol"),
    ],
)
def test_a_token_that_is_refused(answer: Any, kind: str) -> None:
    with pytest.raises(errors.Error) as raised:
        run(fetched(), [answer], plan=PLAN)
    assert raised.value.kind == kind and SECRET not in str(raised.value) and raised.value.__cause__ is None


# --- jwt ------------------------------------------------------------------------------------------------------------


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_hmac_tokens_need_no_library(algorithm: str) -> None:
    token = make_jwt({"alg": algorithm, "key": "k", "headers": {"sign_type": "SIGN"}, "claims": {"iss": "ü"}})
    head, claims, signature = token.split(".")
    assert decoded(head) == {"alg": algorithm, "typ": "JWT", "sign_type": "SIGN"} and decoded(claims) == {"iss": "ü"}
    digest = hmac.new(b"k", f"{head}.{claims}".encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == signature


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_asymmetric_tokens(algorithm: str) -> None:
    if importlib.util.find_spec("jwt") is None or importlib.util.find_spec("cryptography") is None:
        pytest.skip("PyJWT with cryptography is not installed")
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key: Any = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(*form).decode()
    for text in (pem, pem.replace("\n", "\\n")):
        token = make_jwt({"alg": algorithm, "key": text, "headers": {"kid": "1"}, "claims": {"iss": "me"}})
        assert jwt.decode(token, key.public_key(), algorithms=[algorithm]) == {"iss": "me"}
        assert decoded(token.split(".")[0])["kid"] == "1"


@pytest.mark.parametrize(
    "given",
    [
        {"alg": "none", "key": "k", "claims": {}},
        {"alg": "HS256", "key": "", "claims": {}},
        {"alg": "HS256", "key": "k", "claims": None},
        {"alg": "HS256", "key": "k", "claims": {"a": float("nan")}},
        {"alg": "RS256", "key": SECRET, "claims": {}},
    ],
)
def test_a_token_that_cannot_be_signed(given: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError) as raised:
        make_jwt(given)
    assert SECRET not in str(raised.value) and raised.value.__cause__ is None


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jwt", None)
    with pytest.raises(errors.ConfigError, match="PyJWT"):
        make_jwt({"alg": "RS256", "key": "k", "claims": {}})
