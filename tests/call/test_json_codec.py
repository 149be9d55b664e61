"""The JSON codec reads and writes the same with orjson and without (RELIABILITY M1)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.call import json as codec

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(params=["orjson", "stdlib"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "stdlib":
        monkeypatch.setattr(codec, "orjson", None)
    elif codec.orjson is None:
        pytest.skip("orjson is not installed")
    return str(request.param)


@given(DOCUMENTS)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert codec.loads(codec.dumps(value)) == value


@given(DOCUMENTS)
def test_both_backends_read_alike(value: Any) -> None:
    data = json.dumps(value).encode()
    assert codec.loads(data) == codec._read(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xef\xbb\xbf{}", {}),
        (b'"a\xffb"', "a\ufffdb"),
        (b'"\\ud83c!"', "\ufffd!"),
        (b"123456789012345678901234567890", 123456789012345678901234567890.0),
        (b'"' + b"1" * 100 + b'"', "1" * 100),
        (b"[" * 64 + b"]" * 64, None),
        (b'["' + b"[" * 1000 + b'"]', ["[" * 1000]),
    ],
)
def test_odd_characters_are_read(backend: str, data: bytes, value: Any) -> None:
    read = codec.loads(data)
    if value is not None:
        assert read == value and type(read) is type(value)


@pytest.mark.parametrize("data", [b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"", b"{", b"nul", b"[1,]", b"{'a':1}", b"\x00"])
def test_what_is_not_json_is_refused(backend: str, data: bytes) -> None:
    with pytest.raises(codec.JsonError):
        codec.loads(data)


@pytest.mark.parametrize(
    "data", [b"[" * 65 + b"]" * 65, b"[" * 100_000, b'{"a":' * 70 + b"1" + b"}" * 70, b"1" * 65, b"[0." + b"3" * 80 + b"]"]
)
def test_past_the_limits_is_told_apart(backend: str, data: bytes) -> None:
    """M1: nesting 64, numbers of 64 characters."""
    with pytest.raises(codec.JsonLimitError):
        codec.loads(data)


@pytest.mark.parametrize("data", [b"[" * 500 + b"]" * 500, b'{"a":' * 100 + b"1" + b"}" * 100])
def test_one_event_is_limited_in_depth(backend: str, data: bytes) -> None:
    with pytest.raises(codec.JsonLimitError):
        codec.loads_event(data)


def test_deep_brackets_in_strings_do_not_count() -> None:
    code = "".join("[{" for _ in range(500)) + '\\"' + "}]" * 20
    assert codec.loads(json.dumps({"code": code}).encode()) == {"code": code}


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}, {"a": None, "b": float("-inf")}, {1, 2}, {"a": object()}])
def test_what_json_cannot_hold_is_refused(backend: str, value: Any) -> None:
    with pytest.raises(codec.JsonError):
        codec.dumps(value)


def test_a_circle_is_refused(backend: str) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(codec.JsonError):
        codec.dumps(circle)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": None, "ü": "🎉"}, '{"a":null,"ü":"🎉"}'),
        ({1: 2}, '{"1":2}'),
        (2**70, "1180591620717411303424"),
        (Decimal("1.5"), "1.5"),
        (Decimal("2"), "2"),
        ((1, 2), "[1,2]"),
    ],
)
def test_writing_is_compact_utf8(backend: str, value: Any, text: str) -> None:
    assert codec.dumps(value).decode() == text


def test_half_a_surrogate_pair_is_written_as_an_escape(backend: str) -> None:
    assert json.loads(codec.dumps({"a": "\ud83c"})) == {"a": "\ud83c"}


def test_only_what_is_surely_finite_is_proven_so(backend: str) -> None:
    plain = {"type": ["string", "null"], "a": [1, 2.5, True, "null"]}
    for _ in range(2):
        assert codec.finite(plain) == (backend == "orjson")
        assert not codec.finite({"a": float("nan")})
        assert not codec.finite([float("inf")])
        assert not codec.finite({"a": None})  # written as a NaN is
        assert not codec.finite({"a": {1}})


@pytest.mark.parametrize("before", range(17))
def test_a_long_number_is_found_wherever_it_begins(backend: str, before: int) -> None:
    text = " " * before + "[1234567,%s" + ', "a"' * 5 + "]"
    with pytest.raises(codec.JsonLimitError):
        codec.loads(text % ("9" * 65))
    assert codec.loads(text % ("9" * 15))[1] == int("9" * 15)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_the_depth_is_counted_over_both_brackets(backend: str, opening: str) -> None:
    closing = opening.replace('"a":', "")[::-1].translate(str.maketrans("[{", "]}"))
    levels = len(closing)
    fits = 64 // levels
    assert codec.loads(opening * fits + "1" + closing * fits) is not None
    with pytest.raises(codec.JsonLimitError):
        codec.loads(opening * (fits + 1) + "1" + closing * (fits + 1))
