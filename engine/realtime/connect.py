"""The socket itself: opened where the spec and the caller's settings allow, and its end as one of our errors (RELIABILITY W1).

Redirects are refused, the size of a message is limited, the peer is pinged every 20 s and given up after 20 s of silence.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from engine import errors
from engine.call.address import origin
from engine.call.failure import failure
from engine.call.send import SendFailure
from engine.call.send.origin import proxy_for, public_address, ssl_context
from engine.call.socket import FRAME_BYTES

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.types import HttpRequest

__all__ = ["ended", "opened"]

PING = 20.0  # seconds between pings, and after one until the peer is given up
LINGER = 5.0  # seconds a closing handshake may take
WAITING = 64  # messages that wait in the socket's own buffer
#: close codes -> kind, where neither the spec nor the reason says more
_CODES = {
    1002: "protocol",
    1003: "protocol",
    1006: "stream_interrupted",
    1007: "protocol",
    1008: "invalid_request",
    1009: "too_large",
    1011: "server",
    1012: "overloaded",
    1013: "overloaded",
    1014: "server",
    3000: "authentication",
    3003: "permission",
    3008: "timeout",
}
_FINE = frozenset((1000, 1001, 1005))


async def opened(call: Call, signed: HttpRequest, connect_within: float, until: float) -> Any:
    """The connection after its handshake, within `until` seconds. Raises the typed error of whatever went wrong."""
    try:
        from websockets import exceptions
        from websockets.asyncio.client import connect
    except ImportError:
        raise errors.ConfigError("sessions need the library websockets: pip install 'llmkit-engine[realtime]'") from None

    class Straight(connect):
        """A handshake that follows no redirect: the credential belongs to one origin."""

        def process_redirect(self, exc: Exception) -> Exception:
            return exc

    operation, live = call.operation, call.operation.plan.realtime
    problem: errors.Error
    try:
        options = _way(call, signed)
        async with asyncio.timeout(until):
            return await Straight(
                signed.url,
                additional_headers={k: v for k, v in signed.headers.items() if k.lower() != "content-type"},
                user_agent_header="llmkit-engine",
                subprotocols=list(live.subprotocols) or None,
                compression=None,
                open_timeout=connect_within,
                ping_interval=PING,
                ping_timeout=PING,
                close_timeout=LINGER,
                max_size=FRAME_BYTES,
                max_queue=WAITING,
                **options,
            )
    except exceptions.InvalidStatus as refused:
        problem = _refused(call, refused.response)
    except exceptions.InvalidProxy:
        problem = errors.ConfigError("the proxy's address cannot be read")
    except (exceptions.InvalidHandshake, exceptions.InvalidURI, EOFError) as odd:
        problem = errors.for_kind("protocol")(f"the handshake of the session failed: {type(odd).__name__}")
    except SendFailure as failed:
        problem = errors.for_kind(failed.kind)(str(failed))
    except TimeoutError:
        problem = errors.for_kind("timeout")("the session was not opened in time")
    except ssl.SSLError:
        problem = errors.for_kind("tls")("the certificate or the handshake of TLS was refused")
    except OSError as failed:
        problem = errors.for_kind("connection")(f"the session's server cannot be reached ({type(failed).__name__})")
    raise operation.place(problem)


def _way(call: Call, signed: HttpRequest) -> dict[str, Any]:
    """How to reach the host: proxy, certificates, and the public address where only those may be reached."""
    scheme, host, port = origin(signed.url)
    route = call.way(signed)
    secure = scheme == "wss"
    options: dict[str, Any] = {"proxy": proxy_for(route, "https" if secure else "http", host)}
    if secure:
        options["ssl"] = ssl_context(route.ca_file)
    if route.public:
        options.update(host=public_address(host, port), port=port)
    return options


def _refused(call: Call, response: Any) -> errors.Error:
    """The handshake was answered with something else than the switch to a socket."""
    if 300 <= response.status_code < 400:
        found: errors.Error = errors.for_kind("protocol")(
            f"the server redirects ({response.status_code}); redirects are never followed", status=response.status_code
        )
        return found
    try:
        headers = {k.lower(): v for k, v in response.headers.raw_items()}
        call.operation.read(response.status_code, headers, bytes(response.body or b""), call.request)
    except errors.Error as error:
        return error
    return errors.for_kind("protocol")("the server did not open a session", status=response.status_code)


def ended(call: Call, code: int | None, reason: str | None, told: errors.Error | None) -> errors.Error | None:
    """The error a session ended with, or None if it was closed in order. `told` is the last failure that nothing followed."""
    if told is not None:
        return told
    if code in _FINE:
        return None
    number = code or 1006
    message = reason or f"the session was closed with the code {number}"
    if number == 1006:
        return call.operation.place(errors.for_kind("stream_interrupted")("the session's connection was lost"))
    fields = {"message": message, "code": str(number)}
    found = failure(call.operation.plan, None, {}, fields, fields=fields, model=call.operation.model, now=call.clock.time())
    if str(number) not in call.operation.plan.errors.kinds and found.kind in ("server", "protocol"):
        found = errors.for_kind(_CODES.get(number, found.kind))(message, code=str(number))
    return call.operation.place(found)
