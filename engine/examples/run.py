"""Examples are tests (SPEC_LANGUAGE 13): a request with what it sends, a reply with what it gives. No network.

A provider runs its own examples and inherits those of its dialects. An inherited example is compared only where the
provider's patches have not changed the wire (`Deviations`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from engine.call.address import above
from engine.errors import Error
from engine.examples.cases import NEUTRAL_MODEL, Case, cases
from engine.examples.given import followed, given_operation, signed
from engine.spec.node import NOWHERE, Mark

if TYPE_CHECKING:
    from engine.catalog import Catalog
    from engine.operation import Operation
    from engine.types import HttpRequest, Response

    Given = Callable[[Catalog, str, str, Mapping[str, Any] | None], Operation]
    Answered = Callable[[Operation, Case, HttpRequest | None], Iterable[str]]


@dataclass(slots=True)
class Result:
    """What came of one example. `failures` is empty when it passed."""

    provider: str
    operation: str
    name: str
    origin: str  # id of the file it stands in
    needs: tuple[str, ...] = ()
    failures: list[str] = field(default_factory=list)
    skipped: str | None = None
    mark: Mark = NOWHERE

    @property
    def passed(self) -> bool:
        return not self.failures and self.skipped is None


def run_all(catalog: Catalog, provider: str, *, variant: str | None = None) -> Iterator[Result]:
    """Run every example of a provider, its own and the inherited ones."""
    for case in cases(catalog, provider, variant):
        yield run(catalog, provider, case, variant=variant)


def run(
    catalog: Catalog,
    provider: str,
    case: Case,
    *,
    variant: str | None = None,
    given: Given = given_operation,
    answered: Answered | None = None,
) -> Result:
    """Run one example. A skipped one runs too: if it would pass, the skip itself is a failure.

    `given` makes the operation, `answered` compares what it reads: for callers who remember either (`Outcomes`).
    """
    example = case.example
    needs = tuple(example.get("needs") or ())
    result = Result(provider, case.operation, str(example.get("name")), case.origin, needs, mark=case.mark)
    flags = catalog.capabilities(provider, case.operation, variant=variant) if needs else {}
    missing = [flag for flag in needs if flags.get(flag) in (None, False)]
    if missing:
        result.skipped = f"needs {', '.join(missing)}"
        return result
    try:
        failures = list(_failures(catalog, provider, case, variant, given, answered or read_failures))
    except Error as error:
        failures = [f"{error.kind}: {error}"]
    if case.skip is None:
        result.failures = failures
    elif failures:
        result.skipped = case.skip
    else:
        result.failures = [f"passes now; remove it from skip_examples ({case.skip})"]
    return result


def _failures(catalog: Catalog, provider: str, case: Case, variant: str | None, given: Given, answered: Answered) -> Iterator[str]:
    example = case.example
    request = dict(example.get("request") or {})
    request.pop("model", None)
    model = model_of(catalog, provider, case)
    target = f"{provider}:{variant}/{model}" if variant else f"{provider}/{model}"
    operation = given(catalog, target, case.operation, example.get("given"))
    expected_error = example.get("fails")
    sent: HttpRequest | None = None
    try:
        if "request" in example:
            sent = _rendered(operation, request)
            if "sends" in example:
                yield from _compare_sent(operation, signed(operation, sent), example["sends"], case)
        yield from answered(operation, case, sent)
    except Error as error:
        if expected_error is None:
            raise
        yield from subset(error.to_dict(), expected_error, "fails")
        return
    if expected_error is not None:
        yield f"expected a failure {expected_error}, got none"


def _rendered(operation: Operation, fields: dict[str, Any]) -> HttpRequest:
    """The request of an example. What calls before it would give is its name in brackets: `(input)`."""
    request, context, unsupported = operation.start(fields)
    if request is not None:
        return request
    from engine.call.forerun import pretend

    pretend(operation.plan, context)
    return operation.build(context, context["$report"], unsupported)


def model_of(catalog: Catalog, provider: str, case: Case) -> str:
    """The model an example speaks of: its own, else the neutral one; in a provider's own example the default."""
    own = (case.example.get("request") or {}).get("model")
    return str(own or (None if case.inherited else catalog.plan(provider).default_model) or NEUTRAL_MODEL)


def read_failures(operation: Operation, case: Case, sent: HttpRequest | None) -> Iterator[str]:
    """What is wrong with the answers of an example. Raises the typed error of a reply that is one."""
    example = case.example
    if operation.plan.realtime is not None:
        from engine.examples.sessions import session_failures

        yield from session_failures(operation, example, sent, case.deviations.said)
        return
    for response in _answers(operation, example, sent):
        if "fails" not in example and "gives" in example:
            yield from _compare_given(response, example["gives"], case)


def _answers(operation: Operation, example: Mapping[str, Any], sent: HttpRequest | None) -> Iterator[Response]:
    """The example's reply read whole; a stream is read whole and again cut at random places."""
    reply = example.get("reply")
    if reply is not None:
        body = reply.get("body")
        data = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **_lower(reply.get("headers") or {})}
        yield operation.read(int(reply.get("status", 200)), headers, data, request=sent)
    if "replies" in example:
        yield followed(operation, sent, example["replies"])
    streamed = stream_bytes(operation, example)
    if streamed is None:
        return
    for pieces in ([streamed], list(cut(streamed, random.Random(len(streamed))))):
        reader = operation.reader({"content-type": content_type(operation)}, request=sent)
        for piece in pieces:
            reader.feed(piece)
        yield reader.close()


