"""Errors and keys of the served direction (SERVE.md 7 and 8)."""

from __future__ import annotations

import base64

import pytest

from engine.call.failure import failure
from engine.call.json import loads
from engine.errors import KINDS, for_kind
from engine.serve.failure import write_failure
from engine.spec.compile.serve import STATUS
from engine.spec.compile.serve_auth import key_reader
from engine.spec.node import node_of
from engine.spec.problem import Problems
from tests.serve.answers import CATALOG, DIALECTS

#: kinds that stay themselves on a wire without a word of its own for them
NEIGHBOURS = {
    "context_length": {"context_length", "invalid_request"},
    "content_filter": {"content_filter", "invalid_request"},
    "unsupported": {"invalid_request"},
    "too_large": {"too_large", "invalid_request"},
    "quota": {"quota", "rate_limit", "invalid_request"},
    "local_limit": {"rate_limit"},
    "unavailable": {"overloaded"},
    "deadline": {"timeout", "server"},
    "timeout": {"timeout", "server"},
    "not_found": {"not_found", "invalid_request"},
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_reads_as_the_same_kind_or_its_neighbour(dialect: str, kind: str) -> None:
    served = CATALOG.served(dialect)
    status, headers, body = write_failure(served, for_kind(kind)("something went wrong"))
    read = failure(served.plan, status, headers, loads(body))
    allowed = NEIGHBOURS.get(kind) or ({kind} if STATUS[kind] < 500 else {kind, "server"})
    assert read.kind in allowed and read.message == "something went wrong"


def test_every_kind_has_a_status() -> None:
    assert set(STATUS) == set(KINDS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_waiting_times_are_whole_seconds_in_a_header(dialect: str) -> None:
    status, headers, _ = write_failure(CATALOG.served(dialect), for_kind("rate_limit")("slow down", retry_after=1.2))
    assert status == 429 and headers["retry-after"] == "2"


def test_a_dialect_keeps_its_own_codes_only() -> None:
    served = CATALOG.served("openai-chat")
    error = for_kind("invalid_request")("no", code="unsupported_parameter", param="top_k")
    assert loads(write_failure(served, error, dialect="openai-chat")[2])["error"]["code"] == "unsupported_parameter"
    assert loads(write_failure(served, error, dialect="gemini")[2])["error"]["code"] == "invalid_request"
    assert loads(write_failure(served, error)[2])["error"]["param"] == "top_k"


def test_dialects_have_their_own_statuses() -> None:
    assert write_failure(CATALOG.served("anthropic-messages"), for_kind("overloaded")("busy"))[0] == 529
    assert write_failure(CATALOG.served("openai-chat"), for_kind("quota")("no credit"))[0] == 429
    status, headers, body = write_failure(CATALOG.served("bedrock-converse"), for_kind("timeout")("late"))
    assert (status, headers["x-amzn-errortype"], loads(body)) == (408, "ModelTimeoutException", {"message": "late"})


@pytest.mark.parametrize(
    ("dialect", "headers", "query", "key"),
    [
        ("openai-chat", {"Authorization": "Bearer sk-1"}, {}, "sk-1"),
        ("openai-chat", {"authorization": "bearer   sk-1 "}, {}, "sk-1"),
        ("openai-chat", {"authorization": "Basic sk-1"}, {}, None),
        ("openai-chat", {"x-api-key": "sk-1"}, {}, None),
        ("anthropic-messages", {"X-Api-Key": "k", "authorization": "Bearer t"}, {}, "k"),
        ("anthropic-messages", {"authorization": "Bearer t"}, {}, "t"),
        ("gemini", {}, {"key": "q"}, "q"),
        ("gemini", {"x-goog-api-key": "g"}, {"key": ["q"]}, "g"),
        ("gemini", {}, {"key": ["q"]}, "q"),
        (
            "bedrock-converse",
            {"Authorization": "AWS4-HMAC-SHA256 Credential=AKID/20261101/us-east-1/bedrock/aws4_request, S=a"},
            {},
            "AKID",
        ),
        ("ollama", {}, {}, None),
    ],
)
def test_the_client_s_key_is_found(dialect: str, headers: dict[str, str], query: dict[str, object], key: str | None) -> None:
    assert CATALOG.served(dialect).key(headers, query) == key


def test_who_may_sign_is_known() -> None:
    assert CATALOG.served("bedrock-converse").signature == "aws-sigv4"
    assert CATALOG.served("openai-chat").signature is None


def test_keys_with_words_around_them_and_basic_authentication() -> None:
    problems = Problems()
    key, _ = key_reader(node_of({"header": {"authorization": "Token {{ key }}"}}), problems)
    assert key({"Authorization": "Token abc"}, {}) == "abc" and key({"Authorization": "Bearer abc"}, {}) is None
    key, _ = key_reader(node_of({"basic": {"username": "u", "password": "{{ key }}"}}), problems)
    assert key({"authorization": "Basic " + base64.b64encode(b"u:p").decode()}, {}) == "p"
    assert key({"authorization": "Basic ???"}, {}) is None and not problems
    key_reader(node_of({"bearer": "{{ api_key }}"}), problems)
    assert [p.rule for p in problems] == ["bad-expression"]


def test_a_long_header_costs_nothing() -> None:
    for dialect in DIALECTS:
        for hostile in ("Bearer " + " " * 100_000 + "x y", "AWS4-HMAC-SHA256 " + "Credential=" * 20_000, "A" * 1_000_000):
            assert CATALOG.served(dialect).key({"authorization": hostile, "x-api-key": hostile}, {}) is None
