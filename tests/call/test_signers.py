"""Signers of other clouds: the documents' vectors, and signatures that the vendors' libraries make of the same requests."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from engine import errors
from engine.call.sign import SIGNERS
from engine.types import HttpRequest
from engine.vocabulary import SIGNERS as NAMES

VOLC = {"service": "cv", "region": "cn-north-1", "access_key": "AKLT", "secret_key": "c2VjcmV0"}
TC3 = {"service": "cvm", "secret_id": "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "secret_key": "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"}
OCI = {"tenancy": "ocid1.tenancy.oc1..t", "user": "ocid1.user.oc1..u", "fingerprint": "73:61:a2"}


def test_every_named_signer_exists() -> None:
    assert sorted(SIGNERS) == sorted(NAMES)


def test_the_document_s_request_is_signed_as_the_document_says() -> None:
    """cloud.tencent.com/document/api/213/30654, its worked example."""
    body = b'{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}'
    request = HttpRequest("POST", "https://cvm.tencentcloudapi.com/", {"Content-Type": "application/json; charset=utf-8"}, body)
    SIGNERS["tencent-tc3"](request, TC3, 1551113065.9)
    assert request.headers["X-TC-Timestamp"] == "1551113065"
    assert request.headers["Authorization"] == (
        "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE/2019-02-25/cvm/tc3_request, "
        "SignedHeaders=content-type;host, Signature=72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
    )


def test_an_action_is_signed_too() -> None:
    request = HttpRequest("POST", "https://cvm.tencentcloudapi.com/", {"X-TC-Action": "DescribeInstances"}, b"{}")
    SIGNERS["tencent-tc3"](request, TC3, 1551113065)
    assert "SignedHeaders=content-type;host;x-tc-action," in request.headers["Authorization"]
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("url", "body", "token", "now", "signed", "signature"),
    [
        (
            "https://visual.volcengineapi.com/?Version0=wKLdaY&a%20b1=HlRGGx",
            b'{"p": 0.8610221084253223}',
            None,
            1767253020,
            "content-type;host;x-content-sha256;x-date",
            "cc03f2c937d13bc16ed8fd1b65c069dbd5515c0c2fa3fb212c234062957fea49",
        ),
        (
            "https://visual.volcengineapi.com/?x0=SOdTJs&Action1=XqJ%C3%A9xV",
            b'{"p": 0.4269348859411731}',
            "tok/1",
            1767298140,
            "content-type;host;x-content-sha256;x-date;x-security-token",
            "5faf67a20150487108aeec545ab433ecd86498cfaf850d6f704d1b021e183efa",
        ),
    ],
)
def test_what_the_vendor_s_library_signs(url: str, body: bytes, token: Any, now: int, signed: str, signature: str) -> None:
    """The signatures were made by the package volcengine 1.0 of the same requests."""
    request = HttpRequest("POST", url, {"Content-Type": "application/json"}, body)
    SIGNERS["volcengine-v4"](request, {**VOLC, "session_token": token}, now)
    assert request.headers["Authorization"] == (
        f"HMAC-SHA256 Credential=AKLT/20260101/cn-north-1/cv/request, SignedHeaders={signed}, Signature={signature}"
    )


@pytest.fixture(scope="module")
def key() -> tuple[Any, str]:
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = rsa.generate_private_key(65537, 2048)
    return made.public_key(), made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize("escaped", [False, True])
def test_a_signature_verifies_over_what_the_document_lists(key: tuple[Any, str], escaped: bool) -> None:
    """docs.oracle.com, "Request Signatures": date, target and host; with a body its length, type and digest too."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    public, pem = key
    body = b'{"i": 1}'
    request = HttpRequest(
        "POST", "https://inference.example.com/20231130/actions/chat?x=1", {"Content-Type": "application/json"}, body
    )
    SIGNERS["oci-v1"](request, {**OCI, "private_key": pem.replace("\n", "\\n") if escaped else pem}, 1767366039)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    text = (
        "date: Fri, 02 Jan 2026 15:00:39 GMT\n(request-target): post /20231130/actions/chat?x=1\nhost: inference.example.com\n"
        f"content-length: 8\ncontent-type: application/json\nx-content-sha256: {digest}"
    )
    found = re.fullmatch(
        r'Signature algorithm="rsa-sha256",headers="date \(request-target\) host content-length content-type x-content-sha256",'
        r'keyId="ocid1.tenancy.oc1..t/ocid1.user.oc1..u/73:61:a2",signature="(.+)",version="1"',
        request.headers["Authorization"],
    )
    assert found
    public.verify(base64.b64decode(found[1]), text.encode(), PKCS1v15(), SHA256())
    assert request.headers["X-Content-Sha256"] == digest


def test_a_question_without_a_body_signs_three_things(key: tuple[Any, str]) -> None:
    request = HttpRequest("GET", "https://inference.example.com/20231130/models")
    SIGNERS["oci-v1"](request, {**OCI, "private_key": key[1]}, 1767366039)
    assert 'headers="date (request-target) host",' in request.headers["Authorization"]


@pytest.mark.parametrize("name", sorted(SIGNERS))
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(errors.ConfigError, match="signing needs"):
        SIGNERS[name](HttpRequest("GET", "https://a.test/"), {}, 0)


def test_a_key_that_cannot_be_read_is_not_quoted() -> None:
    """S2: no secret in an error."""
    with pytest.raises(errors.ConfigError, match="RSA key as PEM") as caught:
        SIGNERS["oci-v1"](HttpRequest("GET", "https://a.test/"), {**OCI, "private_key": "sup3r-secret"}, 0)
    assert "sup3r" not in str(caught.value) and caught.value.__cause__ is None
