"""OpenTelemetry: one span and the advised metrics for every call, after the GenAI semantic conventions 1.44.

    from engine.telemetry import instrument

    stop = instrument(client)          # the global providers; or tracer_provider=…, meter_provider=…

Needs the extra [otel]. Spans are called `chat gpt-5-mini`; of their attributes, those of the conventions have their names there,
ours begin with `llmkit.`. Nothing of prompts and answers is in them without `content=True`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.errors import ConfigError, Error

if TYPE_CHECKING:
    from engine.calling import Caller
    from engine.events import AttemptEnded, CallEnded, CallStarted, FirstEvent

__all__ = ["SCHEMA", "continued", "instrument"]

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
#: operations that the conventions call otherwise
_OPERATIONS = {"completion": "text_completion"}
_OUTPUTS = {
    "image": "image",
    "image_edit": "image",
    "image_variation": "image",
    "video": "video",
    "speech": "speech",
    "transcription": "text",
}
#: our names of settings -> theirs
_SETTINGS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "dimensions": "gen_ai.embeddings.dimension.count",
}
_DOUBLE = frozenset(("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty"))
_USAGE = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "audio_input_tokens": "gen_ai.usage.audio.input_tokens",
    "audio_output_tokens": "gen_ai.usage.audio.output_tokens",
    "image_input_tokens": "gen_ai.usage.image.input_tokens",
}
#: bucket boundaries that the conventions advise
_TOKENS = [4**n for n in range(14)]
_SECONDS = [0.01 * 2**n for n in range(14)]


def instrument(
    client: Caller,
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    content: bool = False,
    propagate: bool = False,
) -> Callable[[], None]:
    """Trace and measure every call of a client from now on: what ends that when it is called.

    `content` writes messages and answers, their known credentials masked, into the spans. `propagate` sends the trace's headers
    (`traceparent`) to providers, which then can tell which of your requests belong together. ConfigError without [otel].
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        raise ConfigError('telemetry needs OpenTelemetry: pip install "llmkit-engine[otel]"') from None
    from engine import __version__

    tracer = trace.get_tracer("llmkit", __version__, tracer_provider, schema_url=SCHEMA)
    meter = metrics.get_meter("llmkit", __version__, meter_provider, schema_url=SCHEMA)
    observer = _Observer(client, tracer, meter)
    ends = [
        client.on("call_started", observer.started, content=content),
        client.on("attempt_ended", observer.attempted),
        client.on("first_event", observer.first),
        client.on("call_ended", observer.ended, content=content),
    ]
    listeners = client._listeners
    assert listeners is not None  # those of four lines ago
    if propagate:
        listeners.headers = observer.headers

    def stop() -> None:
        for end in ends:
            end()
        listeners.headers = None

    return stop


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """What is traced within belongs to the trace that the headers of an incoming request name, if they name one."""
    from opentelemetry import context, propagate

    token = context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


