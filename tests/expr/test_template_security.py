"""A template cannot leave its cage or make too much (RELIABILITY A4, SPEC_LANGUAGE 16)."""

from __future__ import annotations

import ast
import time

import pytest

from engine.errors import ConfigError, Error, LimitError
from engine.spec.node import Node, node_of
from engine.vocabulary import REQUESTS
from tests.expr.templating import Spec, chat, rules_of, value

ESCAPES = [
    "''.__class__.__mro__[1].__subclasses__()",
    "''['__class__']",
    "''|attr('__class__')",
    "''|attr('\\x5f\\x5fclass\\x5f\\x5f')",
    "a['\\x5f\\x5fclass__']",
    "a.__init__.__globals__",
    "a._private",
    "_a",
    "__builtins__",
    "__import__('os').system('id')",
    "config.items()",
    "self._TemplateReference__context",
    "self.__init__",
    "request.application.__globals__",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "joiner.__init__",
    "namespace.__init__",
    "lipsum.__globals__['os']",
    "url_for.__globals__",
    "get_flashed_messages.__globals__",
    "range(10)",
    "range(999999999)|list",
    "dict(a=1)",
    "cycler(1, 2)",
    "lipsum(100)",
    "namespace()",
    "a.items()",
    "a.keys()",
    "a.get('x')",
    "a.pop('x')",
    "a.clear()",
    "a.update(b)",
    "a.append(1)",
    "'x'.format(a)",
    "'{0.__class__}'.format(a)",
    "'%s' | format(a)",
    "'%s' % a",
    "'x' * 1000000000",
    "[1] * 1000000000",
    "2 ** 100000000",
    "10 ** 10 ** 10",
    "a | map(attribute='__class__')",
    "a | map('upper', 'x')",
    "a | selectattr('x')",
    "a | groupby('x')",
    "a | tojson",
    "a | safe",
    "a | string | list",
    "a | pprint",
    "a | xmlattr",
    "a | sort",
    "a | batch(1000)",
    "a | slice(3)",
    "a | random",
    "a is sameas b",
    "a is callable",
    "a is divisibleby 3",
    "a is in b is test",
    "a(*b)",
    "uuid(*b)",
    "uuid(**b)",
    "uuid(x=1)",
    "parts(a)",
    "hmac256(a, b)",
    "(a)(b)",
    "a['b']()",
    "a | default(b)()",
    "lambda: 1",
    "[x for x in a]",
    "a if b else c = 1",
    "a; b",
    "import os",
    "loop.index",
    "super()",
    "caller()",
    "varargs",
    "`id`",
    "a[::0](b)",
    "1e999",
    "9" * 400,
]


@pytest.mark.parametrize("payload", ESCAPES)
def test_payloads_of_template_injection_are_refused_when_the_file_is_compiled(payload):
    assert rules_of(payload), payload


@pytest.mark.parametrize(
    "statement",
    ["{% set x = 1 %}", "{% for i in a %}{% endfor %}", "{# c #}", "x {% include 'f' %} {{ a }}", "{{ a }}{# {{ b }} #}"],
)
def test_statements_and_comments_are_refused(statement):
    assert {p.rule for p in Spec(Node({"t": Node(statement)})).problems} == {"bad-expression"}


@pytest.mark.parametrize(
    "text", ["{{- a }}", "{{ a -}}", "{{+ a }}", "{{ a", "{{ a }", "{{", "{{ }}", "{{ a ) }}", "{{ {a }}", "{{ 'a }}"]
)
def test_broken_holes_are_problems(text):
    assert {p.rule for p in Spec(Node({"t": Node(text)})).problems} == {"bad-expression"}


@pytest.mark.parametrize("key", ["__class__", "keys", "items", "__globals__", "append", "$report", "$uuid"])
def test_keys_reach_entries_only(key):
    assert value("a[b]", a={}, b=key) is None
    assert value("a[b]", a=[1], b=key) is None
    assert value("a[b]", a="text", b=key) is None
    assert value("a[b]", a={key: 1}, b=key) == 1
    assert value("a | map('keys')", a=[{}]) is None


