"""No path out of the engine shows a key (RELIABILITY S1 to S5)."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import os
import pickle
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import engine
from engine.errors import Error
from engine.telemetry import instrument
from tests.client.fakes import FakeClock
from tests.security.strangers import ANSWER, HOST, KEY, every_logger, forms, leaks, surfaces

ROUNDS = int(os.environ.get("LLMKIT_LEAK_ROUNDS", "1200"))  # `make leaks` tries 10,000
AUTHS = {
    "bearer": 'auth: {bearer: "{{ api_key }}"}',
    "header": 'auth: {header: {X-Api-Key: "{{ api_key }}"}}',
    "query": 'auth: {query: {key: "{{ api_key }}"}}',
    "basic": 'auth: {basic: {username: user, password: "{{ api_key }}"}}',
    "body": 'auth: {body: {credentials: {key: "{{ api_key }}"}}}',
    "jwt": 'auth: {tokens: {t: {jwt: {alg: HS256, key: "{{ api_key }}", claims: {iss: me}}}}, bearer: "{{ t }}"}',
    "token": f'auth: {{tokens: {{t: {{post: "https://{HOST}/token", form: {{k: "{{{{ api_key }}}}"}}, value: access}}}}, bearer: "{{{{ t }}}}"}}',
    "token-query": (
        f'auth: {{tokens: {{t: {{post: "https://{HOST}/token", form: {{k: "{{{{ api_key }}}}"}}, value: access}}}}, '
        'query: {token: "{{ t }}"}}'
    ),
    "token-body": (
        f'auth: {{tokens: {{t: {{post: "https://{HOST}/token", form: {{k: "{{{{ api_key }}}}"}}, value: access}}}}, '
        'body: {token: "{{ t }}"}}'
    ),
    "aws": (
        "auth: {sign: aws-sigv4, with: {service: s, region: r, access_key: AKIDEXAMPLE, "
        'secret_key: "{{ api_key }}", session_token: "{{ api_key }}"}}'
    ),
}
TOKEN = "tok-9Hq2/canary+Bb7=e"  # what the token endpoint hands out is as secret as the key


def spec(auth: str) -> str:
    return f"name: S\nbase_url: https://{HOST}/v1\nsecrets: {{api_key: STRANGER_API_KEY}}\n{AUTHS[auth]}\nchat: openai-chat\n"


def clients(auth: str, reply: Any, hook: list[Any]) -> tuple[engine.Client, engine.AsyncClient]:
    options: dict[str, Any] = {
        "catalog": [{"stranger": spec(auth)}],
        "providers": {"stranger": {"api_key": KEY}},
        "transport": httpx.MockTransport(reply),
        "attempts": 2,
        "clock": FakeClock(),
        "on": hook.append,
    }
    both = engine.Client(**options), engine.AsyncClient(**options)
    for client in both:
        client.on("call_started", hook.append, content=True)
        client.on("call_ended", hook.append, content=True)
    return both


class Hostile:
    """A provider that fails in a random way and repeats in it whatever it was sent."""

    def __init__(self, seed: int, tokens: bool) -> None:
        self.random = random.Random(seed)
        self.tokens = tokens

    def __call__(self, request: httpx.Request) -> httpx.Response:
        pick = self.random
        if request.url.path == "/token" and pick.random() < 0.8:
            return httpx.Response(200, json={"access": TOKEN})
        known = forms(TOKEN) if self.tokens and request.url.path != "/token" else []
        echo = pick.choice([*forms(), *known, *request.headers.values(), str(request.url), request.content.decode("latin-1")])
        way = pick.randrange(12)
        if way == 0:
            raise pick.choice([httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout])(f"at {echo}")
        if way == 1:
            raise pick.choice([ValueError, RuntimeError, KeyError, OSError, UnicodeError])(f"at {echo}")
        status = pick.choice(
            [200, 200, 204, 301, 302, 307, 400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 529]
        )
        headers = {
            "x-request-id": pick.choice(["r1", echo[:200]]),
            "retry-after": pick.choice(["0", echo[:60], "-1", "1e9"]),
            "location": f"https://elsewhere.test/?key={echo[:100]}",
            "content-type": pick.choice(["application/json", "text/html", "text/event-stream", f"text/{echo[:20]}", ""]),
        }
        headers = {k: v.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ") for k, v in headers.items()}
        said: Any = pick.choice(
            [
                {"error": {"message": f"bad key {echo} given", "code": echo, "type": echo, "param": echo}},
                {"error": echo},
                {"detail": [{"msg": echo, "loc": ["header", echo]}]},
                {"message": echo, "status": echo},
                {echo: {echo: [echo, {"deep": echo}]}},
                [echo],
                echo,
                {
                    "choices": [{"message": {"content": None, "tool_calls": echo}, "finish_reason": echo}],
                    "usage": {"prompt_tokens": echo},
                },
                {"choices": echo},
                ANSWER,
            ]
        )
        text = json.dumps(said)
        if way == 2:
            text = text[: pick.randrange(len(text))]  # cut
        if way == 3:
            text = f"<html><body>{echo}</body></html>"
        if way == 4:
            text = "".join(f"data: {json.dumps(piece)}\n\n" for piece in self._stream(echo))
            headers["content-type"] = "text/event-stream"
            status = 200
        body = text.encode()
        if way == 5:
            headers["content-encoding"] = pick.choice(["gzip", "br", echo[:20].encode("ascii", "replace").decode()])
            body = gzip.compress(body)[: pick.randrange(20, 60)]
        return httpx.Response(status, headers=headers, content=body)

    def _stream(self, echo: str) -> list[Any]:
        pick = self.random
        pieces: list[Any] = [{"choices": [{"index": 0, "delta": {"content": "a"}}]} for _ in range(pick.randrange(3))]
        pieces.append({"error": {"message": f"broke on {echo}", "code": echo, "type": echo}})
        return pieces if pick.random() < 0.7 else pieces[:-1]


def faulty_fields(pick: random.Random) -> dict[str, Any]:
    """What a caller may get wrong; none of it is a secret."""
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    change = pick.randrange(14)
    if change == 0:
        fields["extra_headers"] = {"X-A": "a\r\nb: c"}
    elif change == 1:
        fields["messages"] = [{"role": "user", "content": [{"type": "video", "url": "https://x.test/v"}]}]
    elif change == 2:
        fields["temperature"] = float("nan")
    elif change == 3:
        fields["tools"] = [{"name": object()}]
    elif change == 4:
        fields["extra_body"] = {"k": object()}
    return fields


def test_s2_s3_fuzz_of_error_paths_shows_no_key() -> None:
    """Random failures of ten ways to sign, whole and streamed, sync and async: no run of the key or a token anywhere."""
    pick = random.Random(20260726)
    seen: Counter[str] = Counter()
    hook = Told()
    providers = {auth: Hostile(n, auth.startswith("token")) for n, auth in enumerate(AUTHS)}
    made = {auth: clients(auth, providers[auth], hook) for auth in AUTHS}
    traced = Traced(client for pair in made.values() for client in pair)
    with every_logger() as logged, asyncio.Runner() as loop:
        for _ in range(ROUNDS):
            auth = pick.choice(list(AUTHS))
            sync, later = made[auth]
            fields, streamed, awaited = faulty_fields(pick), pick.random() < 0.4, pick.random() < 0.3
            try:
                if awaited:
                    answer = loop.run(_ask(later, fields, streamed))
                elif streamed:
                    with sync.chat.stream("stranger/m", **fields) as stream:
                        answer = stream.finish()
                else:
                    answer = sync.chat("stranger/m", **fields)
            except Error as error:
                seen[error.kind] += 1
                shown = surfaces(error)
                assert error.__cause__ is None and error.__context__ is None
            else:
                seen["answer"] += 1
                shown = [repr(answer.warnings), repr(answer.report)]
            for text in shown:
                assert not leaks(text), (auth, text[:600])
                assert not leaks(text, TOKEN), (auth, text[:600])
    assert sum(seen.values()) == ROUNDS == sum(event.name == "call_ended" for event in hook) / 2
    assert len(seen) >= 10, seen
    for text in [*logged, *traced.texts(), *(repr(event) for event in hook if event.name != "call_ended" or event.content)]:
        assert not leaks(text) and not leaks(text, TOKEN), text[:400]


class Told(list[Any]):
    """Events; in the variables of a frame they are not written out again for every error."""

    __repr__ = object.__repr__


class Traced:
    """Spans, with contents, and metrics of clients, as they leave the process."""

    def __init__(self, clients: Iterable[Any]) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._spans, self._metrics, tracers = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        meters = MeterProvider([self._metrics])
        for client in clients:
            instrument(client, tracer_provider=tracers, meter_provider=meters, content=True)

    def texts(self) -> Iterator[str]:
        spans = self._spans.get_finished_spans()
        assert len(spans) == ROUNDS
        yield from (span.to_json() for span in spans)
        yield str(self._metrics.get_metrics_data())


async def _ask(client: engine.AsyncClient, fields: dict[str, Any], streamed: bool) -> Any:
    if not streamed:
        return await client.chat("stranger/m", **fields)
    async with client.chat.stream("stranger/m", **fields) as stream:
        return await stream.finish()


def test_the_fuzz_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: without the masker the same rounds do leak."""
    monkeypatch.setattr("engine.secret.Masker.text", lambda self, text: text)
    monkeypatch.setattr("tests.security.test_leaks.ROUNDS", 40)
    with pytest.raises(AssertionError):
        test_s2_s3_fuzz_of_error_paths_shows_no_key()


