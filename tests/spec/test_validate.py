"""JSON Schemas and their messages: SPEC_LANGUAGE 14 step 2, STYLE 9 and 10; RELIABILITY A3 (unknown fields refused)."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import vocabulary
from engine.errors import KINDS as ERROR_KINDS
from engine.spec.load import load
from engine.spec.neighbours import NEIGHBOURS
from engine.spec.node import Mark, Node, node_of
from engine.spec.problem import Problem, Problems, nearest
from engine.spec.report import counts, distinct, format_problems
from engine.spec.validate import KINDS, SCHEMAS, validate
from tests.samples import sampled
from tests.shared_data import SHARED, shared

FILES = sorted(SCHEMAS.glob("*.schema.json"))


def checked(data: Any, kind: str = "provider") -> list[Problem]:
    problems = Problems()
    validate(node_of(data), kind, problems)
    return problems


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))


def worked() -> list[tuple[str, str]]:
    """The YAML blocks of SPEC_LANGUAGE: a heading and a text."""
    path = SHARED / "design" / "SPEC_LANGUAGE.md"
    text = path.read_text("utf-8") if path.is_file() else ""
    found, heading = [], ""
    for piece in re.finditer(r"^#+ ([^\n]*)$|```yaml\n(.*?)```", text, re.MULTILINE | re.DOTALL):
        if piece[1]:
            heading = piece[1]
        else:
            found.append((heading, piece[2]))
    return found


@pytest.mark.parametrize(("heading", "text"), worked() or [("none", "")], ids=lambda v: v[:24].strip() if "\n" not in v else "")
def test_the_worked_files_of_the_language_are_valid(heading: str, text: str) -> None:
    """Every block loads; those that are whole files, or pieces of a provider or an operation, validate."""
    shared("design", "SPEC_LANGUAGE.md")
    problems = Problems()
    node = load(text, heading, problems)
    assert node is not None and not problems, problems
    operations = schema("operation")["$defs"]["operation"]["properties"]
    providers = schema("provider")["$defs"]["provider"]["properties"]
    keys = set(node.value)
    if "operation" in keys:
        validate(node, "dialect", problems)
    elif keys <= set(providers) and not keys <= {"examples"}:
        validate(Node({"name": node_of("piece"), **node.value}), "provider", problems)
    elif keys <= set(operations):
        validate(Node({"operation": node_of("batch"), **node.value}), "dialect", problems)
    elif keys == {"prompt", "tools"}:
        validate(node_of({"operation": "chat", "body": node.plain()}), "dialect", problems)
    else:
        assert heading.startswith("13"), f"not placed: {sorted(keys)}"
        assert len(node.plain()["examples"]) == 1  # its bodies are abridged with `…`
    assert not problems, [str(p) for p in problems]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_schemas_are_schemas_with_words_for_people(path: Path) -> None:
    from jsonschema import Draft202012Validator

    whole = json.loads(path.read_text("utf-8"))
    Draft202012Validator.check_schema(whole)

    def walk(value: Any, place: str) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item, place)
        if not isinstance(value, dict):
            return
        if value.get("additionalProperties") is False:
            assert "title" in value, f"{place}: a closed mapping needs a title for messages"
        if isinstance(value.get("pattern"), str) or "not" in value or "propertyNames" in value:
            named = value.get("propertyNames", value)
            assert "x-expected" in named, f"{place}: what is expected is not said in words"
        reference = value.get("$ref")
        if isinstance(reference, str):
            file, _, name = reference.partition("#/$defs/")
            target = json.loads((SCHEMAS / file).read_text("utf-8")) if file else whole
            assert name in target["$defs"], f"{place}: {reference}"
        for key, child in value.items():
            walk(child, f"{place}/{key}")

    walk(whole, path.name)


def test_every_key_of_a_provider_and_an_operation_is_described() -> None:
    for name, definition in (("provider", "provider"), ("operation", "operation"), ("call", "call"), ("operation", "stream")):
        file = schema(name)
        for key, value in file["$defs"][definition]["properties"].items():
            target = value.get("$ref", "")
            named = schema(target.partition(".")[0] if not target.startswith("#") else name) if target else None
            told = value.get("description") or (named or {"$defs": {}})["$defs"].get(target.rpartition("/")[2], {}).get(
                "description"
            )
            assert told or key == "$replace", f"{definition}.{key} has no description"


def test_schemas_know_the_words_of_the_engine() -> None:
    operation, provider = schema("operation")["$defs"], schema("provider")["$defs"]["provider"]["properties"]
    calls, maps = schema("call")["$defs"], schema("map")["$defs"]
    assert [k for k in provider if k in vocabulary.OPERATIONS] == vocabulary.OPERATIONS
    assert operation["operation"]["properties"]["operation"]["enum"][:-1] == vocabulary.OPERATIONS
    assert provider["status"]["then"]["enum"] == vocabulary.STATUSES
    assert provider["categories"]["items"]["enum"] == vocabulary.CATEGORIES
    assert list(provider["capabilities"]["properties"]) == vocabulary.CAPABILITIES
    assert operation["operation"]["properties"]["finish_reasons"]["additionalProperties"]["enum"][:-1] == vocabulary.FINISH_REASONS
    assert operation["stream"]["properties"]["framing"]["enum"][:-1] == vocabulary.FRAMINGS
    assert calls["call"]["properties"]["reply"]["enum"][:-1] == vocabulary.REPLIES
    assert set(vocabulary.VERBS) | set(vocabulary.PAYLOADS) <= set(calls["call"]["properties"])
    assert set(vocabulary.AUTH_SCHEMES) | {"with", "tokens", "$replace"} == set(calls["auth"]["properties"])
    assert operation["parts"]["propertyNames"]["x-words"] == vocabulary.PART_TYPES
    assert maps["kind"]["enum"][:-1] == list(ERROR_KINDS)
    assert set(maps["usage"]["properties"]) - {"$replace"} == set(vocabulary.USAGE_FIELDS)
    for kind, (fields, _) in vocabulary.OUTPUTS.items():
        assert set(maps[f"{kind}_output"]["properties"]) == {*fields, "from", "when", "$replace"}, kind
        assert kind in maps["map"]["properties"]


def test_words_of_neighbours_lead_to_words_of_ours() -> None:
    ours = {key for path in FILES for key in re.findall(r'"([a-z_]+)":', path.read_text("utf-8"))} | {"fromjson"}
    for word, targets in NEIGHBOURS.items():
        assert set(targets) <= ours, f"{word}: {targets}"


@pytest.mark.parametrize(
    ("word", "known", "close"),
    [
        ("baseUrl", ["base_url", "about"], "base_url"),
        ("max_token", ["max_tokens", "min"], "max_tokens"),
        ("embed", ["embeddings", "read"], "embeddings"),
        ("transcriptions", ["transcription"], "transcription"),
        ("zzz", ["alpha"], None),
    ],
)
def test_the_nearest_spelling(word: str, known: list[str], close: str | None) -> None:
    assert nearest(word, known) == close


def test_patches_may_delete_anywhere_and_be_partial() -> None:
    operation = schema("operation")["$defs"]["operation"]["properties"]
    deleted = dict.fromkeys([k for k in operation if k not in ("$replace", "connect", "subprotocols", "send", "map", "match")])
    for key in (
        "events",
        "keepalive_every",
        "binary_frames",
        "audio",
        "operation",
        "spec",
        "name",
        "about",
        "docs",
        "checked",
        "witnesses",
    ):
        del deleted[key]
    patch = {"chat": deleted, "auth": None, "headers": {"a": None}, "embeddings": None, "speech": {"$replace": {"extends": "x"}}}
    stream = {
        "chat": {
            "stream": {"map": {"each": {"tool_call": {"$replace": {"id": "x"}}, "text": None}}, "end": None},
            "params": {"n": None},
        }
    }
    data = {
        "name": "A",
        "models": {"b*": patch, "default": "b1"},
        "variants": {"v": patch, "w": stream},
        "chat": {**deleted, "extends": "x"},
    }
    assert [str(p) for p in checked(data)] == []


def test_a_provider_that_extends_needs_no_name_and_may_delete() -> None:
    assert checked({"extends": "base", "docs": None}) == []
    assert [p.rule for p in checked({"docs": None})] == ["deletes-nothing", "missing-key"]


def test_templates_are_free_but_for_directives() -> None:
    body = {"anything": {"$if": "x", "$else": [{"$for": "a in b", "$value": 1}]}, "list": [[{"$merge": []}]], "price_$": 1}
    assert checked({"operation": "chat", "body": body, "headers": {"X": 1}, "wrap": ["{{ body }}"]}, "dialect") == []
    wrong = checked({"operation": "chat", "body": {"a": [{"$ref": 1}]}, "parts": {"text": {"$swich": "x"}}}, "dialect")
    assert {(p.rule, p.suggestion) for p in wrong} == {("unknown-directive", None), ("unknown-directive", "$switch")}


_TREES = st.recursive(
    st.none() | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "$else", "$merge", "$x", "$value", "$swich"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=sampled(100), deadline=None)
@given(_TREES)
def test_the_fast_walk_finds_what_the_schema_finds(tree: Any) -> None:
    from jsonschema import Draft202012Validator

    whole = schema("call")
    validator = Draft202012Validator({**whole["$defs"]["template"], "$defs": whole["$defs"]})
    told = {e.absolute_path[-1] for e in validator.iter_errors(tree) if e.validator == "not"}
    problems = Problems()
    validate(node_of({"operation": "chat", "body": tree}), "dialect", problems)
    assert bool(told) == any(p.rule == "unknown-directive" for p in problems)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *vocabulary.OPERATIONS,
                    "name",
                    "auth",
                    "models",
                    "params",
                    "stream",
                    "map",
                    "each",
                    "text",
                    "jwt",
                    "tokens",
                    "$replace",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=16,
)


@settings(max_examples=sampled(150), deadline=None)
@given(_ANYTHING, st.sampled_from(KINDS))
def test_no_value_raises_and_findings_are_sorted(value: Any, kind: str) -> None:
    found = checked(value, kind)
    assert all(p.message and p.rule for p in found)
    assert found == sorted(found, key=lambda p: (p.mark.file, p.mark.line, p.mark.column, p.rule))


def test_validation_is_fast() -> None:
    """A provider's file within 10 ms, once the schemas are read."""
    text = "\n".join(
        [
            "name: A",
            "chat:",
            "  extends: wire",
            "  body:",
            *(f"    f{i}: {{a: '{{{{ x }}}}', b: [1, 2, {{c: d}}]}}" for i in range(60)),
        ]
    )
    problems = Problems()
    node = load(text, "f", problems)
    assert node is not None
    validate(node, "provider", problems)
    best = 1.0
    for _ in range(5):
        start = time.process_time()
        validate(node, "provider", problems)
        best = min(best, time.process_time() - start)
    assert not problems and best < 0.010


