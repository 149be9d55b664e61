"""A catalog of one invented wire, by hand: the client is tested apart from specs, templates and decoders.

The wire: POST {base_url}/chat with {"model", "text", "stream"}; a whole reply is {"text", "finish"}; a stream has one JSON
document per line, {"t": piece}, {"finish": …} at its end, {"error": …} for a failure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from engine import errors
from engine.call.waits import retry_after
from engine.plan import Auth, Call, Errors, OperationPlan, ProviderPlan, Stream
from engine.plan import Secret as Declared
from engine.reliability.deadline import Clock
from engine.settings import bind
from engine.types import Choice, Event, HttpRequest, Part, Report, Response

KEY = "sk-canary-0123456789abcdefXYZ"
KINDS = {400: "invalid_request", 401: "authentication", 402: "quota", 403: "permission", 404: "not_found", 413: "too_large"}
KINDS |= {408: "timeout", 422: "invalid_request", 429: "rate_limit", 503: "overloaded", 529: "overloaded"}


def plan(**changes: Any) -> OperationPlan:
    made: dict[str, Any] = {
        "provider": "acme",
        "name": "chat",
        "dialect": "acme-chat",
        "dialects": ("acme-chat",),
        "call": Call(verb="POST", url=lambda c: "/chat"),
        "auth": Auth("bearer", value=lambda c: c["api_key"], needs=("api_key",), reads=("api_key",)),
        "base_url": lambda c: "https://api.acme.test/v1",
        "stream": Stream(framing="ndjson"),
        "errors": Errors(),
        "rate_limits": {"requests": {"remaining": "x-left", "reset": "x-reset"}},
    }
    return OperationPlan(**{**made, **changes})


class FakeReader:
    """The contract of engine.call.reader.Reader: feed and end never raise, the error stands in `error` and ends the events."""

    def __init__(self, operation: FakeOperation) -> None:
        self._operation = operation
        self._buffer = b""
        self._text = ""
        self._made: list[Event] = []
        self._finish: str | None = None
        self.done = False
        self.error: errors.Error | None = None
        self.response: Response | None = None

    def feed(self, data: bytes) -> list[Event]:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if line.strip() and not line.startswith(b":") and self.error is None:
                self._line(line)
        return self._drain()

    def _line(self, line: bytes) -> None:
        try:
            document = json.loads(line)
        except ValueError:
            return self._fail(errors.ProtocolError("an event is not JSON"))
        if "error" in document:
            self._fail(errors.for_kind(document["error"].get("kind", "server"))(document["error"]["message"]))
        elif "t" in document:
            self._text += document["t"]
            self._made.append(Event("text", {"text": document["t"]}))
        elif "start" in document:
            self._made.append(Event("start", {"id": document["start"]}))
        elif "finish" in document:
            self._finish = document["finish"]
            self._made.append(Event("finish", {"reason": self._finish}))
        elif "end" in document:
            self.done = True
        return None

    def end(self) -> list[Event]:
        if self.error is None and self.response is None:
            if self._finish is None:
                self._fail(errors.StreamInterruptedError("the stream ended before its end mark"))
            else:
                self.response = self._operation.response(self._text, self._finish)
                self._made.append(Event("end", {"response": self.response}))
        return self._drain()

    def _fail(self, error: errors.Error) -> None:
        self.error = error
        error.partial = self._operation.response(self._text, None)
        self._made.append(Event("error", {"message": error.message}))

    def _drain(self) -> list[Event]:
        made, self._made = self._made, []
        return made


class FakeOperation:
    def __init__(self, made: OperationPlan, who: ProviderPlan, model: str, values: Any, secrets: Any) -> None:
        self.plan, self.who, self.model, self.values, self.secrets = made, who, model, values, secrets
        self.provider, self.name = made.provider, made.name
        self.known_as, self.variant = model, None
        self.uuid = lambda name=None: "u"

    def near(self) -> str | None:
        return None

    @property
    def base_url(self) -> str:
        return self.values.get("base_url") or self.plan.base_url({})

    def render(self, **fields: Any) -> HttpRequest:
        fields.pop("unsupported", None)
        stream = bool(fields.get("stream"))
        body = json.dumps({"model": self.model, "text": fields.get("messages"), "stream": stream}).encode()
        request = HttpRequest("POST", self.base_url + "/chat", {"Content-Type": "application/json"}, body, stream)
        request.report = Report()
        request.context = {"$operation": self}
        return request

    def start(self, fields: dict[str, Any]) -> tuple[HttpRequest, dict[str, Any], None]:
        request = self.render(**fields)
        return request, {"$report": request.report}, None

    def response(self, text: str, finish: str | None) -> Response:
        choice = Choice(parts=[Part("text", text=text)], text=text, finish_reason=finish)
        return Response(choices=[choice])

    def read(self, status: int, headers: Mapping[str, str], body: bytes, request: HttpRequest | None = None) -> Response:
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        where = {"status": status, "request_id": headers.get("x-request-id"), "raw": document or body.decode("utf-8", "replace")}
        if status >= 400:
            kind = KINDS.get(status, "server" if status >= 500 else "invalid_request")
            message = document.get("error", "") if isinstance(document, dict) else body.decode("utf-8", "replace")
            wait = retry_after(self.plan, headers, document, 0.0)
            raise errors.for_kind(kind)(str(message), retry_after=wait, **where)
        if not isinstance(document, dict) or "text" not in document:
            raise errors.ProtocolError("the answer cannot be understood", **where)
        return self.response(document["text"], document.get("finish", "stop"))

    def reader(self, headers: Mapping[str, str] | None = None, request: HttpRequest | None = None) -> FakeReader:
        return FakeReader(self)


class FakeFacts:
    """Quacks like engine.accounting.facts.Facts."""

    def all(self, provider: str) -> dict[str, Any]:
        return {"m1": {}}

    def of(self, provider: str, model: str, variant: str | None = None) -> dict[str, Any] | None:
        return self.all(provider).get(model)

    def near(self, provider: str, model: str) -> str | None:
        return None


class FakeCatalog:
    """Quacks like engine.Catalog for one provider, `acme`."""

    def __init__(
        self, made: OperationPlan | None = None, who: ProviderPlan | None = None, environ: Mapping[str, str] | None = None
    ):
        self.made = made or plan()
        self.who = who or ProviderPlan("acme", "Acme", secrets=(Declared("api_key", ("ACME_API_KEY",)),), operations=("chat",))
        self.environ = {"ACME_API_KEY": KEY} if environ is None else environ

    def resolve(self, name: str) -> str:
        if name != "acme":
            raise errors.NotFoundError(f"no provider `{name}` in the catalog")
        return name

    def provider_ids(self) -> list[str]:
        return ["acme"]

    def dialect_ids(self) -> list[str]:
        return ["acme-chat"]

    @property
    def facts(self) -> FakeFacts:
        return FakeFacts()

    def operation(
        self, target: str, operation: str, *, settings: Any, dialect: str | None = None, unsupported: str = "warn"
    ) -> Any:
        bound = bind(self.who, settings or {}, self.environ)
        return FakeOperation(self.made, self.who, target.partition("/")[2], bound.values, bound.secrets)


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(d).encode() + b"\n" for d in documents)


def good(*pieces: str) -> bytes:
    return lines({"start": "r1"}, *({"t": p} for p in pieces), {"finish": "stop"}, {"end": True})


def every_text(value: BaseException) -> Iterator[str]:
    """All an exception shows: its texts, its chain, and what lies in the variables of the engine's frames."""
    import traceback

    yield str(value)
    yield repr(value)
    yield "".join(traceback.format_exception(value))
    frames = [f for f in traceback.walk_tb(value.__traceback__) if "/engine/" in f[0].f_code.co_filename]
    yield "".join(traceback.StackSummary.extract(frames, capture_locals=True).format())
    yield json.dumps(value.to_dict(), default=str)  # type: ignore[attr-defined]


class FakeClock(Clock):
    """Time that passes only when somebody waits; chance that always takes the middle."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        super().__init__(lambda: self.now, lambda: 1_700_000_000.0 + self.now, lambda a, b: (a + b) / 2)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)


class Script:
    """An httpx handler that answers with the given replies in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        if callable(reply):
            return reply(request)
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)
