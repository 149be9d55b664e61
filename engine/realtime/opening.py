"""What a session is opened with: the handshake's call, the tools that are functions, and how it sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.call.flow import Call
from engine.calling import _leaving
from engine.errors import ConfigError, Error, UnsupportedError
from engine.reliability.attempts import Attempts
from engine.reliability.deadline import Deadline, Limits

if TYPE_CHECKING:
    from engine.calling import Caller

__all__ = ["Opening", "Sound", "opening", "sound"]


@dataclass(frozen=True, slots=True)
class Sound:
    """How bytes of sound are to be understood: `format` (pcm16 is 16-bit little-endian, one channel) and samples per second."""

    format: str
    rate: int


@dataclass(slots=True)
class Opening:
    """A session that could be opened now: the unsigned handshake and what it shares with other calls."""

    client: Caller
    call: Call
    limits: Limits
    seconds: float  # until it must be open, from when its block is entered
    functions: dict[str, Callable[..., Any]]  # tools that can be run here, by name
    run_tools: bool
    queue: int  # events that wait unread at most; then nothing more is read from the socket

    def begin(self) -> None:
        """The time to open runs from now on."""
        self.call.attempts.deadline = Deadline(self.call.clock, self.seconds)


def opening(client: Caller, model: str, fields: dict[str, Any]) -> Opening:
    """Everything but the socket. Pops the options that are no fields of the request; raises ConfigError, UnsupportedError."""
    problem: Error
    try:
        return _opening(client, model, fields)
    except Exception as caught:
        problem = _leaving(caught, None)
    raise problem


def _opening(client: Caller, model: str, fields: dict[str, Any]) -> Opening:
    run_tools, queue = bool(fields.pop("run_tools", False)), int(fields.pop("queue", 1024))
    timeout = fields.pop("timeout", None)
    target = client._target(model, "realtime", fields.pop("dialect", None))
    bound, clock = target.operation, client._clock
    if bound.plan.realtime is None:
        raise UnsupportedError("there is no session to open", provider=bound.provider, model=bound.model, operation=bound.name)
    if queue < 1:
        raise ConfigError("`queue` is the number of events that may wait unread: at least 1", param="queue")
    functions = dict(_functions(fields.get("tools") or ()))
    request, context, unsupported = bound.start(fields)
    if target.missing is not None:
        raise ConfigError(target.missing, provider=bound.provider, model=bound.model, operation=bound.name)
    limits = target.limits
    seconds = float(timeout) if timeout is not None else limits.connect + limits.until_headers(True)
    run = Attempts(target.name, limits, Deadline(clock, seconds), clock, target.bucket, target.provider.ring)
    tokens = target.provider.tokens
    call = Call(bound, request, target.route, run, clock, target.credentials, tokens, lambda _: None, context, unsupported)
    return Opening(client, call, limits, seconds, functions, run_tools, queue)


def _functions(tools: Iterable[Any]) -> Iterable[tuple[str, Callable[..., Any]]]:
    return ((tool.__name__, tool) for tool in tools if callable(tool) and not isinstance(tool, Mapping))


def sound(call: Call, session: Mapping[str, Any]) -> tuple[Sound, Sound]:
    """How what is sent sounds, and what comes: as the caller chose, else as the spec says, else as the session told."""
    live, context = call.operation.plan.realtime, call.context or {}
    format = str(context.get("audio_format") or "pcm16")
    rate = int(context.get("sample_rate") or 24000)
    out = format if not live.out_formats or format in live.out_formats else live.out_formats[0]
    return Sound(format, rate), Sound(out, int(session.get("rate") or live.out_rate or rate))
