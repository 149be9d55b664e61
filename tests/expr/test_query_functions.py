"""The functions of paths (SPEC_LANGUAGE 6.2), and what a path of a spec does where one refuses its value (RELIABILITY M3)."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from engine.expr.function import Unit
from engine.expr.query import Queries, QueryError, compile_query, parse, parsed
from engine.spec.node import Mark, Node
from engine.spec.problem import Problems


def lenient(path: Any) -> Any:
    unit, problems = Unit("test"), Problems()
    Queries(unit, problems).query("query", Node(path))
    assert not problems
    return unit.build()["query"]


@pytest.mark.parametrize(
    ("path", "document", "result"),
    [
        ("from_json(@)", '{"a": [1, null]}', {"a": [1, None]}),
        ("from_json(@)", "{", None),
        ("from_json(@)", "NaN", None),
        ("from_json(@)", {"already": 1}, {"already": 1}),
        ("from_json(a).b", {"a": '{"b": 2}'}, 2),
        ("split(@, '/')", "a/b", ["a", "b"]),
        ("split(@, '')", "ab", ["a", "b"]),
        ("split(@, ',')", None, None),
        ("split(@, `1`)", "a", None),
        ("replace(@, 'a', 'b')", "aca", "bcb"),
        ("replace(@, '', 'b')", "aca", "aca"),
        ("replace(@, 'a', `null`)", "aca", None),
        ("get(a, b)", {"a": {"x": 1}, "b": "x"}, 1),
        ("get(a, b)", {"a": {"x": 1}}, None),
        ("get(a, b)", {"a": [1], "b": "0"}, None),
        ("mul(@, `0.001`)", 1500, 1.5),
        ("mul(@, `2`)", 21, 42),
        ("mul(@, `2`)", "21", 42),
        ("mul(@, `2`)", None, None),
        ("mul(@, `2`)", True, None),
        ("mul(@, @)", 1e300, None),
        ("rows(@)", {"a": [1, 2], "b": [3, 4]}, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ("rows(@)", {"a": [1, 2], "b": [3], "c": 5}, [{"a": 1, "b": 3}, {"a": 2}]),
        ("rows(@)", {"c": 5}, []),
        ("rows(@)", [1], None),
        ("rows(@)[?b > `3`].a | [0]", {"a": [1, 2], "b": [3, 4]}, 2),
        ("to_number(@)", " 7 ", 7),
        ("to_number(@)", "1_000", None),
        ("to_number(@)", "inf", None),
        ("to_number(@)", "9" * 65, None),
        ("to_number(@)", "1e999", None),
        ("to_string(@)", {"ü": [1, True]}, '{"ü":[1,true]}'),
        ("avg(@)", [1e308, 1e308], None),
        ("sum(@)", [1e308, 1e308], None),
        ("ceil(@)", 1.2, 2),
        ("contains(@, `1`)", [True, "1"], False),
        ("contains(@, `[1]`)", [[1]], True),
        ("@ == `1`", True, False),
        ("@ == `[1]`", [True], False),
        ("@ == `[1.0]`", [1], True),
        ("@ != `false`", 0, True),
        ("@ < 'b'", "a", True),
        ("@ < `1`", "a", None),
        ("@ < `1`", True, None),
        ("!@", 0, False),
        ("@ || 'x'", 0, 0),
        ("@ && 'x'", 0, "x"),
        ("[?@]", [0, "", [], {}, None, False, 0.0, "a"], [0, 0.0, "a"]),
        ("min_by(@, &a).a", [{"a": 2}, {"a": 1}], 1),
        ("map(&a, @)", [{"a": 2}, 1], [2, None]),
        ("sort_by(@, &a)[].b", [{"a": 1, "b": 1}, {"a": 0, "b": 2}, {"a": 1, "b": 3}], [2, 1, 3]),
    ],
)
def test_functions(path: str, document: Any, result: Any) -> None:
    found = compile_query(path)(document)
    assert found == result and found.__class__ is result.__class__


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("length(@)", 1),
        ("starts_with(a, 'x')", {}),
        ("ends_with(a, 'x')", {"a": 1}),
        ("contains(a, 'x')", {}),
        ("join(', ', a)", {"a": ["x", 1]}),
        ("join(', ', a)", {"a": None}),
        ("!starts_with(a, 'x')", {}),
        ("starts_with(a, 'x') || 'other'", {}),
        ("starts_with(a, 'x') | type(@)", {}),
        ("a.starts_with(@, 'x').type(@)", {"a": 1}),
        ("[starts_with(a, 'x')]", {}),
        ("{a: sum(a)}", {"a": ["x"]}),
        ("sort(a)", {"a": [1, "x"]}),
        ("max(a)", {"a": [True]}),
        ("sort_by(a, &b)", {"a": [{"b": 1}, {"b": "x"}]}),
        ("max_by(a, &b)", {"a": [{"b": None}]}),
        ("map(&b, a)", {"a": {}}),
        ("a[*].length(@)", {"a": [[], 1]}),
        ("a[?length(@) > `0`]", {"a": [1]}),
        ("keys(a)", {"a": []}),
        ("merge(a, b)", {"a": {}}),
        ("abs(a)", {"a": True}),
    ],
)
def test_a_refused_value_is_an_error_by_the_standard_and_nothing_in_specs(path: str, document: Any) -> None:
    with pytest.raises(QueryError):
        compile_query(path)(document)
    assert lenient(path)(document) is None


def test_a_caller_cannot_change_a_literal() -> None:
    query = lenient('a || `{"b": [1]}`')
    query({})["b"].append(2)
    assert query({}) == {"b": [1]}


def test_constants_are_their_own_value() -> None:
    assert lenient(True)({}) is True
    assert lenient(0.5)({}) == 0.5
    assert lenient(None)({}) is None


@pytest.mark.parametrize(
    ("path", "column", "message", "suggestion"),
    [
        ("choices[0].delta.[content", 25, "`choices[0].delta.[content`: incomplete expression at column 26", None),
        ("a.b..c", 4, "`a.b..c`: unexpected `.` at column 5", None),
        ("a b", 2, "`a b`: unexpected `b` at column 3", None),
        ("a = b", 2, "`a = b`: unknown token '=' at column 3", None),
        ("a || lenght(b)", 5, "`a || lenght(b)`: unknown function `lenght`", "length"),
        ("a || length(b, c)", 5, "`a || length(b, c)`: `length` takes 1 argument, not 2 at column 6", None),
        ("merge()", 0, "`merge()`: `merge` takes at least 1 argument, not 0", None),
        ("sort_by(a, b)", 0, "`sort_by(a, b)`: `sort_by` takes an `&expression`", None),
        ("length(&b)", 7, "`length(&b)`: `&` stands only before an argument of map, sort_by, min_by and max_by at column 8", None),
        ("&b", 0, "`&b`: `&` stands only before an argument of map, sort_by, min_by and max_by", None),
        ("a[::0]", 3, "`a[::0]`: the step of a slice is never 0 at column 4", None),
        ("", 0, "``: the path is empty", None),
        ({"a": Node("b")}, 0, "a path is one text, a number or a boolean", None),
    ],
)
def test_wrong_paths_are_reported_where_they_go_wrong(path: Any, column: int, message: str, suggestion: str | None) -> None:
    problems = Problems()
    queries = Queries(Unit("test"), problems)
    for _ in range(2):
        queries.query("query", Node(path, Mark("a.yaml", 3, 10)))
    assert len(problems) == 1, "reported once"
    found = problems[0]
    assert (found.rule, found.mark, found.message) == ("bad-path", Mark("a.yaml", 3, 10 + column), message)
    assert found.suggestion == suggestion


def test_known_trees_spare_the_library() -> None:
    """A packaged cache hands trees in; neither parsing nor functions then import jmespath."""
    paths = ["a.b || 'x'", "sort_by(a, &b)[?c > `1`] | [0]", "from_json(to_string(a))", "a[1:2].*"]
    for path in paths:
        parse(path)
    trees = {path: tree for path, tree in parsed().items() if path in paths}
    assert len(trees) == len(paths)
    program = f"""
import json, sys
from engine.expr.query import compile_query, preload
preload(json.loads({json.dumps(trees)!r}))
for path in {paths!r}:
    compile_query(path)({{"a": []}})
assert "jmespath" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
