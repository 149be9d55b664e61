"""`llmkit render` and `llmkit read`: JSON in, JSON out, one half of a call each; and the lists of what there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.call.encode import encode_frames
from tests.cli.conftest import Ran
from tests.paired_answers import PAIRS

Run = Callable[..., Ran]
TARGETS = {
    "anthropic-messages": "anthropic/m",
    "cohere-v2": "cohere/m",
    "gemini": "google-gemini/m",
    "mistral": "mistral/m",
    "ollama": "ollama/m",
    "openai-chat": "groq/m",
    "openai-responses": "openai:responses/m",
}
ANSWER: Any = (["Hm."], ["Hello, ", "Ann."], [("abc", {"x": [1, "twelve"]})], (3, 7))


@pytest.mark.parametrize("dialect", TARGETS)
def test_an_answer_that_is_read_can_be_rendered_into_the_next_request(run: Run, dialect: str) -> None:
    whole, frames = PAIRS[dialect](ANSWER)
    read = run("read", TARGETS[dialect], stdin=json.dumps(whole)).json
    assert read["choices"][0]["text"] == "Hello, Ann." and read["usage"]["output_tokens"] == 7
    message = {"role": "assistant", "parts": read["choices"][0]["parts"]}
    result = {"role": "tool", "tool_call_id": read["choices"][0]["tool_calls"][0]["id"], "content": "done"}
    request = {"messages": [{"role": "user", "content": "Go."}, message, result], "tools": [{"name": "abc"}]}
    sent = run("render", TARGETS[dialect], stdin=json.dumps(request)).json
    assert sent["method"] == "POST" and sent["url"].startswith(("https://", "http://localhost"))
    body = json.dumps(sent["body"], ensure_ascii=False)
    assert "Hello, Ann." in body and "abc" in body and "twelve" in body and "done" in body
    framing = "ndjson" if dialect == "ollama" else "sse"
    streamed = run("read", TARGETS[dialect], "--stream", stdin=encode_frames(framing, frames).decode())
    events, rest = [], streamed.out
    while rest.lstrip().startswith('{"kind"'):
        line, _, rest = rest.lstrip().partition("\n")
        events.append(json.loads(line))
    assert "".join(e["text"] for e in events if e["kind"] == "text") == "Hello, Ann."
    assert json.loads(rest)["choices"][0]["tool_calls"][0]["arguments"] == {"x": [1, "twelve"]}


def test_files_are_read_and_fates_reported(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text('{"messages": "hi", "temperature": 9, "seed": 3}')
    rendered = run("render", "anthropic/claude-sonnet-4-5", str(file))
    fates = {name: fate["fate"] for name, fate in rendered.json["report"]["parameters"].items()}
    assert fates["temperature"] == "clamped" and fates["seed"] == "dropped" and "x-api-key" not in rendered.json["headers"]


def test_a_failure_that_is_read_is_a_typed_error(run: Run) -> None:
    body = '{"error": {"message": "Slow down.", "type": "tokens", "code": "rate_limit_exceeded"}}'
    ran = run("read", "groq/m", "--status", "429", "--header", "retry-after: 7", "--header", "x-request-id: r1", stdin=body)
    error = ran.json["error"]
    assert ran.code == 1 and (error["kind"], error["message"], error["retry_after"]) == ("rate_limit", "Slow down.", 7)
    cut = run("read", "groq/m", "--stream", stdin='data: {"choices": [{"index": 0, "delta": {"content": "Hal"}}]}\n\n')
    assert cut.code == 1 and cut.out.rstrip().endswith("}") and '"kind": "stream_interrupted"' in cut.out


def test_input_that_makes_no_request_is_told(run: Run) -> None:
    assert "not JSON" in run("render", "groq/m", stdin="{").err
    assert "object of request fields" in run("render", "groq/m", stdin="[]").err
    assert run("render", "groq/m", stdin='{"messages": 3}').code == 2
    assert "did you mean `temperature`" in run("render", "groq/m", stdin='{"messages": "hi", "temprature": 1}').err


def test_providers_are_listed_and_filtered(run: Run) -> None:
    found = run("providers", "--json").json
    assert len(found) >= 20 and {"id", "name", "status", "operations", "env"} <= found[0].keys()
    table = run("providers")
    assert table.out.splitlines()[0].split() == ["id", "name", "status", "environment", "operations"]
    assert f"{len(found)} providers" in table.err
    local = {row["id"] for row in run("providers", "--category", "local", "--json").json}
    assert local and local < {row["id"] for row in found}
    assert run("providers", "--operation", "realtime", "--region", "it", "--json").json == []
    assert run("providers", "--operation", "nope", "--json").code == 2
    assert {row["id"] for row in run("providers", "--capability", "prefill", "--json").json} < {row["id"] for row in found}


def test_models_are_listed(run: Run) -> None:
    rows = run("models", "groq", "--json").json
    assert rows and all(row["model"].startswith("groq/") for row in rows) and any(row["default"] for row in rows)
    assert run("models", "azure", "--json").json[0]["model"].startswith("azure-openai/")
    assert "models" in run("models").err


def test_a_spec_is_shown_as_written_and_with_all_it_inherits(run: Run) -> None:
    written = run("show", "groq").out
    assert written.startswith("name: Groq\n") and len(written.splitlines()) <= 20
    origin = run("show", "groq", "--resolved", "--origin").out
    assert "dialects/openai-chat.yaml:" in origin and "providers/groq.yaml:" in origin
    assert run("show", "openai-chat").out.startswith("#") or "operation: chat" in run("show", "openai-chat").out


def test_rules_are_explained(run: Run) -> None:
    every = run("explain").out.splitlines()
    assert len(every) > 30 and any(line.startswith("unknown-key ") for line in every)
    assert run("explain", "unknown-key").out.startswith("unknown-key\n\n")
