"""Clients that sign their requests instead of sending a key: AWS Signature Version 4, verified
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from engine.call.sign.sigv4 import sign_v4
from engine.errors import ConfigError
from engine.secret import Secret
from engine.serve.gateway.wording import Refused
from engine.types import HttpRequest

if TYPE_CHECKING:
    from engine.serve.gateway.intake import Intake

SCHEME = "aws-sigv4"  # as specs name it
SHORTEST = 16  # characters of a secret
SKEW = 300.0  # seconds between the client's clock and ours
LONGEST = 8192  # characters of the header that are looked at
_ENTRY = re.compile(r"([A-Za-z0-9]{4,128}):(\S+)")
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([A-Za-z0-9]{1,128})/(\d{8})/([a-z0-9-]{1,64})/([a-z0-9.-]{1,64})/aws4_request, *"
    r"SignedHeaders=([a-z0-9;_-]{1,2048}), *Signature=([0-9a-f]{64})"
)
_NEEDED = frozenset(("host", "x-amz-date"))

Proof = Callable[[bytes], None]  # takes the body; raises Refused if the signature is not that of the request


class Signers:
    """Secrets by the id of their access key, each given as `ID:SECRET`. False where there are none."""

    __slots__ = ("_owners", "_secrets")

    def __init__(self, entries: Iterable[str] = (), owner: str = "") -> None:
        self._secrets: dict[str, Secret] = {}
        self._owners: dict[str, str] = {}
        for entry in entries:
            found = _ENTRY.fullmatch(entry)
            if found is None or len(found[2]) < SHORTEST:
                raise ConfigError(f"a signer of the gateway is ID:SECRET, with a secret of at least {SHORTEST} characters")
            self._secrets[found[1]] = Secret(found[2])
            self._owners[found[1]] = owner

    @classmethod
    def joined(cls, several: Iterable[Signers]) -> Signers:
        """The signers of several owners. ConfigError for an id that has two."""
        made = cls()
        for signers in several:
            for id, owner in signers._owners.items():
                if made._owners.setdefault(id, owner) != owner:
                    raise ConfigError(f"the access key {id} belongs to both {made._owners[id] or '`signers`'} and {owner}")
            made._secrets.update(signers._secrets)
        return made

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)

    def proof(self, intake: Intake, now: float) -> tuple[str, Proof]:
        """Whose signature it claims to be ("" for nobody in particular), and what the body will be checked with. Raises Refused for
        a signature that cannot be right whatever the body is."""
        text = intake.headers.get("authorization", "")
        found = _AUTHORIZATION.fullmatch(text) if len(text) <= LONGEST else None
        if found is None:
            raise _refused("the signature of the request cannot be read")
        id, day, region, service, names, signature = found.groups()
        secret = self._secrets.get(id)
        if secret is None:
            raise _refused("the access key is not known to this gateway")
        signed = names.split(";")
        moment = _moment(intake.headers.get("x-amz-date", ""))
        if not _NEEDED.issubset(signed) or not set(signed) <= intake.headers.keys() or moment is None:
            raise _refused("the signature of the request does not cover its host and date")
        if abs(moment - now) > SKEW or not intake.headers["x-amz-date"].startswith(day):
            raise _refused("the signature of the request is too old, or a clock is wrong")
        query = urlencode(intake.query, quote_via=quote)
        url = f"http://localhost{intake.path}{'?' if query else ''}{query}"
        request = HttpRequest(intake.method, url, {name: intake.headers[name] for name in signed})
        given = {"region": region, "service": service, "access_key": id, "secret_key": secret.reveal()}

        def check(body: bytes) -> None:
            request.body = body
            sign_v4(request, given, moment)
            ours = _AUTHORIZATION.fullmatch(request.headers["Authorization"])
            if ours is None or ours[5] != names or not hmac.compare_digest(ours[6], signature):
                raise _refused("the signature does not fit the request")

        return self._owners[id], check


def _moment(text: str) -> float | None:
    """Unix seconds of `20260101T120000Z`."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _refused(message: str) -> Refused:
    return Refused("authentication", message)
