"""Tokens counted on this machine: nothing is sent, nothing is downloaded, and the answer says how it was counted."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client, errors

TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one two three"}]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise AssertionError("something wants to go out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "no-tokenizers"))


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A tokenizer for which every word and sign is a token."""
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> str:
    """A tokenizer of tiktoken's for which every byte is a token."""
    tiktoken = pytest.importorskip("tiktoken")
    made = tiktoken.Encoding("signs", pat_str=r"(?s).", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={})
    monkeypatch.setitem(tiktoken.registry.ENCODINGS, "signs", made)
    monkeypatch.setattr(tiktoken, "encoding_name_for_model", lambda model: {"known": "signs"}[model])
    return "signs"


def test_a_tokenizer_file_counts_words(words: Path) -> None:
    for given in (words, str(words)):
        answer = Client().count_tokens("groq/llama-3.3-70b-versatile", TALK, tokenizer=given)
        assert answer.usage.input_tokens == 3 + (4 + 3) + (4 + 3)
        assert "counted here with tokenizer.json" in answer.warnings[0]


def test_an_encoding_is_named(signs: str) -> None:
    answer = Client().count_tokens("openai/gpt-5", "abcé", tokenizer=signs)
    assert answer.usage.input_tokens == 3 + 4 + 5


@pytest.mark.parametrize("model", ["groq/known", "openrouter/openai/known"])
def test_a_model_whose_encoding_is_known_is_counted_with_it(signs: str, model: str) -> None:
    answer = Client().count_tokens(model, "abc")
    assert (answer.usage.input_tokens, answer.warnings) == (
        10,
        ["counted here with signs; what the provider puts around messages is estimated"],
    )


def test_tools_calls_and_results_count(signs: str) -> None:
    count = Client().count_tokens
    plain = count("groq/m", "abc", tokenizer=signs).usage.input_tokens
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 100, "parameters": {"type": "object"}}}
    assert count("groq/m", "abc", tools=[tool], tokenizer=signs).usage.input_tokens > plain + 100
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "' + "b" * 50 + '"}'}}],
    }
    result = {"role": "tool", "tool_call_id": "1", "content": "r" * 70}
    assert count("groq/m", [{"role": "user", "content": "abc"}, call, result], tokenizer=signs).usage.input_tokens > plain + 120


def test_pictures_are_estimated_and_said_to_be(signs: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    answer = Client().count_tokens(
        "groq/m", [{"role": "user", "content": [picture, {"type": "text", "text": "abc"}]}], tokenizer=signs
    )
    assert "of them are an estimate" in answer.warnings[1]


def test_without_a_tokenizer_it_is_an_estimate() -> None:
    answer = Client().count_tokens("groq/llama-3.3-70b-versatile", TALK)
    assert 5 <= answer.usage.input_tokens <= 30
    assert "estimated" in answer.warnings[0]
    assert Client().count_tokens("openai/gpt-5", TALK, tokenizer="estimate").usage == answer.usage

    async def run() -> Any:
        async with AsyncClient() as client:
            return await client.count_tokens("groq/llama-3.3-70b-versatile", TALK)

    assert asyncio.run(run()).usage == answer.usage


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [("o200k_base", "is not on this machine"), ("no-such", "there is no tokenizer"), ("missing.json", "there is no tokenizer at")],
)
def test_a_tokenizer_that_is_not_here_is_an_error_and_no_download(tokenizer: str, message: str) -> None:
    pytest.importorskip("tiktoken")
    pytest.importorskip("tokenizers")
    with pytest.raises(errors.ConfigError, match=message):
        Client().count_tokens("groq/llama-3.3-70b-versatile", TALK, tokenizer=tokenizer)


def test_a_file_that_is_no_tokenizer_is_told(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(errors.ConfigError, match="is not a tokenizer"):
        Client().count_tokens("groq/m", TALK, tokenizer=path)


def test_a_provider_that_counts_is_asked() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/messages/count_tokens"
        return httpx.Response(200, json={"input_tokens": 7})

    made = Client(transport=httpx.MockTransport(serve), providers={"anthropic": {"api_key": "k"}})
    answer = made.count_tokens("anthropic/claude-sonnet-4-5", TALK)
    assert (answer.usage.input_tokens, answer.warnings) == (7, [])


def test_what_nobody_knows_is_told() -> None:
    with pytest.raises(errors.ConfigError, match="no field `massages`"):
        Client().count_tokens("groq/m", massages=[])
    with pytest.raises(errors.NotFoundError):
        Client().count_tokens("groqq/m", "hi")
    with pytest.raises(errors.UnsupportedError):
        Client().count_tokens("deepgram/nova-3", "hi")
