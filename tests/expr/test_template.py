"""The template language, section by section (SPEC_LANGUAGE 3; RELIABILITY A4)."""

from __future__ import annotations

import pytest

from engine.errors import ConfigError, UnsupportedError
from tests.expr.templating import FREE, Spec, chat, problems_of, rendered, value

# --- 3.1 values and nothing ------------------------------------------------------------------------------------------


def test_a_single_hole_keeps_its_native_value():
    assert rendered('"{{ x }}"', x=1.0) == 1.0
    assert rendered('"{{ x }}"', x=1.0).__class__ is float
    assert rendered('"{{ x }}"', x="123") == "123"
    assert rendered('"{{ x }}"', x=[1, {"a": None}]) == [1, {"a": None}]
    assert rendered('"{{ x }}"', x=False) is False


def test_text_with_holes_is_text_or_nothing():
    assert rendered('"a {{ x }} b {{ y }}"', x=1, y=True) == "a 1 b true"
    assert rendered('"a {{ x }}"', x=2.0) == "a 2.0"
    assert rendered('"a {{ x }}"', x={"k": [1]}) == 'a {"k":[1]}'
    assert rendered('"a {{ x }} {{ y }}"', x=1) is None
    assert rendered("\"a {{ '}}' }} {{ {'k': {'q': 1}}.k.q }}\"") == "a }} 1"


def test_what_is_nothing_vanishes_with_the_containers_written_around_it():
    template = '{a: "{{ a }}", b: {c: {d: "{{ b }}"}}, l: ["{{ c }}", [ "{{ d }}" ]], k: 1}'
    assert rendered(template) == {"k": 1}
    assert rendered(template, a=0, b="", c=False, d=[]) == {"a": 0, "b": {"c": {"d": ""}}, "l": [False, [[]]], "k": 1}
    assert rendered('{a: "{{ a }}"}') is None


def test_literal_empty_containers_stay_and_data_is_never_pruned():
    assert rendered('{a: {}, b: [], c: ""}') == {"a": {}, "b": [], "c": ""}
    given = {"additionalProperties": False, "properties": {}, "x": None, "l": [None, []]}
    assert rendered('{p: "{{ x }}"}', x=given)["p"] is given


def test_keys_keep_the_order_they_are_written_in():
    assert list(rendered('{z: 1, a: "{{ a }}", m: 2, b: "{{ b }}", c: {k: 1}}', a=1, b=2)) == ["z", "a", "m", "b", "c"]


def test_null_in_a_template_is_nothing():
    assert rendered("{a: ~, b: {c: ~}, d: [~]}") is None
    assert rendered('{a: "{{ null }}", b: 1}') == {"b": 1}


# --- 3.2 directives --------------------------------------------------------------------------------------------------


def test_for_builds_a_mapping_per_item_and_vanishes_when_empty():
    template = '{l: {$for: i in items, n: "{{ i.n }}", k: 1}}'
    assert rendered(template, items=[{"n": 1}, {}]) == {"l": [{"n": 1, "k": 1}, {"k": 1}]}
    assert rendered(template, items=[]) is None
    assert rendered(template) is None


def test_for_with_value_and_nested_for():
    assert rendered("{$for: i in items, $value: \"{{ i ~ '!' }}\"}", items=[1, None, "a"]) == ["1!", "a!"]
    numbered = '{$for: "d, n in items", id: "{{ n ~ \'\' }}", of: {$for: "e, k in d", $value: "{{ n * 10 + k }}"}}'
    assert rendered(numbered, items=[["a", "b"], ["c"]]) == [{"id": "0", "of": [0, 1]}, {"id": "1", "of": [10]}]
    assert rendered(numbered, items=None) is None
    nested = '{$for: i in items, $value: {$for: j in i, $value: "{{ j }}"}}'
    assert rendered(nested, items=[[1, 2], [], [3]]) == [[1, 2], [3]]


def test_for_splices_into_a_list():
    template = (
        '["first", {$for: i in items, n: "{{ i }}"}, {$if: x, $for: j in items, $value: "{{ j }}", $else: [none, at all]}, last]'
    )
    assert rendered(template, items=[1, 2], x=True) == ["first", {"n": 1}, {"n": 2}, 1, 2, "last"]
    assert rendered(template, items=[1]) == ["first", {"n": 1}, "none", "at all", "last"]


