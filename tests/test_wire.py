"""Bodies are valid by the providers' own types and nothing of an input is lost in silence (SPEC_LANGUAGE 5.2, SERVE 4)."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import Any

import pytest

from engine.types import Report
from tests.shared_data import ROOT, shared

sys.path.insert(0, str(ROOT / "tools"))

import wire
import wire_targets


@pytest.fixture(scope="module")
def rows() -> tuple[dict[str, wire.Row], int]:
    if importlib.util.find_spec("anthropic") is None and not os.environ.get("LLMKIT_SDK_PYTHON"):
        # rendering and the search for losses need no SDK
        return wire.run(shared("wire"), patched=True)[0], 1
    return wire.run(shared("wire"), patched=True)


def test_every_shipped_chat_provider_is_rendered(rows: tuple[dict[str, wire.Row], int]) -> None:
    from engine.catalog import Catalog

    catalog = Catalog()
    judged = {t.split("/")[0].split(":")[0] for t in wire_targets.targets(catalog)}
    # whose wire has no published types of its own, nor anybody else's
    unjudged = {p for p in catalog.provider_ids() if "chat" in catalog.plan(p).operations} - judged
    assert len(judged) > 200 > 30 > len(unjudged), sorted(unjudged)
    assert len(rows[0]) > 60


def test_nothing_is_lost_in_silence(rows: tuple[dict[str, wire.Row], int]) -> None:
    """Every text, image, document, tool, call, result and parameter is in the body or named by a warning, fate or error."""
    lost = {t: row.losses for t, row in rows[0].items() if row.losses}
    broken = {t: row.broken for t, row in rows[0].items() if row.broken}
    assert not lost and not broken, json.dumps([lost, broken], indent=1)[:4000]


def test_bodies_are_valid_by_the_official_types(rows: tuple[dict[str, wire.Row], int]) -> None:
    if rows[1]:
        if os.environ.get("CI"):
            pytest.fail("the SDKs that bodies are judged by are missing in CI", pytrace=False)
        pytest.skip("the official SDKs are not installed; see requirements-validate.txt of the wire reference")
    invalid = {t: row.invalid for t, row in rows[0].items() if row.invalid}
    assert not invalid, json.dumps(invalid, indent=1)[:4000]


def test_a_body_in_an_envelope_is_judged_without_it() -> None:
    from engine.catalog import Catalog

    catalog = Catalog()
    judged_by, _, envelope = wire_targets.targets(catalog)["runpod:job/my-model"]
    cases = wire.chat_cases(shared("wire"), "tool_one")
    (request,) = wire.render(catalog, "runpod:job/my-model", judged_by, envelope, cases, shared("wire"), wire.Row())
    assert request["dialect"] == "openai.chat" and {"model", "messages", "tools"} <= request["body"].keys()
    assert wire_targets.inside([{"a": 1, "b": "{{ body }}"}], [{"a": 1, "b": {"x": 2}}]) == {"x": 2}
    assert wire_targets.inside({"a": "b"}, {"a": "b"}) is None


REQUEST: dict[str, Any] = {
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": '{"deep": [1, "two"]}'},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}}
    ],
    "temperature": 0.5,
    "tool_choice": "required",
}
BODY: dict[str, Any] = {
    "turns": ["Look.", "QUJD", {"call": "f", "args": {"x": 1}}, {"result": {"deep": [1, "two"]}}],
    "tools": [{"name": "f", "schema": {"properties": {"x": {"type": "integer"}}}}],
    "temperature": 0.5,
    "choice": "any",
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"turns": BODY["turns"][1:]}, ["text: 'Look.'"]),
        ({"turns": [BODY["turns"][0], *BODY["turns"][2:]]}, ["image: 'QUJD'"]),
        ({"turns": BODY["turns"][:3]}, ['tool result: \'{"deep": [1, "two"]}\'']),
        ({"temperature": None}, ["parameter temperature"]),
        ({"choice": "auto"}, ["tool_choice required"]),
    ],
)
def test_a_loss_is_found(change: dict[str, Any], found: list[str]) -> None:
    body = {k: v for k, v in {**BODY, **change}.items() if v is not None}
    assert wire.lost({"input": REQUEST}, body, Report()) == found


def test_a_warning_or_a_fate_accounts_for_a_loss() -> None:
    body = {k: v for k, v in BODY.items() if k != "temperature"}
    report = Report(parameters={"temperature": {"fate": "dropped"}}, warnings=["an image was dropped"])
    assert wire.lost({"input": REQUEST}, {**body, "turns": [x for x in BODY["turns"] if x != "QUJD"]}, report) == []
