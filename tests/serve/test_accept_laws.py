"""L1 for every dialect (SERVE.md 13): accept(render(c)) = c, and render(accept(render(c))) = render(c) for every c, up to spelling.

Bodies are drawn at random too: whatever comes, accepting gives fields, and rendering them fails with the engine's own errors
only (RELIABILITY E1).
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine.catalog import Catalog
from engine.errors import Error
from engine.examples import given_operation
from engine.types import Report
from tests.test_laws import TARGETS
from tools.spelling import alike

CATALOG = Catalog()
OPERATIONS = {dialect: given_operation(CATALOG, target, "chat") for dialect, target in TARGETS.items()}
SERVED = {dialect: CATALOG.served(dialect) for dialect in TARGETS}
law = settings(
    max_examples=300 if os.environ.get("CI") else 60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(lambda t: t.strip() == t)
ids = st.from_regex(r"[a-z]{9}", fullmatch=True)
names = st.from_regex(r"[a-z]{3,8}", fullmatch=True)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=16)
values = st.recursive(
    st.booleans() | numbers | words,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(words, inner, min_size=1, max_size=3),
    max_leaves=5,
)
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(names, st.just({"type": "string"}), min_size=1, max_size=3)}
)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@st.composite
def requests(draw: Any, rich: bool = True) -> dict[str, Any]:
    """A canonical request with a history; `rich` holds what not every dialect expresses."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(words)})
    messages.append({"role": "user", "content": draw(words)})
    for _ in range(draw(st.integers(0, 3))):
        parts: list[dict[str, Any]] = []
        if rich and draw(st.booleans()):
            parts.append({"type": "thinking", "text": draw(words), **({"signature": draw(ids)} if draw(st.booleans()) else {})})
        if parts or draw(st.booleans()):
            parts.append({"type": "text", "text": draw(words)})
        calls = draw(
            st.lists(st.tuples(ids, names, st.dictionaries(names, values, max_size=2)), max_size=2, unique_by=lambda c: c[0])
        )
        parts += [{"type": "tool_call", "id": i, "name": n, "arguments": a} for i, n, a in calls]
        if not parts:
            parts.append({"type": "text", "text": draw(words)})
        messages.append({"role": "assistant", "parts": parts})
        for id, _, _ in calls:
            result: list[dict[str, Any]] = [{"type": "text", "text": draw(words)}]
            if rich and draw(st.integers(0, 5)) == 0:
                result = [{"type": "json", "json": draw(st.dictionaries(names, values, min_size=1, max_size=2))}]
            part: dict[str, Any] = {"type": "tool_result", "id": id, "parts": result}
            if rich and draw(st.integers(0, 5)) == 0:
                part["is_error"] = True
            messages.append({"role": "tool", "parts": [part]})
        said: list[dict[str, Any]] = [{"type": "text", "text": draw(words)}]
        if rich and draw(st.integers(0, 4)) == 0:
            said.append({"type": "image", "data": PIXEL, "media_type": "image/png"})
        messages.append({"role": "user", "parts": said})
    out: dict[str, Any] = {"messages": messages}
    tools = draw(st.lists(st.tuples(names, words, schemas), max_size=3, unique_by=lambda t: t[0]))
    if tools:
        out["tools"] = [{"name": n, "description": d, "parameters": p} for n, d, p in tools]
        out["tool_choice"] = draw(
            st.sampled_from([{"mode": "auto"}, {"mode": "none"}, {"mode": "required"}, {"mode": "tool", "name": tools[0][0]}])
        )
    for key, strategy in (
        ("max_tokens", st.integers(5000, 9000)),
        ("temperature", st.sampled_from([0.25, 0.5, 1])),
        ("stop", st.lists(words, min_size=1, max_size=3)),
        ("stream", st.booleans()),
        *((("seed", st.integers(0, 99)), ("user", words), ("top_k", st.integers(1, 40))) if rich else ()),
    ):
        if draw(st.booleans()):
            out[key] = draw(strategy)
    if rich and draw(st.booleans()):
        effort = st.sampled_from(["none", "minimal", "low", "medium", "high", "auto"])
        out["reasoning"] = draw(
            st.fixed_dictionaries({"effort": effort}) | st.fixed_dictionaries({"budget": st.sampled_from([1024, 4096])})
        )
    if rich and draw(st.booleans()):
        out["response_format"] = draw(
            st.just({"type": "json_object"})
            | st.builds(lambda s, n: {"type": "json_schema", "name": n, "schema": s}, schemas, names)
        )
    return out


