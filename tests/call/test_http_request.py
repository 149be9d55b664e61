"""Requests are built from calls, and refused where they may not go (RELIABILITY A7, A8; SPEC_LANGUAGE 4)."""

from __future__ import annotations

import base64
import email
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine import errors
from engine.call.address import FORBIDDEN, origin
from engine.call.request import build, deep_merge
from engine.plan import Call
from engine.types import HttpRequest, Report
from tests.call.wires import CHAT, make

BASE = "https://api.acme.test/v1"


def request(url: str = "/x", base: str = BASE, context: dict[str, Any] | None = None, plan: Any = None, **call: Any) -> HttpRequest:
    fields: dict[str, Any] = {"verb": "POST", "payload": "none"}
    templates = {k: (lambda c, v=v: v) for k, v in call.items() if k in ("query", "headers", "body", "base_url")}
    made = Call(**{**fields, **call, **templates, "url": lambda c: url})
    over = dict((plan or {}).items())
    return build(made, {"$uuid": lambda name: "0-1-2", **(context or {})}, base, make(call=made, **over))


def refused(*args: Any, **more: Any) -> str:
    with pytest.raises(errors.ConfigError) as raised:
        request(*args, **more)
    return str(raised.value)


def test_a_json_request() -> None:
    context = {"model": "m", "input": "ü", "$report": Report(), "stream": True}
    built = build(CHAT.call, context, BASE + "/", CHAT)
    assert (built.method, built.url, built.body) == ("POST", BASE + "/chat", '{"model":"m","input":"ü"}'.encode())
    assert built.headers == {"Content-Type": "application/json"} and built.stream
    assert built.context is context and built.report is context["$report"]


def test_a_call_may_have_its_own_base_url() -> None:
    assert request("/y", base_url="https://api.acme.test/v2").url == "https://api.acme.test/v2/y"


@pytest.mark.parametrize(
    ("base", "sent"),
    [
        ("https://acme.example/v1", "https://acme.example/tokenize"),
        ("https://acme.example/pool/v1/", "https://acme.example/pool/tokenize"),
        ("https://acme.example/v1?zone=a", "https://acme.example/tokenize?zone=a"),
        ("https://acme.example/pool", "https://acme.example/pool/tokenize"),
        ("https://acme.example/nov1", "https://acme.example/nov1/tokenize"),
        ("https://acme.example/v1/pool", "https://acme.example/v1/pool/tokenize"),
        ("https://v1", "https://v1/tokenize"),
    ],
)
def test_a_path_may_stand_beside_the_end_of_the_base_url_on_the_same_origin(base: str, sent: str) -> None:
    assert request("/tokenize", base=base, outside="/v1").url == sent


def test_a_path_beside_the_base_url_stays_on_the_server_that_a_caller_chose() -> None:
    client = engine.Client(providers={"vllm": {"base_url": "http://10.0.0.7:8000/v1", "api_key": "k"}})
    asked = client.count_tokens.explain("vllm/Qwen/Qwen3-8B", "hi")
    assert asked.url == "http://10.0.0.7:8000/tokenize"


def test_queries_are_encoded() -> None:
    query = {"a": ["1", "2"], "b": True, "c": None, "d": "x y&z=ü/~", "e": 1.5}
    assert request(query=query).url == BASE + "/x?a=1&a=2&b=true&d=x%20y%26z%3D%C3%BC%2F~&e=1.5"
    assert request("/x?v=1", query={"a": "b"}).url == BASE + "/x?v=1&a=b"
    assert request("/x", base=BASE + "?v=1", query={"a": "b"}).url == BASE + "/x?v=1&a=b"


def test_parameters_go_into_the_body_or_the_query() -> None:
    def params(context: Any, body: Any, report: Any, policy: str) -> Any:
        return {**(body or {}), "n": 2, "policy": policy}

    plan = {"params": params}
    assert json.loads(request(body={"a": 1}, payload="json", plan=plan).body or b"") == {"a": 1, "n": 2, "policy": "warn"}
    assert request(verb="GET", query={"q": "x"}, plan=plan).url == BASE + "/x?q=x&n=2&policy=warn"


def test_extras_are_merged_last_and_wrap_comes_after() -> None:
    context = {
        "extra_body": {"a": {"c": 3}, "d": None, "e": [1]},
        "extra_query": {"q": "2", "gone": None},
        "extra_headers": {"X-A": "2", "x-gone": None, "X-New": 5},
    }
    built = request(
        query={"q": "1", "gone": "1"},
        headers={"x-a": "1", "X-Gone": "1"},
        body={"a": {"b": 2}, "d": 4},
        payload="json",
        context=context,
        plan={"wrap": lambda c: {"input": c["body"]}},
    )
    assert json.loads(built.body or b"") == {"input": {"a": {"b": 2, "c": 3}, "e": [1]}}
    assert built.url.endswith("?q=2") and built.headers == {"X-A": "2", "X-New": "5", "Content-Type": "application/json"}
    assert context["extra_body"] == {"a": {"c": 3}, "d": None, "e": [1]}