@pytest.mark.parametrize("auth", AUTHS)
def test_s1_s5_explain_shows_masks_only(auth: str) -> None:
    """S1, S5: what would be sent is shown without key, token or signature, also when a token is already cached."""
    client, _ = clients(auth, lambda r: httpx.Response(200, json={"access": TOKEN, **ANSWER}), [])
    for _ in range(2):
        shown = client.chat.explain("stranger/m", "hi")
        for text in (repr(shown), json.dumps(shown.to_dict(), default=repr)):
            assert not leaks(text) and not leaks(text, TOKEN), text
        client.chat("stranger/m", "hi")


def test_s1_a_signed_request_does_not_show_itself() -> None:
    """S1: `client.sign` hands out an opened request; its text, and that of everything that holds it, shows no key."""
    for auth in ("bearer", "query", "body"):
        client, _ = clients(auth, lambda r: httpx.Response(200, json=ANSWER), [])
        signed = client.sign(client.operation("stranger/m").render(messages=[{"role": "user", "content": "hi"}]))
        sent = f"{signed.headers}{signed.url}{signed.body!r}"
        assert KEY in sent or quote(KEY, safe="") in sent
        assert not leaks(f"{signed!r} {signed} {[signed]!r}")


def test_s1_clients_settings_and_operations_show_no_key() -> None:
    client, _ = clients("bearer", lambda r: httpx.Response(200, json=ANSWER), [])
    operation = client.operation("stranger/m")
    answer = client.chat("stranger/m", "hi")
    for thing in (client, client.catalog, operation, operation.secrets, operation.values, answer, answer.report, client._given):
        assert not leaks(repr(thing)), thing
    assert not leaks(json.dumps(answer.to_dict(), default=repr))
    for thing in (operation.secrets, client._given):
        with pytest.raises((TypeError, AttributeError)):
            pickle.dumps(thing)
        assert not leaks(repr(copy.deepcopy(thing)))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("streamed", [False, True])