class _Observer:
    """The spans of running calls, and the instruments."""

    def __init__(self, client: Caller, tracer: Any, meter: Any) -> None:
        self._client = client
        self._tracer = tracer
        self._spans: dict[str, Any] = {}
        self._names: dict[str | None, str] = {}
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )  # fmt: skip
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )  # fmt: skip

    def started(self, event: CallStarted) -> None:
        from opentelemetry.trace import SpanKind

        shown = {**self._who(event), **_settings(event)}
        if event.content is not None:
            shown.update(_said(event.operation, event.content["request"]))
        name = f"{shown['gen_ai.operation.name']} {event.model or event.route or ''}".rstrip()
        self._spans[event.call] = self._tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=shown, start_time=int(event.at * 1e9)
        )

    def attempted(self, event: AttemptEnded) -> None:
        span = self._spans.get(event.call)
        if span is not None and event.kind != "ok":  # the last one that went well is the span itself
            told = {"llmkit.attempt.number": event.number, "error.type": event.kind, "llmkit.attempt.duration": event.seconds}
            if event.status is not None:
                told["http.response.status_code"] = event.status
            span.add_event("llmkit.attempt_failed", {**told, "gen_ai.provider.name": self._name(event.provider)})

    def first(self, event: FirstEvent) -> None:
        span = self._spans.get(event.call)
        if span is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", event.seconds)

    def ended(self, event: CallEnded) -> None:
        who = self._who(event)
        known = {**who, **({"gen_ai.response.model": event.response_model} if event.response_model else {})}
        if event.kind != "ok":
            known["error.type"] = event.kind
        span = self._spans.pop(event.call, None)
        if span is not None:
            self._close(span, event, known)
        self._duration.record(event.seconds, known)
        if event.first_event is not None:
            self._first.record(event.first_event, known)
        for counter, kind in (("input_tokens", "input"), ("output_tokens", "output")):
            if event.usage.get(counter) is not None:
                self._tokens.record(event.usage[counter], {**known, "gen_ai.token.type": kind})

    def _close(self, span: Any, event: CallEnded, known: Mapping[str, Any]) -> None:
        from opentelemetry.trace import Status, StatusCode

        shown: dict[str, Any] = {**known, "llmkit.attempts": len(event.attempts)}
        shown.update({name: event.usage[ours] for ours, name in _USAGE.items() if event.usage.get(ours) is not None})
        told = {
            "gen_ai.response.id": event.response_id,
            "gen_ai.response.finish_reasons": list(event.finish_reasons) or None,
            "llmkit.request_id": event.request_id,
            "llmkit.cost.usd": float(event.cost) if event.cost is not None else None,
            "llmkit.cached": event.cached or None,
            "http.response.status_code": event.status,
        }
        shown.update({name: value for name, value in told.items() if value is not None})
        if event.content is not None and event.content["answer"] is not None:
            shown["gen_ai.output.messages"] = json.dumps(_answered(event.content["answer"]), ensure_ascii=False)
        span.update_name(f"{shown['gen_ai.operation.name']} {event.model or event.route or ''}".rstrip())
        span.set_attributes(shown)
        if event.kind not in ("ok", "cancelled"):
            message = event.content["error"] if event.content is not None else None
            span.set_status(Status(StatusCode.ERROR, message or event.kind))
        span.end(int((event.at) * 1e9))

    def headers(self, call: str) -> Mapping[str, str]:
        """The headers that let a provider continue the trace of a call."""
        from opentelemetry import propagate, trace

        found: dict[str, str] = {}
        span = self._spans.get(call)
        if span is not None:
            propagate.inject(found, trace.set_span_in_context(span))
        return found

    # --- words ------------------------------------------------------------------------------------------------------

    def _who(self, event: CallStarted | CallEnded) -> dict[str, Any]:
        shown: dict[str, Any] = {"gen_ai.operation.name": _OPERATIONS.get(event.operation, event.operation)}
        if event.provider is not None:
            shown["gen_ai.provider.name"] = self._name(event.provider)
        if event.model:
            shown["gen_ai.request.model"] = event.model
        if event.origin is not None:
            parts = urlsplit(event.origin)
            shown["server.address"], shown["server.port"] = parts.hostname or "", parts.port or 443
        if event.route is not None:
            shown["llmkit.route"] = event.route
        return shown

    def _name(self, provider: str | None) -> str:
        """What the conventions call a provider, if they do; else our id."""
        found = self._names.get(provider)
        if found is None:
            try:
                found = self._client.catalog.plan(provider or "").telemetry or provider or ""
            except Error:
                found = provider or ""
            self._names[provider] = found
        return found


def _settings(event: CallStarted) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for ours, name in _SETTINGS.items():
        value = event.settings.get(ours)
        if value is not None:
            shown[name] = float(value) if ours in _DOUBLE else int(value)
    if (event.settings.get("n") or 1) != 1:
        shown["gen_ai.request.choice.count"] = int(event.settings["n"])
    if event.stream:
        shown["gen_ai.request.stream"] = True
    output = "json" if event.settings.get("json") else _OUTPUTS.get(event.operation)
    if output is not None:
        shown["gen_ai.output.type"] = output
    return shown


def _said(operation: str, request: Mapping[str, Any]) -> dict[str, str]:
    """The messages of a chat in the words of the conventions, as JSON."""
    from engine.call.normalize import names, normalize

    if operation != "chat":
        return {}
    try:
        known = normalize(operation, {k: v for k, v in request.items() if k in names(operation)}, reads=None)
    except Error:  # the call itself says what is wrong with it
        return {}
    shown = {}
    messages = [
        {"role": message["role"], "parts": [_part(part) for part in message["parts"]]}
        for message in known.get("messages") or ()
        if message["role"] != "system"
    ]
    if messages:
        shown["gen_ai.input.messages"] = json.dumps(messages, ensure_ascii=False, default=str)
    system = [_part(part) for part in known.get("system_parts") or ()]
    if system:
        shown["gen_ai.system_instructions"] = json.dumps(system, ensure_ascii=False, default=str)
    return shown


def _answered(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "parts": [_part(p) for p in c.get("parts") or ()], "finish_reason": c.get("finish_reason") or ""}
        for c in answer.get("choices") or ()
    ]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """One part of a message in the words of the conventions. Of media only what they are, and where."""
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "content": part.get("text") or ""}
    if kind == "thinking":
        return {"type": "reasoning", "content": part.get("text") or ""}
    if kind == "tool_call":
        return {"type": "tool_call", "id": part.get("id"), "name": part.get("name"), "arguments": part.get("arguments")}
    if kind == "tool_result":
        return {"type": "tool_call_response", "id": part.get("id"), "response": part.get("text") or part.get("parts")}
    told = {
        "type": "uri" if part.get("url") else "blob",
        "modality": kind,
        "mime_type": part.get("media_type"),
        "uri": part.get("url"),
    }
    return {name: value for name, value in told.items() if value is not None}
