"""What a client asked, in canonical words: only what the operator opened goes on from here (RELIABILITY G1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.errors import Error
from engine.plan import Served
from engine.serve.gateway.config import Config
from engine.serve.gateway.tenants import Tenant
from engine.serve.gateway.wording import Refused
from engine.serve.mounts import Place
from engine.types import Report

#: options of a call that no wire has a word for, should a file ever bind one
_OURS = frozenset([
    "timeout", "attempts", "dialect", "unsupported", "on_interrupt", "extra_headers", "extra_query", "extra_body", "tenant", "tags",
    "hints", "cache",
])  # fmt: skip
_MODEL = 512  # characters of a model's name


@dataclass(slots=True)
class Asked:
    """One request: whose words it has, what it asks (`fields` of a call) and of which model."""

    served: Served
    target: str  # provider/model
    stream: bool
    fields: dict[str, Any] = field(repr=False)
    request: dict[str, Any] = field(repr=False)  # the fields with the model's name as the client said it
    report: Report = field(repr=False)
    extra: str = "forward"  # what becomes of fields the dialect does not know
    framing: str | None = None  # of the stream, if not that of the dialect
    used: int | None = None  # tokens that the call came to, once that is known


def asked(
    place: Place, body: dict[str, Any], config: Config, target_of: Callable[[str], str | None], tenant: Tenant | None = None
) -> Asked:
    """The request in a body; `target_of` knows the targets of models. Raises Refused for a model that is not offered, or not to
    this tenant, and for a request past a limit."""
    served, report = place.served, Report()
    assert served.accept is not None
    fields = served.accept(body, report)
    fields.update(place.bound)
    if not _OURS.isdisjoint(fields):
        fields = {name: value for name, value in fields.items() if name not in _OURS}
    model = fields.pop("model", None)
    if not isinstance(model, str) or not model:
        raise Refused("invalid_request", "the request names no model")
    if tenant is not None and not tenant.may(model):
        raise Refused("permission", "this key may not be used for the model that was asked for")
    target = target_of(model) if len(model) <= _MODEL else None
    if target is None:
        raise Refused("not_found", "this gateway does not offer the model that was asked for")
    name = "input" if served.operation == "embeddings" else "messages"
    content = fields.get(name)
    if name == "input" and isinstance(content, str) and content:
        content = fields[name] = [content]
    if not isinstance(content, list) or not content:
        raise Refused("invalid_request", f"the request has no {name}")
    if len(content) > config.messages:
        raise Refused("too_large", f"a request has at most {config.messages:,} {'inputs' if name == 'input' else name}")
    stream = fields.pop("stream", None) is True
    if stream and served.stream is None:
        raise Refused("unsupported", "this path has no streamed answers")
    extra = config.extra_for(tenant)
    if extra == "drop":
        closed(fields, report)
    request = {**fields, "model": model, "stream": stream}
    if stream and fields.get("stream_usage") is False:
        del fields["stream_usage"]  # the client is not told, but the gateway wants to know
    if tenant is not None:
        fields["tenant"] = tenant.name
    return Asked(served, target, stream, fields, request, report, extra)


def closed(fields: dict[str, Any], report: Report) -> None:
    """Take out what the client's dialect has no name for: `extra` wherever it hangs, and tools only a provider understands."""
    names: list[str] = []
    for holder in _holders(fields):
        extra = holder.pop("extra", None)
        if isinstance(extra, dict):
            names += [str(name) for left in extra.values() if isinstance(left, dict) for name in left]
    for key in ("tools", "server_tools"):
        tools = fields.get(key)
        if isinstance(tools, list) and any(isinstance(t, dict) and t.get("type") == "native" for t in tools):
            fields[key] = [t for t in tools if not (isinstance(t, dict) and t.get("type") == "native")]
            names.append(key)
    if names:
        listed = ", ".join(name[:40] for name in dict.fromkeys(names[:20]))
        report.warnings.append(f"fields that this gateway does not pass on were dropped: {listed}")


def _holders(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything that can have an `extra`: the request, messages, tools and parts, and parts in parts."""
    yield fields
    waiting: list[Any] = [fields.get("messages"), fields.get("tools"), fields.get("server_tools")]
    while waiting:
        for item in waiting.pop() or ():
            if isinstance(item, dict):
                yield item
                waiting += [v for k in ("parts", "content") if isinstance(v := item.get(k), list)]


def check_addresses(fields: dict[str, Any], fetched: frozenset[str]) -> None:
    """Refuse addresses in parts of the types that the engine would have to fetch for this provider: it would do so from the
    operator's network."""
    for holder in _holders(fields):
        if holder.get("type") in fetched:
            for url in (holder.get("url"), holder.get("uri")):
                if isinstance(url, str) and not url.startswith("data:"):
                    raise Refused("unsupported", "this gateway fetches no addresses: send the data itself")


def refused_by(error: Error) -> Refused:
    """The operator's own mistake, seen while a target was bound: a client is told that the gateway is not set up."""
    kind = "not_found" if error.kind == "not_found" else "unsupported" if error.kind == "unsupported" else "config"
    text = {
        "not_found": "this gateway does not offer the model that was asked for",
        "unsupported": "the provider of this model has no such operation",
        "config": "this gateway is not set up for this model",
    }
    return Refused(kind, text[kind])
