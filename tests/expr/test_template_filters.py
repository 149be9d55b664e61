"""The filters and functions of the language (SPEC_LANGUAGE 3.3)."""

from __future__ import annotations

import copy
import hashlib
import hmac

import pytest

from engine.errors import ConfigError
from engine.expr.template.schema import schema as rewritten
from engine.vocabulary import REQUESTS
from tests.expr.templating import Spec, rules_of, value


@pytest.mark.parametrize(
    ("expression", "given", "expected"),
    [
        ("a | default('x')", None, "x"),
        ("a | default('x')", False, False),
        ("a | json", {"k": [1, "é", None]}, '{"k":[1,"é",null]}'),
        ("a | json", None, None),
        ("a | fromjson", '{"k": 1.0}', {"k": 1.0}),
        ("a | fromjson", {"k": 1}, {"k": 1}),
        ("a | b64", "hé", "aMOp"),
        ("a | b64", b"\xff", "/w=="),
        ("a | lower", "ÀB", "àb"),
        ("a | upper", "b", "B"),
        ("a | upper", None, None),
        ("a | trim", " x\n", "x"),
        ("a | replace('a', 'bb')", "aXa", "bbXbb"),
        ("a | split('/')", "x/y", ["x", "y"]),
        ("a | join(', ')", [1, None, "x", True], "1, x, true"),
        ("a | join", ["x", "y"], "xy"),
        ("a | join", [], None),
        ("a | first", [1, 2], 1),
        ("a | last", [1, 2], 2),
        ("a | first", [], None),
        ("a | length", [1, 2], 2),
        ("a | length", None, 0),
        ("a | map('k')", [{"k": 1}, {}, {"k": 0}], [1, 0]),
        ("a | map('k')", [{}], None),
        ("a | where('k')", [{"k": 1}, {"k": 0}, {}], [{"k": 1}]),
        ("a | where('k', 0)", [{"k": 1}, {"k": 0}, {}], [{"k": 0}]),
        ("a | where('k', 9)", [{"k": 1}], None),
        ("a | omit('k', 'l')", {"k": 1, "l": 2, "m": 3}, {"m": 3}),
        ("a | int", "12", 12),
        ("a | int", "12.7", 12),
        ("a | int", 3.9, 3),
        ("a | round", 2.6, 3),
        ("a | round(1)", 2.66, 2.7),
        ("a | round(1)", 2, 2),
        ("a | quote", "a/b c", "a%2Fb%20c"),
        ("a | quote", 5, "5"),
        ("uuid()", None, "id-None"),
        ("uuid('x')", None, "id-x"),
        ("now()", None, 1767225600),
        ("date(a, '%Y-%m-%dT%H:%M:%SZ')", 0, "1970-01-01T00:00:00Z"),
        ("date(a)", 1767225600.5, "2026-01-01T00:00:00Z"),
        ("date(a, '%d/%b/%Y %j 100%%x')", "2026-02-03T01:00:00+02:00", "02/Feb/2026 033 100%x"),
        ("date(a)", None, None),
    ],
)
def test_what_each_gives(expression, given, expected):
    result = value(expression, a=given)
    assert result == expected
    assert result.__class__ is expected.__class__


@pytest.mark.parametrize(
    ("expression", "given"),
    [
        ("a | json", {"k": object()}),
        ("a | json", float("nan")),
        ("a | json", {"b": b"x"}),
        ("a | fromjson", "{"),
        ("a | fromjson", "[" * 100_000),
        ("a | fromjson", "NaN"),
        ("a | b64", [1]),
        ("a | b64", "\ud800"),
        ("a | quote", "\ud800"),
        ("a | upper", {}),
        ("a | join", "text"),
        ("a | map('k')", "text"),
        ("a | where('k')", {"k": 1}),
        ("a | omit('k')", [1]),
        ("a | first", {"k": 1}),
        ("a | length", 5),
        ("a | int", "x"),
        ("a | int", "9" * 5000),
        ("a | int", float("inf")),
        ("a | int", [1]),
        ("a | round", "x"),
        ("a | round", float("nan")),
        ("date(a)", "yesterday"),
        ("date(a)", 1e300),
        ("date(a)", [1]),
        ("a ~ ''", b"x"),
    ],
)
def test_values_of_the_wrong_kind_are_typed_errors(expression, given):
    with pytest.raises(ConfigError):
        value(expression, a=given)


