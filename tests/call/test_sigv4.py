"""AWS Signature Version 4: the official vectors, and equality with botocore."""

from __future__ import annotations

import calendar
import importlib.util
import os
import random
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from engine import errors
from engine.call.sign import SIGNERS
from engine.call.sign.sigv4 import sign_v4
from engine.types import HttpRequest
from tests.shared_data import shared

NOW = float(calendar.timegm((2015, 8, 30, 12, 36, 0)))
KEYS = {"access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


def parse(text: str) -> HttpRequest:
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.split("\n")
    method, _, rest = first.partition(" ")
    headers: dict[str, str] = {}
    last = ""
    for line in filter(None, lines):
        if line[:1] in (" ", "\t"):
            headers[last] += " " + line.strip()
            continue
        name, _, value = line.partition(":")
        headers[name] = f"{headers[name]},{value.strip()}" if name in headers else value.strip()
        last = name
    host = headers.pop("Host")
    headers.pop("X-Amz-Date", None)
    return HttpRequest(method, f"https://{host}{rest.rpartition(' HTTP/')[0]}", headers, body.encode() or None)


def test_the_official_vectors() -> None:
    found = sorted(shared("vectors", "sigv4").rglob("*.req"))
    assert len(found) >= 30
    for path in found:
        check_vector(path)


def check_vector(path: Path) -> None:
    request = parse(path.read_text(encoding="utf-8"))
    request.headers.pop("X-Amz-Security-Token", None)
    canonical = path.with_suffix(".creq").read_text(encoding="utf-8")
    token = next((line.partition(":")[2] for line in canonical.splitlines() if line.startswith("x-amz-security-token:")), None)
    sign_v4(request, {"service": "service", "region": "us-east-1", "session_token": token, **KEYS}, NOW)
    assert request.headers["Authorization"] == path.with_suffix(".authz").read_text().strip(), path.name


def some_request(choice: random.Random) -> tuple[HttpRequest, str]:
    letters = "abcXYZ019-._~ :/@!$&'()*+,;=%üé漢#?[]"
    segments = ["".join(choice.choices(letters, k=choice.randint(1, 8))) for _ in range(choice.randint(0, 4))]
    path = "/" + "/".join(quote(s, safe="") for s in segments) + ("/" if segments and choice.random() < 0.3 else "")
    pairs = [
        ("".join(choice.choices("ab-_~ ", k=3)), "".join(choice.choices(letters, k=choice.randint(0, 6))))
        for _ in range(choice.randint(0, 3))
    ]
    query = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in pairs)
    host = choice.choice(["bedrock-runtime.us-east-1.amazonaws.com", "host.test:8443", "host.test:443", "UPPER.test"])
    headers = {"Content-Type": "application/json", "X-Odd": "  a   b ", "User-Agent": "x", "traceparent": "t"}
    kept = {k: v for k, v in headers.items() if choice.random() < 0.6}
    body = choice.randbytes(choice.randint(0, 60)) or None
    url = f"https://{host}{path}{'?' + query if query else ''}"
    return HttpRequest(choice.choice(["GET", "POST", "PUT"]), url, kept, body), choice.choice(["bedrock", "sagemaker", "s3"])


def test_a_thousand_requests_are_signed_as_botocore_signs_them() -> None:
    if importlib.util.find_spec("botocore") is None:
        if os.environ.get("CI"):
            pytest.fail("botocore is missing in CI", pytrace=False)
        pytest.skip("botocore is not installed")
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    choice = random.Random(7)
    for number in range(1000):
        mine, service = some_request(choice)
        token = "tok/en+=" if choice.random() < 0.3 else None
        theirs: Any = AWSRequest(method=mine.method, url=mine.url, headers=dict(mine.headers), data=mine.body or b"")
        signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
        signer(Credentials(KEYS["access_key"], KEYS["secret_key"], token), service, "eu-west-1").add_auth(theirs)
        stamp = theirs.headers["X-Amz-Date"]
        now = float(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")))
        sign_v4(mine, {"service": service, "region": "eu-west-1", "session_token": token, **KEYS}, now)
        assert mine.headers["Authorization"] == theirs.headers["Authorization"], (number, mine.url, service)
        assert {k.lower() for k in mine.headers} == {k.lower() for k in theirs.headers}


@pytest.mark.parametrize("missing", ["service", "region", "access_key", "secret_key"])
def test_missing_pieces_are_named(missing: str) -> None:
    given = {"service": "s", "region": "r", **KEYS, missing: ""}
    with pytest.raises(errors.ConfigError, match=missing):
        SIGNERS["aws-sigv4"](HttpRequest("GET", "https://a.test/"), given, NOW)


def test_signing_again_replaces() -> None:
    request = HttpRequest("GET", "https://a.test/", {"authorization": "old", "x-amz-date": "old"})
    for _ in range(2):
        sign_v4(request, {"service": "s", "region": "r", **KEYS}, NOW)
    assert sorted(k.lower() for k in request.headers) == ["authorization", "x-amz-date"]
