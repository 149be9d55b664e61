"""Recorded requests of the operations beside chat are read and written again; what a wire writes as a server it reads back
(SERVE.md 13: L1, L2)."""

from __future__ import annotations

import json
import random
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest

from engine.catalog import Catalog
from engine.examples import given_operation
from engine.serve.reply import write_reply
from engine.types import Event, Report, Response, Usage
from tests.shared_data import ROOT, shared

sys.path.insert(0, str(ROOT / "tools"))

import spelling

CATALOG = Catalog()
#: file of the recordings -> (dialect, what renders it)
REQUESTS = {
    "openai-embeddings": ("openai-embeddings", "openai-compatible/m", "embeddings"),
    "mistral.embeddings": ("openai-embeddings", "openai-compatible/m", "embeddings"),
    "cohere-v2.embeddings": ("cohere-embed-v2", "cohere/m", "embeddings"),
    "gemini-embeddings": ("gemini-embeddings", "google-gemini/m", "embeddings"),
    "anthropic-messages.count_tokens": ("anthropic-count-tokens", "anthropic/m", "count_tokens"),
    "gemini-generatecontent.count_tokens": ("gemini-count-tokens", "google-gemini/m", "count_tokens"),
    "openai-responses.count_tokens": ("openai-count-tokens", "openai:responses/m", "count_tokens"),
}


def spelled(dialect: str, body: dict[str, Any]) -> Any:
    """A body in one spelling."""
    chat = CATALOG.compile("openai", "count_tokens").chat_dialect if dialect == "openai-count-tokens" else dialect.split("-")[0]
    if dialect.endswith("count-tokens"):
        inner = {k: v for k, v in body.get("generateContentRequest", body).items() if k not in ("model", "generationConfig")}
        return spelling.plain({"anthropic": "anthropic-messages"}.get(str(chat), str(chat)), inner)
    found = {k: v for k, v in body.items() if v is not None and k != "model"}
    if isinstance(found.get("input"), str):
        found["input"] = [found["input"]]
    if dialect.startswith("cohere"):
        found.setdefault("embedding_types", ["float"])  # what it gives unasked
    for one in found.get("requests") or ():
        one.pop("model")
        one["content"].pop("role", None)
    return found


@pytest.mark.parametrize("file", REQUESTS)
def test_recorded_requests_are_written_again_alike(file: str) -> None:
    dialect, target, name = REQUESTS[file]
    served = CATALOG.served(dialect)
    assert served.accept is not None and served.route is not None
    seen = 0
    for line in (shared("traffic") / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
        request = json.loads(line)["request"] or {}
        body = request.get("body")
        if not isinstance(body, dict) or (
            served.route("POST", "/v1beta" + urlsplit(request["url"]).path.partition("v1beta")[2], {}) is None
            and dialect.startswith("gemini")
        ):
            continue  # another path of the same family
        seen += 1
        report = Report()
        fields = served.accept(json.loads(json.dumps(body)), report)
        model = fields.pop("model", None) or "m"  # what is thinkable depends on it
        sent = given_operation(CATALOG, f"{target.partition('/')[0]}/{model}", name).render(**fields)
        written = json.loads(sent.body or b"")
        assert spelled(dialect, written) == spelled(dialect, body), (file, request["url"])
    assert seen or file == "mistral.embeddings"


def responses(operation: str, dice: random.Random) -> Response:
    """A random answer any wire of an operation can express."""
    if operation == "list_models":
        return Response(outputs=[Event("model", {"id": f"m-{dice.randrange(99)}-{i}"}) for i in range(dice.randrange(4))])
    if operation == "count_tokens":
        return Response(usage=Usage(input_tokens=dice.randrange(1, 10**6)))
    size, count = dice.randrange(1, 5), dice.randrange(1, 4)
    vectors = [[dice.randrange(-64, 64) / 8 for _ in range(size)] for _ in range(count)]
    outputs = [Event("embedding", {"index": i, "vector": vector}) for i, vector in enumerate(vectors)]
    return Response(model="m", outputs=outputs, usage=Usage(input_tokens=dice.randrange(1, 999)))


OTHERS = [
    (dialect, operation)
    for dialect in CATALOG.dialect_ids()
    if (node := CATALOG.dialect(dialect)) is not None
    and (operation := str(node.value["operation"].value)) in ("embeddings", "count_tokens", "list_models")
    and (serve := node.get("serve")) is not None
    and serve.value is not None
]


@pytest.mark.parametrize(("dialect", "operation"), OTHERS)
def test_what_a_wire_writes_as_a_server_it_reads_back(dialect: str, operation: str) -> None:
    served, dice = CATALOG.served(dialect), random.Random(dialect)
    reader = given_operation(
        Catalog([{"stand-in": {"name": "x", "base_url": "https://x.example", operation: dialect}}]), "stand-in/m", operation
    )
    encodings = [None, "base64"] if dialect in ("openai-embeddings", "cohere-embed-v2") else [None]
    for number in range(40):
        answer = responses(operation, dice)
        if dialect == "gemini-embed-content":
            del answer.outputs[1:]
        body = write_reply(served, answer, {"encoding": encodings[number % len(encodings)]} if operation == "embeddings" else {})
        read = reader.read(200, {"content-type": "application/json"}, json.dumps(body).encode())
        assert read.embeddings == answer.embeddings
        assert [m.id for m in read.models] == [m.id for m in answer.models]
        if dialect != "gemini-embeddings" and dialect != "gemini-embed-content" and operation != "list_models":
            assert read.usage.input_tokens == answer.usage.input_tokens


def test_all_shapes_of_the_issue_are_served() -> None:
    shapes = {(dialect.split("-")[0], operation) for dialect, operation in OTHERS}
    assert {(who, "embeddings") for who in ("openai", "gemini", "cohere", "ollama")} <= shapes
    assert {(who, "count_tokens") for who in ("openai", "gemini", "anthropic", "bedrock")} <= shapes
    assert {(who, "list_models") for who in ("openai", "gemini", "cohere", "ollama", "anthropic")} <= shapes
