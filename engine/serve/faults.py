"""What a stand-in does wrong on purpose: the faults of RELIABILITY section 8 by name, on every dialect, and faults of one's own.

Most act on the bytes below the templates: connections are cut, frames split, repeated and broken. A few change what is said,
so that it can be said wrongly in any dialect.

    fault("s_cut_clean")                                   # by name
    fault({"after": 3, "cut": "reset", "times": 1})        # made of pieces: see `CUSTOM`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import KINDS, ConfigError, for_kind
from engine.errors import Error as EngineError
from engine.serve.exchange import Act, Answer, Chunk, Pause
from engine.types import Event

Steps = Iterator["Event | Pause"]
Body = Iterable["Chunk | Pause | Act"]


@dataclass(slots=True)
class Scene:
    """What a fault knows of the exchange it spoils."""

    number: int  # how often the fault has taken part, this time included
    framing: str  # of the dialect's streams
    key: str  # the client's
    now: float  # Unix seconds
    origin: str  # http://host:port of the stand-in under a second name: another origin
    state: dict[str, Any]  # kept from one exchange to the next
    failure: Callable[[EngineError, int | None], Answer]  # an HTTP error in the words of the dialect
    body_of: Callable[[EngineError], bytes]  # the same as a body alone
    limits: Mapping[str, str] = field(default_factory=dict)  # headers that tell the rate of requests: limit, remaining, reset


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `times` None: always. `streams` None: of whole answers and streams alike."""

    name: str
    about: str = ""
    times: int | None = None
    streams: bool | None = None
    framings: tuple[str, ...] = ()  # only these
    request: dict[str, Any] = field(default_factory=dict)  # changes of what the client asked for
    say: Callable[[Steps, Scene], Steps] | None = None
    answer: Callable[[Answer, Scene], Answer] | None = None

    def fits(self, stream: bool, framing: str) -> bool:
        """Whether it can spoil an answer of this kind."""
        return (self.streams is None or self.streams == stream) and (not self.framings or framing in self.framings)


class Running:
    """A fault in use: how often it took part, and what it remembers."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.used = 0
        self.state: dict[str, Any] = {}

    def take(self, stream: bool, framing: str) -> bool:
        """Whether it takes part in the next exchange; counts it."""
        if not self.fault.fits(stream, framing) or (self.fault.times is not None and self.used >= self.fault.times):
            return False
        self.used += 1
        return True


def fault(given: Any) -> Fault:
    """A fault from its name, a mapping of `CUSTOM` keys (or `{name, times}`), or itself. Raises ConfigError."""
    if isinstance(given, Fault):
        return given
    if isinstance(given, str):
        return _named(given)
    if not isinstance(given, Mapping):
        raise ConfigError("a fault is a name or a mapping")
    if "name" in given:
        unknown = given.keys() - {"name", "times"}
        if unknown:
            raise ConfigError(f"a fault with a name takes `times`, not `{min(unknown)}`")
        return replace(_named(str(given["name"])), times=_count(given.get("times")))
    return _custom(given)


def names() -> dict[str, str]:
    """Every fault that has a name, with what it does."""
    from engine.serve.fault_table import table

    return {name: found.about for name, found in table().items()}


def _named(name: str) -> Fault:
    from engine.serve.fault_table import table
    from engine.spec.problem import nearest

    found = table().get(name)
    if found is None:
        near = nearest(name, table())
        raise ConfigError(f"no fault `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    return found


# --- faults of one's own -------------------------------------------------------------------------------------------------

#: key of a custom fault -> what it means
CUSTOM = {
    "after": "pieces of content that are written before (default 0 for whole answers, 3 for streams)",
    "cut": "clean, close, reset or mid_event: how the answer ends",
    "stall": "true: silence instead of more",
    "malformed": "true: a frame that is broken, among good ones",
    "error": "{kind, message, …}: a stream fails in the words of its dialect",
    "status": "an HTTP error with this status, in the words of the dialect",
    "retry_after": "seconds or text of that header",
    "body": "the text of the body, whatever the status",
    "headers": "further headers",
    "split": "the bytes of every write",
    "delay": "seconds before the answer",
    "times": "how many requests it spoils (default: all)",
}


def _custom(given: Mapping[str, Any]) -> Fault:
    from engine.spec.problem import nearest

    for key in given:
        if key not in CUSTOM:
            near = nearest(str(key), CUSTOM)
            raise ConfigError(f"a fault has no `{key}`" + (f"; did you mean `{near}`?" if near else ""))
    after = given.get("after", 3)
    if not isinstance(after, int) or after < 0:
        raise ConfigError("`after` is a count")
    steps: list[Callable[[Answer, Scene], Answer]] = []
    say = None
    streams = True if {"cut", "stall", "malformed", "error"} & given.keys() else None
    if "status" in given or "body" in given:
        steps.append(refusal(int(given.get("status", 200)), body=given.get("body"), retry_after=given.get("retry_after")))
    if "headers" in given:
        steps.append(
            lambda answer, scene: replace(
                answer, headers={**answer.headers, **{str(k): str(v) for k, v in given["headers"].items()}}
            )
        )
    if "error" in given:
        wanted = given["error"] if isinstance(given["error"], Mapping) else {"kind": given["error"]}
        if wanted.get("kind") not in KINDS:
            raise ConfigError(f"no kind of error `{wanted.get('kind')}`")
        say = failing(after, dict(wanted))
    if given.get("malformed"):
        steps.append(broken(after))
    if "cut" in given:
        if given["cut"] not in CUTS:
            raise ConfigError(f"`cut` is one of {', '.join(CUTS)}")
        steps.append(cut(after, given["cut"]))
    if given.get("stall"):
        steps.append(cut(after, "hold"))
    if "split" in given:
        steps.append(split(int(given["split"])))
    if "delay" in given:
        steps.append(delayed(float(given["delay"])))
    if not steps and say is None:
        raise ConfigError(f"a fault has one of {', '.join(CUSTOM)}")

    def answer(made: Answer, scene: Scene) -> Answer:
        for step in steps:
            made = step(made, scene)
        return made

    return Fault("custom", times=_count(given.get("times")), streams=streams, say=say, answer=answer)


def _count(given: Any) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given > 0):
        return given
    raise ConfigError("`times` is a count")


# --- pieces faults are made of -------------------------------------------------------------------------------------------

CUTS = ("clean", "close", "reset", "mid_event")
HTML = "<!doctype html><html><body>Please log in</body></html>"


def written(status: int, body: bytes, content_type: str = "application/json", **headers: str) -> Answer:
    """A whole answer with this body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": content_type, **named}, [Chunk(body, "other")])


