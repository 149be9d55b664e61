"""Laws that hold for every template and every request (RELIABILITY A4, E1)."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import Error
from engine.spec.node import node_of
from engine.types import Report
from tests.expr.templating import FREE, Spec, chat
from tests.samples import sampled

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(
    (
        "type text role user assistant tool system parts plain dialect native extra acme "
        + "data name id mode auto image video json uri"
    ).split()
)
DATA = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=20,
)
PART = st.fixed_dictionaries(
    {"type": WORDS}, optional={"text": DATA, "parts": DATA, "uri": DATA, "extra": DATA, "dialect": WORDS, "json": DATA}
)
MESSAGE = st.fixed_dictionaries(
    {"role": WORDS | SCALARS},
    optional={
        "text": DATA,
        "plain": st.booleans(),
        "parts": st.lists(PART | DATA, max_size=3) | DATA,
        "tool_calls": st.lists(PART, max_size=2),
        "extra": DATA,
        "name": DATA,
    },
)
TOOL = st.fixed_dictionaries(
    {}, optional={"name": DATA, "parameters": DATA, "type": WORDS, "dialect": WORDS, "data": DATA, "extra": DATA}
)
REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "model": DATA,
        "messages": st.lists(MESSAGE, max_size=4) | DATA,
        "tools": st.lists(TOOL, max_size=3) | DATA,
        "tool_choice": DATA,
        "temperature": DATA,
        "stop": DATA,
        "metadata": DATA,
        "user": DATA,
        "max_tokens": DATA,
        "extra": DATA,
        "reasoning": DATA,
    },
)
SPEC = chat(
    """\
tables: {budget: {low: 1, high: 2}}
post: "/v1/{{ model }}:{{ 'a' if stream else 'b' }}"
parts:
  text: {type: text, text: "{{ part.text }}"}
  image: {url: "{{ part.uri }}"}
  tool_call: {id: "{{ part.id | ident(9, 9, '') }}"}
  tool_result: [{c: "{{ parts(part.parts) }}"}, {$for: p in part.parts, t: "{{ p.type | upper }}"}]
body:
  model: "{{ model }}"
  messages:
    $for: m in messages
    $switch: m.role
    user: {role: user, name: "{{ m.name }}", content: "{{ m.text if m.plain else parts(m.parts) }}"}
    assistant:
      - {text: "{{ m.text | default('') }}"}
      - {$for: call in m.tool_calls, name: "{{ call.name }}", a: "{{ call.arguments | json }}"}
    tool | system: {text: "x {{ m.text }}", parts: "{{ m.parts }}"}
    $default: ~
  tools:
    $for: t in tools
    name: "{{ t.name }}"
    schema: "{{ t.parameters | schema('x', refs='inline', null='nullable', closed=true) }}"
  choice:
    $if: tool_choice.mode in ['auto', 'none']
    $value: "{{ tool_choice.mode }}"
    $else: {n: "{{ tool_choice.name | nullable }}"}
  budget: "{{ tables.budget[reasoning.effort] + reasoning.budget if reasoning }}"
  merged: {$merge: ["{{ metadata }}", {k: 1}]}
params: {temperature: {max: 1}, max_tokens: c.max, stop: {max_items: 2, table: {x: y}}, user: metadata.user_id, metadata: metadata}
"""
)


def test_the_spec_of_this_module_has_no_problems():
    assert not SPEC.problems


@settings(max_examples=sampled(400), deadline=None, suppress_health_check=list(HealthCheck))
@given(REQUEST)
def test_any_request_gives_a_value_or_a_typed_error_and_stays_as_it_was(request_):
    before = copy.deepcopy(request_)
    report = Report()
    context = {**request_, "$dialects": ("acme",), "$report": report}
    names = set(context)
    try:
        SPEC.functions["url"](context)
    except Error:
        pass
    try:
        body = SPEC.functions["body"](context)
        SPEC.functions["params"](context, body, report, "warn")
    except Error:
        pass
    assert repr(request_) == repr(before)
    assert set(context) == names


@settings(max_examples=sampled(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(REQUEST)
def test_rendering_twice_gives_the_same(request_):
    def once() -> Any:
        context = {**request_, "$dialects": ("acme",), "$report": Report()}
        try:
            body = SPEC.functions["body"](context)
            return repr(SPEC.functions["params"](context, body, Report(), "warn"))
        except Error as error:
            return str(error)

    assert once() == once()


EXPRESSION_WORDS = st.sampled_from(
    """a b items . [ ] ( ) { } , : | ~ + - * / // % ** == != < > <= in not and or is if else none string number mapping 'k' 1 2.5
    true default json upper join first map where omit int round quote schema ident length parts uuid now date _x __class__
    {{ }} {%""".split()
)


@settings(max_examples=sampled(500), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(EXPRESSION_WORDS, min_size=1, max_size=8), DATA, DATA)
def test_any_expression_is_a_problem_or_a_value_or_a_typed_error(words, a, b):
    spec = Spec(node_of({"t": {"v": "{{ " + " ".join(words) + " }}", "w": "x{{ " + "".join(words) + " }}"}}))
    if not spec.problems:
        try:
            spec.render(a=a, b=b, items=[a, b])
        except Error:
            pass


TEMPLATES = st.recursive(
    st.sampled_from(["{{ a }}", "{{ b.k }}", "x {{ a }}", "text", 1, None, True, "{{ a | nullable }}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["k", "l", "$if", "$else", "$for", "$value", "$switch", "$default", "$merge", "$join", "a", "b"]),
            inner | st.sampled_from(["i in items", "a", "b", ", "]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=sampled(500), deadline=None, suppress_health_check=list(HealthCheck))
@given(TEMPLATES, DATA, st.lists(DATA, max_size=3))
def test_any_template_is_a_problem_or_a_value_or_a_typed_error(template, a, items):
    spec = Spec(node_of({"t": template}), FREE)
    if not spec.problems:
        try:
            made = spec.render(a=a, b={"k": 1}, items=items)
        except Error:
            return
        json.dumps(made, default=repr, skipkeys=True)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(["#", "#/$defs/a", "#/properties/b", "null", "object"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "$ref", "$defs", "anyOf", "items", "const", "enum", "required", "a", "b", "null"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=sampled(300), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(["type", "properties", "$ref", "$defs", "anyOf", "items", "const", "enum", "required"]), JSON, max_size=5
    )
)
def test_any_schema_is_rewritten_or_refused_and_stays_as_it_was(schema):
    before = copy.deepcopy(schema)
    for arguments in ("'x'", "'required', refs='inline'", "refs='inline', const='enum', null='nullable', closed=true"):
        spec = Spec(f't: {{v: "{{{{ a | schema({arguments}) }}}}"}}')
        try:
            json.dumps(spec.render(a=schema))
        except Error:
            pass
        assert schema == before