@pytest.mark.parametrize(
    ("data", "kind", "rule"),
    [
        ({"examples": [{"name": "x", "needs": ["visoin"]}]}, "examples", "bad-value"),
        ({"examples": [{"name": "x", "sends": {"body_lack": []}}]}, "examples", "unknown-key"),
        ({"examples": [{"name": "x", "fails": {"kind": "rate_limited"}}]}, "examples", "bad-value"),
        ({}, "examples", "missing-key"),
        ({"models": {"m": {"context": "128k"}}}, "models", "wrong-type"),
        ({"models": {"m": {"price": {"inputs": 1}}}}, "models", "unknown-key"),
        ({"models": {"m": {"price": [{"input": -1}]}}}, "models", "bad-value"),
        ({"post": "/x"}, "dialect", "missing-key"),
        ({"operation": "chats"}, "dialect", "bad-value"),
        ({"operation": "chat", "auth": {"tokens": {"t": {"jwt": {"algo": "RS256"}}}}}, "dialect", "unknown-key"),
        ({"operation": "chat", "auth": {"tokens": {"t": {"pots": "/x"}}}}, "dialect", "unknown-key"),
        ({"operation": "image", "job": {"result": [{"gte": "/x"}]}}, "dialect", "unknown-key"),
        ({"operation": "chat", "serve": {"stream": {"chunks": {}}}}, "dialect", "unknown-key"),
        ([], "provider", "wrong-type"),
        ("text", "dialect", "wrong-type"),
    ],
)
def test_other_files_and_deeper_places(data: Any, kind: str, rule: str) -> None:
    assert [p.rule for p in checked(data, kind)] == [rule]


