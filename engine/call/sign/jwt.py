"""JSON Web Tokens signed locally (RFC 7515, RFC 7519)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Any

from engine.call.json import JsonError, dumps
from engine.errors import ConfigError

_HMAC = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_ASYMMETRIC = frozenset(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"])


def make_jwt(given: Mapping[str, Any]) -> str:
    """The token of `{alg, key, headers?, claims}`. HS algorithms need no library; RS, PS and ES need PyJWT (extra `jwt`)."""
    algorithm = str(given.get("alg") or "HS256")
    key, claims = given.get("key"), given.get("claims")
    if not key:
        raise ConfigError("a token cannot be signed: its key has no value")
    if not isinstance(claims, Mapping):
        raise ConfigError("a token cannot be signed: `claims` is a mapping")
    headers = dict(given.get("headers") or {})
    if algorithm in _HMAC:
        return _with_hmac(algorithm, key, headers, claims)
    if algorithm not in _ASYMMETRIC:
        raise ConfigError(f"`{algorithm}` is not an algorithm that tokens are signed with")
    return _with_pyjwt(algorithm, str(key), headers, claims)


def _with_hmac(algorithm: str, key: Any, headers: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    try:
        parts = [_encoded(dumps({"alg": algorithm, "typ": "JWT", **headers})), _encoded(dumps(claims))]
    except JsonError as error:
        raise ConfigError(f"a token cannot be signed: {error}") from None
    secret = key if isinstance(key, bytes) else str(key).encode()
    parts.append(_encoded(hmac.digest(secret, ".".join(parts).encode(), _HMAC[algorithm])))
    return ".".join(parts)


def _with_pyjwt(algorithm: str, key: str, headers: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    try:
        import jwt
    except ImportError:
        raise ConfigError(f"signing a token with {algorithm} needs PyJWT: pip install 'llmkit-engine[jwt]'") from None
    if "\\n" in key and "-----BEGIN" in key:
        key = key.replace("\\n", "\n")  # a PEM that went through an environment variable
    try:
        return jwt.encode(dict(claims), key, algorithm=algorithm, headers=dict(headers) or None)
    except Exception as error:  # the key's text must not travel along in a foreign exception
        raise ConfigError(f"a token cannot be signed with {algorithm}: {type(error).__name__}; is the key a PEM?") from None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
