"""tools/drift.py says what a provider does that its spec does not know: from exchanges, an OpenAPI document and a list of models."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import shared

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
drift = importlib.import_module("drift")

#: an invented service: a chat of typed parts, whole and streamed, and a list of models
SPEC = """
name: Quokka
base_url: https://quokka.test/v1
secrets: {api_key: QUOKKA_KEY}
auth: {bearer: "{{ api_key }}"}
chat:
  post: /talk
  body:
    model: "{{ model }}"
    turns: {$for: m in messages, who: "{{ m.role }}", parts: "{{ parts(m.parts) }}"}
    stream: "{{ stream }}"
  parts:
    text: {type: words, words: "{{ part.text }}"}
    image: {type: picture, source: {$switch: part.via, url: {link: "{{ part.url }}"}, data: {bytes: "{{ part.data }}"}}}
  params: {max_tokens: limits.most, temperature: temperature, seed: ~, user: {}}
  response:
    start: {id: id}
    each: {from: parts, text: {when: type == 'words', text: words}}
    finish: {reason: why}
    usage: used
  finish_reasons: {done: stop, full: length}
  usage: {input_tokens: asked, output_tokens: answered}
  errors: {message: message, code: code, kinds: {busy: overloaded}}
  stream:
    match: type
    events:
      piece: {text: words}
      over: {finish: {reason: why}, usage: used}
models: {default: q1, "old*": {chat: {params: {max_tokens: most}}}}
"""
ASKED = {"model": "q1", "turns": [{"who": "user", "parts": [{"type": "words", "words": "hi"}]}], "limits": {"most": 9}}
TOLD = {"id": "r1", "parts": [{"type": "words", "words": "hello"}], "why": "done", "used": {"asked": 1, "answered": 2}}


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "quokka.yaml"
    path.write_text(SPEC)
    return str(path)


@pytest.fixture
def run(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the tool on documents (written to files): (exit code, what it found of the first operation)."""

    def made(way: str, *arguments: Any) -> tuple[int, dict[str, Any]]:
        names = []
        for number, given in enumerate(arguments):
            if not isinstance(given, str):
                path = tmp_path / f"{number}.json"
                path.write_text(json.dumps(given))
                given = str(path)
            names.append(given)
        code = drift.main([way, "--catalog", spec, "--provider", "quokka", "--json", *names])
        out = capsys.readouterr()
        return code, json.loads(out.out)[0] if out.out else {"err": out.err}

    return made


def exchange(asked: Any = ASKED, told: Any = TOLD, status: int = 200, **headers: str) -> dict[str, Any]:
    return {"request": {"body": asked}, "response": {"status": status, "headers": headers, "body": told}}


def test_what_the_spec_knows_is_no_drift(run: Any) -> None:
    picture = {"type": "picture", "source": {"link": "https://x.test/a.png"}}
    full = {**ASKED, "temperature": 1, "user": "u", "stream": False, "turns": [{"who": "user", "parts": [picture]}]}
    assert run("exchanges", exchange(), exchange(full)) == (0, {"target": "quokka", "operation": "chat", "looked": 2})


def test_requests_that_no_template_writes(run: Any) -> None:
    asked = {
        "model": "q1", "seed": 3, "limits": {"most": 1, "least": 0}, "mood": {"kind": "glad"},
        "turns": [{"who": "user", "name": "Ada", "parts": [{"type": "words", "words": "a", "tone": "b"}, {"type": "sound", "bytes": ""}]}],
    }  # fmt: skip
    code, found = run("exchanges", [exchange(asked), exchange(asked)])
    assert code == 1 and found["looked"] == 2
    assert found["unsent"] == dict.fromkeys(
        ["seed", "limits.least", "mood", "turns[].name", "turns[].parts[][words].tone", "turns[].parts[].type=sound"], 2
    )


def test_a_patch_of_a_model_is_part_of_its_spec(run: Any) -> None:
    assert run("exchanges", exchange({"model": "old1", "most": 3}))[0] == 0
    assert run("exchanges", exchange({"model": "q1", "most": 3}))[1]["unsent"] == {"most": 1}


def test_replies_that_nothing_reads(run: Any) -> None:
    told = {
        **TOLD, "region": "eu", "trace": {"id": "t", "spans": [{"ms": 3}]}, "why": "tired",
        "parts": [{"type": "words", "words": "hello", "weight": 1}, {"type": "drawing", "svg": "<svg/>"}],
        "used": {"asked": 1, "answered": 2, "dreamt": 7},
    }  # fmt: skip
    code, found = run("exchanges", exchange(told=told))
    assert code == 1 and found["reasons"] == {"tired": 1}
    assert set(found["unread"]) == {
        "region", "trace.*", "parts[][words].weight", "parts[][drawing].*", "used.dreamt",
    }  # fmt: skip
    ignored = [word for place in found["unread"] for word in ("--ignore", place)]
    code, found = run("exchanges", exchange(told=told), *ignored, "--ignore", "tired")
    assert code == 0 and set(found) == {"target", "operation", "looked"}