def whole(answer: Answer) -> bytes:
    """The body of a whole answer; the time it takes is not waited for."""
    return b"".join(item.data for item in answer.body if isinstance(item, Chunk))


def refusal(
    status: int, kind: str | None = None, *, message: str = "", body: str | None = None, retry_after: Any = None
) -> Callable[[Answer, Scene], Answer]:
    """Any HTTP status, in the words of the dialect or with a body of its own."""
    from engine.call.failure import status_kind

    def answer(made: Answer, scene: Scene) -> Answer:
        if body is None:
            named = kind or status_kind(status)
            told = message.replace("KEY", scene.key) or f"simulated {named}"
            made = scene.failure(for_kind(named)(told), status)
        else:
            made = written(
                status, body.encode(), "text/html; charset=utf-8" if body.lstrip().startswith("<") else "application/json"
            )
        if retry_after is not None:
            made.headers["retry-after"] = str(retry_after)
        return made

    return answer


def cut(after: int, how: str) -> Callable[[Answer, Scene], Answer]:
    """The stream stops after so many pieces of content, before its last bytes at the latest.

    `how`: clean (as if it had ended), close, reset, mid_event (half of the next frame, then clean), hold (silence).
    """

    def then(following: bytes) -> Iterator[Chunk | Pause | Act]:
        if how == "mid_event":
            yield Chunk(following[: max(1, len(following) // 2)], "other")
        elif how != "clean":
            yield Pause(0.05)  # so that what came before is read before the connection dies
            yield {"close": Act.CLOSE, "reset": Act.RESET, "hold": Act.HOLD}[how]

    return lambda answer, scene: replace(answer, body=stopped(answer.body, after, then))


def stopped(body: Body, after: int, then: Callable[[bytes], Iterable[Chunk | Pause | Act]], more: bool = False) -> Body:
    """The first `after` pieces of content, then other things; with `more` the rest follows."""
    count = 0
    for item in body:
        if isinstance(item, Chunk) and count >= 0:
            if count >= after or item.moment == "end":
                yield from then(item.data)
                if not more:
                    return
                count = -1
            elif item.moment == "delta":
                count += 1
        yield item


def broken(after: int) -> Callable[[Answer, Scene], Answer]:
    """One frame among good ones cannot be read: JSON cut in half, or a checksum that is wrong."""

    def frame(scene: Scene) -> bytes:
        from engine.call.encode import encode_frame

        if scene.framing == "eventstream":
            made = encode_frame(scene.framing, "{}")
            return made[:-1] + bytes([made[-1] ^ 1])
        return encode_frame(scene.framing, '{"id": "c1", "choices": [{"ind')

    return lambda answer, scene: replace(
        answer, body=stopped(answer.body, after, lambda _: [Chunk(frame(scene), "other")], more=True)
    )


def split(size: int) -> Callable[[Answer, Scene], Answer]:
    """Every write holds so many bytes."""
    size = max(1, size)

    def cut_up(body: Body) -> Body:
        for item in body:
            if isinstance(item, Chunk):
                for i in range(0, len(item.data), size):
                    yield Chunk(item.data[i : i + size], item.moment)
            else:
                yield item

    return lambda answer, scene: replace(answer, body=cut_up(answer.body))


def delayed(seconds: float) -> Callable[[Answer, Scene], Answer]:
    """Nothing at all for a while."""
    return lambda answer, scene: replace(answer, body=_before(Pause(seconds), answer.body), headers=answer.headers)


def _before(first: Chunk | Pause | Act, body: Body) -> Body:
    yield first
    yield from body


def failing(after: int, fields: dict[str, Any]) -> Callable[[Steps, Scene], Steps]:
    """The model fails after so many pieces of content."""
    error = {"kind": "overloaded", "message": "simulated overload", **fields}

    def say(steps: Steps, scene: Scene) -> Steps:
        told = {**error, "message": str(error["message"]).replace("KEY", scene.key)}
        count = 0
        for step in steps:
            if isinstance(step, Event):
                if count >= after or step.kind in ("finish", "usage"):
                    break
                count += step.kind in ("text", "thinking", "tool_call")
            yield step
        yield Event("error", told)

    return say
