"""RELIABILITY A5: paths are small, and what they cost is bounded whatever they are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import LimitError, SpecError
from engine.expr.query import PathError, QueryError, compile_query, parse
from engine.expr.query_limits import STEPS, TEXT, weigh

WIDE = "[" + ",".join("@" * 20) + "]"
SECONDS = 8.0  # generous for a loaded machine; unbounded evaluation takes hours


def ends_soon(path: str, document: Any) -> str:
    """`limit`, `refused` or `done`; fails the test if it takes long or fails in another way."""
    started = time.process_time()
    try:
        compile_query(path)(document)
        outcome = "done"
    except SpecError:
        outcome = "refused"
    except LimitError:
        outcome = "limit"
    assert time.process_time() - started < SECONDS, path
    return outcome


@pytest.mark.parametrize(
    ("path", "document"),
    [
        pytest.param("[@,@][]|" * 28 + "@", [1], id="doubling projections"),
        pytest.param("[@,@]|" * 25 + "@", 1, id="doubling without loops"),
        pytest.param("{a:@,b:@}|" * 25 + "@", 1, id="doubling mappings"),
        pytest.param(".".join(["[@,@]"] * 30), 1, id="doubling in a chain"),
        pytest.param(WIDE + "|" + WIDE + "|" + WIDE + "|" + WIDE + "|" + WIDE, 1, id="wide multiselects"),
        pytest.param(".".join(["[@,@,@,@][]"] * 12), [1], id="doubling inside projections"),
        pytest.param("[*].[@,@,@,@][]|" * 12 + "@", [1], id="doubling items"),
        pytest.param("[@,@]|" * 24 + "to_string(@)", "x" * 1000, id="doubling text"),
        pytest.param("merge({a:@,b:@},{c:@,d:@})|" * 14 + "@", 1, id="doubling by merge"),
        pytest.param("map(&[@,@,@,@,@,@,@,@,@,@],@)[]|" * 9 + "@", [1], id="multiplying by map"),
        pytest.param("[@,@]|" * 22 + "[@==@,[@]==[@]]", 1, id="comparing what was doubled"),
        pytest.param("[@,@][]|" * 24 + "sort(@)", [1, 2], id="sorting what was doubled"),
        pytest.param("not_null(@,@)|[@,@,@,@]|" * 12 + "@", 1, id="functions between doublings"),
        pytest.param(("replace(@,'a','" + "a" * 1000 + "')|") * 4 + "@", "a", id="text growing by replace"),
        pytest.param("join(@,[@,@,@,@])|" * 20 + "@", "a", id="text growing by join"),
        pytest.param("to_string([@,@,@])|" * 20 + "@", '"', id="text growing by escapes"),
        pytest.param("[*].join('" + "x" * 4000 + "',@)", [["a"] * 500] * 500, id="much text from a literal"),
        pytest.param("[*].split(@,'')[]", ["x" * 20000] * 60, id="many characters"),
        pytest.param("[*][*][*]", [[[0] * 101] * 100] * 100, id="many turns"),
        pytest.param("[*]", [0] * (STEPS + 1), id="one long list"),
        pytest.param("*", dict.fromkeys(map(str, range(STEPS + 1))), id="one wide mapping"),
        pytest.param("sort_by(@,&@)", [0] * (STEPS + 1), id="sorting a long list"),
        pytest.param("[]", [[0] * 1001] * 1000, id="flattening"),
    ],
)
def test_work_is_bounded(path: str, document: Any) -> None:
    assert ends_soon(path, document) == "limit"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a|" * 40 + "a", "at most 32 levels"),
        ("!" * 40 + "a", "at most 32 levels"),
        ("[" * 40 + "a" + "]" * 40, "at most 32 levels"),
        ("(" * 5000 + "a" + ")" * 5000, "at most 32 levels"),
        ("[" * 3000, "at most 32 levels"),
        ("!" * 15000 + "a", "at most 32 levels"),
        ("a||" * 300 + "a", "at most 32 levels"),
        (".".join("a" * 300), "at most 200 nodes"),
        ("[" + ",".join("a" * 300) + "]", "at most 200 nodes"),
        ("not_null(" + ",".join("a" * 250) + ")", "at most 200 nodes"),
        ("a[*]." * 12 + "a", "nest at most 10"),
        ("map(&" * 12 + "a" + ",@)" * 12, "nest at most 10"),
        ("'" + "x" * 4097 + "'", "at most 4,096 bytes"),
        ("'" + "é" * 2100 + "'", "at most 4,096 bytes"),
        ("`" + "[" * 2000 + "]" * 2000 + "`", "at most 32 levels"),
        ("`" + "[" * 100 + "]" * 100 + "`", "at most 32 levels"),
        ("`[" + "1," * 2000 + "1]`", "at most 4,096 bytes"),
        ("`NaN`", "not JSON"),
        ("`1e999`", "not JSON"),
        ("a" * 20000, "at most 16,384 characters"),
        ("a[" + "9" * 6000 + "]", "too long"),
        ("", "empty"),
        (" \n", "empty"),
    ],
)
def test_large_paths_are_refused(path: str, message: str) -> None:
    started = time.process_time()
    with pytest.raises(PathError) as caught:
        parse(path)
    assert message in str(caught.value)
    assert time.process_time() - started < 2


def test_the_largest_paths_run() -> None:
    assert compile_query("a[*]." * 10 + "a")({"a": [{"a": []}]}) == [[]]
    assert compile_query("|".join("@" * 32))(1) == 1
    assert compile_query(".".join("a" * 199))({}) is None
    assert compile_query("[" + ",".join("@" * 199) + "]")(1) == [1] * 199
    assert len(compile_query("'" + "x" * 4094 + "'")(None)) == 4094


def test_plain_paths_count_nothing() -> None:
    """A budget costs time; a path without loops has none to spend."""
    for path in ("a.b[0].c || d", "starts_with(a, 'x') && b", "{a: a, b: b}", "a == 'x' && length(b) > `1`"):
        names = compile_query(path).__code__.co_varnames
        assert "steps" not in names, path


def test_a_budget_is_for_one_evaluation() -> None:
    query: Callable[[Any], Any] = compile_query("[*]")
    document = [0] * (STEPS // 2)
    for _ in range(3):
        assert len(query(document)) == STEPS // 2


def test_shared_parts_weigh_every_time() -> None:
    part: Any = ["x" * 640]
    for _ in range(10):
        part = [part, part]
    assert weigh(part, 0) == (2**11 - 1) + 2**10 * 11
    for _ in range(40):
        part = {"a": part, "b": part}
    with pytest.raises(LimitError):
        weigh(part, 0)


def test_values_nested_beyond_reason_end_in_a_limit() -> None:
    one: Any = []
    other: Any = []
    for _ in range(100_000):
        one, other = [one], [other]
    with pytest.raises(LimitError):
        compile_query("a == b")({"a": one, "b": other})
    with pytest.raises((LimitError, QueryError)):
        compile_query("to_string(a)")({"a": one})
    for value in (one, other):  # taken apart here, so that no collector recurses
        while value:
            value = value.pop()


def test_text_is_refused_before_it_is_made() -> None:
    with pytest.raises(LimitError):
        compile_query("join(a, b)")({"a": "x" * (TEXT // 1000 + 1), "b": ["", *["y"] * 1000]})
    with pytest.raises(LimitError):
        compile_query("replace(a, 'x', b)")({"a": "x" * 4097, "b": "y" * 4097})