def test_a_place_that_is_read_in_one_exchange_is_read(run: Any) -> None:
    first, second = {**TOLD, "why": None}, {**TOLD, "used": None}
    assert run("exchanges", [exchange(told=first), exchange(told=second)])[0] == 0


def test_streams_are_read_event_by_event(run: Any) -> None:
    lines = [
        {"type": "piece", "words": "hel", "at": 0}, {"type": "piece", "words": "lo", "at": 3}, {"type": "mood", "mood": "glad"},
        {"type": "over", "why": "done", "used": {"asked": 1, "answered": 2}, "cost": {"eur": 1}},
    ]  # fmt: skip
    stream = "".join(f"data: {json.dumps(line)}\n\n" for line in lines)
    code, found = run("exchanges", exchange(told=stream, **{"content-type": "text/event-stream"}))
    assert code == 1 and found["events"] == {"mood": 1}
    assert set(found["unread"]) == {"piece: at", "mood: *", "over: cost.*"}


def test_what_many_events_have_in_common_is_told_once(run: Any) -> None:
    lines = [{"type": f"k{n}", "mood": "glad"} for n in range(5)]
    known = [{"type": kind, "words": "x", "why": "done", "number": 1} for kind in ("piece", "piece", "over")]
    stream = "".join(f"data: {json.dumps(line)}\n\n" for line in [*lines, *known])
    _, found = run("exchanges", exchange(told=stream, **{"content-type": "text/event-stream"}))
    assert set(found["unread"]) == {*(f"k{n}: *" for n in range(5)), "piece: number", "over: number", "piece: why", "over: words"}
    from drift_read import gathered

    read = {f"e{n}: text" for n in range(4)}
    assert gathered({f"e{n}: number": 2 for n in range(4)}, read) == {"*: number": 8}
    assert gathered({f"e{n}: number": 2 for n in range(3)}, read) == {f"e{n}: number": 2 for n in range(3)}


def test_errors_tell_their_codes_and_what_cannot_be_read_is_said(run: Any) -> None:
    error = {"message": "no", "code": "asleep", "hint": "later"}
    _, found = run(
        "exchanges", exchange(told={"error": error}, status=503), exchange(told={"error": {**error, "code": "busy"}}, status=503)
    )
    assert found["codes"] == {"asleep": 1} and set(found["unread"]) == {"error.hint"}
    _, found = run("exchanges", exchange(told={"nothing": 1}))
    assert found["problems"] == {"protocol": 1}