def test_if_else_with_mapping_and_value():
    template = '{a: {$if: x, k: "{{ y }}", $else: {n: 1}}, b: {$if: not x, $value: [1, "{{ y }}"]}}'
    assert rendered(template, x=1, y=2) == {"a": {"k": 2}}
    assert rendered(template, y=2) == {"a": {"n": 1}, "b": [1, 2]}


def test_if_inside_for_keeps_items():
    assert rendered('{$for: i in items, $if: i.ok, n: "{{ i.n }}"}', items=[{"ok": 1, "n": 1}, {"n": 2}]) == [{"n": 1}]


SWITCH = '{k: {$switch: x, a | b: "{{ x }}!", 1: one, "true": yes it is, c: ~}}'


def test_switch_selects_by_text_numbers_and_booleans():
    assert rendered(SWITCH, x="a") == {"k": "a!"}
    assert rendered(SWITCH, x="b") == {"k": "b!"}
    assert rendered(SWITCH, x=1) == {"k": "one"}
    assert rendered(SWITCH, x=True) == {"k": "yes it is"}
    assert rendered(SWITCH, x="c") is None


def test_switch_on_nothing_is_nothing_and_an_unknown_case_a_typed_error():
    assert rendered(SWITCH) is None
    with pytest.raises(UnsupportedError, match="acme cannot express 'zzz'"):
        rendered(SWITCH, x="zzz")
    with pytest.raises(UnsupportedError):
        rendered(SWITCH, x=["a"])
    assert rendered("{$switch: x, a: 1, $default: 2}", x="zzz") == 2
    assert rendered("{$switch: x, a: 1, $default: 2}") is None


def test_a_case_that_is_a_list_or_a_for_splices_only_inside_for():
    template = (
        '{$for: i in items, $switch: i.t, one: {n: 1}, many: [{n: 2}, "{{ i.x }}"], each: {$for: j in i.l, n: "{{ j }}"}, none: ~}'
    )
    items = [{"t": "one"}, {"t": "many"}, {"t": "each", "l": [7, 8]}, {"t": "none"}, {"t": "many", "x": 5}]
    assert rendered(template, items=items) == [{"n": 1}, {"n": 2}, {"n": 7}, {"n": 8}, {"n": 2}, 5]
    assert rendered("[{$switch: x, a: [1, 2]}]", x="a") == [[1, 2]]


def test_join_makes_one_text():
    template = '{p: {$join: "", $value: [{$for: m in items, $value: "{{ m.r }}: {{ m.t }}\\n"}, "assistant:"]}}'
    assert rendered(template, items=[{"r": "user", "t": "hi"}, {"r": "user"}]) == {"p": "user: hi\nassistant:"}
    assert rendered('{$join: ", ", $for: i in items, $value: "{{ i }}"}', items=[1, True, "x"]) == "1, true, x"
    assert rendered('{$join: ", ", $for: i in items, $value: "{{ i }}"}') is None


def test_merge_is_deep_in_place_and_copies_what_it_changes():
    data = {"a": {"n": 1}, "z": 1}
    template = '{first: 1, $merge: ["{{ x }}", {a: {m: "{{ y }}"}}, "{{ z }}"], z: last}'
    assert rendered(template, x=data, y=2) == {"first": 1, "a": {"n": 1, "m": 2}, "z": "last"}
    assert list(rendered(template, x=data, y=2)) == ["first", "a", "z"]
    assert data == {"a": {"n": 1}, "z": 1}
    with pytest.raises(ConfigError, match="only mappings can be merged"):
        rendered('{a: 1, $merge: "{{ x }}"}', x=[1])


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{$fro: x in a, k: 1}", "t.yaml:1:5: error[unknown-directive]: `$fro` is not a directive; did you mean `$for`?"),
        ("{$else: 1, k: 1}", "t.yaml:1:5: error[unknown-directive]: `$else` stands only with `$if`"),
        (
            "{$for: x of a, k: 1}",
            "t.yaml:1:11: error[bad-for]: `$for` reads `<name> in <expression>` or `<name>, <number> in <expression>`",
        ),
        (
            "{$for: _x in a, k: 1}",
            "t.yaml:1:11: error[bad-for]: `$for` reads `<name> in <expression>` or `<name>, <number> in <expression>`",
        ),
        (
            "{$if: a, $value: 1, k: 2}",
            "t.yaml:1:24: error[bad-directive]: `$value` is the whole payload; `k` cannot stand beside it",
        ),
        ("{$join: 3, $for: i in a, $value: x}", "t.yaml:1:12: error[bad-directive]: `$join` is the text between the items"),
        ("{$switch: a, x: 1, y | x: 2}", "t.yaml:1:23: error[duplicate-case]: case `x` stands twice"),
    ],
)
def test_directive_problems_stand_where_they_are_written(template, found):
    assert found in problems_of(template)


