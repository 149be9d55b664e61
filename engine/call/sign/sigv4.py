"""AWS Signature Version 4 in headers (docs.aws.amazon.com, "Create a signed AWS API request")."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from engine.call.address import set_header
from engine.call.content import sha256_of
from engine.errors import ConfigError
from engine.types import HttpRequest

_ALGORITHM = "AWS4-HMAC-SHA256"
#: headers that proxies and transports change on the way
_UNSIGNED = frozenset(
    (
        "authorization",
        "baggage",
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-amzn-trace-id",
    )
)
_PORTS = {"https": 443, "http": 80}
_NEEDS = ("service", "region", "access_key", "secret_key")


def sign_v4(request: HttpRequest, given: Mapping[str, Any], now: float) -> None:
    """Add `X-Amz-Date`, `Authorization` and, with `session_token`, `X-Amz-Security-Token`.

    `given`: service, region, access_key, secret_key, session_token?. The path is encoded once more than it stands in the
    URL and its empty and dot segments are removed, but not for S3, which wants its payload hash as a header instead.
    """
    missing = [name for name in _NEEDS if not given.get(name)]
    if missing:
        raise ConfigError(f"signing needs {', '.join(missing)}")
    service, region = str(given["service"]), str(given["region"])
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    payload = sha256_of(request.body).hexdigest()
    set_header(request.headers, "X-Amz-Date", moment)
    if given.get("session_token"):
        set_header(request.headers, "X-Amz-Security-Token", str(given["session_token"]).strip())
    if service == "s3":
        set_header(request.headers, "X-Amz-Content-SHA256", payload)
    canonical, names = canonical_request(request, payload, normalize=service != "s3")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}"
    key = f"AWS4{str(given['secret_key']).strip()}".encode()
    for step in (moment[:8], region, service, "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    credential = f"{str(given['access_key']).strip()}/{scope}"
    value = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    set_header(request.headers, "Authorization", value)


def canonical_request(request: HttpRequest, payload: str, normalize: bool) -> tuple[str, str]:
    """(the canonical request, the names of its signed headers)."""
    parts = urlsplit(request.url)
    headers = {k.lower(): " ".join(v.split()) for k, v in request.headers.items() if k.lower() not in _UNSIGNED}
    headers.setdefault("host", host_of(request))
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    path = _path(parts.path) if normalize else parts.path or "/"
    return "\n".join((request.method.upper(), path, canonical_query(parts.query), lines, names, payload)), names


def _path(path: str) -> str:
    """The path without empty and dot segments, percent-encoded as a whole (a `%` in it once more)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and path.endswith("/") else ""
    return quote("/" + "/".join(kept) + end, safe="/~")


def host_of(request: HttpRequest) -> str:
    """What the transport writes as `Host`: without the port that the scheme has anyway."""
    parts = urlsplit(request.url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def canonical_query(query: str) -> str:
    """The parameters sorted, percent-encoded as RFC 3986 says."""
    pairs = [pair.partition("=")[::2] for pair in query.split("&")] if query else []
    encoded = sorted((quote(unquote(k), safe="-_.~"), quote(unquote(v), safe="-_.~")) for k, v in pairs)
    return "&".join(f"{k}={v}" for k, v in encoded)
