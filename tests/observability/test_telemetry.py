"""Spans and metrics after OpenTelemetry's GenAI conventions, read back from the SDK's own exporters."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

import engine
from engine import errors
from engine.telemetry import SCHEMA, instrument
from engine.testing import Simulator
from tests.routing.targets import A, B, Several

sdk = pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.trace import SpanKind, StatusCode  # noqa: E402

PROMPT = "the quokka is a small macropod"


class Seen:
    """The spans and metrics of a client."""

    def __init__(self, client: Any, **options: Any) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.stop = instrument(client, tracer_provider=self.tracers, meter_provider=MeterProvider([self._reader]), **options)

    @property
    def spans(self) -> list[Any]:
        return list(self._spans.get_finished_spans())

    @property
    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        return (
            {m.name: m.data.data_points for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics} if data else {}
        )

    @property
    def everything(self) -> str:
        """All that leaves the process, as one text."""
        return "".join(span.to_json() for span in self.spans) + str(self._reader.get_metrics_data() or "")


def test_a_call_is_a_client_span_in_the_words_of_the_conventions() -> None:
    with Several() as several, several.client() as client:
        seen = Seen(client)
        answer = client.chat(B, PROMPT, max_tokens=50, temperature=1, top_k=None, seed=7, response_format={"type": "json_object"})
    (span,) = seen.spans
    said = dict(span.attributes)
    model = B.partition("/")[2]
    assert span.name == f"chat {model}" and span.kind is SpanKind.CLIENT and span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope.name == "llmkit" and span.instrumentation_scope.schema_url == SCHEMA
    assert said.pop("server.port") > 0 and said.pop("gen_ai.response.finish_reasons") == ("stop",)
    assert said.pop("llmkit.cost.usd") == pytest.approx(float(answer.cost))
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "json",
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": answer.model,
        "gen_ai.usage.input_tokens": answer.usage.input_tokens,
        "gen_ai.usage.output_tokens": answer.usage.output_tokens,
        "server.address": "127.0.0.1",
        "llmkit.attempts": 1,
        **({"llmkit.request_id": answer.request_id} if answer.request_id else {}),
    }
    assert isinstance(said["gen_ai.request.temperature"], float)
    assert answer.report.timings["total"] <= (span.end_time - span.start_time) / 1e9 < answer.report.timings["total"] + 5


def test_every_name_is_one_of_the_conventions_or_ours() -> None:
    names = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    known = {value for name, value in vars(names).items() if name.startswith("GEN_AI_") and isinstance(value, str)}
    providers = {value.value for value in names.GenAiProviderNameValues}
    from engine import telemetry

    moved = {name for name in (*telemetry._USAGE.values(),) if ".audio." in name or ".image." in name}  # newer than the package
    assert {*telemetry._USAGE.values(), *telemetry._SETTINGS.values()} - moved <= known
    catalog = engine.Catalog()
    given = {name for id in catalog.provider_ids() if (name := catalog.plan(id).telemetry)}
    assert given - {"moonshot_ai"} <= providers and "aws.bedrock" in given


def test_metrics_have_the_advised_buckets_and_no_free_text() -> None:
    with Several() as several, several.client() as client:
        seen = Seen(client)
        answer = client.chat(B, PROMPT)
        with client.chat.stream(B, PROMPT) as stream:
            list(stream)
    tokens, duration = seen.metrics["gen_ai.client.token.usage"], seen.metrics["gen_ai.client.operation.duration"]
    assert {point.attributes["gen_ai.token.type"] for point in tokens} == {"input", "output"}
    assert list(tokens[0].explicit_bounds) == [
        1,
        4,
        16,
        64,
        256,
        1024,
        4096,
        16384,
        65536,
        262144,
        1048576,
        4194304,
        16777216,
        67108864,
    ]
    bounds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
    assert list(duration[0].explicit_bounds) == pytest.approx(bounds) and duration[0].count == 2
    assert sum(point.sum for point in tokens if point.attributes["gen_ai.token.type"] == "input") == 2 * answer.usage.input_tokens
    (first,) = seen.metrics["gen_ai.client.operation.time_to_first_chunk"]
    assert first.count == 1 and list(first.explicit_bounds) == pytest.approx(bounds)
    assert set(duration[0].attributes) == {
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "server.address", "server.port",
    }  # fmt: skip
    streamed = dict(seen.spans[1].attributes)
    assert streamed["gen_ai.request.stream"] is True and streamed["gen_ai.response.time_to_first_chunk"] > 0


def test_an_error_is_a_status_and_a_type_and_failed_attempts_are_events() -> None:
    with Several(openai="u_503_always") as several, several.client(attempts=2) as client:
        client._clock.random = lambda least, most: least  # type: ignore[method-assign]
        seen = Seen(client)
        with pytest.raises(errors.OverloadedError):
            client.chat(B, PROMPT)
    (span,) = seen.spans
    assert span.status.status_code is StatusCode.ERROR and span.status.description == "overloaded"
    assert span.attributes["error.type"] == "overloaded" and span.attributes["http.response.status_code"] == 503
    assert [(e.name, e.attributes["error.type"]) for e in span.events] == [("llmkit.attempt_failed", "overloaded")] * 2
    (duration,) = seen.metrics["gen_ai.client.operation.duration"]
    assert duration.attributes["error.type"] == "overloaded" and "gen_ai.client.token.usage" not in seen.metrics


def test_a_route_is_one_span_with_the_name_of_who_answered() -> None:
    with Several(groq="u_503_always") as several, several.client(attempts=1) as client:
        seen = Seen(client)
        client.chat(engine.Route([A, B], name="smart"), PROMPT)
    (span,) = seen.spans
    assert span.name == f"chat {B.partition('/')[2]}" and span.attributes["llmkit.route"] == "smart"
    assert span.attributes["gen_ai.provider.name"] == "openai" and span.events[0].attributes["gen_ai.provider.name"] == "groq"


def test_spans_hang_on_the_span_that_is_open_sync_and_async() -> None:
    async def run(several: Several) -> list[Any]:
        async with several.async_client() as client:
            seen = Seen(client)
            with seen.tracers.get_tracer("mine").start_as_current_span("outer"):
                await asyncio.gather(client.chat(A, PROMPT), client.chat(B, PROMPT))
            return seen.spans

    with Several() as several:
        with several.client() as client:
            seen = Seen(client)
            with seen.tracers.get_tracer("mine").start_as_current_span("outer"):
                client.chat(B, PROMPT)
            inner, outer = seen.spans
            assert inner.parent.span_id == outer.context.span_id
        *both, outer = asyncio.run(run(several))
    assert [span.parent.span_id for span in both] == [outer.context.span_id] * 2


def test_prompts_are_written_only_when_asked() -> None:
    messages = [
        {"role": "system", "content": "be kind"}, {"role": "user", "content": PROMPT},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "a quokka"},
    ]  # fmt: skip
    with Several() as several:
        with several.client() as client:
            quiet = Seen(client)
            client.chat(B, messages)
        with several.client() as client:
            loud = Seen(client, content=True)
            answer = client.chat(B, messages)
    assert "quokka" not in quiet.everything and answer.text not in quiet.everything
    said = loud.spans[0].attributes
    asked = json.loads(said["gen_ai.input.messages"])
    assert [message["role"] for message in asked] == ["user", "assistant", "tool"]
    assert asked[0]["parts"] == [{"type": "text", "content": PROMPT}]
    assert asked[1]["parts"] == [{"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}}]
    assert asked[2]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "a quokka"}]
    assert json.loads(said["gen_ai.system_instructions"]) == [{"type": "text", "content": "be kind"}]
    (output,) = json.loads(said["gen_ai.output.messages"])
    assert output == {"role": "assistant", "parts": [{"type": "text", "content": answer.text}], "finish_reason": "stop"}


@pytest.mark.parametrize("propagate", [False, True])
def test_providers_learn_of_the_trace_only_when_asked(propagate: bool) -> None:
    with Simulator([{"say": "hello"}]) as sim:
        providers = {"openai": {"base_url": f"{sim.origin}/openai", "api_key": "key-0123456789"}}
        with engine.Client(sim.catalog, providers=providers) as client:
            seen = Seen(client, propagate=propagate)
            client.chat(B, PROMPT)
            with client.chat.stream(B, PROMPT) as stream:
                list(stream)
            sent = [{name.lower(): value for name, value in dict(request.headers).items()} for request in sim.requests]
    traces = [f"{span.context.trace_id:032x}" for span in seen.spans]
    if propagate:
        assert [headers["traceparent"].split("-")[1] for headers in sent] == traces
    else:
        assert not any("traceparent" in headers for headers in sent)


def test_it_can_be_stopped_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Several() as several, several.client() as client:
        seen = Seen(client)
        seen.stop()
        client.chat(B, PROMPT)
    assert not seen.spans and not client._listeners
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(errors.ConfigError, match=r"llmkit-engine\[otel\]"):
        instrument(engine.Client())