def test_loops_nest_at_most_four_deep():
    deep = "1"
    for n in range(5):
        deep = f"{{$for: v{n} in a, $value: {deep}}}"
    assert "loops are nested more than 4 deep" in problems_of(deep)[0]
    assert problems_of(deep[len("{$for: v4 in a, $value: ") : -1]) == []


# --- 3.3 expressions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "context", "expected"),
    [
        ("a.b.c", {"a": {"b": {"c": 1}}}, 1),
        ("a.b.c", {"a": {"b": "text"}}, None),
        ("a['b']", {"a": {"b": 2}}, 2),
        ("a[0]", {"a": [5]}, 5),
        ("a[-1]", {"a": [5, 6]}, 6),
        ("a[3]", {"a": [5]}, None),
        ("a[:-1]", {"a": [5, 6]}, [5]),
        ("a[:2]", {"a": "text"}, "te"),
        ("a[:2]", {"a": {"k": 1}}, None),
        ("a[x]", {"a": {"k": 1}, "x": "k"}, 1),
        ("a[x]", {"a": {"1": "one"}, "x": 1}, "one"),
        ("a[x]", {"a": {"k": 1}, "x": ["k"]}, None),
        ("a or b", {"a": 0, "b": 2}, 2),
        ("a and b", {"a": 1}, None),
        ("not a", {}, True),
        ("a == 1", {"a": 1}, True),
        ("a == b", {"a": [1, {"k": 2}], "b": [1, {"k": 2}]}, True),
        ("a != 'x'", {}, True),
        ("1 < a <= 3", {"a": 3}, True),
        ("a < 3", {}, False),
        ("a in ['x', 'y']", {"a": "y"}, True),
        ("a not in ['x', 'y']", {"a": ["x"]}, True),
        ("'k' in a", {"a": {"k": 0}}, True),
        ("a in b", {"a": "x", "b": "xyz"}, True),
        ("a in b", {"a": 1}, False),
        ("x if a else y", {"y": 3}, 3),
        ("x if a", {"x": 1}, None),
        ("a ~ 1 ~ true", {"a": "v"}, "v1true"),
        ("a ~ b", {"a": "v"}, None),
        ("a + 1", {"a": 1.5}, 2.5),
        ("a + b", {"a": [1], "b": [2]}, [1, 2]),
        ("a + b", {"a": "x", "b": "y"}, "xy"),
        ("a - 1 * 2", {"a": 5}, 3),
        ("7 // 2 + 7 % 4 - -1", {}, 7),
        ("a / 2", {"a": 5}, 2.5),
        ("a + b", {"a": 1}, None),
        ("-a", {"a": 4}, -4),
        ("[a, b, 1]", {"b": 2}, [2, 1]),
        ("[a, b]", {}, None),
        ("{'k': a, 'n': 1}", {}, {"n": 1}),
        ("{'k': a}", {}, None),
        ("{'required': 'R'}[a]", {"a": "required"}, "R"),
        ("{'required': 'R'}[a]", {"a": "x"}, None),
        ("a is none", {}, True),
        ("a is not none", {"a": 0}, True),
        ("a is string", {"a": "x"}, True),
        ("a is number", {"a": True}, False),
        ("a is number", {"a": 1.5}, True),
        ("a is mapping", {"a": {}}, True),
        ("a is sequence", {"a": []}, True),
        ("a is defined", {}, False),
        ("'a\\n' 'b'", {}, "a\nb"),
        ("('x', 'y')[1]", {}, "y"),
    ],
)
def test_expressions_mean_what_section_3_3_says(expression, context, expected):
    result = value(expression, **context)
    assert result == expected
    assert result.__class__ is expected.__class__


