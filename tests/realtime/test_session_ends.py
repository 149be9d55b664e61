"""How sessions end: servers that do not do as they should, closes, floods, and sound that nobody has heard."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from engine import errors
from tests.realtime.heard import MODEL, kinds

pytest.importorskip("websockets")


# --- servers that do not do as they should ------------------------------------------------------------------------------


class Raw:
    """A socket server that answers every connection with these bytes, after the request was read."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.seen: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        held = []
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.seen.append(connection.recv(65536))
            if self.answer is None:
                held.append(connection)
                continue
            connection.sendall(self.answer)
            connection.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: Any) -> None:
        self.listener.close()


def refused(url: str, **fields: Any) -> errors.Error:
    import engine

    client = engine.Client(providers={"openai": {"api_key": "secret-key-of-mine", "base_url": url}})
    with pytest.raises(errors.Error) as caught, client.realtime(MODEL, **fields):
        pass
    assert "secret-key-of-mine" not in repr(caught.value.to_dict())
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    return caught.value


def test_redirects_are_refused_and_the_key_stays() -> None:
    with Raw(b"") as other, Raw(f"HTTP/1.1 302 Found\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n".encode()) as server:
        error = refused(server.url)
        assert error.kind == "protocol" and "redirect" in error.message
        assert len(server.seen) == 1 and other.seen == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "protocol"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "overloaded"),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", "rate_limit"),
        (b"nonsense\r\n\r\n", "protocol"),
        (b"", "protocol"),
    ],
)
def test_odd_answers_to_a_handshake_have_their_kind(answer: bytes, kind: str) -> None:
    with Raw(answer) as server:
        error = refused(server.url)
        assert error.kind == kind
        assert error.retry_after == (7 if kind == "rate_limit" else None)


def test_a_silent_server_is_given_up() -> None:
    with Raw(None) as server:
        assert refused(server.url, timeout=0.3).kind == "timeout"


def test_a_cancelled_opening_leaves_no_connection() -> None:
    import engine

    async def main(url: str) -> None:
        async with engine.AsyncClient(providers={"openai": {"api_key": "k", "base_url": url}}) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    async with client.realtime(MODEL):
                        pytest.fail("it opened")

    gone = threading.Event()

    def handler(connection: Any) -> None:
        try:
            for _ in connection:  # the session is never told of
                pass
        finally:
            gone.set()

    server = served(handler)
    asyncio.run(main(f"http://127.0.0.1:{server.socket.getsockname()[1]}"))
    assert gone.wait(1)
    server.shutdown()


def test_nobody_there_is_a_connection_error() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        assert refused(f"http://127.0.0.1:{nobody.getsockname()[1]}").kind == "connection"


# --- a server of our own, for ends and floods ---------------------------------------------------------------------------


def served(handler: Any) -> Any:
    """A WebSocket server with this handler, on a thread of its own."""
    from websockets.sync.server import serve

    server = serve(handler, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


CREATED = '{"type": "session.created", "session": {"id": "s"}}'


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (1008, "policy", "invalid_request"),
        (1011, "internal", "server"),
        (1013, "try again later", "overloaded"),
        (3000, "unauthorized", "authentication"),
        (4000, "Incorrect API key provided", "authentication"),
    ],
)
def test_close_codes_have_their_kind(code: int, reason: str, kind: str) -> None:
    import engine

    def handler(connection: Any) -> None:
        connection.send(CREATED)
        connection.close(code, reason)

    server = served(handler)
    client = engine.Client(providers={"openai": {"api_key": "k", "base_url": f"http://127.0.0.1:{server.socket.getsockname()[1]}"}})
    try:
        with pytest.raises(errors.Error) as caught, client.realtime(MODEL) as session:
            events = list(session)
            pytest.fail(f"no error after {events}")
        assert caught.value.kind == kind and caught.value.code == str(code)
    finally:
        server.shutdown()


