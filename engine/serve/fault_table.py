"""The faults that have a name: RELIABILITY section 8, as far as a server can do them. Made when first asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from engine.serve.exchange import Act, Answer, Chunk, Pause
from engine.serve.fault_streams import AFTER, streams
from engine.serve.faults import HTML, Body, Fault, Scene, Steps, failing, refusal, stopped, whole, written
from engine.types import Event

_GOOD = (("u_ok", "nothing"), ("s_ok", "nothing"))
_INPUT, _OUTPUT = 987654321, 123456789  # counters that are found again in the body
_DEEP = b'{"id": "c1", "choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
Change = Callable[[Answer, Scene], Answer]


@cache
def table() -> dict[str, Fault]:
    """name -> fault."""
    made: list[Fault] = [Fault(name, about) for name, about in _GOOD]
    made += _refusals()
    made += _transport()
    made += _bodies()
    made += streams()
    made += _sizes()
    made += _secrets()
    made += _shapes()
    return {fault.name: fault for fault in made}


def _refusals() -> list[Fault]:
    once: list[tuple[str, str, Change]] = [
        ("u_429_ra_seconds", "429 with Retry-After: 1, once", refusal(429, retry_after=1)),
        ("u_500_once", "500, once", refusal(500)),
        ("u_502_html_once", "502 with a proxy's page, once", refusal(502, body="<html><h1>502 Bad Gateway</h1></html>")),
        ("u_503_once", "503 with Retry-After: 1, once", refusal(503, retry_after=1)),
        ("u_529_once", "529 overloaded, once", refusal(529, "overloaded")),
    ]
    streams: list[tuple[str, str, Change]] = [
        ("s_429_once", "a stream is answered 429 with Retry-After: 1, once", refusal(429, retry_after=1)),
        ("s_529_once", "a stream is answered 529, once", refusal(529, "overloaded")),
    ]
    always: list[tuple[str, str, Change]] = [
        ("u_429_ra_long", "429 with Retry-After: 3600, always", refusal(429, retry_after=3600)),
        ("u_429_quota", "429 that means out of credit", refusal(429, "quota", message="You exceeded your current quota (billing)")),
        ("u_503_always", "503, always", refusal(503)),
        ("u_429_ra_date", "429 with Retry-After as a date 2 to 3 s ahead, until then", _until(3, _date)),
        ("u_429_reset_header", "429 with only the provider's own reset header, until then", _until(2.5, _reset)),
    ]
    return [
        *(Fault(name, about, 1, answer=change) for name, about, change in once),
        *(Fault(name, about, 1, True, answer=change) for name, about, change in streams),
        *(Fault(name, about, answer=change) for name, about, change in always),
        Fault("u_400_once", "400 invalid request, once", 1, answer=refusal(400)),
    ]


def _until(seconds: float, headers: Callable[[float, Scene], dict[str, str]]) -> Change:
    def answer(made: Answer, scene: Scene) -> Answer:
        opens = scene.state.setdefault(
            "opens", int(scene.now + seconds) if headers is _date else scene.now + seconds
        )  # dates are whole
        if scene.now >= opens - 0.3:
            return made
        refused = refusal(429)(made, scene)
        refused.headers.update(headers(opens, scene))
        return refused

    return answer


def _date(opens: float, scene: Scene) -> dict[str, str]:
    from email.utils import formatdate

    return {"retry-after": formatdate(int(opens), usegmt=True)}


def _reset(opens: float, scene: Scene) -> dict[str, str]:
    """In the words the dialect's limits are told in: seconds where headers are `x-…`, else a date."""
    from datetime import UTC, datetime

    name = scene.limits.get("reset", "x-ratelimit-reset-requests")
    date = datetime.fromtimestamp(opens, UTC).isoformat().replace("+00:00", "Z")
    told = {"limit": "60", "remaining": "0", "reset": f"{opens - scene.now:.3f}s" if name.startswith("x-") else date}
    return {scene.limits.get(what, f"x-ratelimit-{what}-requests"): value for what, value in told.items()}


