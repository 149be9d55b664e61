"""Random paths on random documents: the compiled form agrees with the JMESPath library, and lenient paths never fail."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from engine.errors import LimitError, SpecError
from engine.expr.function import Unit
from engine.expr.query import LENGTH, PathError, Queries, QueryError, compile_query, parse
from engine.spec.node import Node
from engine.spec.problem import Problems
from tests.samples import sampled

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from([None, True, False, 0, 1, 2, -1, 1.5, "", "a", "b", "abc", "2", "[1]"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
LITERALS = st.sampled_from(["'a'", "'abc'", "`0`", "`1`", "`true`", "`null`", "`[]`", "`{}`", '`[1, "a"]`', "''"])
ONE_NAMES = "abs avg ceil floor keys length max min not_null reverse sort sum to_array to_number type values"
ONE = st.sampled_from(ONE_NAMES.split())
TWO = st.sampled_from(["contains", "ends_with", "starts_with", "join", "merge", "not_null"])
BY = st.sampled_from(["sort_by({1}, &{0})", "max_by({1}, &{0})", "min_by({1}, &{0})", "map(&{0}, {1})"])
PLACES = st.sampled_from(["[0]", "[-1]", "[5]", "[*]", "[]", "[1:]", "[::-1]", "[:2]"])


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}.{}".format, inner, NAMES),
        st.builds("{}{}".format, inner, PLACES),
        st.builds("{}[?{}]".format, inner, inner),
        st.builds("{}.*".format, inner),
        st.builds("({})".format, inner),
        st.builds("!{}".format, inner),
        st.builds("{} | {}".format, inner, inner),
        st.builds("{} {} {}".format, inner, st.sampled_from(["||", "&&"]), inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{}.[{}, {}]".format, inner, inner, inner),
        st.builds("{{x: {}, y: {}}}".format, inner, inner),
        st.builds("{}({})".format, ONE, inner),
        st.builds("{}({}, {})".format, TWO, inner, inner),
        st.builds(str.format, BY, inner, inner),
    )


PATHS = st.recursive(NAMES | st.just("@") | LITERALS, grow, max_leaves=8)


class Unspecified(Exception):
    """What the library does where the standard says nothing."""


def standard(path: str, document: Any) -> Any:
    """What the library gives; QueryError where the standard has invalid-type."""
    try:
        return jmespath.search(path, document)
    except JMESPathError as error:
        raise QueryError(str(error)) from None
    except (TypeError, ValueError):  # the library orders what has no order, and merges what is no object
        raise Unspecified from None


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@settings(max_examples=sampled(400), deadline=None)
@given(PATHS, DOCUMENTS)
@example("!a[?b]", {"a": []})
@example("a.b || a.c", {"a": {"c": 0}})
@example("[a, a.b] | [1]", {"a": {"b": 1}})
@example("(a || b).c && b[0].c", {"b": [{"c": 1}]})
def test_agrees_with_the_library(path: str, document: Any) -> None:
    before = text(document)
    try:
        jmespath.compile(path)
        query = compile_query(path)
    except (SpecError, JMESPathError):
        return
    try:
        wanted: Any = text(standard(path, document))
    except QueryError:
        wanted = QueryError
    except Unspecified:
        return
    try:
        found: Any = text(query(document))
    except QueryError:
        found = QueryError
    assert text(document) == before, "the document was changed"
    if found != wanted and not _differs_from_the_standard(path):
        assert found == wanted


def _differs_from_the_standard(path: str) -> bool:
    """The library says [1] == [true] and contains([true], `1`), compares texts with numbers by luck, and checks only the first
    argument of merge; JSON and the specification do not."""
    return any(word in path for word in ("==", "!=", "contains", "merge"))


@settings(max_examples=sampled(300), deadline=None)
@given(PATHS, DOCUMENTS)
def test_paths_of_a_spec_never_fail(path: str, document: Any) -> None:
    """RELIABILITY M3: where the standard has an error, a spec's path gives nothing; where it has none, the same."""
    unit, problems = Unit("test"), Problems()
    Queries(unit, problems).query("query", Node(path))
    if problems:
        return
    query = unit.build()["query"]
    try:
        wanted = compile_query(path)(document)
    except QueryError:
        wanted = None
    assert text(query(document)) == text(wanted)


@settings(max_examples=sampled(300), deadline=None)
@given(st.text(alphabet="ab.[]*?@&|!<>=(){}:,'\"`\\0123-_ \n\té\x00", max_size=40) | st.text(max_size=30))
def test_any_text_is_a_path_or_a_path_error(path: str) -> None:
    with contextlib.suppress(PathError):
        parse(path)
    with contextlib.suppress(SpecError, QueryError, LimitError):
        compile_query(path)({"a": [1, {"b": "x"}]})


@pytest.mark.parametrize(
    "path", ["\ud800", "'\ud800'", '"\ud800"', '`"\\ud800"`', "a\x00b", "'" * 7, "`", '"\\', "a" * (LENGTH + 1)]
)
def test_odd_texts_do_not_crash(path: str) -> None:
    with contextlib.suppress(SpecError):
        compile_query(path)({})