def test_valid_examples_and_model_facts_pass() -> None:
    facts = {
        "context": 200000,
        "max_output": 8192,
        "input": ["text", "image"],
        "output": ["text"],
        "capabilities": {"vision": True},
    }
    price = {"input": 3, "output": 15, "cache_read": 0.3, "tiers": [{"above": 200000, "input": 6}], "batch": {"input": 1.5}}
    assert checked({"models": {"m": {**facts, "price": price, "released": "2026-01-01"}}}, "models") == []
    example = {
        "name": "a",
        "operation": "chat",
        "given": {"now": 1, "secrets": {"k": "v"}},
        "request": {"model": "m"},
        "needs": ["tools"],
    }
    example |= {
        "sends": {"method": "POST", "path": "/x", "body": {}, "body_lacks": ["a"]},
        "reply": {"status": 200, "body": {}},
        "gives": {},
    }
    assert checked({"examples": [example]}, "examples") == []


# --- reports ----------------------------------------------------------------------------------------------------------


def problem(**more: Any) -> Problem:
    return Problem(**{"rule": "unknown-key", "message": "`b` is unknown", "mark": Mark("p.yaml", 2, 3), **more})


def test_a_report_shows_line_caret_and_suggestion() -> None:
    text = format_problems([problem(suggestion="a", width=2)], {"p.yaml": "x: 1\n  bb: 2\n"}.get)
    assert text.splitlines() == [
        "p.yaml:2:3: error[unknown-key]: `b` is unknown",
        "  2 |   bb: 2",
        "    |   ^^ did you mean `a`?  more: schemas/README.md#unknown-key",
    ]
    assert format_problems([], {}.get) == ""
    assert "\x1b[1;31m" in format_problems([problem()], {}.get, color=True)