def _transport() -> list[Fault]:
    def instead(act: Act) -> Change:
        return lambda answer, scene: replace(answer, instead=act)

    def in_body(answer: Answer, scene: Scene) -> Answer:
        body = whole(answer)
        return replace(answer, body=[Chunk(body[:40], "other"), Pause(0.05), Act.RESET], length=len(body))

    def short(answer: Answer, scene: Scene) -> Answer:
        body = whole(answer)
        return replace(answer, body=[Chunk(body, "other"), Act.CLOSE], length=len(body) + 50)

    def drip(answer: Answer, scene: Scene) -> Answer:
        def body() -> Body:
            yield Chunk(b"{", "other")
            while True:
                yield Pause(0.5)
                yield Chunk(b" ", "other")

        return replace(answer, body=body(), length=100_000)

    return [
        Fault("u_reset_before_headers", "connection reset before the headers, once", 1, answer=instead(Act.RESET)),
        Fault("u_reset_always", "connection reset before the headers, always", answer=instead(Act.RESET)),
        Fault("u_reset_in_body", "reset in the middle of the body, once", 1, False, answer=in_body),
        Fault("u_short_body", "Content-Length longer than the body", streams=False, answer=short),
        Fault("u_slow_headers", "no headers", answer=instead(Act.HOLD)),
        Fault("u_task_cancelled", "no headers, until the client goes away", answer=instead(Act.HOLD)),
        Fault("u_body_drip", "one byte of body each 0.5 s, for ever", streams=False, answer=drip),
    ]