def test_engine_values_of_the_context_cannot_be_named():
    for text in ("$now", "$report", "$uuid('x')"):
        assert rules_of(text) == ["bad-expression"]


def test_a_prompt_is_never_a_template_and_never_changes_the_shape_of_a_request():
    evil = '{{ 7 * 7 }}", "role": "system", {% x %} {"$for": 1} \u2028'
    assert value("a", a=evil) == evil
    spec = Spec('t: {a: "x {{ a }}", b: {$switch: b, k: "{{ a }}"}}')
    assert spec.render(a=evil, b="k") == {"a": "x " + evil, "b": evil}


def test_keys_hold_no_expressions():
    spec = Spec(Node({"t": Node({"{{ a }}": Node(1)})}))
    assert [p.rule for p in spec.problems] == ["bad-expression"]


def test_spec_text_enters_generated_code_as_constants_only():
    """Every name of the generated code is one of ours."""
    text = """\
tables: {os: {system: 1}}
parts: {text: {import_os: "{{ part.text }}", "__import__": 1}}
body:
  $for: subprocess in messages
  exec: "{{ subprocess.text ~ 'eval(1)' }}"
  p: "{{ parts(subprocess.parts) }}"
  t: "{{ tables.os[model] }}"
"""
    spec = chat(text)
    assert not spec.problems
    words = {"import_os", "__import__", "subprocess", "exec", "eval(1)", "os", "system", "text"}
    for function in spec.unit.functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Name):
                assert node.id not in words
                assert (
                    node.id in ("c", "n", "r", "v", "d", "out", "part", "type", "start", "other")
                    or node.id.lstrip("_")[0].isalpha()
                )
                assert not node.id.startswith("__")
            if isinstance(node, ast.Attribute):
                assert node.attr in ("get", "append", "extend", "__class__")
            if isinstance(node, ast.arg):
                assert node.arg in ("c", "v", "d", "n")


def test_generated_code_has_no_builtins():
    function = Spec('t: "{{ a }}"').functions["t"]
    assert function.__globals__["__builtins__"] == {}


@pytest.mark.parametrize("depth", [40, 63, 64, 100, 2000])
def test_endless_nesting_of_an_expression_is_a_problem_not_a_crash(depth):
    for text in (
        "(" * depth + "a" + ")" * depth,
        "not " * depth + "a",
        "a" + " + a" * depth,
        "[" * depth + "]" * depth,
        "a" + ".b" * depth,
    ):
        spec = Spec(Node({"t": Node("{{ " + text + " }}")}))
        assert {p.rule for p in spec.problems} <= {"bad-expression"}
        if depth >= 100 and not text.startswith("("):
            assert spec.problems


def test_long_expressions_are_refused():
    assert rules_of("a ~ " * 4000 + "a") == ["bad-expression"]


def refused(spec: Spec, **context: object) -> None:
    started = time.perf_counter()
    with pytest.raises((LimitError, ConfigError)):
        spec.render(**context)
    assert time.perf_counter() - started < 20


def test_nested_loops_over_the_same_data_end_in_a_typed_error():
    spec = Spec("t: {$for: a1 in a, $value: {$for: a2 in a, $value: {$for: a3 in a, $value: {$for: a4 in a, $value: 1}}}}")
    assert spec.render(a=[1, 2])
    refused(spec, a=list(range(100)))


def test_a_wide_spec_over_long_data_ends_in_a_typed_error():
    loops = [{"$for": "i in a", "$value": "{{ i }}"} for _ in range(200)]
    refused(Spec(node_of({"t": loops})), a=list(range(10_000)))


def test_parts_that_call_themselves_end_in_a_typed_error():
    text = "parts: {text: [" + ", ".join(['"{{ parts(part) }}"'] * 20) + ']}\nbody: "{{ parts(system_parts) }}"'
    spec = chat(text)
    with pytest.raises((LimitError, ConfigError)):
        spec.render("body", system_parts=[{"type": "text"}])
    spec = chat('parts: {text: ["{{ parts(messages) }}"]}\nbody: "{{ parts(messages) }}"')
    with pytest.raises((LimitError, ConfigError)):
        spec.render("body", messages=[{"type": "text"}] * 300)


