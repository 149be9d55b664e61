"""Streams through both clients: the gate before the first event, interruptions, restarts, closing (RELIABILITY T2 to T5, R8)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from engine import errors
from engine.client import AsyncClient, Client
from tests.client.fakes import KEY, FakeCatalog, FakeClock, Script, every_text, good, lines


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces; an exception among them is raised. Knows whether it was closed."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece = piece()
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Live(Script):
    """Answers with streams made of pieces."""

    def __init__(self, *replies: Any) -> None:
        super().__init__(*replies)
        self.bodies: list[Pieces] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, httpx.Response):
            return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)
        body = Pieces(*reply)
        self.bodies.append(body)
        return httpx.Response(200, stream=body)


def drain(script: Live, clock: FakeClock, **options: Any) -> list[tuple[list[Any], Any]]:
    """Events and the outcome (Response or error) of the same stream by both clients."""
    out = []
    replies = list(script.replies)
    with Client(catalog=FakeCatalog(), transport=httpx.MockTransport(script), clock=clock) as client:
        events: list[Any] = []
        stream = client.chat.stream("acme/m1", "hi", **options)
        try:
            with stream:
                for event in stream:
                    events.append(event)
            out.append((events, stream.response))
        except errors.Error as error:
            out.append((events, error))
    script.replies[:] = replies

    async def run() -> tuple[list[Any], Any]:
        events: list[Any] = []
        async with AsyncClient(catalog=FakeCatalog(), transport=httpx.MockTransport(script), clock=clock) as client:
            try:
                async with client.chat.stream("acme/m1", "hi", **options) as stream:
                    async for event in stream:
                        events.append(event)
                return events, stream.response
            except errors.Error as error:
                return events, error

    out.append(asyncio.run(run()))
    assert all(body.closed for body in script.bodies)
    return out


def text(events: list[Any]) -> str:
    return "".join(e.text for e in events if e.kind == "text")


def test_a_stream_delivers_events_and_ends_with_the_response(clock: FakeClock) -> None:
    body = good("Hel", "lo")
    for events, response in drain(Live([body[:20], body[20:31], body[31:]]), clock):
        assert [e.kind for e in events] == ["start", "text", "text", "finish", "end"]
        assert events[-1].response is response and response.text == "Hello"
        assert response.report.timings["first_event"] >= 0
        assert [a["kind"] for a in response.report.attempts] == ["ok"]


def test_t4_everything_before_the_first_content_is_repeated_unseen(clock: FakeClock) -> None:
    script = Live(
        httpx.Response(503),
        [lines({"start": "r0"}), httpx.ReadError("reset")],
        [lines({"start": "r1"}, {"t": "Hello"}, {"finish": "stop"})],
    )
    for events, response in drain(script, clock):
        assert [e.kind for e in events] == ["start", "text", "finish", "end"] and events[0].id == "r1"
        assert [a["kind"] for a in response.report.attempts] == ["overloaded", "connection", "ok"]
    script = Live([lines({"error": {"message": "busy", "kind": "overloaded"}})], [good("Hello")])
    for events, _ in drain(script, clock):
        assert text(events) == "Hello"


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        ([], "stream_interrupted"),
        ([httpx.ReadError("reset")], "stream_interrupted"),
        ([httpx.ReadTimeout("slow")], "timeout"),
        ([b'{"t": "cut'], "stream_interrupted"),
        ([b"{broken\n", good("x")], "protocol"),
        ([lines({"error": {"message": "UPSTREAM", "kind": "overloaded"}})], "overloaded"),
    ],
)
def test_t5_after_the_first_content_nothing_is_sent_again(tail: list[Any], kind: str, clock: FakeClock) -> None:
    script = Live([lines({"start": "r1"}, {"t": "Hel"}), lines({"t": "lo"}), *tail])
    for events, error in drain(script, clock):
        assert text(events) == "Hello"
        assert error.kind == kind and error.partial.text == "Hello"
        assert error.provider == "acme" and len(error.attempts) == 1
    assert len(script.seen) == 2


def test_t3_text_before_an_error_in_the_same_bytes_is_delivered_first(clock: FakeClock) -> None:
    for events, error in drain(Live([lines({"t": "Hello"}, {"error": {"message": f"no {KEY}"}})]), clock):
        assert text(events) == "Hello" and error.kind == "server"
        assert not any(KEY in t for t in every_text(error))


def test_t5_a_restart_must_be_asked_for_and_is_announced(clock: FakeClock) -> None:
    script = Live([lines({"t": "Hel"}), httpx.ReadError("x")], [good("Hello")])
    for events, response in drain(script, clock, on_interrupt="restart"):
        assert [e.kind for e in events] == ["text", "restarted", "start", "text", "finish", "end"]
        assert response.text == "Hello"
    script = Live([lines({"t": "Hel"}), httpx.ReadError("x")])
    for _, error in drain(script, clock, on_interrupt="restart"):
        assert error.kind == "stream_interrupted" and len(error.attempts) == 3


def test_an_error_status_of_a_stream_is_read_whole(clock: FakeClock) -> None:
    for events, error in drain(Live(httpx.Response(400, json={"error": "bad"})), clock):
        assert events == [] and isinstance(error, errors.InvalidRequestError) and "bad" in str(error)
    script = Live(httpx.Response(307, headers={"location": "https://evil.test"}))
    for _, error in drain(script, clock):
        assert isinstance(error, errors.ProtocolError)


def test_r7_pings_are_not_progress(clock: FakeClock) -> None:
    def ping() -> bytes:
        clock.now += 20
        return b": ping\n"

    script = Live([lines({"t": "Hel"}), *[ping] * 50])
    for events, error in drain(script, clock):
        assert text(events) == "Hel" and isinstance(error, errors.TimeoutError) and error.partial.text == "Hel"


def test_r7_the_deadline_bounds_a_stream(clock: FakeClock) -> None:
    def piece() -> bytes:
        clock.now += 20
        return lines({"t": "x"})

    for _, error in drain(Live([piece] * 50), clock, timeout=100):
        assert isinstance(error, errors.DeadlineError) and error.partial.text == "x" * 4


def test_text_stream_finish_and_early_close(clock: FakeClock) -> None:
    script = Live([good("Hel", "lo")])
    client = Client(catalog=FakeCatalog(), transport=httpx.MockTransport(script), clock=clock)
    assert list(client.chat.stream("acme/m1", "hi").text_stream) == ["Hel", "lo"]
    assert client.chat.stream("acme/m1", "hi").finish().text == "Hello"
    stream = client.chat.stream("acme/m1", "hi")
    with pytest.raises(errors.ConfigError):
        _ = stream.response
    assert len(script.seen) == 2  # nothing goes out before the first event is asked for
    next(stream)
    stream.close()
    assert list(stream) == [] and script.bodies[-1].closed


def test_r8_a_forgotten_stream_frees_its_connection(clock: FakeClock) -> None:
    script = Live([lines({"t": "a"}), lines({"t": "b"}), good("c")])
    client = Client(catalog=FakeCatalog(), transport=httpx.MockTransport(script), clock=clock)
    next(client.chat.stream("acme/m1", "hi"))
    gc.collect()
    assert script.bodies[-1].closed

    async def run() -> None:
        client = AsyncClient(catalog=FakeCatalog(), transport=httpx.MockTransport(script), clock=clock)
        stream = client.chat.stream("acme/m1", "hi")
        await anext(stream)
        del stream
        gc.collect()
        await asyncio.sleep(0.01)
        assert script.bodies[-1].closed

    asyncio.run(run())


def test_on_interrupt_takes_three_words(clock: FakeClock) -> None:
    client = Client(catalog=FakeCatalog(), transport=httpx.MockTransport(Live([good("x")])), clock=clock)
    with pytest.raises(errors.ConfigError):
        client.chat.stream("acme/m1", "hi", on_interrupt="maybe")
    assert [client.chat.stream("acme/m1", "hi", on_interrupt=word) for word in ("raise", "restart", "continue")]
