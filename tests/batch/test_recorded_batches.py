"""Recorded exchanges with four batch services: what we submit is what was accepted, and every answer is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import engine
from engine.batch.results import Results
from engine.batch.rows import Row
from engine.call.job import look
from tests.shared_data import shared

#: recordings -> (the model they are about, whether a job is over)
RECORDED: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "anthropic-batches": ("anthropic/claude-haiku-4-5", lambda job: job["processing_status"] == "ended"),
    "gemini-batches": ("google-gemini/gemini-2.5-flash", lambda job: job["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"),
    "mistral-batches": ("mistral/mistral-small-latest", lambda job: job["status"] == "SUCCESS"),
    "openai-batches": ("openai/text-embedding-3-small", lambda job: job["status"] == "completed"),
    "xai-batches": ("xai/grok-4.3", lambda job: 0 < job["state"]["num_requests"] == job["state"]["num_success"]),
}
TRAFFIC = shared("traffic")


@cache
def exchanges(name: str) -> list[dict[str, Any]]:
    with (TRAFFIC / f"{name}.batch.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def client() -> engine.Client:
    return engine.Client(providers={model.partition("/")[0]: {"api_key": "k"} for model, _ in RECORDED.values()})


@pytest.mark.parametrize(("name", "number"), [(name, i) for name in RECORDED for i in range(len(exchanges(name)))])
def test_a_recorded_exchange_is_read(name: str, number: int) -> None:
    recorded = exchanges(name)[number]
    model, ended = RECORDED[name]
    service = client().operation(model, "batch")
    table, document = service.plan.job, recorded["response"]["body"]
    url, method = recorded["request"]["url"], recorded["request"]["method"]
    assert table is not None
    if "/results" in url:
        read(model, document)
        return
    if document is None:  # nothing is said of requests that were added
        assert service.plan.call.reply == "text"
        return
    id = table.id(document) if table.path else url.rpartition("/")[2]
    if method == "GET":
        assert table.poll is not None and url.endswith(str(table.poll.url({"job": {"id": id}})))
    job: dict[str, Any] = {"last": document}
    assert look(service, table, job) == ended(document) and job["state"]
    if ended(document) and not table.result:
        read(model, document)


def read(model: str, document: Any) -> None:
    """Every item of a document is read as an answer, at the price of a batch."""
    results = Results(client(), client().operation(model), client().operation(model, "batch"))
    numbered = re.sub(r'"(custom_id|batch_request_id)": "', r'"\1": "row-', json.dumps(document))  # the caller had ids of his own
    found = list(results.of(json.loads(numbered.replace('"custom_id"', '"key"') if "gemini" in model else numbered)))
    assert found
    for number, outcome in found:
        line = json.loads(outcome(Row(number, number, "chat", model, {})).line)
        assert line["error"] is None and line["response"]["choices"][0]["text"] in ("4", "6", "Jupiter")
        assert line["response"]["usage"]["input_tokens"] > 0 and float(line["response"]["cost"]) > 0


def submitted(name: str, requests: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    sent = client().operation(RECORDED[name][0], "batch").render(requests=requests)
    return sent.url, json.loads(sent.body or b"")


def test_submissions_are_those_that_were_accepted() -> None:
    for name, path, body_of in (
        ("anthropic-batches", "/v1/messages", "params"),
        ("mistral-batches", "/v1/chat/completions", "body"),
    ):
        asked = next(e["request"] for e in exchanges(name) if e["request"]["method"] == "POST")
        model = RECORDED[name][0].partition("/")[2]
        rows = [{"id": r["custom_id"], "model": model, "path": path, "body": r[body_of]} for r in asked["body"]["requests"]]
        assert submitted(name, rows) == (asked["url"], asked["body"])
    asked = next(e["request"] for e in exchanges("gemini-batches") if e["request"]["method"] == "POST")
    known = json.loads(json.dumps(asked["body"]).replace("custom_id", "key"))
    rows = [
        {"id": r["metadata"]["key"], "model": "gemini-2.5-flash", "path": "/", "body": r["request"]}
        for r in known["batch"]["inputConfig"]["requests"]["requests"]
    ]
    url, body = submitted("gemini-batches", rows)
    body["batch"]["displayName"] = known["batch"]["displayName"]
    assert (url, body) == (asked["url"], known)