def test_forms_are_known_by_the_names_of_their_fields(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    form = {
        "multipart": [{"name": "model", "value": "whisper-1"}, {"name": "file", "base64": ""}, {"name": "mood", "value": "glad"}]
    }
    path = tmp_path / "one.json"
    path.write_text(json.dumps(exchange(form, {"text": "hi"})))
    assert drift.main(["exchanges", str(path), "--provider", "openai", "--operation", "transcription", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["unsent"] == {"mood": 1}


def test_a_har_of_a_browser(run: Any) -> None:
    body = base64.b64encode(json.dumps({**TOLD, "region": "eu"}).encode()).decode()
    entry = {
        "request": {"method": "POST", "url": "https://quokka.test/v1/talk", "headers": [], "postData": {"text": json.dumps({"model": "q1", "x": 1})}},
        "response": {"status": 200, "headers": [{"name": "Content-Type", "value": "application/json"}], "content": {"text": body, "encoding": "base64"}},
    }  # fmt: skip
    code, found = run("exchanges", {"log": {"entries": [entry]}})
    assert code == 1 and found["unsent"] == {"x": 1} and found["unread"] == {"region": 1}


def openapi() -> dict[str, Any]:
    words = {"type": "object", "properties": {"type": {"const": "words"}, "words": {"type": "string"}, "tone": {"type": "string"}}}
    sound = {"type": "object", "properties": {"type": {"enum": ["sound"]}, "bytes": {"type": "string"}}}
    used = {
        "type": "object",
        "properties": {"asked": {"type": "integer"}, "answered": {"type": "integer"}, "dreamt": {"type": "integer"}},
    }
    asked = {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "turns": {"type": "array", "items": {"$ref": "#/components/schemas/Turn"}},
            "temperature": {"type": "number"},
            "mood": {"type": "string"},
            "limits": {
                "allOf": [
                    {"type": "object", "properties": {"most": {"type": "integer"}}},
                    {"properties": {"least": {"type": "integer"}}},
                ]
            },
        },
    }
    turn = {"type": "object", "properties": {"who": {}, "parts": {"type": "array", "items": {"oneOf": [words, sound]}}}}
    told = {
        "type": "object",
        "properties": {
            "id": {"type": "string"}, "why": {"type": "string", "enum": ["done", "full", "tired"]}, "used": used, "region": {"type": "string"},
            "error": {"anyOf": [{"type": "object", "properties": {"message": {"type": "string"}}}, {"type": "null"}]},
            "parts": {"type": "array", "items": {"oneOf": [words, sound]}},
        },
    }  # fmt: skip
    table = {
        "requestBody": {"content": {"application/json": {"schema": asked}}},
        "responses": {"200": {"content": {"application/json": {"schema": told}}}},
    }
    return {"openapi": "3.1.0", "paths": {"/talk": {"post": table}}, "components": {"schemas": {"Turn": turn}}}


def test_an_openapi_document(run: Any) -> None:
    code, found = run("openapi", openapi())
    assert code == 1 and found["operation"] == "chat (POST /talk)"
    assert set(found["unsent"]) == {"mood", "limits.least", "turns[].parts[][words].tone", "turns[].parts[].type=sound"}
    assert set(found["lacking"]) == {"stream", "user", "most", "turns[].parts[].source"}
    assert set(found["unread"]) == {"region", "used.dreamt", "parts[][words].tone", "parts[][sound].*"}
    assert found["reasons"] == {"tired": 1}


def test_the_events_of_an_openapi_document(run: Any) -> None:
    def event(name: str, **more: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"type": {"type": "string", "enum": [name]}, **more}}

    text, document = {"type": "string"}, openapi()
    kinds = [event("piece", words=text, at={"type": "integer"}), event("over", why=text), event("mood", mood=text)]
    told = document["paths"]["/talk"]["post"]["responses"]["200"]["content"]
    told["text/event-stream"] = {"schema": {"anyOf": kinds}}
    _, found = run("openapi", document)
    assert found["events"] == {"mood": 1} and {place for place in found["unread"] if ": " in place} == {"piece: at"}


def test_an_openapi_document_of_something_else(run: Any) -> None:
    other = {"openapi": "3.1.0", "paths": {"/else": {"post": {}}}}
    assert run("openapi", other)[0] == 2 and "no POST /v1/talk" in run("openapi", other)[1]["err"]
    assert run("openapi", {"swagger": "2.0"})[0] == 2
    assert run("openapi", other, "--url", "/else")[0] == 0


def test_a_list_of_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from engine.catalog import Catalog

    facts = Catalog().facts.all("groq")
    assert len(facts) > 3
    kept = sorted(facts)[1:]
    for given in ([*kept, "brand-new-1"], {"object": "list", "data": [{"id": id} for id in [*kept, "brand-new-1"]]}):
        (tmp_path / "list.json").write_text(json.dumps(given))
        assert drift.main(["models", str(tmp_path / "list.json"), "--provider", "groq", "--json"]) == 1
        (found,) = json.loads(capsys.readouterr().out)
        assert found["new"] == {"brand-new-1": 1} and set(found.get("gone", ())) <= {sorted(facts)[0]}
        assert found["looked"] == len(kept) + 1
    deprecated = {id for id, about in facts.items() if about.get("deprecated") or about.get("retired")}
    assert set(found.get("deprecated", ())) == deprecated & set(kept)


@pytest.mark.parametrize(
    "arguments", [["exchanges", "/nowhere.json"], ["models", "--provider", "groq"], ["openapi", "/nowhere", "--provider", "groq"],
                  ["models", "x", "--provider", "grok-nobody"]],
)  # fmt: skip
def test_what_does_not_fit_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert drift.main(arguments) == 2 and capsys.readouterr().err.startswith("drift: ")


def test_values_are_never_told(run: Any, spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(exchange({"model": "q1", "password": "hunter2-canary"}, {**TOLD, "echo": "canary-0123456789"})))
    assert drift.main(["exchanges", str(path), "--catalog", spec, "--provider", "quokka"]) == 1
    out = capsys.readouterr().out
    assert "password" in out and "canary" not in out and "no template writes it" in out


def test_recorded_traffic_is_read_without_being_told_whose_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shared("traffic", "anthropic-messages.jsonl").read_text("utf-8").splitlines()
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(lines[::40]))
    assert drift.main(["exchanges", str(path), "--json"]) == 1
    found = {one["target"]: one for one in json.loads(capsys.readouterr().out)}
    known = found["anthropic"]["unread"]
    assert "stop_sequence" in known and not {"content[][text].text", "stop_reason", "usage.input_tokens", "id"} & set(known)
    assert not any("problems" in one for one in found.values())
