"""Named signers: they sign the final bytes of a request (SPEC_LANGUAGE 9, 17)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.call.sign.sigv4 import sign_v4
from engine.types import HttpRequest

Signer = Callable[[HttpRequest, Mapping[str, Any], float], None]


def _oci(request: HttpRequest, given: Mapping[str, Any], now: float) -> None:
    from engine.call.sign.oci import sign_oci

    sign_oci(request, given, now)


def _tc3(request: HttpRequest, given: Mapping[str, Any], now: float) -> None:
    from engine.call.sign.hashed import sign_tc3

    sign_tc3(request, given, now)


def _volc(request: HttpRequest, given: Mapping[str, Any], now: float) -> None:
    from engine.call.sign.hashed import sign_volc

    sign_volc(request, given, now)


#: `auth.sign` -> function(request, the spec's `with`, Unix seconds); it adds headers to the request
SIGNERS: dict[str, Signer] = {"aws-sigv4": sign_v4, "oci-v1": _oci, "tencent-tc3": _tc3, "volcengine-v4": _volc}
