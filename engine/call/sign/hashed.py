"""Signatures of the family of AWS Signature Version 4 that other clouds made their own."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from engine.call.address import set_header
from engine.call.content import sha256_of
from engine.call.sign.sigv4 import canonical_query, host_of
from engine.errors import ConfigError
from engine.types import HttpRequest


def needed(given: Mapping[str, Any], *names: str) -> list[str]:
    """The values of these names, trimmed. Raises ConfigError that names what has none."""
    missing = [name for name in names if not given.get(name)]
    if missing:
        raise ConfigError(f"signing needs {', '.join(missing)}")
    return [str(given[name]).strip() for name in names]


def sign_tc3(request: HttpRequest, given: Mapping[str, Any], now: float) -> None:
    """TC3-HMAC-SHA256: adds `X-TC-Timestamp` and `Authorization` (cloud.tencent.com/document/api/213/30654).

    `given`: service, secret_id, secret_key. Content type, host and, where the request has one, its `X-TC-Action` are signed.
    """
    service, secret_id, secret_key = needed(given, "service", "secret_id", "secret_key")
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    headers = {name.lower(): value.strip() for name, value in request.headers.items()}
    signed = {"content-type": headers.get("content-type", "application/json"), "host": host_of(request)}
    if "x-tc-action" in headers:
        signed["x-tc-action"] = headers["x-tc-action"].lower()
    if "content-type" not in headers:
        set_header(request.headers, "Content-Type", signed["content-type"])
    parts = urlsplit(request.url)
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    payload = sha256_of(request.body).hexdigest()
    canonical = "\n".join((request.method.upper(), parts.path or "/", parts.query, lines, names, payload))
    scope = f"{day}/{service}/tc3_request"
    text = f"TC3-HMAC-SHA256\n{int(now)}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = _signature(f"TC3{secret_key}", (day, service, "tc3_request"), text)
    set_header(request.headers, "X-TC-Timestamp", str(int(now)))
    value = f"TC3-HMAC-SHA256 Credential={secret_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    set_header(request.headers, "Authorization", value)


def sign_volc(request: HttpRequest, given: Mapping[str, Any], now: float) -> None:
    """HMAC-SHA256 of Volcengine: adds `X-Date`, `X-Content-Sha256` and `Authorization` (volcengine.com/docs/6369/67269).

    `given`: service, region, access_key, secret_key, session_token?.
    """
    service, region, access_key, secret_key = needed(given, "service", "region", "access_key", "secret_key")
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    payload = sha256_of(request.body).hexdigest()
    set_header(request.headers, "X-Date", moment)
    set_header(request.headers, "X-Content-Sha256", payload)
    if given.get("session_token"):
        set_header(request.headers, "X-Security-Token", str(given["session_token"]).strip())
    sent = {name.lower(): " ".join(value.split()) for name, value in request.headers.items()}
    signed = {name: value for name, value in sent.items() if name in ("content-type", "content-md5") or name.startswith("x-")}
    signed["host"] = host_of(request)
    parts = urlsplit(request.url)
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    canonical = "\n".join((request.method.upper(), parts.path or "/", canonical_query(parts.query), lines, names, payload))
    scope = f"{moment[:8]}/{region}/{service}/request"
    text = f"HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = _signature(secret_key, (moment[:8], region, service, "request"), text)
    value = f"HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    set_header(request.headers, "Authorization", value)


def _signature(secret: str, steps: tuple[str, ...], text: str) -> str:
    key = secret.encode()
    for step in steps:
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()