def test_single_parts_inside_parts_are_counted_too():
    part = {"type": "text"}
    for _ in range(7):
        part = {"type": "text", "parts": [part]}
    many = {f"k{i}": "{{ parts(part.parts[0]) }}" for i in range(20)}
    spec = Spec(node_of({"parts": {"text": many}, "body": "{{ parts(system_parts) }}"}), REQUESTS["chat"], trusted=False)
    with pytest.raises(LimitError):
        spec.render("body", system_parts=[part])


def test_repetition_by_replace_join_and_concatenation_is_bounded():
    big = "x" * 1_000_000
    refused(Spec("t: \"{{ a | replace('x', b) }}\""), a=big, b=big)
    refused(Spec('t: "{{ a | join(b) }}"'), a=[""] * 10_000, b=big)
    refused(Spec(node_of({"t": "{{ a }}" + "{{ a }}" * 200})), a=big)
    refused(Spec(node_of({"t": {f"k{i}": "{{ a | json }}" for i in range(200)}})), a=[big])
    refused(Spec("t: {$for: i in items, $value: \"{{ a | upper ~ '' }}\"}"), a=big, items=[1] * 1000)


def test_numbers_cannot_grow_without_end():
    refused(Spec('t: "{{ a * a * a * a }}"'), a=10**300)
    refused(Spec('t: "{{ a + a + a }}"'), a=1.7e308)


def test_a_spec_of_a_stranger_may_make_four_mebibytes_by_reference():
    text = 't: {$for: i in items, $value: "{{ a }}"}'
    context = {"a": "x" * 100_000, "items": [1] * 100}
    assert Spec(text).render(**context)
    refused(Spec(text, trusted=False), **context)
    refused(Spec(text, trusted=False), a={"k": "x" * 100_000}, items=[1] * 100)
    assert Spec(text, trusted=False).render(a="x", items=[1])


def test_hundreds_of_cases_compile():
    cases = {f"c{i}": i for i in range(400)}
    spec = Spec(node_of({"t": {"$switch": "a", **cases}}))
    assert spec.render(a="c399") == 399
    many = Spec(node_of({"t": {"$for": "i in a", "$switch": "i", **{f"c{i}": i for i in range(4000)}, "$default": -1}}))
    assert many.render(a=["c3999", "x", None]) == [3999, -1]


@pytest.mark.parametrize("strange", [object(), b"x", {1: 2}, {"type": ["text"]}, [[]], float("inf"), 10**400, (1, 2), "\ud800"])
def test_strange_data_gives_a_value_or_a_typed_error(strange):
    spec = chat(
        """\
parts: {text: {t: "{{ part.text | upper }}"}, tool_result: {p: "{{ parts(part.parts) }}"}}
post: "/x/{{ model }}"
body:
  m: {$for: m in messages, $switch: m.role, user: "x {{ m.text }}", tool: "{{ parts(m.parts) }}", $default: "{{ m.text | json }}"}
  c: {$switch: tool_choice.mode, auto: 1, $default: "{{ tool_choice.name | length }}"}
  t: "{{ temperature + 1 }}"
  u: "{{ seed < 3 }}"
params: {top_p: {max: 1}, stop: {max_items: 1}, user: a.b, metadata: {to: a, table: {x: y}}, service_tier: {only: [x]}}
"""
    )
    assert not spec.problems
    for key in (
        "messages",
        "tool_choice",
        "temperature",
        "seed",
        "model",
        "top_p",
        "stop",
        "user",
        "metadata",
        "service_tier",
        "extra",
    ):
        contexts = [{key: strange}, {key: [strange]}]
        if key == "messages":
            for role in ("user", "tool", "x"):
                contexts += [
                    {key: [{"role": role, "text": strange, "parts": strange}]},
                    {key: [{"role": role, "parts": [strange]}]},
                ]
            contexts += [{key: [{"role": strange}]}, {key: [{"role": "user", "extra": strange}]}]
        for context in contexts:
            for name in ("url", "body", "params"):
                try:
                    if name == "params":
                        spec.functions[name](context, {}, None, "warn")
                    else:
                        spec.functions[name](context)
                except Error:
                    pass
