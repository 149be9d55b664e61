"""The template language: parts, where text lands, and the places of failures (SPEC_LANGUAGE 3.3, 3.4; RELIABILITY A4)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.errors import ConfigError, UnsupportedError
from engine.expr.function import locate
from engine.expr.template import parse_expression, parsed, preload
from engine.spec.node import Node
from tests.expr.templating import FREE, Spec, chat, rendered

# --- 3.4 parts -------------------------------------------------------------------------------------------------------

PARTS = """\
parts:
  text: {type: text, text: "{{ part.text }}"}
  image | audio: {type: media, via: "{{ part.via }}", url: "{{ part.uri }}"}
  tool_result: {type: result, content: "{{ parts(part.parts) }}"}
  document: [{type: a}, {$for: x in part.parts, type: "{{ x.type }}"}]
body:
  $for: m in messages
  content: "{{ m.text if m.plain else parts(m.parts) }}"
"""


def test_parts_are_written_by_their_table():
    spec = chat(PARTS)
    parts = [{"type": "text", "text": "hi"}, {"type": "audio", "via": "data", "uri": "data:,x"}, {"type": "image"}]
    assert spec.render("body", messages=[{"parts": parts}, {"plain": True, "text": "t"}]) == [
        {"content": [{"type": "text", "text": "hi"}, {"type": "media", "via": "data", "url": "data:,x"}, {"type": "media"}]},
        {"content": "t"},
    ]
    assert spec.templates.part_types == {"text", "image", "audio", "tool_result", "document"}
    assert {"text", "uri", "via", "plain", "parts"} <= spec.templates.part_reads
    assert spec.templates.reads == {"messages"}


def test_parts_of_parts_and_an_entry_that_writes_several_items():
    spec = chat(PARTS)
    nested = [{"type": "tool_result", "parts": [{"type": "text", "text": "r"}]}, {"type": "document", "parts": [{"type": "q"}]}]
    assert spec.render("body", messages=[{"parts": nested}])[0]["content"] == [
        {"type": "result", "content": [{"type": "text", "text": "r"}]},
        {"type": "a"},
        {"type": "q"},
    ]


def test_parts_of_one_part_is_its_value_and_of_nothing_nothing():
    spec = chat(PARTS.replace("parts(m.parts)", "parts(m.parts[0])"))
    assert spec.render("body", messages=[{"parts": [{"type": "text", "text": "x"}]}, {"parts": []}]) == [
        {"content": {"type": "text", "text": "x"}}
    ]


def test_a_part_without_entry_cannot_be_sent():
    with pytest.raises(UnsupportedError, match=r"^acme cannot express a video part$"):
        chat(PARTS).render("body", messages=[{"parts": [{"type": "video"}]}])


def test_json_and_refusals_fall_back_to_text_and_thinking_is_dropped_with_a_warning():
    from engine.types import Report

    report = Report()
    parts = [{"type": "json", "json": {"a": 1}}, {"type": "refusal", "text": "no"}, {"type": "thinking", "text": "hm"}]
    made = chat(PARTS).render("body", messages=[{"parts": parts}], **{"$report": report})
    assert made == [{"content": [{"type": "text", "text": '{"a":1}'}, {"type": "text", "text": "no"}]}]
    assert report.warnings == ["thinking of earlier turns was dropped: acme has no place for it"]


def test_parts_nest_at_most_eight_deep():
    part = {"type": "text", "text": "x"}
    for _ in range(7):
        part = {"type": "tool_result", "parts": [part]}
    assert chat(PARTS).render("body", messages=[{"parts": [part]}])
    with pytest.raises(ConfigError, match="nested more than 8"):
        chat(PARTS).render("body", messages=[{"parts": [{"type": "tool_result", "parts": [part]}]}])


def test_unknown_part_types_and_a_missing_table_are_problems():
    spec = chat('parts: {txet: {a: 1}}\nbody: "{{ parts(system_parts) }}"')
    assert [str(p) for p in spec.problems] == ["t.yaml:1:9: error[unknown-part]: `txet` is not a part type; did you mean `text`?"]
    assert [p.rule for p in chat('body: "{{ parts(system_parts) }}"').problems] == ["unknown-function"]


# --- where text lands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "context", "expected"),
    [
        ("/v1/{{ a }}/x", {"a": "org/model:1 é"}, "/v1/org/model%3A1%20%C3%A9/x"),
        ("/v1/{{ a | quote }}/x", {"a": "org/model"}, "/v1/org%2Fmodel/x"),
        ("/v1/{{ a }}:{{ 'stream' if stream else 'run' }}", {"a": "m"}, "/v1/m:run"),
        ("{{ a }}/openai", {"a": "https://x.example.com"}, "https://x.example.com/openai"),
        ("{{ a }}", {"a": "https://x.example.com/a?b=c%20d"}, "https://x.example.com/a?b=c%20d"),
        ("/v1/{{ a }}", {}, None),
        ("/x?model={{ a }}", {"a": "a&b=c"}, "/x?model=a%26b%3Dc"),
        ("/v1/{{ a }}", {"a": "..x"}, "/v1/..x"),
    ],
)
def test_url_holes_are_encoded(template, context, expected):
    assert rendered(f'"{template}"', "url", **context) == expected


@pytest.mark.parametrize("bad", ["..", ".", "a/../b", "../..", "x/.", "", ["a"], {"a": 1}])
def test_url_holes_cannot_change_the_path(bad):
    with pytest.raises(ConfigError):
        rendered('"/v1/{{ a }}/x"', "url", a=bad)


@pytest.mark.parametrize("bad", ["https://h/../x", "https://h/%2e%2e/x", "https://h/a b", "https://h/a\nb"])
def test_whole_urls_are_checked_too(bad):
    with pytest.raises(ConfigError):
        rendered('"{{ a }}"', "url", a=bad)


def test_headers_are_text_without_line_breaks():
    template = '{X-A: "{{ a }}", X-B: 3, X-C: "v {{ b }}", X-D: "{{ c }}"}'
    assert rendered(template, "header", a=True, b=1.5) == {"X-A": "true", "X-B": "3", "X-C": "v 1.5"}
    assert rendered('"Bearer {{ a }}"', "header", a="k") == "Bearer k"
    for bad in ("a\r\nX: 1", "a\nb", "a\0", ["x"], {"x": 1}):
        with pytest.raises(ConfigError, match="header `X-A`"):
            rendered(template, "header", a=bad)


def test_queries_and_forms_are_texts_and_lists_of_text():
    template = '{a: "{{ a }}", b: true, c: [1, "{{ b }}", x], d: "{{ d }}", e: "{{ items }}"}'
    assert rendered(template, "query", a=False, items=[1, None, True]) == {
        "a": "false",
        "b": "true",
        "c": ["1", "x"],
        "e": ["1", "true"],
    }
    assert rendered(template, "form", d={"k": 1})["d"] == '{"k":1}'
    assert rendered("{alt: \"{{ 'sse' if stream }}\"}", "query") is None


def test_xml_holes_are_escaped():
    template = "\"<speak a='{{ a }}'>{{ b }}</speak>\""
    assert rendered(template, "xml", a="x'\"", b="a<b>&\0") == "<speak a='x&#39;&quot;'>a&lt;b&gt;&amp;\ufffd</speak>"
    assert rendered('"{{ a }}"', "xml", a="<x>") == "&lt;x&gt;"
    assert rendered('{$join: "", $for: i in items, $value: "<p>{{ i }}</p>"}', "xml", items=["&"]) == "<p>&amp;</p>"


def test_nullable_writes_null_where_it_stands_last():
    template = (
        '{a: "{{ a | nullable }}", b: ["{{ b | nullable }}"], c: {$if: x, k: 1, $else: "{{ null | nullable }}"}, '
        'd: "{{ x if x else y | nullable }}"}'
    )
    assert rendered(template) == {"a": None, "b": [None], "c": None, "d": None}
    assert rendered(template, a=1, b=2, x=3) == {"a": 1, "b": [2], "c": {"k": 1}, "d": 3}
    assert rendered('"{{ a | nullable }}"') is None
    assert [p.rule for p in Spec('t: "x {{ a | nullable }}"').problems] == ["bad-expression"]
    assert [p.rule for p in Spec('t: {q: "{{ a | nullable }}"}', FREE, "query").problems] == ["bad-expression"]


# --- places, caches, imports -----------------------------------------------------------------------------------------


def test_a_failure_at_run_time_is_traced_to_its_line():
    spec = Spec('t:\n  k: 1\n  a: "{{ x }}"\n  b:\n    c: "{{ x + 1 }}"\n')
    with pytest.raises(ConfigError) as caught:
        spec.render(x="text")
    assert str(locate(caught.value)) == "t.yaml:5:8"


def test_known_expressions_need_no_jinja2():
    parse_expression("a.b | default(1)")
    assert parsed()["a.b | default(1)"] == ["filter", ["get", ["name", "a"], "b"], "default", [["const", 1]], {}]
    code = (
        "import sys, json; from engine.expr.template import Templates, preload; from engine.expr.function import Unit\n"
        "from engine.spec.node import node_of; from engine.spec.problem import Problems; from engine.vocabulary import ANY, Shape\n"
        "preload(json.loads(sys.argv[1])); u = Unit(); p = Problems()\n"
        "Templates(u, p, Shape({'a': ANY})).template('t', node_of({'k': '{{ a.b | default(1) }}'}))\n"
        "assert u.build()['t']({}) == {'k': 1} and not p; assert 'jinja2' not in sys.modules and 'yaml' not in sys.modules"
    )
    import json

    subprocess.run([sys.executable, "-c", code, json.dumps(parsed())], check=True, timeout=60)


def test_trees_survive_a_round_trip():
    tree = parse_expression("a[1] ~ 'x'")
    preload({"from a package": tree})
    assert parse_expression("from a package") == tree


def test_when_is_a_bare_expression():
    spec = Spec(Node({"when": Node("x and not y")}))
    assert spec.functions["when"]({"x": 1}) is True
    assert not spec.functions["when"]({})
    assert Spec(Node({"when": Node(True)})).functions["when"]({}) is True
    assert "without {{ }}" in str(Spec(Node({"when": Node("{{ x }}")})).problems[0])
