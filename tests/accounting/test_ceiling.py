"""What a budget sets aside is not less than what providers counted (RELIABILITY F7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from engine.accounting.estimate import ALL_INPUT, ceiling, input_tokens
from engine.call.normalize import normalize
from engine.catalog import Catalog
from engine.errors import Error
from engine.types import Report
from tests.shared_data import shared

WIRES = ("anthropic-messages", "bedrock-converse", "mistral", "openai-chat", "openai-responses")
ODD = ("openai-chat-278866ad",)  # a picture spelled as no wire has it
#: fields by which a provider is told to add what it keeps itself, or to ask others
ELSEWHERE = ("previous_response_id", "mcp_servers", "conversation", "container")


def recorded(dialect: str, catalog: Catalog) -> Iterator[tuple[dict[str, Any], int, str]]:
    """(canonical request, input tokens as counted by the provider, id) of recorded exchanges whose input stands in the request."""
    served = catalog.served(dialect)
    path = shared("traffic", f"{dialect}.jsonl")
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        case = json.loads(line)
        body, answer = ((case.get(side) or {}).get("body") for side in ("request", "response"))
        if not isinstance(body, dict) or not isinstance(answer, dict) or case["id"] in ODD or any(map(body.get, ELSEWHERE)):
            continue
        usage = answer.get("usage") or {}
        if not isinstance(usage, dict):
            continue
        cached = (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
        counted = usage.get("prompt_tokens") or usage.get("inputTokens") or (usage.get("input_tokens") or 0) + cached
        try:
            fields = served.accept(body, Report())
            fields.pop("stream", None)
            yield normalize("chat", fields, reads=None), counted, case["id"]
        except Error:
            continue


def test_recorded_requests_cost_no_more_than_is_set_aside() -> None:
    catalog = Catalog()
    seen, above, short = 0, [], 0
    for dialect in WIRES:
        for request, counted, id in recorded(dialect, catalog):
            if counted:
                seen += 1
                if counted > ceiling(request, None).input_tokens:
                    above.append((id, counted))
                short += counted > ceiling(request, None, likely=True).input_tokens
    if not seen:
        pytest.skip("the recorded exchanges are not beside this checkout")
    assert seen > 1000 and not above and short < seen / 25


def test_what_is_set_aside_grows_with_what_a_provider_may_add() -> None:
    def most(likely: bool = False, facts: Any = None, **more: Any) -> int:
        request = normalize("chat", {"messages": "Hello there", **more}, reads=None)
        found = ceiling(request, facts, likely).input_tokens
        assert found >= input_tokens(request) and found == int(found)
        return int(found)

    tool = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    search = {"type": "web_search"}
    assert most(True) < most() < most(tools=[tool]) < most(True, tools=[search]) < most(tools=[search])
    assert most(tools=[search]) >= ALL_INPUT and most(facts={"context": 32_000}, tools=[search]) == 32_000
    text = "word " * 4000
    assert most(messages=text) > 20_000 > most(True, messages=text) > 5_000
    assert most(messages=text, facts={"context": 8_000}) == 8_000
