"""Whole calls through the client: answers, retries, waits, keys, errors (RELIABILITY E1, E3, R1 to R7)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

import engine
from engine import errors
from engine.client import AsyncClient, Client
from tests.client.fakes import KEY, FakeCatalog, FakeClock, Script, every_text, plan

OK = httpx.Response(200, json={"text": "hello"})


def make(script: Script, clock: FakeClock | None = None, catalog: FakeCatalog | None = None, **options: Any) -> Client:
    return Client(catalog=catalog or FakeCatalog(), transport=httpx.MockTransport(script), clock=clock, **options)


def both(script: Script, clock: FakeClock, catalog: FakeCatalog | None = None, **options: Any) -> list[Any]:
    """The same call by both clients: the outcome of each, a Response or the error."""
    out: list[Any] = []
    replies = list(script.replies)
    try:
        out.append(make(script, clock, catalog, **options).chat("acme/m1", "hi"))
    except errors.Error as error:
        out.append(error)
    script.replies[:] = replies

    async def run() -> Any:
        made = AsyncClient(catalog=catalog or FakeCatalog(), transport=httpx.MockTransport(script), clock=clock, **options)
        return await made.chat("acme/m1", "hi")

    try:
        out.append(asyncio.run(run()))
    except errors.Error as error:
        out.append(error)
    return out


def test_a_call_gives_the_answer_with_its_report(clock: FakeClock) -> None:
    script = Script(OK)
    for answer in both(script, clock):
        assert answer.text == "hello"
        assert answer.provider == "acme"
        assert [a["kind"] for a in answer.report.attempts] == ["ok"]
        assert answer.report.timings["total"] >= 0
    assert script.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert script.seen[0].headers["accept-encoding"] == "gzip, deflate"
    assert json.loads(script.seen[0].content)["text"] == "hi"


def test_r2_three_attempts_per_target(clock: FakeClock) -> None:
    script = Script(httpx.Response(503, json={"error": "busy"}))
    for error in both(script, clock):
        assert isinstance(error, errors.OverloadedError)
        assert [a["kind"] for a in error.attempts] == ["overloaded"] * 3
        assert error.attempts[0]["target"] == "acme/m1"
    assert len(script.seen) == 6


def test_r5_a_stated_wait_is_kept_and_a_long_one_is_not_slept(clock: FakeClock) -> None:
    answers = both(Script(httpx.Response(429, headers={"retry-after": "7"}), OK), clock)
    assert [a.text for a in answers] == ["hello"] * 2
    assert all(7 <= w <= 8 for w in clock.waits)
    clock.waits.clear()
    for error in both(Script(httpx.Response(429, headers={"retry-after": "3600"})), clock):
        assert isinstance(error, errors.RateLimitError) and error.retry_after == 3600
    assert clock.waits == []


def test_r5_reset_headers_of_the_spec_count(clock: FakeClock) -> None:
    both(Script(httpx.Response(429, headers={"x-reset": "2.5s", "x-left": "0"}), OK), clock)
    assert all(2.5 <= w <= 3 for w in clock.waits)
    clock.waits.clear()
    both(Script(httpx.Response(429, headers={"x-reset": "2.5s", "x-left": "7"}), OK), clock)
    assert all(w <= 1 for w in clock.waits)


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 501, 505])
def test_e2_what_a_repetition_cannot_cure_is_not_repeated(status: int, clock: FakeClock) -> None:
    script = Script(httpx.Response(status, json={"error": "no"}))
    both(script, clock)
    assert len(script.seen) == 2 and clock.waits == []


def test_x_should_retry_is_obeyed_within_the_attempts(clock: FakeClock) -> None:
    script = Script(httpx.Response(500, headers={"x-should-retry": "false"}))
    both(script, clock)
    assert len(script.seen) == 2
    script = Script(httpx.Response(409, headers={"x-should-retry": "true"}))
    both(script, clock)
    assert len(script.seen) == 6


def test_connection_failures_are_ours_and_repeated(clock: FakeClock) -> None:
    script = Script(httpx.ConnectError(f"Bearer {KEY}"), httpx.ReadError("x"), OK)
    assert [a.text for a in both(script, clock)] == ["hello"] * 2
    for error in both(Script(httpx.ReadTimeout("x")), clock):
        assert isinstance(error, errors.TimeoutError)
        assert error.possibly_billed == 3


def test_a_protocol_error_is_repeated_once(clock: FakeClock) -> None:
    script = Script(httpx.Response(200, content=b"<html>login</html>"))
    for error in both(script, clock):
        assert isinstance(error, errors.ProtocolError)
    assert len(script.seen) == 4


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a7_redirects_are_never_followed(status: int, clock: FakeClock) -> None:
    script = Script(httpx.Response(status, headers={"location": "https://evil.test/"}))
    for error in both(script, clock):
        assert isinstance(error, errors.ProtocolError) and error.status == status
    assert [str(r.url) for r in script.seen] == ["https://api.acme.test/v1/chat"] * 2


def test_r7_the_deadline_ends_waiting_for_good(clock: FakeClock) -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        clock.now += 4
        return httpx.Response(503)

    for error in both(Script(slow), clock, timeout=9.0):
        assert isinstance(error, errors.OverloadedError)
        assert len(error.attempts) == 2  # a third would start with less than a second left


def test_r7_running_out_of_time_is_a_deadline_error(clock: FakeClock) -> None:
    def never(request: httpx.Request) -> httpx.Response:
        clock.now += 100
        raise httpx.ReadTimeout("")

    for error in both(Script(never), clock, timeout=10.0):
        assert isinstance(error, errors.DeadlineError)
        assert len(error.attempts) == 1


def test_r3_an_unsafe_operation_is_ambiguous_unless_it_surely_did_not_happen(clock: FakeClock) -> None:
    catalog = FakeCatalog(plan(replay="unsafe"))
    script = Script(httpx.ReadError("x"))
    for error in both(script, clock, catalog):
        assert isinstance(error, errors.AmbiguousError)
    assert len(script.seen) == 2
    for failure in (httpx.ConnectError("x"), httpx.Response(429), httpx.Response(503)):
        assert [a.text for a in both(Script(failure, OK), clock, catalog)] == ["hello"] * 2
    for error in both(Script(httpx.Response(500)), clock, catalog):
        assert isinstance(error, errors.AmbiguousError)
    for error in both(Script(httpx.Response(400)), clock, catalog):
        assert isinstance(error, errors.InvalidRequestError)


def test_r4_one_idempotency_key_for_all_attempts(clock: FakeClock) -> None:
    script = Script(httpx.Response(500), httpx.ReadError("x"), OK)
    make(script, clock, FakeCatalog(plan(replay="keyed", idempotency_key="Idempotency-Key"))).chat("acme/m1", "hi")
    keys = {r.headers["idempotency-key"] for r in script.seen}
    assert len(script.seen) == 3 and len(keys) == 1 and len(keys.pop()) == 32


def test_r6_a_dead_provider_is_not_asked_three_times_by_everyone(clock: FakeClock) -> None:
    script = Script(httpx.Response(500))
    client = make(script, clock)
    for _ in range(1000):
        with pytest.raises(errors.ServerError):
            client.chat("acme/m1", "hi")
    assert len(script.seen) <= 1000 + 100


def test_a_list_of_keys_is_rotated_and_a_refused_one_set_aside(clock: FakeClock) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return OK if request.headers["authorization"] == "Bearer key-number-two" else httpx.Response(401, json={"error": "bad key"})

    script = Script(reply)
    client = make(script, clock, providers={"acme": {"api_key": ["key-number-one", "key-number-two"]}})
    for _ in range(4):
        assert client.chat("acme/m1", "hi").text == "hello"
    assert [r.headers["authorization"][-3:] for r in script.seen] == ["one", "two", "two", "two", "two"]
    assert clock.waits == []


def test_r2_six_attempts_per_call_however_many_keys(clock: FakeClock) -> None:
    script = Script(httpx.Response(429))
    client = make(script, clock, providers={"acme": {"api_key": [f"key-number-{i}" for i in range(9)]}})
    with pytest.raises(errors.RateLimitError) as caught:
        client.chat("acme/m1", "hi")
    assert len(script.seen) == len(caught.value.attempts) == 6


def test_e1_errors_carry_everything_and_nothing_foreign(clock: FakeClock) -> None:
    body = {"error": f"your key {KEY} is bad, see https://u:p@acme.test/help?token=abc"}
    for error in both(Script(httpx.Response(401, json=body, headers={"x-request-id": "r-1"})), clock):
        assert (error.kind, error.provider, error.model, error.operation) == ("authentication", "acme", "m1", "chat")
        assert (error.status, error.request_id) == (401, "r-1")
        assert error.__cause__ is None and error.__context__ is None
        for text in every_text(error):
            assert KEY not in text and "u:p@" not in text and "token=abc" not in text
        assert "your key *** is bad" in str(error)


def test_e1_a_bug_of_ours_leaves_as_our_error(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError(KEY)

    monkeypatch.setattr("tests.client.fakes.FakeOperation.read", broken)
    for error in both(Script(OK), clock):
        assert isinstance(error, errors.ProtocolError) and "KeyError" in str(error)
        assert not any(KEY in text for text in every_text(error))


def test_missing_credentials_are_named_before_anything_is_sent(clock: FakeClock) -> None:
    script = Script(OK)
    for error in both(script, clock, FakeCatalog(environ={})):
        assert isinstance(error, errors.ConfigError) and "ACME_API_KEY" in str(error)
    assert script.seen == []


def test_a2_another_base_url_gets_no_key_of_the_environment(clock: FakeClock) -> None:
    script = Script(OK)
    settings = {"acme": {"base_url": "https://mine.test/v9"}}
    for error in both(script, clock, providers=settings):
        assert isinstance(error, errors.ConfigError) and "hand over" in str(error)
    settings["acme"]["api_key"] = "another-key"
    assert make(script, clock, providers=settings).chat("acme/m1", "hi").text == "hello"
    assert str(script.seen[0].url) == "https://mine.test/v9/chat"
    assert script.seen[0].headers["authorization"] == "Bearer another-key"


def test_a8_keys_lose_white_space_and_may_not_hold_line_ends(clock: FakeClock) -> None:
    script = Script(OK)
    make(script, clock, providers={"acme": {"api_key": KEY + "\n"}}).chat("acme/m1", "hi")
    assert script.seen[0].headers["authorization"] == f"Bearer {KEY}"
    script.seen.clear()
    for error in both(script, clock, providers={"acme": {"api_key": KEY + "\r\nX-Injected: 1"}}):
        assert isinstance(error, errors.Error)
        assert not any(KEY in text for text in every_text(error))
    assert script.seen == []


def test_explain_shows_the_request_without_sending_it(clock: FakeClock) -> None:
    script = Script(OK)
    shown = make(script, clock).chat.explain("acme/m1", "hi", timeout=5)
    assert (shown.method, shown.url) == ("POST", "https://api.acme.test/v1/chat")
    assert shown.headers["Authorization"] == "Bearer ***"
    assert shown.body["text"] == "hi"
    assert script.seen == [] and KEY not in json.dumps(shown.to_dict())
    shown = make(script, clock, FakeCatalog(environ={})).chat.explain("acme/m1", "hi")
    assert "Authorization" not in shown.headers and "ACME_API_KEY" in shown.notes[0]


def test_sign_adds_credentials_to_a_rendered_request(clock: FakeClock) -> None:
    client = make(Script(OK), clock)
    request = client.operation("acme/m1", "chat").render(messages="hi")
    assert "Authorization" not in request.headers
    assert client.sign(request).headers["Authorization"] == f"Bearer {KEY}"
    with pytest.raises(errors.ConfigError):
        client.sign(engine.HttpRequest("GET", "https://x.test"))


def test_hooks_see_attempts_and_cannot_break_a_call(clock: FakeClock) -> None:
    seen: list[str] = []

    def hook(event: Any) -> None:
        seen.append(f"{event.name}:{getattr(event, 'kind', None) or getattr(event, 'after', None)}")
        raise RuntimeError("mine")

    make(Script(httpx.Response(500), OK), clock, on=hook).chat("acme/m1", "hi")
    assert seen == ["call_started:None", "attempt_ended:server", "retry_waiting:server", "attempt_ended:ok", "call_ended:ok"]


def test_every_operation_is_a_method_and_nothing_else_is() -> None:
    client = make(Script(OK))
    assert client.embeddings.name == "embeddings" and client.call("chat", "acme/m1", messages="hi").text == "hello"
    with pytest.raises(AttributeError):
        client.chatt  # noqa: B018
    with pytest.raises(errors.ConfigError):
        client.chat("acme/m1", "a", "b")


@pytest.mark.parametrize(
    "options",
    [{"unsupported": "maybe"}, {"timeout": 0}, {"idle": "x"}, {"limits": {"dedline": 3}}, {"attempts": 2, "max_retries": 1}],
)
def test_nonsense_is_refused_when_the_client_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError):
        Client(**options)


def test_unknown_settings_name_the_nearest(clock: FakeClock) -> None:
    with pytest.raises(errors.ConfigError, match="api_key"):
        make(Script(OK), clock, providers={"acme": {"api_ky": "secret-value-1"}}).chat("acme/m1", "hi")
