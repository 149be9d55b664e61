"""The gateway's journal and traces: switched on in llmkit.yaml, and no words of its clients in either."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.errors import ConfigError
from engine.ledger.journal import Journal
from engine.serve.gateway.app import Gateway
from engine.serve.gateway.config import config_of
from engine.testing import Simulator

sdk = pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402

PROMPT = "the quokka is a small macropod"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the process's own tracer exports."""
    kept, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: tracers)
    return kept


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", ["own", "other"])
def test_calls_are_rows_and_spans_of_their_clients_traces(wire: str, stream: bool, tmp_path: Path, spans: Any) -> None:
    async def ask(sim: Simulator) -> Any:
        given = {
            "journal": "calls.sqlite",
            "telemetry": True,
            "providers": {"openai": {"base_url": f"{sim.origin}/openai"}},
        }
        config = config_of(given, tmp_path, {})
        config.providers["openai"]["api_key"] = "key-0123456789"
        gateway = Gateway(config, catalog=sim.catalog)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway), base_url="http://127.0.0.1:4000") as http:
            path = "/v1/chat/completions" if wire == "own" else "/v1/messages"
            body = {
                "model": "openai/gpt-5-mini",
                "messages": [{"role": "user", "content": PROMPT}],
                "stream": stream,
                "max_tokens": 50,
            }
            headers = {
                "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
                **({} if wire == "own" else {"anthropic-version": "2023-06-01"}),
            }
            reply = await http.post(path, json=body, headers=headers)
        await gateway.close()
        return reply, [dict(request.headers) for request in sim.requests]

    with Simulator([{"say": "hello"}]) as sim:
        reply, sent = asyncio.run(ask(sim))
    assert reply.status_code == 200
    (span,) = spans.get_finished_spans()
    assert span.name == "chat gpt-5-mini" and f"{span.context.trace_id:032x}" == TRACE and PROMPT not in span.to_json()
    assert span.attributes["gen_ai.usage.output_tokens"] and not any("traceparent" in map(str.lower, headers) for headers in sent)
    (row,) = Journal(tmp_path / "calls.sqlite").calls()
    assert (
        (row["provider"], row["kind"]) == ("openai", "ok") and row["output_tokens"] and (row["first_event"] is not None) == stream
    )
    assert not any(PROMPT.encode() in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("given,told", [(True, {}), (False, None), ({"content": True}, {"content": True})])
def test_what_the_configuration_says(given: Any, told: Any) -> None:
    assert config_of({"telemetry": given}, Path(), {}).telemetry == told


@pytest.mark.parametrize("given", ["yes", {"contents": True}, {"content": 1}])
def test_what_it_does_not(given: Any) -> None:
    with pytest.raises(ConfigError, match="content and propagate"):
        config_of({"telemetry": given}, Path(), {})