def test_a_report_shows_where_an_inherited_value_was_written() -> None:
    origin = Mark("d.yaml", 1, 1)
    text = format_problems([problem(origin=origin)], {"p.yaml": "\n  bb: 2", "d.yaml": "audio: 1"}.get)
    assert text.splitlines()[0] == "p.yaml:2:3: error[unknown-key]: `b` is unknown (from d.yaml:1)"
    assert text.splitlines()[-2:] == ["  1 | audio: 1", "    | ^ written in d.yaml"]


def test_reports_are_sorted_and_say_each_thing_once() -> None:
    late, early = problem(mark=Mark("p.yaml", 9, 1)), problem()
    assert distinct([late, early, late]) == [early, late]
    assert (
        counts([late, early, late, problem(severity="warning")], 0.5, files=1, examples=3)
        == "1 file, 3 examples, 2 errors, 1 warning, 0.50 s"
    )


def test_reports_cannot_steer_a_terminal_or_a_build_log() -> None:
    """RELIABILITY M5: text of a spec is escaped wherever it is printed."""
    bad = problem(message="\x1b[31mred\r\n::error::x", suggestion="\x07", mark=Mark("a\nb.yaml", 1, 1))
    assert not set(format_problems([bad], lambda _: "x\x1b[2Jy")) & {"\x1b", "\x07", "\r"}
    assert len(format_problems([bad], {}.get, form="github").splitlines()) == 1
    assert json.loads(format_problems([bad], {}.get, form="json"))["line"] == 1


def test_carets_stand_under_wide_and_long_text() -> None:
    wide = format_problems([problem(mark=Mark("p.yaml", 1, 5), width=1)], {"p.yaml": "日本: x"}.get).splitlines()
    assert wide[2].index("^") == len("    | ") + 6
    long = format_problems(
        [problem(mark=Mark("p.yaml", 1, 500), width=3)], {"p.yaml": "a" * 499 + "bbb" + "c" * 500}.get
    ).splitlines()
    assert len(long[1]) < 200 and long[1][long[2].index("^") :].startswith("bbb")


def test_machines_get_the_same_findings() -> None:
    found = problem(suggestion="a")
    assert (
        format_problems([found], {}.get, form="github")
        == "::error file=p.yaml,line=2,col=3,title=unknown-key::`b` is unknown; did you mean `a`?"
    )
    assert json.loads(format_problems([found], {}.get, form="json")) == found.to_dict()
