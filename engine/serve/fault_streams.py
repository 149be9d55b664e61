"""Faults of streams that have a name: odd but legal framing, streams that fail, tool calls (RELIABILITY section 8)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from engine.serve.exchange import Act, Answer, Chunk, Pause
from engine.serve.faults import HTML, Body, Fault, Scene, Steps, broken, cut, failing, refusal, split, stopped
from engine.types import Event

AFTER = 3  # pieces of content before a stream goes wrong
Change = Callable[[Answer, Scene], Answer]


def streams() -> list[Fault]:
    """All of them."""
    return [*_framing(), *_failing_streams(), *_tools()]


def _framing() -> list[Fault]:
    """Legal all of it: a stream that must be read as if nothing were odd."""

    def each(change: Callable[[bytes], bytes], first: bytes = b"") -> Change:
        def body(items: Body) -> Body:
            if first:
                yield Chunk(first, "other")
            for item in items:
                yield item._replace(data=change(item.data)) if isinstance(item, Chunk) else item

        return lambda answer, scene: replace(answer, body=body(answer.body))

    def frames(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        return lambda data: b"".join(change(frame + b"\n\n") for frame in data.split(b"\n\n") if frame)

    def several(frame: bytes) -> bytes:
        lines = []
        for line in frame.rstrip(b"\n").split(b"\n"):
            value = _value(line)
            lines += [line] if value is None else [b"data: " + part.encode() for part in json.dumps(value, indent=1).split("\n")]
        return b"\n".join(lines) + b"\n\n"

    def commented(frame: bytes) -> bytes:
        return b": ping\n\n" + frame + (b'event: ping\ndata: {"type": "ping"}\n\n' if frame.startswith(b"event: ") else b"")

    def numbered(answer: Answer, scene: Scene) -> Answer:
        count = iter(range(10**9))
        return each(frames(lambda frame: b"id: %d\n%s" % (next(count), frame)), b"retry: 3000\n\n")(answer, scene)

    def unknown(answer: Answer, scene: Scene) -> Answer:
        odd = Chunk(b'event: brand_new_thing\ndata: {"type": "brand_new_thing", "x": [1]}\n\n', "other")
        return replace(answer, body=stopped(answer.body, 1, lambda _: [odd], more=True))

    def separators(steps: Steps, scene: Scene) -> Steps:
        yield from (Event("text", {"text": text}) for text in ("a\u2028b", "c\u0085d", "e\u2029f "))
        yield from steps

    def unmarked(data: bytes) -> bytes:
        return frames(lambda frame: b"" if b"data: " in frame and _value(frame.strip()) is None else frame)(data)

    def nulled(answer: Answer, scene: Scene) -> Answer:
        def body() -> Body:
            for item in answer.body:
                yield item
                if isinstance(item, Chunk) and item.text:
                    yield Chunk(_nulled(item.data, item.text), "other")

        return replace(answer, body=body())

    sse: list[tuple[str, str, Change]] = [
        ("s_crlf", "CRLF line ends", each(lambda data: data.replace(b"\n", b"\r\n"))),
        ("s_cr", "bare CR line ends", each(lambda data: data.replace(b"\n", b"\r"))),
        ("s_no_space", "data:{...} without the space", each(lambda data: re.sub(rb"(?m)^(data|event): ", rb"\1:", data))),
        ("s_multi_data", "one event's JSON over several data: lines", each(frames(several))),
        ("s_bom", "byte-order mark first", each(lambda data: data, b"\xef\xbb\xbf")),
        ("s_comments", "comment lines and pings between events", each(frames(commented), b": hello\n\n")),
        ("s_id_retry", "id: on every event and a lone retry: block", numbered),
        ("s_unknown_event", "an event nobody knows", unknown),
        ("s_finish_no_done", "no end mark after the finish", each(unmarked)),
        ("s_null_delta", "pieces whose text is null", nulled),
    ]
    return [
        *(Fault(name, about, None, True, ("sse",), answer=change) for name, about, change in sse),
        Fault("s_split_utf8", "every byte in its own write", None, True, answer=split(1)),
        Fault("s_line_separator", "raw U+2028, U+0085, U+2029 inside a text", None, True, say=separators),
        Fault("s_usage_chunk", "usage at the end, asked for or not", None, True, request={"stream_usage": True}),
        Fault("s_json_instead", "one whole JSON answer in place of a stream", None, True, request={"stream": False}),
    ]


def _value(line: bytes) -> Any:
    """The JSON of a `data:` line; None if it is none."""
    try:
        return json.loads(line.split(b"data: ", 1)[1]) if b"data: " in line else None
    except ValueError:
        return None


def _nulled(data: bytes, text: str) -> bytes:
    """The last frame again, with null where the text stood."""
    frame = data.rstrip(b"\n").split(b"\n\n")[-1]
    return frame.replace(json.dumps(text, ensure_ascii=False).encode(), b"null") + b"\n\n"


def _failing_streams() -> list[Fault]:
    def styled(head: bytes) -> Change:
        def answer(made: Answer, scene: Scene) -> Answer:
            from engine.errors import for_kind

            body = scene.body_of(for_kind("overloaded")("simulated overload"))
            return replace(made, body=stopped(made.body, AFTER, lambda _: [Chunk(head + b"data: " + body + b"\n\n", "other")]))

        return answer

    def headed(answer: Answer, scene: Scene) -> Answer:
        return replace(answer, body=[Chunk(b"", "other"), Pause(0.1), Act.RESET])

    def pings(answer: Answer, scene: Scene) -> Answer:
        def ever(_: bytes) -> Iterator[Chunk | Pause]:
            while True:
                yield Pause(0.4)
                yield Chunk(b": ping\n\n" if scene.framing == "sse" else b"\n", "other")

        return replace(answer, body=stopped(answer.body, AFTER, ever))

    def endless(steps: Steps, scene: Scene) -> Steps:
        for step in steps:
            if isinstance(step, Event) and step.kind in ("finish", "usage"):
                break
            yield step
        while True:
            yield Pause(0.1)
            yield Event("text", {"text": "tick "})

    lines = ("sse", "ndjson")
    return [
        Fault("s_cut_clean", "a clean end after 3 pieces: no finish, no end mark", None, True, answer=cut(AFTER, "clean")),
        Fault("s_cut_fin", "connection closed after 3 pieces", None, True, answer=cut(AFTER, "close")),
        Fault("s_cut_rst", "connection reset after 3 pieces", None, True, answer=cut(AFTER, "reset")),
        Fault("s_cut_mid_event", "a clean end in the middle of an event", None, True, answer=cut(AFTER, "mid_event")),
        Fault("s_empty", "200 and no events", None, True, answer=cut(0, "clean")),
        Fault("s_html_200", "200 with a login page", None, True, answer=refusal(200, body=HTML)),
        Fault("s_rst_before_first", "headers, then a reset, once", 1, True, answer=headed),
        Fault("s_error_first", "the first event is an overloaded error, once", 1, True, say=failing(0, {})),
        Fault("s_error", "an error in the words of the dialect after 3 pieces", None, True, say=failing(AFTER, {})),
        Fault("s_error_openai_style", "a bare error body after 3 pieces", None, True, ("sse",), answer=styled(b"")),
        Fault("s_error_anthropic_style", "an `error` event after 3 pieces", None, True, ("sse",), answer=styled(b"event: error\n")),
        Fault("s_malformed_event", "one broken event among good ones", None, True, answer=broken(AFTER)),
        Fault("s_stall", "silence after 3 pieces", None, True, answer=cut(AFTER, "hold")),
        Fault("s_ping_forever", "nothing but keep-alives after 3 pieces", None, True, lines, answer=pings),
        Fault("s_close_early", "a stream without end", None, True, say=endless),
        Fault("s_task_cancelled", "a stream without end", None, True, say=endless),
    ]


def _tools() -> list[Fault]:
    def calls(steps: Steps, scene: Scene) -> Steps:
        from engine.serve.upstream import call

        yield from call(0, "call_a", "fa", {"x": 1})
        yield from call(1, "call_b", "fb", {"y": 2})
        yield Event("finish", {"reason": "tool_calls"})

    def half(steps: Steps, scene: Scene) -> Steps:
        yield Event("tool_call", {"index": 0, "id": "call_a", "name": "fa", "arguments": '{"x":'})

    def same(answer: Answer, scene: Scene) -> Answer:
        def body() -> Body:
            for item in answer.body:
                yield item._replace(data=_NUMBERED.sub(rb"\g<1>0", item.data)) if isinstance(item, Chunk) else item

        return replace(answer, body=body())

    return [
        Fault("s_tools", "two parallel tool calls", None, True, say=calls),
        Fault("s_tools_dup_index", "two tool calls with the same index", None, True, ("sse", "ndjson"), say=calls, answer=same),
        Fault("s_tools_cut", "cut inside a tool call's arguments", None, True, say=half, answer=cut(1_000, "clean")),
    ]


_NUMBERED = re.compile(rb'("\w*[iI]ndex":\s*)[1-9]\d*')
