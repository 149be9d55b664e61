"""A client's bytes reach a provider of the same dialect as they were written (SERVE.md 10, issue 3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.serve.gateway.through import renamed
from engine.testing import Simulator
from tests.serve.gateways import CATALOG, gateway
from tests.serve.test_gateway import post


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(catalog=CATALOG) as made:
        yield made


ODD = b' {"messages" : [{"role":"user","content":"What is 2 + 3?"}],\n"model":"%b", "max_tokens": 50.0, "not_a_field": 1e2 }'


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_bytes_go_through_but_for_the_name_of_the_model(path: str, sim: Simulator) -> None:
    home = "anthropic" if path == "/v1/messages" else "openai"
    sim.reset()
    app = gateway(sim, aliases={"fast": f"{home}/the-model", "the-model": f"{home}/the-model"})
    for name in (b"the-model", b"fast"):
        answer = post(app, path, ODD % name)
        assert answer.status_code == 200 and sim.requests[-1].body == ODD % b"the-model"
        assert "2 + 3 = 5." in answer.text


def test_bytes_of_a_model_in_the_path_go_through_whole(sim: Simulator) -> None:
    body = b'{"contents": [{"role":"user","parts":[{"text":"Hi"}]}],  "model": "mine"}'
    app = gateway(sim, aliases={"g": "gemini/other"})
    for verb in ("generateContent", "streamGenerateContent?alt=sse"):
        sim.reset()
        assert post(app, f"/v1beta/models/g:{verb}", body).status_code == 200
        assert sim.requests[-1].body == body and sim.requests[-1].model == "other"


def test_a_closed_gateway_and_another_dialect_get_what_we_write(sim: Simulator) -> None:
    sent = ODD % b"openai/m"
    sim.reset()
    post(gateway(sim, extra="drop"), "/v1/chat/completions", sent)
    assert "not_a_field" not in sim.requests[-1].json and sim.requests[-1].json["model"] == "m"
    post(gateway(sim), "/v1/chat/completions", ODD % b"anthropic/m")
    assert sim.requests[-1].dialect == "anthropic-messages" and sim.requests[-1].json["max_tokens"] == 50


def test_what_a_provider_patches_is_written_anew(sim: Simulator) -> None:
    """Reasoning models take another limit: such a request is translated, others go through."""
    sim.reset()
    app = gateway(sim)
    post(app, "/v1/chat/completions", ODD % b"openai/o3")
    assert "max_completion_tokens" in sim.requests[-1].json and sim.requests[-1].json["not_a_field"] == 100
    bare = (ODD % b"openai/o3").replace(b', "max_tokens": 50.0', b"")
    post(app, "/v1/chat/completions", bare)
    assert sim.requests[-1].body == bare.replace(b"openai/o3", b"o3")


def test_usage_of_streams_is_counted_though_the_client_did_not_ask(sim: Simulator) -> None:
    sent: dict[str, Any] = {"model": "openai/m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    app = gateway(sim)
    sim.reset()
    answer = post(app, "/v1/chat/completions", sent)
    assert sim.requests[-1].json["stream_options"] == {"include_usage": True} and '"usage"' not in answer.text
    asked = json.dumps({**sent, "stream_options": {"include_usage": True}}).encode()
    answer = post(app, "/v1/chat/completions", asked)
    assert sim.requests[-1].body == asked.replace(b"openai/m", b"m") and '"usage"' in answer.text


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b'{ "x": {"model": 1}, "model" : "a" }', b'{ "x": {"model": 1}, "model" : "b" }'),
        (b'{"x":"\\"model\\":1","model":"a"}', b'{"x":"\\"model\\":1","model":"b"}'),
        (b'{"x":"model","model":"a\\u0041"}', b'{"x":"model","model":"b"}'),
        (b'{"model":"a","model":"c"}', None),  # readers differ in which one counts
        (b'{"x":{"model":"a"},"mod\\u0065l":"c"}', None),
        (b'{"model":1}', None),
    ],
)
def test_only_the_name_is_replaced(body: bytes, sent: bytes | None) -> None:
    assert renamed(body, "b") == sent


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.sampled_from(["model", '"model":', "{", "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["model", "a", '"model"', "\\"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5) | st.sampled_from(["models", '"model"']), JSON), st.text(max_size=8), st.booleans())
def test_a_renamed_body_says_the_same_but_for_the_name(fields: dict[str, Any], name: str, ascii: bool) -> None:
    document = {**fields, "model": "old", "z": fields}
    made = renamed(json.dumps(document, ensure_ascii=ascii).encode("utf-8", "surrogatepass"), name)
    assert made is not None and json.loads(made) == {**document, "model": name}