@pytest.mark.parametrize("extra", ["x", [1], {1: 2}])
@pytest.mark.parametrize("name", ["extra_body", "extra_query", "extra_headers"])
def test_extras_are_mappings(name: str, extra: Any) -> None:
    assert name in refused(body={"a": 1}, payload="json", context={name: extra})


def test_an_extra_body_without_a_place_is_told() -> None:
    report = Report()
    request(verb="GET", context={"extra_body": {"a": 1}, "$report": report})
    assert "extra_body" in report.warnings[0]


def test_other_calls_take_no_extras() -> None:
    call = Call("GET", lambda c: "/job")
    assert build(call, {"extra_query": {"a": "1"}}, BASE, CHAT).url == BASE + "/job"


# --- addresses (A7) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://api.acme.test/y", ()),
        ("https://API.ACME.TEST:443/y", ()),
        ("https://cdn.other.test/y", ("cdn.other.test",)),
        ("https://eu.other.test/y", ("*.other.test",)),
        ("https://a.b.other.test/y", ("*.other.test",)),
        ("https://token.other.test:9443/y", ("token.other.test:9443",)),
        ("wss://api.acme.test/y", ()),
    ],
)
def test_hosts_that_may_be_called(url: str, hosts: tuple[str, ...]) -> None:
    assert request(url, plan={"hosts": hosts}).url == url


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://evil.test/y", ()),
        ("https://api.acme.test.evil.test/y", ()),
        ("https://evil.test/https://api.acme.test", ()),
        ("https://api.acme.test@evil.test/y", ()),
        ("https://api.acme.test:pw@evil.test/y", ()),
        ("https://user@api.acme.test/y", ()),
        ("https://api.acme.test\\@evil.test/y", ()),
        ("https://api.acme.test:8443/y", ()),
        ("http://api.acme.test/y", ()),
        ("http://cdn.other.test/y", ("cdn.other.test:80",)),
        ("https://other.test/y", ("*.other.test",)),
        ("https://evilother.test/y", ("*.other.test",)),
        ("https://token.other.test:9443/y", ("token.other.test",)),
        ("https://token.other.test/y", ("token.other.test:9443",)),
        ("ftp://api.acme.test/y", ()),
        ("file:///etc/passwd", ()),
        ("https:///y", ()),
        ("https://api.acme.test:port/y", ()),
        ("https://[::1/y", ()),
        ("https://api acme.test/y", ()),
        ("https://api.acme.test\t.evil.test/y", ()),
        ("//evil.test/y", ()),
        ("evil.test/y", ()),
        ("javascript:alert(1)", ()),
    ],
)
def test_hosts_that_may_not_be_called(url: str, hosts: tuple[str, ...]) -> None:
    if url.startswith("//"):
        assert origin(request(url).url)[1] == "api.acme.test"  # a path like any other
    else:
        refused(url, plan={"hosts": hosts})


@pytest.mark.parametrize(
    "path",
    [
        "/a/../b",
        "/..",
        "/a/.",
        "/./a",
        "/%2e%2e/a",
        "/a/.%2E",
        "/a#b",
        "/a\\b",
        "/a\nb",
        "/a\r\nHost: x",
        "/a\x00",
        "/a\x7f",
        "a",
        "",
    ],
)
def test_paths_that_may_not_be_called(path: str) -> None:
    if path == "":
        assert request(path).url == BASE
    else:
        refused(path)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a.b/..c/d..", "/a.b/..c/d.."),
        ("/a%2Fb", "/a%2Fb"),
        ("/ü b", "/%C3%BC%20b"),
        ("/a:b@c", "/a:b@c"),
        ("/x?a=..", "/x?a=.."),
        ("/[a]", "/[a]"),
    ],
)
def test_odd_paths_that_may_be_called(path: str, sent: str) -> None:
    assert request(path).url == BASE + sent


@pytest.mark.parametrize("base", ["http://localhost:11434", "http://127.0.0.1:8000/v1", "http://[::1]:8000", "http://a.localhost"])
def test_plain_http_goes_to_this_machine(base: str) -> None:
    assert request("/x", base=base).url == base + "/x"


def test_plain_http_elsewhere_needs_the_operators_word() -> None:
    base = "http://192.168.0.7:8000"
    assert "https" in refused("/x", base=base)
    assert request("/x", base=base, context={"base_url": base}).url == base + "/x"
    refused("http://other.test/x", base=base, context={"base_url": base}, plan={"hosts": ("other.test:80",)})


def test_a_missing_url_is_told() -> None:
    with pytest.raises(errors.ConfigError):
        build(Call("GET", lambda c: None), {}, BASE, CHAT)


