"""Sessions against the stand-in: what is said arrives, what is answered is heard, and how they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from engine import errors
from engine.realtime import audio
from engine.serve.stage import tone
from engine.testing import Simulator
from tests.realtime.heard import MODEL, kinds

pytest.importorskip("websockets")

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


def test_listeners_are_told_of_a_session_and_what_it_cost(sim: Simulator) -> None:
    seen: list[Any] = []
    price = {MODEL: {"input": 1, "output": 2, "audio_input": 10, "audio_output": 20}}
    client = sim.client(on=seen.append, prices=price)
    with client.realtime(MODEL) as session:
        session.send_text("Hello")
        until(session)
        usage, cost = session.usage, session.cost
    begun, ended = seen
    assert (begun.name, ended.name, ended.operation, ended.kind) == ("call_started", "call_ended", "realtime", "ok")
    assert begun.call == ended.call and f"{ended.provider}/{ended.model}" == MODEL and ended.response_id == "sess_1"
    assert ended.usage["input_tokens"] == usage.input_tokens == 40 and ended.usage["audio_output_tokens"] == 15
    assert ended.cost == cost and cost is not None and cost > 0


def test_listeners_are_told_why_a_session_did_not_open(sim: Simulator) -> None:
    seen: list[Any] = []
    client = sim.client(on=seen.append, providers={"openai": {"api_key": "revoked"}})
    with pytest.raises(errors.AuthenticationError):
        client.realtime(MODEL).__enter__()
    assert [(event.name, getattr(event, "kind", None)) for event in seen] == [
        ("call_started", None),
        ("call_ended", "authentication"),
    ]


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
