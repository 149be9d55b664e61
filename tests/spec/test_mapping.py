"""Maps turn documents into outputs (SPEC_LANGUAGE 6) and report what is wrong with exact marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from engine.expr.function import Unit, locate
from engine.spec.compile.mapping import LOOPS, Maps
from engine.spec.node import Mark, Node, node_of
from engine.spec.problem import Problems
from engine.vocabulary import OPERATION_OUTPUTS, OUTPUTS

Output = tuple[str, int, dict[str, Any]]


def marked(text: str, file: str = "a.yaml") -> Node:
    """A tree with the places of plain YAML."""
    loader = yaml.SafeLoader(text)

    def mark(at: Any) -> Mark:
        return Mark(file, at.start_mark.line + 1, at.start_mark.column + 1)

    def build(raw: Any, key: Mark | None = None) -> Node:
        if isinstance(raw, yaml.MappingNode):
            return Node({k.value: build(v, mark(k)) for k, v in raw.value}, mark(raw), key)
        if isinstance(raw, yaml.SequenceNode):
            return Node([build(v) for v in raw.value], mark(raw), key)
        return Node(loader.construct_object(raw), mark(raw), key)  # type: ignore[no-untyped-call]

    return build(loader.get_single_node())


def maps(text: str, allowed: Any = tuple(OUTPUTS), shared: Mapping[str, Any] | None = None) -> tuple[Maps, Problems]:
    problems = Problems()
    tables = {kind: node_of(table) for kind, table in (shared or {}).items()}
    made = Maps(Unit("test"), problems, OUTPUTS, allowed, tables)
    made.map("map", marked(text))
    return made, problems


def compiled(text: str, **options: Any) -> Callable[..., None]:
    made, problems = maps(text, **options)
    assert not problems, problems
    return made.unit.build()["map"]


def outputs(text: str, document: Any, *, event: Any = None, **options: Any) -> list[Output]:
    found: list[Output] = []
    compiled(text, **options)(document, lambda *output: found.append(output), event)
    return found


def test_the_worked_example() -> None:
    text = """
start: {id: id, model: model}
usage: usage
each:
  from: choices
  choice: index
  thinking: {text: message.reasoning_content || message.reasoning}
  text: message.content
  tool_call: {from: message.tool_calls, id: id, name: function.name, arguments: function.arguments}
  finish: finish_reason