def content_type(operation: Operation) -> str:
    """The media type a stream of this operation arrives with."""
    framing = operation.plan.stream.framing if operation.plan.stream else "sse"
    return {
        "sse": "text/event-stream",
        "ndjson": "application/x-ndjson",
        "json_array": "application/json",
        "eventstream": "application/vnd.amazon.eventstream",
    }.get(framing, "application/octet-stream")


def stream_bytes(operation: Operation, example: Mapping[str, Any]) -> bytes | None:
    """An example's `stream` (raw text) or `frames` (a list) as bytes on the wire; None if it has neither.

    A frame is a JSON document, a text (sent as it is), or `{event: name, data: document}`.
    """
    framing = operation.plan.stream.framing if operation.plan.stream else "sse"
    if isinstance(example.get("stream"), str):
        text = str(example["stream"])
        whole = text.endswith("\n\n") or framing == "raw"
        return (text if whole else text + "\n").encode()  # a YAML block ends in one line end, an event in two
    frames = example.get("frames")
    if frames is None:
        return None
    from engine.call.encode import encode_frames

    return encode_frames(framing, frames)


def cut(data: bytes, dice: random.Random) -> Iterator[bytes]:
    """The bytes in pieces of 1 to 40."""
    at = 0
    while at < len(data):
        size = dice.randint(1, 40)
        yield data[at : at + size]
        at += size


def _compare_sent(operation: Operation, sent: HttpRequest, expected: Mapping[str, Any], case: Case) -> Iterator[str]:
    deviations = case.deviations
    url = urlsplit(sent.url)
    if "method" in expected and sent.method != expected["method"] and not deviations.path:
        yield f"method: {sent.method} instead of {expected['method']}"
    if "path" in expected and not deviations.path:
        base = urlsplit(above(operation.base_url, operation.plan.call.outside)).path.rstrip("/")
        path = url.path[len(base) :] if url.path.startswith(base) else url.path
        if path != expected["path"]:
            yield f"path: {path} instead of {expected['path']}"
    if "query" in expected:
        query: dict[str, Any] = {}
        for key, value in parse_qsl(url.query, keep_blank_values=True):
            query[key] = (
                [*query[key], value] if isinstance(query.get(key), list) else [query[key], value] if key in query else value
            )
        wanted = {k: v for k, v in expected["query"].items() if k not in deviations.query}
        yield from subset(query, _texts(wanted), "query")
    if "headers" in expected:
        headers = _lower(sent.headers)
        wanted = {k: v for k, v in _lower(expected["headers"]).items() if k not in deviations.headers}
        yield from subset(headers, wanted, "headers")
    body: Any = None
    if sent.body is not None:
        try:
            body = json.loads(sent.body)
        except ValueError:
            body = sent.body.decode("utf-8", "replace")
    if "body" in expected:
        yield from equal(deviations.without_body(body), deviations.without_body(expected["body"]), "body")
    if "form" in expected:
        from engine.examples.forms import fields_of, named_in

        wanted = deviations.without_body(expected["form"])
        yield from equal(named_in(deviations.without_body(fields_of(sent)), wanted), wanted, "form")
    for name in expected.get("body_lacks") or ():
        if isinstance(body, dict) and _at(body, str(name)) is not None and str(name).split(".")[0] not in deviations.body:
            yield f"body: has {name}, which it must not"


def _compare_given(response: Response, expected: Mapping[str, Any], case: Case) -> Iterator[str]:
    actual = response.to_dict()
    if response.choices:
        actual = {**actual, **response.choices[0].to_dict()}
        actual["choices"] = [c.to_dict() for c in response.choices]
    wanted = {k: v for k, v in expected.items() if k not in case.deviations.gives}
    yield from subset(actual, wanted, "gives")


def _texts(value: Mapping[str, Any]) -> dict[str, Any]:
    def text(v: Any) -> Any:
        return [text(x) for x in v] if isinstance(v, list) else str(v).lower() if isinstance(v, bool) else str(v)

    return {k: text(v) for k, v in value.items()}


def subset(actual: Any, expected: Any, where: str) -> Iterator[str]:
    """Mappings may hold more than expected; lists must be of the same length."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield f"{where}: {shown(actual)} instead of {shown(expected)}"
            return
        for key, value in expected.items():
            if value is None and actual.get(key) is None:
                continue
            if key not in actual:
                yield f"{where}.{key}: missing, expected {shown(value)}"
            else:
                yield from subset(actual[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            yield f"{where}: {shown(actual)} instead of {shown(expected)}"
            return
        for index, (a, e) in enumerate(zip(actual, expected, strict=True)):
            yield from subset(a, e, f"{where}[{index}]")
    elif actual != expected or isinstance(actual, bool) != isinstance(expected, bool):
        yield f"{where}: {shown(actual)} instead of {shown(expected)}"


def equal(actual: Any, expected: Any, where: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in [*expected, *(k for k in actual if k not in expected)]:
            if key not in actual:
                yield f"{where}.{key}: missing, expected {shown(expected[key])}"
            elif key not in expected:
                yield f"{where}.{key}: unexpected {shown(actual[key])}"
            else:
                yield from equal(actual[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(actual) == len(expected):
        for index, (a, e) in enumerate(zip(actual, expected, strict=True)):
            yield from equal(a, e, f"{where}[{index}]")
    elif actual != expected or isinstance(actual, bool) != isinstance(expected, bool):
        yield f"{where}: {shown(actual)} instead of {shown(expected)}"


def _at(body: Mapping[str, Any], path: str) -> Any:
    found: Any = body
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else text[:159] + "…"


def _lower(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {str(k).lower(): v for k, v in headers.items()}