def written(dialect: str, fields: dict[str, Any]) -> Any:
    return json.loads(OPERATIONS[dialect].render(**fields).body or b"null")


def read(dialect: str, body: Any, stream: Any) -> dict[str, Any]:
    accept = SERVED[dialect].accept
    assert accept is not None
    fields = accept(body, Report())
    if stream is not None and "stream" not in fields:
        fields["stream"] = stream  # it stands in the path
    return fields


@pytest.mark.parametrize("dialect", TARGETS)
@given(c=requests())
@law
def test_what_was_accepted_is_written_again(dialect: str, c: dict[str, Any]) -> None:
    try:
        first = written(dialect, c)
    except Error:
        assume(False)
    again = written(dialect, read(dialect, first, c.get("stream")))
    assert again == first or alike(dialect, first, again)


def told(dialect: str, fields: dict[str, Any]) -> dict[str, Any]:
    """What a request says, without views and made ids."""
    from engine.call.normalize import normalize

    found = normalize("chat", {k: v for k, v in fields.items() if k != "model"})
    out = {k: found.get(k) for k in ("max_tokens", "temperature", "stop", "tools")}
    choice = found.get("tool_choice")
    out["tool_choice"] = choice if found.get("tools") and choice != {"mode": "auto"} else None
    if choice and choice.get("allowed") == [choice.get("name")]:
        choice.pop("allowed")
    turns: list[Any] = []
    for message in found["messages"]:
        parts = [said(p) for p in message["parts"]]
        side = {"tool": "user"}.get(message["role"], message["role"])
        if turns and turns[-1][0] == side:
            turns[-1][1].extend(parts)
        else:
            turns.append((side, parts))
    out["turns"] = turns
    return out


def joined(turns: list[Any]) -> list[Any]:
    out: list[Any] = []
    for side, parts in turns:
        if out and out[-1][0] == side:
            out[-1] = (side, out[-1][1] + parts)
        else:
            out.append((side, parts))
    return out


def said(part: dict[str, Any]) -> Any:
    if part["type"] == "tool_call":
        return [
            "call",
            part["name"],
            part["arguments"] if not isinstance(part["arguments"], str) else json.loads(part["arguments"]),
        ]
    if part["type"] == "tool_result":
        return ["result", part.get("name"), part["text"]]
    return [part["type"], part.get("text")]


#: stands between a tool's result and what the user says next, where a service wants it so
FILLED = ("assistant", [["text", "Understood."]])


@pytest.mark.parametrize("dialect", TARGETS)
@given(c=requests(rich=False))
@law
def test_what_was_written_is_accepted_as_what_it_was(dialect: str, c: dict[str, Any]) -> None:
    request = OPERATIONS[dialect].render(**c)
    assume(not request.report.warnings if request.report else True)  # nothing was dropped
    again = told(dialect, read(dialect, json.loads(request.body or b"null"), None))
    expected = told(dialect, c)
    if again["tool_choice"] is None or expected["tool_choice"] is None or dialect in ("gemini", "cohere-v2"):
        again.pop("tool_choice"), expected.pop("tool_choice")  # one of one, said another way
    for one in (again, expected):
        one["turns"] = joined([t for t in one["turns"] if t != FILLED])
    if "max_tokens" not in c:
        again.pop("max_tokens"), expected.pop("max_tokens")  # some services need one
    if not again["tools"] or not expected["tools"]:
        again.pop("tools"), expected.pop("tools")  # tools that may not be called are not offered
    assert again == expected


NAMES = (
    "model messages contents input system tools tool_choice role content parts type text name id function arguments tool_calls "
    "thinking response_format generationConfig inferenceConfig toolConfig stream stop max_tokens args toolUse toolResult url "
    "functionCall functionResponse inlineData image_url source data reasoning effort format cachePoint"
)
keys = st.sampled_from(NAMES.split())
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["user", "assistant", "tool", "text", "function", "auto", "", "x", "tool_use"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.parametrize("dialect", TARGETS)
@given(body=junk)
@law
def test_whatever_comes_is_accepted_and_fails_with_our_own_errors_only(dialect: str, body: Any) -> None:
    fields = read(dialect, body, None)
    try:
        for other in TARGETS:
            OPERATIONS[other].render(**fields)
    except Error:
        pass