@pytest.mark.parametrize(
    ("expression", "context"),
    [
        ("a + 1", {"a": "1"}),
        ("a * 3", {"a": "x"}),
        ("a * 3", {"a": [1]}),
        ("a - 1", {"a": True}),
        ("a / 0", {"a": 1}),
        ("a < 'x'", {"a": 1}),
        ("a in b", {"a": 1, "b": 5}),
        ("a[:x]", {"a": [1], "x": "1"}),
        ("a * a", {"a": 10**300}),
        ("a * a", {"a": 1e300}),
    ],
)
def test_operations_on_the_wrong_kinds_are_typed_errors(expression, context):
    with pytest.raises(ConfigError):
        value(expression, **context)


TABLES = "tables: {budget: {low: 1024, none: 0}}\n"


def test_tables_are_constants_that_can_be_looked_up():
    spec = Spec(TABLES + 't: {a: "{{ tables.budget[x] }}", b: "{{ tables.budget.low }}", c: "{{ tables.budget }}"}')
    assert spec.render(x="none") == {"a": 0, "b": 1024, "c": {"low": 1024, "none": 0}}
    assert "c" in spec.render(x="zzz") and "a" not in spec.render(x="zzz")
    spec.render()["c"]["low"] = 0
    assert spec.render()["c"]["low"] == 1024
    bad = Spec(TABLES + 't: "{{ tables.bugdet[x] }}"').problems
    assert [str(p) for p in bad] == ["t.yaml:2:15: error[unknown-field]: there is no table `bugdet`; did you mean `budget`?"]


def test_names_fields_filters_tests_and_functions_are_checked_with_a_suggestion():
    spec = chat(
        """\
body:
  a: "{{ modle }}"
  b: {$for: m in messages, r: "{{ m.rol }}", $switch: m.role, usre: 1}
  c: "{{ model | uper }}"
  d: "{{ model is strng }}"
  e: "{{ nwo() }}"
  f: "x {{ tool_choice.moed }}"
  g: "{{ reasoning.mode == 'on' }}"
"""
    )
    found = {(p.rule, p.suggestion) for p in spec.problems}
    assert ("unknown-name", "model") in found
    assert ("unknown-filter", "upper") in found
    assert ("unknown-test", "string") in found
    assert ("unknown-function", "now") in found
    assert ("unknown-field", "mode") in found
    places = {p.rule + str(p.suggestion): (p.mark.line, p.mark.column) for p in spec.problems}
    assert places["unknown-namemodel"] == (2, 10)
    assert places["unknown-filterupper"] == (4, 18)
    assert places["unknown-fieldmode"] == (7, 24)
    assert places["unknown-valuenone"] == (8, 29)


def test_a_case_the_value_can_never_have_is_a_problem():
    spec = chat("body: {$for: m in messages, $switch: m.role, usre: 1, user: 2}")
    assert [str(p) for p in spec.problems] == ["t.yaml:1:46: error[unknown-case]: this is never `usre`; did you mean `user`?"]


def test_a_list_of_the_request_has_no_fields():
    found = chat('body: {a: "{{ tools.name }}", b: "{{ tools[0].name }}", c: "{{ (messages | first).text }}"}').problems
    assert [(p.rule, p.mark.column) for p in found] == [("unknown-field", 21)]


@pytest.mark.parametrize("mode", ["body", "url", "text"])
def test_a_conditional_without_else_inside_text_is_a_problem(mode):
    found = Spec("t: \"chat{{ '_stream' if stream }}\"", FREE, mode).problems
    assert [p.rule for p in found] == ["may-vanish"]
    assert (found[0].mark.line, found[0].mark.column) == (1, 12)
    assert not Spec("t: \"chat{{ '_stream' if stream else '' }}\"", FREE, mode).problems
    assert [p.rule for p in Spec("t: \"c{{ 'a' if x else 'b' if y }}\"").problems] == ["may-vanish"]


def test_all_problems_are_found_in_one_run_and_compilation_goes_on():
    spec = Spec('t: {a: "{{ q1 }}", b: "{{ a +  }}", c: "{{ a | q2 }}", d: "{% if %}", e: "{{ a"}')
    assert [p.rule for p in spec.problems] == [
        "unknown-name",
        "bad-expression",
        "unknown-filter",
        "bad-expression",
        "bad-expression",
    ]