def test_s1_s5_an_interrupt_takes_no_key_along(stop: type[BaseException], streamed: bool) -> None:
    """S5: crash reports print the variables of every frame; the frames that hold the signed request are gone."""

    def reply(request: httpx.Request) -> httpx.Response:
        raise stop()

    client, _ = clients("bearer", reply, [])
    with pytest.raises(stop) as caught:
        if streamed:
            with client.chat.stream("stranger/m", "hi") as stream:
                stream.finish()
        else:
            client.chat("stranger/m", "hi")
    assert not any(leaks(text) for text in surfaces(caught.value))


def test_s1_s5_a_cancelled_task_takes_no_key_along() -> None:
    async def run() -> BaseException:
        started = asyncio.Event()

        async def reply(request: httpx.Request) -> httpx.Response:
            started.set()
            await asyncio.sleep(60)
            raise AssertionError

        _, client = clients("bearer", reply, [])
        task = asyncio.ensure_future(client.chat("stranger/m", "hi"))
        await started.wait()
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            return error
        raise AssertionError

    assert not any(leaks(text) for text in surfaces(asyncio.run(run())))


@pytest.mark.parametrize("key", [KEY + "\r\nX-Injected: 1", KEY + "\x00", KEY[:12] + "\n" + KEY[12:], KEY + "\x7f", "\ud800" + KEY])
@pytest.mark.parametrize("auth", ["bearer", "header", "basic", "aws"])
def test_s2_a8_a_key_with_a_line_end_is_refused_unshown(auth: str, key: str) -> None:
    """A8, u_key_crlf_inject: nothing is sent, nothing injected, nothing shown."""
    seen: list[httpx.Request] = []
    options: dict[str, Any] = {"catalog": [{"stranger": spec(auth)}], "providers": {"stranger": {"api_key": key}}, "attempts": 1}
    client = engine.Client(transport=httpx.MockTransport(lambda r: seen.append(r) or httpx.Response(200, json=ANSWER)), **options)
    try:
        client.chat("stranger/m", "hi")
    except Error as error:
        assert error.kind == "config"
        assert not any(leaks(text) for text in surfaces(error))
        assert not seen
    else:
        assert auth == "basic"  # base64 leaves no line end
        assert not any("x-injected" in r.headers for r in seen)