# --- headers (A8) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*sorted(FORBIDDEN), "HOST", "Proxy-Authorization", "a b", "", "a\r\n", "a:b", "ü"])
def test_headers_that_cannot_be_set(name: str) -> None:
    refused(headers={name: "x"})
    refused(context={"extra_headers": {name: "x"}})


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\x00b", "a\x1bb", "a\x7f"])
def test_values_with_control_characters_are_refused_and_never_quoted(value: str) -> None:
    assert "Injected" not in refused(headers={"X-Key": value})


def test_white_space_around_values_is_trimmed() -> None:
    assert request(headers={"X-Key": " k\n", "X-None": None, "X-Flag": True}).headers == {"X-Key": "k", "X-Flag": "true"}


# --- payloads -------------------------------------------------------------------------------------------------------


def test_forms() -> None:
    built = request(body={"a": ["1", "2"], "b": "x y", "c": True, "d": None}, payload="form")
    assert (built.body, built.headers["Content-Type"]) == (b"a=1&a=2&b=x%20y&c=true", "application/x-www-form-urlencoded")


def test_binary_xml_and_lines() -> None:
    assert request(body=b"\xff", payload="binary", headers={"content-type": "audio/wav"}).headers == {"content-type": "audio/wav"}
    assert request(body={"data": "QUI=", "media_type": "audio/mp3"}, payload="binary").body == b"AB"
    assert request(body="<a>ü</a>", payload="xml").body == "<a>ü</a>".encode()
    assert request(body=[{"a": 1}, {"b": 2}], payload="jsonl").body == b'{"a":1}\n{"b":2}\n'
    assert request(body=None, payload="json").body is None
    refused(body=5, payload="binary")
    refused(body=[1], payload="form")
    refused(body={"a": float("nan")}, payload="json")
    refused(body={"a": b"bytes"}, payload="json")


def test_multipart_is_what_others_read() -> None:
    fields = {
        "purpose": "batch",
        "tags": ["a", "b"],
        "flag": True,
        "none": None,
        "meta": {"k": 1},
        "file": {"type": "audio", "bytes": b"\x00\r\n--x", "media_type": "audio/mpeg", "format": "mp3"},
        "named": {"data": base64.b64encode(b"img").decode(), "filename": 'a"b\r\n.png', "media_type": "image/png"},
        "rows": {"filename": "b.jsonl", "jsonl": [{"a": 1}, {"b": 2}]},
        "doc": {"json": {"x": "ü"}},
    }
    built = request(body=fields, payload="multipart", headers={"Content-Type": "multipart/form-data"})
    parsed = email.message_from_bytes(
        b"Content-Type: " + built.headers["Content-Type"].encode() + b"\r\n\r\n" + (built.body or b"")
    )
    found = [
        (p.get_param("name", header="content-disposition"), p.get_filename(), p.get_content_type(), p.get_payload(decode=True))
        for p in parsed.get_payload()  # type: ignore[union-attr]
    ]
    assert found == [
        ("purpose", None, "text/plain", b"batch"),
        ("tags", None, "text/plain", b"a"),
        ("tags", None, "text/plain", b"b"),
        ("flag", None, "text/plain", b"true"),
        ("meta", None, "text/plain", b'{"k":1}'),
        ("file", "file.mp3", "audio/mpeg", b"\x00\r\n--x"),
        ("named", "a%22b%0D%0A.png", "image/png", b"img"),
        ("rows", "b.jsonl", "application/jsonl", b'{"a":1}\n{"b":2}\n'),
        ("doc", "doc.json", "application/json", '{"x":"ü"}'.encode()),
    ]


def test_a_file_that_is_only_a_reference_cannot_be_sent() -> None:
    with pytest.raises(errors.UnsupportedError):
        request(body={"file": {"type": "image", "via": "url", "url": "https://x"}}, payload="multipart")


def test_bodies_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.call.payload.LARGEST", 100)
    with pytest.raises(errors.LimitError):
        request(body={"a": "x" * 200}, payload="json")


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_path_and_host_is_sent_to_the_own_host_or_refused(path: str, host: str) -> None:
    """A7."""
    for url in ("/" + path, f"https://api.acme.test{host}/{path}", f"https://{host}"):
        try:
            built = request(url)
        except errors.ConfigError:
            continue
        assert origin(built.url)[1] == "api.acme.test" and built.url.isascii() and built.url.isprintable()


JSON = st.recursive(st.none() | st.integers(), lambda x: st.dictionaries(st.sampled_from("abc"), x, max_size=3), max_leaves=6)


@given(JSON, JSON)
def test_merging_changes_neither_side(base: Any, patch: Any) -> None:
    before = json.dumps([base, patch])
    deep_merge(base, patch)
    assert json.dumps([base, patch]) == before
