"""The strict loader: SPEC_LANGUAGE 2, RELIABILITY A3."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.spec import load as loader
from engine.spec.load import DATA_LIMIT, load
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.scan import too_deep
from tests.samples import sampled


def read(text: str | bytes, **options: int) -> tuple[Node | None, Problems]:
    problems = Problems()
    return load(text, "f.yaml", problems, **options), problems


def rules(text: str | bytes, **options: int) -> list[str]:
    return [p.rule for p in read(text, **options)[1]]


@pytest.fixture(params=["libyaml", "pure"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds with the C parser and with the Python one."""
    if request.param == "pure":
        import yaml

        monkeypatch.setattr(loader, "_PARSER", yaml.SafeLoader)


def test_a_file_becomes_values_with_places() -> None:
    node, problems = read("name: Acme\nbody:\n  a: [1, 2.5, true, ~, 'x']\n")
    assert not problems and node is not None
    assert node.plain() == {"name": "Acme", "body": {"a": [1, 2.5, True, None, "x"]}}
    listed = node.get("body", "a")
    assert listed is not None and str(listed.mark) == "f.yaml:3:6" and str(listed.key_mark) == "f.yaml:3:3"
    assert str(listed.value[1].mark) == "f.yaml:3:10"


def test_words_stay_text_and_keys_are_text_however_written() -> None:
    words = "yes, no, on, off, y, v1.2, 1.2.3, gpt-4, 10s, 12:3x, .5x, 0.5, -1, +3, 1e3, nullx"
    node, problems = read(f"a: [{words}]\n404: x\ntrue: y\n1.5: z\n2026-01-01: q\n~: n\n")
    assert not problems and node is not None
    plain = node.plain()
    assert plain["a"] == [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "v1.2",
        "1.2.3",
        "gpt-4",
        "10s",
        "12:3x",
        ".5x",
        0.5,
        -1,
        3,
        1000.0,
        "nullx",
    ]
    assert list(plain) == ["a", "404", "true", "1.5", "2026-01-01", "~"]


@pytest.mark.parametrize(
    "scalar",
    [
        *("2023-06-01", "2023-6-1", "2023-06-01T10:00:00Z", "2023-06-01 10:00:00", "12:30", "1:20:30", "-1:10", "190:20:30.15"),
        *("0123", "0o17", "0x1F", "0b101", "1_000", "True", "TRUE", "False", "Null", "NULL", "-.inf", ".NaN", "08"),
    ],
)
def test_a_scalar_that_readers_disagree_on_must_be_quoted(scalar: str) -> None:
    node, problems = read(f"a: {scalar}\n")
    assert [p.rule for p in problems] == ["ambiguous-scalar"]
    assert problems[0].suggestion == f'"{scalar}"' and node is not None and node.plain() == {"a": scalar}
    assert rules(f"a: '{scalar}'\n") == []


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" * 5000, "1e999", "1" * 500 + ".0"])
def test_numbers_fit_64_bits(number: str) -> None:
    assert rules(f"a: {number}\n") == ["bad-number"]
    assert read(f"a: {2**63 - 1}\nb: {-(2**63)}\n")[1] == []


@pytest.mark.parametrize(
    ("text", "rule", "place"),
    [
        ("a: &x 1\n", "no-anchors", (1, 4)),
        ("a: &x {b: 1}\n", "no-anchors", (1, 4)),
        ("a: !!str 1\n", "no-tags", (1, 4)),
        ("a: !thing {b: 1}\n", "no-tags", (1, 4)),
        ("a: !!python/object/apply:os.system [ls]\n", "no-tags", (1, 4)),
        ("a: 1\n<<: {b: 2}\n", "no-merge-keys", (2, 1)),
        ("a: 1\nb: 2\na: 3\n", "duplicate-key", (3, 1)),
        ("a: {b: 1, b: 2}\n", "duplicate-key", (1, 11)),
        ("1: a\n'1': b\n", "duplicate-key", (2, 1)),
        ("a: 1\n---\nb: 2\n", "second-document", (2, 1)),
        ("", "empty-file", (1, 1)),
        ("# only words\n", "empty-file", (1, 1)),
        ("a: {{ x }}\n", "bad-key", (1, 5)),
        ("? [a, b]\n: 1\n", "bad-key", (1, 3)),
        ("a: [1\nb: 2\n", "bad-yaml", None),
        ("a: b: c\n", "bad-yaml", (1, 5)),
        ("a:\n\tb: 1\n", "bad-yaml", (2, 1)),
        ("a: \x01\n", "bad-yaml", (1, 4)),
        ('a: "\\U00110000"\n', "bad-yaml", None),
        ("a\0b: 1\n", "nul-byte", (1, 2)),
        (b"a: \xff\xfe\n", "not-utf8", (1, 1)),
        ("a: 1\nb: \ud800\n", "not-utf8", (2, 1)),
    ],
)
def test_what_is_refused_and_where(text: str | bytes, rule: str, place: tuple[int, int] | None) -> None:
    problems = read(text)[1]
    assert problems and problems[0].rule == rule
    if place is not None:
        assert (problems[0].mark.line, problems[0].mark.column) == place