@pytest.mark.parametrize(
    "expression",
    [
        "a | default",
        "a | json(1)",
        "a | map(x)",
        "a | where",
        "a | omit",
        "a | split('')",
        "a | replace('', 'x')",
        "a | round(99)",
        "a | ident(0)",
        "a | ident(2, 3)",
        "a | ident('9')",
        "a | schema(refs='outline')",
        "a | schema(open=true)",
        "a | schema(x)",
        "date()",
        "date(a, '%q')",
        "now(1)",
    ],
)
def test_wrong_arguments_are_found_when_the_file_is_compiled(expression):
    assert rules_of(expression) == ["bad-arguments"]


def test_ids_that_fit_pass_and_others_become_the_same_fitting_id():
    assert value("a | ident(9, 9, '')", a="abcDEF123") == "abcDEF123"
    for given in ("call_1", "abcDEF1234", "x", "", "é" * 9, "a-b-c-d-e", "\ud800", 7):
        made = value("a | ident(9, 9, '')", a=given)
        assert made == value("a | ident(9, 9, '')", a=given)
        assert len(made) == 9 and made.isascii() and made.isalnum()
    assert value("a | ident(64)", a="toolu_01-x") == "toolu_01-x"
    made = value("a | ident(64)", a="functions.get weather:0")
    assert made.startswith("functionsgetweather0") and len(made) <= 64
    assert value("a | ident(20)", a="x" * 30) != value("a | ident(20)", a="x" * 31)
    assert 20 <= len(value("a | ident(40, 20, '.')", a="a b")) <= 40
    assert value("a | ident(extra='.]^-', max=8)", a="a.]^-") == "a.]^-"
    assert value("a | ident", a=None) is None


def test_signing_functions_work_in_auth_only():
    spec = Spec(
        't: {a: "{{ hex(hmac256(a, b)) }}", b: "{{ sha256(b) | b64 }}", c: "{{ hmac256(hmac256(a, b), \'x\') | b64 }}"}',
        functions=("hmac256", "sha256", "hex", "fingerprint"),
    )
    made = spec.render(a="key", b="text")
    assert made["a"] == hmac.new(b"key", b"text", hashlib.sha256).hexdigest()
    assert made["b"] and made["c"]
    assert spec.render(b="text") == {"b": made["b"]}
    problem = Spec('t: "{{ sha256(a) }}"').problems[0]
    assert problem.rule == "unknown-function" and "auth" in problem.message


def test_a_fingerprint_is_of_the_public_half():
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    spec = Spec('t: "{{ fingerprint(a) }}"', functions=("fingerprint",))
    made = spec.render(a=pem)
    assert made == spec.render(a=pem) and made.startswith("SHA256:") and len(made) == 51
    with pytest.raises(ConfigError, match="PEM"):
        spec.render(a="not a key")


# --- schema ----------------------------------------------------------------------------------------------------------


def schema(arguments, given):
    before = copy.deepcopy(given)
    made = value(f"a | schema({arguments})", a=given)
    assert given == before
    return made


def test_keywords_are_dropped_at_every_level_but_never_a_property_of_that_name():
    given = {
        "type": "object",
        "additionalProperties": False,
        "default": {"strict": 1},
        "properties": {
            "strict": {"type": "string", "strict": True},
            "l": {"type": "array", "items": {"additionalProperties": False, "enum": ["strict", {"strict": 2}]}},
        },
        "anyOf": [{"strict": True, "required": ["strict"]}],
    }
    assert schema("'additionalProperties', 'strict'", given) == {
        "type": "object",
        "default": {"strict": 1},
        "properties": {"strict": {"type": "string"}, "l": {"type": "array", "items": {"enum": ["strict", {"strict": 2}]}}},
        "anyOf": [{"required": ["strict"]}],
    }