def test_s2_the_key_is_trimmed() -> None:
    """u_key_newline: a key from a file ends in a newline."""
    seen: list[httpx.Request] = []
    client = engine.Client(
        catalog=[{"stranger": spec("bearer")}],
        providers={"stranger": {"api_key": f" {KEY}\r\n"}},
        transport=httpx.MockTransport(lambda r: seen.append(r) or httpx.Response(200, json=ANSWER)),
    )
    client.chat("stranger/m", "hi")
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("proxy", [f"http://user:{KEY}@127.0.0.1:9", f"socks9://user:{KEY}@127.0.0.1:9", f"http://user:{KEY}@[::1"])
@pytest.mark.parametrize("awaited", [False, True])
def test_s2_s3_a_proxy_password_is_a_secret(proxy: str, awaited: bool) -> None:
    options: dict[str, Any] = {"catalog": [{"stranger": spec("bearer")}], "attempts": 1, "connect": 1, "timeout": 3}
    options["providers"] = {"stranger": {"api_key": "another-key-123", "proxy": proxy}}
    with every_logger() as logged, pytest.raises(Error) as caught:
        if awaited:

            async def run() -> None:
                async with engine.AsyncClient(**options) as client:
                    await client.chat("stranger/m", "hi")

            asyncio.run(run())
        else:
            with engine.Client(**options) as client:
                client.chat("stranger/m", "hi")
    assert not any(leaks(text) for text in [*surfaces(caught.value), *logged])


def test_s5_the_command_line_takes_no_key() -> None:
    """S5: an argument is seen by every process of the machine; keys come from the environment by name."""
    from engine.cli.parser import parser

    arguments = parser().parse_args(["chat", "groq/m", "hi", "--key", "SOME_NAME"])
    assert arguments.key in ("SOME_NAME", ["SOME_NAME"])
    with pytest.raises(Error) as caught:
        from engine.cli.chat import chat

        chat(parser().parse_args(["chat", "groq/m", "hi", "--key", KEY]))
    assert not leaks(str(caught.value))


def test_s2_the_pure_halves_mask_too() -> None:
    """S2: `operation.read` and `operation.reader` are public doors; nobody masks behind them."""
    operation = clients("bearer", lambda r: httpx.Response(200), [])[0].operation("stranger/m")
    for echo in forms():
        body = json.dumps({"error": {"message": f"bad key {echo}", "code": echo, "type": echo}})
        with pytest.raises(Error) as caught:
            operation.read(401, {"x-request-id": echo}, body.encode())
        assert not leaks(f"{caught.value} {caught.value!r} {caught.value.to_dict()} {caught.value.raw} {vars(caught.value)}")
        reader = operation.reader()
        events = reader.feed(f'data: {{"choices":[{{"index":0,"delta":{{"content":"a"}}}}]}}\n\ndata: {body}\n\n'.encode())
        assert events[-1].kind == "error" and not leaks(repr(events))
        with pytest.raises(Error) as caught:
            reader.close()
        assert not leaks(f"{caught.value} {caught.value.to_dict()} {caught.value.raw}")