def test_an_alias_is_refused_and_reading_goes_on() -> None:
    node, problems = read("a: &x [1]\nb: *x\nc: 2023-01-01\nc: 1\n")
    assert [p.rule for p in problems] == ["no-anchors", "no-anchors", "ambiguous-scalar", "duplicate-key"]
    assert node is not None and node.plain() == {"a": [1], "b": None, "c": "2023-01-01"}


def test_a_template_without_quotes_is_explained() -> None:
    assert "a template needs quotes" in str(read("url: {{ model }}/x\n")[1][-1])
    assert "spaces, not tabs" in str(read("a:\n\tb: 1\n")[1][0])


def test_half_of_a_surrogate_pair_never_becomes_text() -> None:
    node, problems = read('a: "\\ud800"\n')
    assert problems
    if node is not None:
        str(node.plain()).encode()


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 50_000, "{a: " * 50_000, "- " * 100_000, "? " * 100_000, "[\n" * 30_000),
        "".join(" " * i + "a:\n" for i in range(600)),
        "a: [" + "{b: [" * 40,
        "{" * 40,
        "a:\n" + "".join(" " * i + "-\n" for i in range(1, 200)),
    ],
    ids=["brackets", "braces", "dashes", "keys", "lines", "indents", "mixed", "templates", "lists"],
)
def test_deep_files_are_refused_before_they_can_kill_the_parser(text: str) -> None:
    """RELIABILITY A3: the C parser ends the process at some 24,000 levels."""
    start = time.process_time()
    node, problems = read(text)
    assert node is None and [p.rule for p in problems] == ["too-deep"]
    assert time.process_time() - start < 2


def test_depth_is_counted_before_and_while_parsing() -> None:
    fits, over = "[" * 32 + "]" * 32, "[" * 33 + "]" * 33
    assert rules(fits) == [] and rules(over) == ["too-deep"]
    assert too_deep(fits, 32) is None and too_deep(over, 32) == 32
    block = "".join("  " * i + "a:\n" for i in range(32))
    assert rules(block) == [] and too_deep(block, 32) is None
    assert too_deep("a: 'x [[[ '\nb: it's [[[\nc: |\n  [[[\n  {{{\nd: \"[[\n  [[\"\ne: {f: '[[', g: it's} # [[[\n" * 20, 8) is None


def test_what_may_be_deep_is_scanned_first_and_the_rest_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[int] = []
    monkeypatch.setattr(loader, "too_deep", lambda text, limit: (scanned.append(len(text)), too_deep(text, limit))[1])
    assert rules("a: {b: [c, d]}\n" + "e: 1\n") == [] and not scanned
    assert rules("a: 1\na: 2\n") == ["duplicate-key"] and len(scanned) == 1
    assert rules("? " * 40 + "a: 1\na: 1") == ["too-deep"] and len(scanned) == 2
    assert rules("a: [" + "1," * 5 + "]" + "\n# x" * 10_000) == [] and len(scanned) == 3


def test_a_scan_that_was_fooled_is_caught_by_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "too_deep", lambda text, limit: None)
    assert rules("[" * 5_000) == ["too-deep"]
    assert rules("? " * 5_000) == ["bad-key", "too-deep"]
    assert rules("{" * 5_000) == ["bad-key", "too-deep"]


def test_size_and_node_limits() -> None:
    assert rules("a: " + "x" * (256 * 1024)) == ["too-large"]
    assert rules("a: " + "é" * (128 * 1024)) == ["too-large"]
    assert rules("a: " + "x" * (256 * 1024), limit=DATA_LIMIT) == []
    assert rules("a: [" + "1," * 19_990 + "]") == []
    assert rules("a: [" + "1," * 20_001 + "]") == ["too-many-nodes"]


def test_an_alias_bomb_stays_small() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    node, problems = read(bomb)
    assert node is not None and len(str(node.plain())) < 2_000
    assert {p.rule for p in problems} == {"no-anchors"}


def test_a_byte_order_mark_is_no_content() -> None:
    node, problems = read("\ufeffa: 1\n".encode())
    assert not problems and node is not None and node.plain() == {"a": 1}


@settings(max_examples=sampled(150), deadline=None)
@given(st.text(alphabet="ab:{}[]-?|>&*!%@`'\"#,~<= \n\t0123456789.\\u\x85é\u2028", max_size=80))
def test_no_text_raises(text: str) -> None:
    """Never a foreign exception; a file without findings has a tree."""
    node, problems = read(text)
    assert node is not None or problems
    if node is not None:
        node.plain()


@settings(max_examples=sampled(100), deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_raise(data: bytes) -> None:
    node, problems = read(data)
    assert node is not None or problems


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=sampled(80), deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), _JSON, min_size=1, max_size=4))
def test_json_is_read_as_json(value: object) -> None:
    import json

    text = json.dumps(value)
    if "\\u" in text or "\x7f" in text:
        return  # escapes of control characters and pairs are YAML's business
    node, problems = read(text)
    assert not problems and node is not None and node.plain() == value
