"""Request signatures of Oracle Cloud (docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm), version 1."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from engine.call.address import set_header
from engine.call.content import sha256_of
from engine.call.sign.hashed import needed
from engine.call.sign.sigv4 import host_of
from engine.errors import ConfigError
from engine.types import HttpRequest


def sign_oci(request: HttpRequest, given: Mapping[str, Any], now: float) -> None:
    """Add `Date`, `Authorization` and, with a body, `X-Content-Sha256`.

    `given`: tenancy, user, fingerprint, private_key (PEM), passphrase?. Needs `cryptography` (extra `jwt`).
    Raises ConfigError for a key that cannot be read; no message quotes it.
    """
    tenancy, user, fingerprint, pem = needed(given, "tenancy", "user", "fingerprint", "private_key")
    parts = urlsplit(request.url)
    target = f"{request.method.lower()} {parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    signed = {"date": formatdate(now, usegmt=True), "(request-target)": target, "host": host_of(request)}
    set_header(request.headers, "Date", signed["date"])
    if request.method.upper() in ("POST", "PUT", "PATCH"):
        body = request.body or b""
        digest = base64.b64encode(sha256_of(body).digest()).decode()
        kind = next((v for k, v in request.headers.items() if k.lower() == "content-type"), None)
        if kind is None:
            kind = "application/json"
            set_header(request.headers, "Content-Type", kind)
        set_header(request.headers, "X-Content-Sha256", digest)
        signed |= {"content-length": str(len(body)), "content-type": kind, "x-content-sha256": digest}
    text = "\n".join(f"{name}: {value}" for name, value in signed.items())
    signature = base64.b64encode(_signature(pem, given.get("passphrase"), text.encode())).decode()
    value = (
        f'Signature algorithm="rsa-sha256",headers="{" ".join(signed)}",keyId="{tenancy}/{user}/{fingerprint}",'
        f'signature="{signature}",version="1"'
    )
    set_header(request.headers, "Authorization", value)


def _signature(pem: str, passphrase: Any, text: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ConfigError("this signature needs cryptography: pip install 'llmkit-engine[jwt]'") from None
    if "\\n" in pem:
        pem = pem.replace("\\n", "\n")  # a PEM that went through an environment variable
    try:
        key = load_pem_private_key(pem.encode(), str(passphrase).encode() if passphrase else None)
        return key.sign(text, PKCS1v15(), SHA256())  # type: ignore[call-arg,arg-type,union-attr]
    except Exception as error:  # the key's text must not travel along in a foreign exception
        raise ConfigError(f"a request cannot be signed: {type(error).__name__}; is the key an RSA key as PEM?") from None
