"""Sessions against the stand-in: what is said arrives, what is answered is heard, and how they fail."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from engine import errors
from engine.realtime import audio
from engine.serve.stage import tone
from engine.testing import Simulator

pytest.importorskip("websockets")

MODEL = "openai/gpt-realtime"
WEATHER = [
    {"when": "messages[-1].role == 'tool'", "say": "It is {{ messages[-1].text }}."},
    {"when": "contains(messages[-1].text, 'eather')", "say": [{"tool_call": {"name": "weather", "arguments": {"city": "Rome"}}}]},
    {"when": "contains(messages[-1].text, 'ail')", "error": {"kind": "overloaded", "message": "No room."}},
]


def weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


def broken(city: str) -> str:
    """A tool that fails."""
    raise ValueError(f"no such city: {city}")


broken.__name__ = "weather"


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(script={"script": WEATHER, "bad_keys": ["revoked"]}) as running:
        yield running


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Any:
    return sim.client()


def until(session: Any, state: str = "done", turns: int = 1) -> list[Any]:
    """Events up to the end of so many turns."""
    found = []
    for event in session:
        found.append(event)
        turns -= event.kind == "turn" and event.state == state
        if not turns:
            break
    return found


def kinds(events: list[Any]) -> list[str]:
    return [event.kind for event in events]


def test_a_text_is_answered_in_sound_and_words(client: Any) -> None:
    with client.realtime(MODEL, instructions="Be brief.", voice="marin") as session:
        assert session.id == "sess_1"
        session.send_text("Hello")
        events = until(session)
        final = [e.full for e in events if e.kind == "transcript" and e.fields["final"]]
        assert final == ["Hello! How can I help you today?"]
        sound = b"".join(e.data for e in events if e.kind == "audio")
        assert len(sound) == 7 * len(tone(1 / 15, 24000))
        assert session.usage.input_tokens == 40 and session.usage.audio_output_tokens == 15
        assert session.output_format == session.input_format
    assert kinds(list(session))[-1:] in ([], ["closed"])


def test_sound_is_answered(client: Any) -> None:
    with client.realtime(MODEL) as session:
        for piece in audio.pieces(tone(0.5, 24000), 24000, 40):
            session.send_audio(piece)
        session.commit()
        events = until(session)
        assert kinds(events)[:2] == ["session", "speech"]
        assert "You said: (a sound of 0.5 s)" in [e.full for e in events if e.kind == "transcript"]


def test_silence_ends_what_the_user_says(client: Any) -> None:
    with client.realtime(MODEL) as session:
        session.send_audio(tone(0.5, 24000))
        session.send_audio(bytes(24000))
        states = [e.state for e in until(session) if e.kind == "speech"]
        assert states == ["started", "stopped"]


@pytest.mark.parametrize(("tool", "told"), [(weather, "It is sunny in Rome."), (broken, "It is ValueError: no such city: Rome.")])
def test_tools_run_inside_a_session(client: Any, tool: Any, told: str) -> None:
    with client.realtime(MODEL, tools=[tool], run_tools=True) as session:
        session.send_text("Weather?")
        events = until(session, turns=2)
        assert [e.arguments for e in events if e.kind == "tool_call"] == [{"city": "Rome"}]
        assert [e.full for e in events if e.kind == "transcript" and e.fields["final"]] == [told]
        assert len([e for e in events if e.kind == "tool_result"]) == 1


def test_the_result_of_a_tool_waits_for_the_models_turn_to_end(client: Any) -> None:
    with client.realtime(MODEL, tools=[weather]) as session:
        session.send_text("Weather?")
        for event in session:
            if event.kind == "tool_call":
                session.send_tool_result(event.id, {"sky": "grey"})
            if event.kind == "transcript" and event.fields["final"]:
                assert event.full == 'It is {"sky": "grey"}.'
                break


def test_the_async_twin(sim: Simulator) -> None:
    async def main() -> list[str]:
        async with sim.async_client() as client, client.realtime(MODEL, tools=[weather], run_tools=True) as session:
            await session.send_text("Weather?")
            found, turns = [], 0
            async for event in session:
                found.append(event.kind)
                turns += event.kind == "turn" and event.state == "done"
                if turns == 2:
                    break
            return found

    found = asyncio.run(main())
    assert found.count("tool_call") == 1 and found.count("turn") == 4


def test_an_error_inside_a_session_is_an_event(client: Any) -> None:
    with client.realtime(MODEL) as session:
        session.send_text("Fail!")
        error = next(e for e in session if e.kind == "error")
        assert error.message == "No room." and error.fields["kind"] == "invalid_request"
        session.send_text("Hello")  # the session goes on
        assert until(session)[-1].state == "done"


def test_a_refused_key_is_an_authentication_error_without_the_key(sim: Simulator) -> None:
    client = sim.client(providers={"openai": {"api_key": "revoked"}})
    with pytest.raises(errors.AuthenticationError) as caught, client.realtime(MODEL):
        pass
    assert caught.value.provider == "openai" and caught.value.operation == "realtime" and caught.value.status == 401
    assert "revoked" not in str(caught.value.to_dict())


def test_a_session_is_no_plain_call(client: Any) -> None:
    with pytest.raises(errors.UnsupportedError, match=r"client\.realtime"):
        client.call("realtime", MODEL)


def test_what_a_wire_has_no_word_for_is_refused(client: Any) -> None:
    with client.realtime("openai/gpt-realtime", temperature=0.5) as session:
        assert session.warnings == ["temperature was dropped: openai does not take it"]
        with pytest.raises(errors.UnsupportedError, match="close"):
            session._drive(session._session._send("close"))
    with pytest.raises(errors.UnsupportedError, match="audio_format"):
        client.realtime(MODEL, audio_format="mp3")


def test_explaining_shows_the_handshake_and_sends_nothing(client: Any, sim: Simulator) -> None:
    before = len(sim.requests)
    told = client.realtime.explain(MODEL, instructions="Be brief.").to_dict()
    assert told["url"].startswith("ws://127.0.0.1") and told["url"].endswith("/realtime?model=gpt-realtime")
    assert told["body"]["session"]["instructions"] == "Be brief."
    assert len(sim.requests) == before


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