def test_references_are_inlined_and_recursion_ends_as_an_object():
    given = {
        "$defs": {
            "P": {"type": "object", "properties": {"next": {"$ref": "#/$defs/P"}, "c": {"$ref": "#/$defs/C~1x"}}},
            "C/x": {"type": "string"},
        },
        "properties": {
            "p": {"$ref": "#/$defs/P", "description": "d"},
            "all": {"$ref": "#"},
            "far": {"$ref": "https://x/y"},
            "$defs": {"type": "null"},
        },
    }
    person = {"type": "object", "properties": {"next": {"type": "object"}, "c": {"type": "string"}}}
    made = schema("refs='inline'", given)
    assert "$defs" not in made
    assert made["properties"]["p"] == {**person, "description": "d"}
    assert made["properties"]["$defs"] == {"type": "null"}
    assert made["properties"]["far"] == {"type": "object"}
    assert made["properties"]["all"]["properties"]["all"] == {"type": "object"}


def test_constants_become_lists_of_one():
    assert schema("const='enum'", {"properties": {"const": {"const": "a"}}}) == {
        "properties": {"const": {"enum": ["a"], "type": "string"}}
    }
    assert schema("const='enum'", {"const": 1, "type": "number"}) == {"enum": [1], "type": "number"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer", "null"]}, {"type": ["string", "integer"], "nullable": True}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "T"}, {"type": "string", "title": "T", "nullable": True}),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "integer"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True},
        ),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"type": "string"}, {"type": "string"}),
    ],
)
def test_null_becomes_nullable(given, expected):
    assert schema("null='nullable'", given) == expected


def test_closed_requires_everything_and_makes_the_optional_nullable():
    given = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "string"}, "b": {"type": "string", "enum": ["x"]}, "c": {"type": "object", "properties": {}}},
    }
    assert schema("closed=true", given) == {
        "type": "object",
        "required": ["a", "b", "c"],
        "additionalProperties": False,
        "properties": {
            "a": {"type": "string"},
            "b": {"type": ["string", "null"], "enum": ["x", None]},
            "c": {"type": ["object", "null"], "properties": {}, "additionalProperties": False, "required": []},
        },
    }
    both = schema("closed=true, null='nullable'", given)["properties"]["b"]
    assert both == {"type": "string", "enum": ["x"], "nullable": True}


def test_no_schema_is_nothing_and_a_doubling_schema_ends_in_a_typed_error():
    from engine.errors import LimitError

    assert schema("'x'", None) is None
    with pytest.raises(ConfigError):
        schema("'x'", "text")
    doubling = {"$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}, "$ref": "#/$defs/d0"}
    with pytest.raises((LimitError, ConfigError)):
        Spec("t: \"{{ a | schema(refs='inline') }}\"", trusted=False).render(a=doubling)


def test_filters_over_parts_say_what_they_read():
    spec = Spec("body: {f: \"{{ system_parts | where('type', 'image') | map('file_id') }}\"}", REQUESTS["chat"])
    assert spec.templates.part_reads == {"type", "file_id"}
    assert spec.templates.selected_types == {"image"}
    bad = Spec("body: {f: \"{{ system_parts | map('fileid') }}\"}", REQUESTS["chat"]).problems
    assert [(p.rule, p.suggestion) for p in bad] == [("unknown-field", "file_id")]
    whole = Spec('body: {f: "{{ system_parts }}"}', REQUESTS["chat"])
    assert {"data", "uri", "text"} <= whole.templates.part_reads


def test_a_schema_that_comes_again_is_written_the_same_and_costs_the_same():
    def written(given):
        n = [1000]
        return rewritten(n, given, "x", const="enum"), n[0]

    given = {"properties": {"a": {"const": 1, "x": 1}}}
    first = written(given)
    assert written(given) == first == ({"properties": {"a": {"enum": [1], "type": "integer"}}}, first[1]) and first[1] < 1000
    given["properties"]["a"]["const"] = "b"
    assert written(given)[0] == {"properties": {"a": {"enum": ["b"], "type": "string"}}}
    nothing = {"properties": {"a": {"default": None}}}
    number = {"properties": {"a": {"default": float("nan")}}}
    assert written(nothing)[0] == nothing
    assert written(number)[0]["properties"]["a"]["default"] is number["properties"]["a"]["default"]
