"""Named signers: they sign the final bytes of a request (SPEC_LANGUAGE 9, 17)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.call.sign.sigv4 import sign_v4
from engine.types import HttpRequest

#: `auth.sign` -> function(request, the spec's `with`, Unix seconds); it adds headers to the request
SIGNERS: dict[str, Callable[[HttpRequest, Mapping[str, Any], float], None]] = {"aws-sigv4": sign_v4}