def test_a_normal_end_ends_the_events() -> None:
    import engine

    server = served(lambda connection: connection.send(CREATED))
    client = engine.Client(providers={"openai": {"api_key": "k", "base_url": f"http://127.0.0.1:{server.socket.getsockname()[1]}"}})
    with client.realtime(MODEL) as session:
        assert kinds(list(session)) == ["session", "closed"]
        with pytest.raises(errors.ConnectionError):
            session.send_text("too late")
    server.shutdown()


def test_an_error_that_ends_a_session_is_raised_after_it_was_told() -> None:
    import engine

    def handler(connection: Any) -> None:
        connection.send(CREATED)
        connection.send('{"type": "error", "error": {"type": "x", "code": "insufficient_quota", "message": "No money."}}')

    server = served(handler)
    client = engine.Client(providers={"openai": {"api_key": "k", "base_url": f"http://127.0.0.1:{server.socket.getsockname()[1]}"}})
    found = []
    with pytest.raises(errors.QuotaError, match="No money"), client.realtime(MODEL) as session:
        for event in session:
            found.append(event.kind)
    assert found == ["session", "error", "closed"]
    server.shutdown()


@pytest.mark.parametrize(("message", "kind"), [("no json", "protocol"), ("x" * (17 << 20), "limit")])
def test_messages_that_cannot_be_read(message: str, kind: str) -> None:
    import engine

    def handler(connection: Any) -> None:
        connection.send(CREATED)
        connection.send(message)
        connection.recv(timeout=5)

    server = served(handler)
    client = engine.Client(providers={"openai": {"api_key": "k", "base_url": f"http://127.0.0.1:{server.socket.getsockname()[1]}"}})
    with pytest.raises(errors.Error) as caught, client.realtime(MODEL) as session:
        list(session)
    assert caught.value.kind == kind
    server.shutdown()


def test_a_slow_reader_slows_the_server_down() -> None:
    """Back-pressure: unread events, the socket's buffers, and then the server waits."""
    import engine

    piece = f'{{"type": "response.output_audio.delta", "delta": "{"AAAA" * 8192}"}}'
    sent = [0]

    def handler(connection: Any) -> None:
        connection.send(CREATED)
        try:
            while sent[0] < 2000:
                connection.send(piece)
                sent[0] += 1
        except Exception:
            return

    server = served(handler)
    client = engine.Client(providers={"openai": {"api_key": "k", "base_url": f"http://127.0.0.1:{server.socket.getsockname()[1]}"}})
    with client.realtime(MODEL, queue=8) as session:
        before = -1
        while sent[0] != before:  # until the server makes no progress any more
            before = sent[0]
            threading.Event().wait(0.25)
        assert before < 1500
        assert len(session._session._events) == 8
        for _ in range(200):
            next(session)
        threading.Event().wait(0.1)
        assert sent[0] > before
    server.shutdown()


def test_sound_that_nobody_has_heard_is_dropped_when_somebody_breaks_in() -> None:
    import engine

    go = threading.Event()

    def handler(connection: Any) -> None:
        connection.send(CREATED)
        for _ in range(5):
            connection.send('{"type": "response.output_audio.delta", "delta": "AAAA"}')
        go.wait(5)
        connection.send('{"type": "input_audio_buffer.speech_started"}')
        connection.send('{"type": "response.done", "response": {"status": "cancelled"}}')

    server = served(handler)
    client = engine.Client(providers={"openai": {"api_key": "k", "base_url": f"http://127.0.0.1:{server.socket.getsockname()[1]}"}})
    with client.realtime(MODEL) as session:
        assert kinds([next(session) for _ in range(3)]) == ["session", "turn", "audio"]
        go.set()
        threading.Event().wait(0.3)
        rest = list(session)
    assert kinds(rest) == ["speech", "interrupted", "turn", "closed"] and rest[2].state == "interrupted"
    server.shutdown()