"""
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    document = {
        "id": "x",
        "choices": [
            {"index": 0, "message": {"content": "Hi", "reasoning": "hm"}, "finish_reason": "stop"},
            {"index": 1, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"},
        ],
        "usage": {"prompt_tokens": 3},
    }
    assert outputs(text, document, shared={"usage": {"input_tokens": "prompt_tokens"}}) == [
        ("start", 0, {"id": "x", "model": None}),
        ("usage", 0, {"input_tokens": 3}),
        ("thinking", 0, {"text": "hm"}),
        ("text", 0, {"text": "Hi"}),
        ("finish", 0, {"reason": "stop"}),
        ("tool_call", 1, {"id": "c1", "name": "f", "arguments": "{}"}),
        ("finish", 1, {"reason": "tool_calls"}),
    ]


@pytest.mark.parametrize(
    ("text", "document", "count"),
    [
        ("text: t", {"t": "a"}, 1),
        ("text: t", {"t": ""}, 0),
        ("text: t", {"t": None}, 0),
        ("text: t", {}, 0),
        ("text: {text: t, signature: s}", {"s": "x"}, 0),
        ("text: {full: t}", {"t": "a"}, 1),
        ("text: {full: t}", {"t": ""}, 0),
        ("text: {index: i, signature: s}", {"i": 0}, 0),
        ("text: {index: i, signature: s}", {"i": 0, "s": "x"}, 1),
        ("finish: r", {"r": ""}, 0),
        ("thinking: {text: t, signature: s}", {"t": ""}, 0),
        ("thinking: {text: t, signature: s}", {"t": "", "s": "x"}, 1),
        ("tool_call: {index: i, arguments: a}", {"i": 0}, 0),
        ("tool_call: {index: i, arguments: a}", {"i": 0, "a": {}}, 1),
        ("tool_call: {index: i, server: s, name: n}", {"i": 0, "s": True}, 0),
        ("media: {media_type: m, data: d}", {"m": "image/png"}, 0),
        ("citation: {source: \"'web'\", url: u}", {}, 0),
        ("citation: {source: \"'web'\", url: u}", {"u": "x"}, 1),
        ("turn: \"'done'\"", {}, 1),
        ("verdict: {flagged: f}", {"f": False}, 1),
        ("result: {index: i, score: s}", {"i": 1, "s": 0}, 1),
        ("error: {message: m}", {"m": "x"}, 1),
        ("error: {message: m}", {"m": False}, 0),
        ("error: {message: m}", {"m": {}}, 0),
        ("error: {message: m}", {"m": ""}, 0),
        ("error: {code: c}", {"c": 1302}, 1),
        ("transcript: {text: t, final: true}", {}, 0),
    ],
)
def test_an_output_without_data_is_not_emitted(text: str, document: Any, count: int) -> None:
    assert len(outputs(text, document)) == count


@pytest.mark.parametrize(
    ("text", "document", "texts"),
    [
        ("text: {from: a, text: b}", {"a": {"b": "1"}}, ["1"]),
        ("text: {from: a, text: b}", {"a": [{"b": "1"}, None, {"b": "2"}, 3]}, ["1", "2"]),
        ("text: {from: a, text: '@'}", {"a": "1"}, ["1"]),
        ("text: {from: a, text: '@'}", {"a": None}, []),
        ("text: {from: a, text: '@'}", {"a": []}, []),
        ("text: {from: a, text: \"'x'\"}", {"a": [None, 1]}, ["x"]),
        ("text: {when: a, text: \"'x'\"}", {"a": 0}, ["x"]),
        ("text: {when: a, text: \"'x'\"}", {"a": ""}, []),
        ("text: {when: a, text: \"'x'\"}", {"a": []}, []),
        ("text: {when: a, text: \"'x'\"}", {"a": False}, []),
        ("text: {when: 'a || b', text: \"'x'\"}", {"b": 0.0}, ["x"]),
        ("text: {when: \"starts_with(a, 'x')\", text: a}", {"a": 5}, []),
        ("text: {when: \"!starts_with(a, 'x')\", text: \"'x'\"}", {"a": 5}, []),
        ("text: {from: a, when: ok, text: b}", {"a": [{"b": "1"}, {"b": "2", "ok": True}], "ok": True}, ["2"]),
        ("text: [a, {text: b}, {from: c, text: '@'}]", {"a": "1", "b": "2", "c": ["3", "4"]}, ["1", "2", "3", "4"]),
        ("[{text: a}, {when: b, text: b}]", {"a": "1", "b": "2"}, ["1", "2"]),
        ("{from: a, each: {from: b, each: {from: '@', text: c}}}", {"a": [{"b": [{"c": "1"}]}, {"b": {"c": "2"}}]}, ["1", "2"]),
        ("{text: a, thinking: ~, each: ~, from: ~, when: ~, choice: ~}", {"a": "1"}, ["1"]),
        ("text: {text: a, index: ~}", {"a": "1"}, ["1"]),
        ("text: length(a)", {"a": 1}, []),
        ("text: 5", {}, [5]),
    ],
)
def test_from_when_and_lists(text: str, document: Any, texts: list[Any]) -> None:
    assert [fields["text"] for _, _, fields in outputs(text, document)] == texts


def test_items_keep_document_order_and_kinds_the_written_order() -> None:
    text = "each: {from: parts, text: {when: '!thought', text: text}, thinking: {when: thought, text: text}}\nfinish: end"
    parts = [{"text": "1", "thought": True}, {"text": "2"}, {"text": "3", "thought": True}]
    kinds = [(kind, fields.get("text")) for kind, _, fields in outputs(text, {"parts": parts, "end": "x"})]
    assert kinds == [("thinking", "1"), ("text", "2"), ("thinking", "3"), ("finish", None)]


@pytest.mark.parametrize(("index", "choice"), [(2, 2), (None, 0), ("1", 0), (True, 0), ([1], 0), (1.0, 0)])
def test_choice_is_a_whole_number_for_everything_inside(index: Any, choice: int) -> None:
    text = "{from: a, choice: i, text: t, each: {from: b, text: t}}"
    document = {"a": {"i": index, "t": "1", "b": {"t": "2"}}}
    assert [c for _, c, _ in outputs(text, document)] == [choice, choice]


def test_an_inner_choice_without_a_number_keeps_the_outer() -> None:
    assert outputs("{choice: i, each: {choice: j, text: t}}", {"i": 3, "t": "x"})[0][1] == 3
    assert outputs("{choice: 7, text: t}", {"t": "x"})[0][1] == 7


def test_numbers_and_booleans_are_constants() -> None:
    assert outputs("transcript: {text: t, final: true, start: 1.5}", {"t": "x"}) == [
        ("transcript", 0, {"text": "x", "final": True, "start": 1.5})
    ]


def test_a_shared_table_is_laid_under_outputs_that_only_say_where() -> None:
    shared = {"error": {"message": "message || @", "code": "code || type"}}
    for text in ("error: e", "error: {from: e}", "error: {from: e, when: message}"):
        assert outputs(text, {"e": {"message": "m", "type": "t"}}, shared=shared) == [("error", 0, {"message": "m", "code": "t"})]
    assert outputs("error: {from: e, message: '@'}", {"e": "m"}, shared=shared) == [("error", 0, {"message": "m"})]
    assert outputs("error: e", {"e": "plain"}, shared=shared) == [("error", 0, {"message": "plain", "code": None})]
    assert outputs("error: e", {"e": False}, shared=shared) == []
    assert outputs("error: [e, f]", {"f": "x"}, shared=shared) == [("error", 0, {"message": "x", "code": None})]


def test_fields_are_new_for_each_output() -> None:
    map_ = compiled("text: t")
    found: list[dict[str, Any]] = []
    for _ in range(2):
        map_({"t": "x"}, lambda kind, choice, fields: found.append(fields))
    assert found[0] == found[1] and found[0] is not found[1]


def test_what_may_be_emitted_is_known() -> None:
    made, _ = maps("text: a\ntool_call: [{name: b}, {from: x, id: c, index: i}]\nthinking: ~")
    assert made.emitted == {"text": {"text"}, "tool_call": {"name", "id", "index"}}


@pytest.mark.parametrize(
    ("text", "rule", "place", "message", "suggestion"),
    [
        ("txt: a", "unknown-output", (1, 1), "`txt` is not an output", "text"),
        ("form: a", "unknown-output", (1, 1), "`form` is not an output", "from"),
        ("embedding: a", "unknown-output", (1, 1), "this operation gives no `embedding`", None),
        ("text: {txt: a}", "unknown-field", (1, 8), "`text` has no field `txt`", "text"),
        ("text: {each: {text: a}}", "unknown-key", (1, 8), "`each` stands in blocks, not in an output such as `text`", None),
        ("text:\n  when: a.[b\n  text: c", "bad-path", (2, 13), "`a.[b`: incomplete expression at column 5", None),
        ("each: {from: a, text: {text: b..c}}", "bad-path", (1, 32), "`b..c`: unexpected `.` at column 3", None),
        ("text: lenght(a)", "bad-path", (1, 7), "`lenght(a)`: unknown function `lenght`", "length"),
        ("text: {text: {a: b}}", "bad-path", (1, 14), "a path is one text, a number or a boolean", None),
        ("usage: usage", "needs-fields", (1, 8), None, None),
        ("thinking: a", "needs-fields", (1, 11), None, None),
        ("tool_call: {index: i}", "needs-fields", (1, 1), "`tool_call` is never emitted: none of its fields carries data", None),
        ("usage: {from: a}", "needs-fields", (1, 1), "`usage` is never emitted: none of its fields carries data", None),
        ("text", "wrong-type", (1, 1), "a map is a mapping of outputs, or a list of such mappings", None),
        ("each: a", "wrong-type", (1, 7), "a map is a mapping of outputs, or a list of such mappings", None),
        ("text: [[a]]", "wrong-type", (1, 8), "`text` is a path, a mapping of fields, or one list of these", None),
        ("match: a", "missing-key", (1, 1), "`match` needs `events`", None),
        ("events: [a]", "wrong-type", (1, 9), "`events` is a mapping from names to maps", None),
        ("events: {a | b: {text: x}, b: ~}", "duplicate-event", (1, 28), "event `b` is listed twice", None),
    ],
)
def test_mistakes_are_reported_where_they_are(
    text: str, rule: str, place: tuple[int, int], message: str | None, suggestion: str | None
) -> None:
    _, problems = maps(text, allowed=OPERATION_OUTPUTS["chat"])
    assert [p.rule for p in problems] == [rule], problems
    found = problems[0]
    assert (found.mark.line, found.mark.column) == place
    assert message in (None, found.message)
    assert found.suggestion == suggestion


def test_every_mistake_is_found_in_one_run_and_once() -> None:
    problems = Problems()
    made = Maps(
        Unit("test"), problems, OUTPUTS, OPERATION_OUTPUTS["chat"], {"usage": marked("{inputs: a, output_tokens: b.}", "b.yaml")}
    )
    made.map("response", marked("usage: a\ntxt: a\ntext: a.\neach: {from: '[', finish: {reson: a}}"))
    made.map("stream", marked("usage: a"))
    assert [(str(p.mark), p.rule) for p in problems.sorted()] == [
        ("a.yaml:2:1", "unknown-output"),
        ("a.yaml:3:9", "bad-path"),
        ("a.yaml:4:15", "bad-path"),
        ("a.yaml:4:28", "unknown-field"),
        ("b.yaml:1:2", "unknown-field"),
        ("b.yaml:1:30", "bad-path"),
    ]


def nested(depth: int) -> str:
    text = "{from: a, text: '@'}"
    for _ in range(depth - 1):
        text = f"{{from: a, each: {text}}}"
    return text


def test_blocks_nest_to_a_limit() -> None:
    deepest = nested(LOOPS).replace("text: '@'", f"text: 'join(`\"\"`, {'a[*].' * 9}a)'")
    assert outputs(deepest, {"a": 1}) == []
    _, problems = maps(nested(LOOPS + 1))
    assert [p.rule for p in problems] == ["deep-map"]
    _, problems = maps(nested(3 * LOOPS))
    assert "deep-map" in {p.rule for p in problems}


def test_failures_while_running_name_the_place_in_the_file() -> None:
    def emit(kind: str, choice: int, fields: dict[str, Any]) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError) as caught:
        compiled("start: {id: id}\ntext: t")({"t": "x"}, emit)
    assert locate(caught.value) == Mark("a.yaml", 2, 7)