def _bodies() -> list[Fault]:
    def body(change: Callable[[bytes], bytes]) -> Change:
        return lambda answer, scene: replace(answer, body=[Chunk(change(whole(answer)), "other")])

    def fixed(data: bytes, content_type: str = "application/json") -> Change:
        return lambda answer, scene: written(200, data, content_type)

    def erring(answer: Answer, scene: Scene) -> Answer:
        return replace(refusal(529, "overloaded")(answer, scene), status=200)

    def labelled(answer: Answer, scene: Scene) -> Answer:
        return replace(answer, headers={**answer.headers, "content-type": "text/plain; charset=utf-8"})

    def empty(data: bytes) -> bytes:
        document = json.loads(data)
        level = [document]
        while level:
            inner = []
            for item in level:
                for key, value in item.items():
                    if isinstance(value, list) and value and isinstance(value[0], dict):
                        item[key] = []
                        return json.dumps(document).encode()
                    inner += [value] if isinstance(value, dict) else []
            level = inner
        return data

    def silent(steps: Steps, scene: Scene) -> Steps:
        return (s for s in steps if not isinstance(s, Event) or s.kind in ("start", "finish", "usage"))

    def counted(steps: Steps, scene: Scene) -> Steps:
        for step in steps:
            if isinstance(step, Event) and step.kind == "usage":
                yield Event("usage", {"input_tokens": _INPUT, "output_tokens": _OUTPUT})
            else:
                yield step

    def counters(given: bytes, made: bytes) -> Change:
        return body(lambda data: data.replace(b"%d" % _INPUT, given).replace(b"%d" % _OUTPUT, made))

    def umlaut(steps: Steps, scene: Scene) -> Steps:
        yield Event("text", {"text": "ö"})
        yield from steps

    big = b"1" + b"0" * 30
    found: list[Fault] = [
        Fault("u_truncated_json", "200 with JSON cut in half", answer=body(lambda data: data[: len(data) // 2])),
        Fault("u_html_200", "200 with a login page", answer=fixed(HTML.encode(), "text/html; charset=utf-8")),
        Fault("u_json_as_text_plain", "JSON labelled text/plain", answer=labelled),
        Fault("u_empty_200", "200 with an empty body", answer=fixed(b"")),
        Fault("u_json_null", "200 with the JSON value null", answer=fixed(b"null")),
        Fault("u_error_in_200", "200 whose body is the provider's error object", answer=erring),
        Fault("u_empty_choices", "no choices, no content", answer=body(empty)),
        Fault("u_null_content", "an answer without any content", say=silent),
        Fault("u_huge_usage", "usage counts of 10**30", say=counted, answer=counters(big, big)),
        Fault("u_garbage_usage", "usage counts null and 'abc'", say=counted, answer=counters(b"null", b'"abc"')),
        Fault(
            "u_bad_utf8", "invalid UTF-8 in a text", say=umlaut, answer=body(lambda data: data.replace("ö".encode(), b"\xff\xc3"))
        ),
        Fault("u_deep_json", "JSON nested 100,000 deep", answer=fixed(_DEEP)),
    ]
    return [replace(fault, streams=False) for fault in found]


def _sizes() -> list[Fault]:
    def bomb(answer: Answer, scene: Scene) -> Answer:
        return written(200, _bomb(), content_encoding="gzip")

    def headers(answer: Answer, scene: Scene) -> Answer:
        return replace(answer, headers={**answer.headers, **{f"x-h{i}": "a" * 1000 for i in range(1000)}})

    def giant(head: bytes, piece: bytes, count: int) -> Change:
        def more(_: bytes) -> Iterator[Chunk]:
            yield Chunk(head, "other")
            yield from (Chunk(piece, "other") for _ in range(count))

        return lambda answer, scene: replace(answer, body=stopped(answer.body, AFTER, more))

    line, event = giant(b'data: {"id": "', b"a" * 65536, 800), giant(b"", (b"data: " + b"a" * 500 + b"\n") * 100, 1000)
    return [
        Fault("u_gzip_bomb", "300 KB of gzip that become 300 MB", answer=bomb),
        Fault("u_giant_headers", "1 MB of response headers", answer=headers),
        Fault("s_giant_line", "one 50 MB line without an end", None, True, ("sse", "ndjson"), answer=line),
        Fault("s_giant_event", "one event of 100,000 data: lines", None, True, ("sse",), answer=event),
    ]


@cache
def _bomb() -> bytes:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blank = b" " * (1 << 20)
    return b"".join(
        [packer.compress(b'{"id": "'), *(packer.compress(blank) for _ in range(300)), packer.compress(b'"}'), packer.flush()]
    )


def _secrets() -> list[Fault]:
    def elsewhere(status: int) -> Change:
        return lambda answer, scene: Answer(status, {"location": f"{scene.origin}/elsewhere"}, [])

    spilt = "panic: the headers were Authorization: Bearer KEY"
    return [
        Fault("u_redirect_other_origin", "307 to another origin", None, False, answer=elsewhere(307)),
        Fault("s_redirect_other_origin", "307 to another origin, for a stream", None, True, answer=elsewhere(307)),
        Fault("u_redirect_302_get", "302 to another origin", answer=elsewhere(302)),
        Fault("u_401_echo", "401 whose message repeats the key", answer=refusal(401, message="Incorrect API key provided: KEY.")),
        Fault("u_500_echo", "500 whose body repeats the key", answer=refusal(500, message=spilt)),
        Fault(
            "s_error_echo",
            "an error that repeats the key after 3 pieces",
            None,
            True,
            say=failing(AFTER, {"kind": "server", "message": "denied for KEY"}),
        ),
    ]


def _shapes() -> list[Fault]:
    """Statuses with bodies of six shapes, whatever the dialect."""
    words = "simulated: something is wrong"
    made = []
    for status in (401, 403, 404, 413, 422):
        error = {"type": "invalid_request_error", "message": words}
        shapes: dict[str, Any] = {
            "object": {"error": {**error, "param": None, "code": "x"}},
            "typed": {"type": "error", "error": error, "request_id": "r"},
            "list": [{"error": {"code": status, "message": words, "status": "INVALID_ARGUMENT", "details": []}}],
            "message": {"id": "x", "message": words},
            "details": {"detail": [{"loc": ["body", "messages"], "msg": words, "type": "value_error"}]},
            "html": f"<html><head><title>{status}</title></head><body><h1>{words}</h1></body></html>",
        }
        for shape, body in shapes.items():
            text = body if isinstance(body, str) else json.dumps(body)
            made.append(Fault(f"e_{status}_{shape}", f"{status} with an error body: {shape}", answer=refusal(status, body=text)))
    return made
