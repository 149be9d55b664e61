#!/usr/bin/env python3
"""What a provider does that its spec does not know yet.

    tools/drift.py exchanges FILE... [--provider ID[:VARIANT]] [--operation NAME]
    tools/drift.py openapi FILE --provider ID[:VARIANT] [--operation NAME] [--url PATH]
    tools/drift.py models FILE|--live --provider ID

exchanges   recorded ones: .har of a browser or proxy, .json with {"request", "response"} (or a list of them), or .jsonl of such
            lines. Lines of recorded traffic say themselves who answered; for others name the provider.
openapi     an OpenAPI 3 document (JSON or YAML) of the provider: its request and reply beside what the spec sends and reads.
models      a list of models as the provider gives it, a plain list of ids, or with --live the list it gives now (needs its key).

Told are places, not values: fields of requests that no template writes, fields of replies that nothing reads (they are in
`answer.raw` only), words for why an answer finished and codes of errors that are in no table, types of events that are passed
over, models that came and went. A field that is rightly passed over can be left out: --ignore 'choices[].message.*' (* and ? stand for
what they do in file names; repeatable).

Exit codes: 0 nothing unknown, 1 something is, 2 wrong usage or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "tools"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import replay  # noqa: E402
import replay_operations  # noqa: E402
from drift_read import Reading, Reply, gathered, is_read  # noqa: E402
from drift_schema import Document, answered, sent, streamed  # noqa: E402
from drift_sent import Sent  # noqa: E402

from engine.catalog import Catalog  # noqa: E402
from engine.errors import Error  # noqa: E402
from engine.examples.given import given_operation  # noqa: E402

#: what is found -> how it is said
SAID = {
    "unsent": "in requests, and no template writes it",
    "lacking": "a template writes it, and the document has it not",
    "unread": "in replies, and nothing reads it",
    "reasons": "why an answer finished, in no table of the spec",
    "codes": "codes of errors, in no table of the spec",
    "events": "types of events that are passed over",
    "problems": "replies that cannot be read",
    "new": "models the catalog has no facts of",
    "gone": "models of the catalog that are not listed",
    "deprecated": "listed models that the catalog calls deprecated or retired",
}


@dataclass
class Drift:
    """What was found of one operation of one provider: kind -> place -> how often."""

    target: str
    operation: str
    looked: int = 0
    found: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in SAID})

    def add(self, kind: str, places: Any, ignored: list[str]) -> None:
        counted = places if isinstance(places, dict) else dict.fromkeys(places, 1)
        self.found[kind].update(
            {p: n for p, n in counted.items() if not any(fnmatchcase(p, glob.replace("[", "[[]")) for glob in ignored)}
        )

    @property
    def clean(self) -> bool:
        return not any(self.found.values())

    def to_dict(self) -> dict[str, Any]:
        found = {kind: dict(sorted(places.items())) for kind, places in self.found.items() if places}
        return {"target": self.target, "operation": self.operation, "looked": self.looked, **found}


class Unreadable(Exception):
    """A file or an argument that does not fit: exit code 2."""


# --- exchanges --------------------------------------------------------------------------------------------------------


def exchanges(given: argparse.Namespace, catalog: Catalog) -> list[Drift]:
    """One Drift for each provider and operation of the recordings."""
    drifts: dict[tuple[str, str], Drift] = {}
    known: dict[tuple[str, str], set[str]] = {}  # places that are read for sure
    sents: dict[tuple[str, str, str], Sent] = {}
    for path in given.files:
        for case in recorded(Path(path)):
            who = addressed(case, given, Path(path).stem)
            if who is None:
                continue
            target, operation, dialect = who
            try:
                provider, variant, model = catalog.split(target)
                bound = given_operation(catalog, target, operation)
                if dialect and variant is None and dialect not in bound.plan.dialects:
                    bound = catalog.operation(target, operation, settings=bound.values, environ={}, dialect=dialect)
            except Error as error:
                raise Unreadable(f"{path}: {target} {operation}: {error}") from None
            name = f"{provider}:{bound.variant}" if bound.variant else provider
            drift = drifts.setdefault((name, operation), Drift(name, operation))
            drift.looked += 1
            body = request_body(case)
            if body is not None:
                of = (name, operation, model)
                spec = sents.get(of) or sents.setdefault(of, Sent(catalog, provider, operation, model, bound.variant))
                drift.add("unsent", set(spec.unknown(body)), given.ignore)
            reply = reply_of(case)
            if reply is None or bound.plan.job is not None or (reply.data is not None and bound.plan.stream is None):
                continue
            read = known.setdefault((name, operation), set())
            found = Reading(bound).look(reply, read)
            read |= found.read
            drift.found["unread"].update(found.unread - read)
            for kind in ("reasons", "codes", "events"):
                drift.add(kind, getattr(found, kind), given.ignore)
            if found.problem is not None:
                drift.add("problems", [found.problem], given.ignore)
    for key, drift in drifts.items():
        read = known.get(key, set())
        unread = {p: times for p, times in drift.found["unread"].items() if not is_read(p, read)}  # in no other exchange either
        drift.found["unread"] = Counter()
        drift.add("unread", gathered(unread, read), given.ignore)
    return list(drifts.values())


def recorded(path: Path) -> Iterator[dict[str, Any]]:
    """The exchanges of a file as {request, response, …} with parsed bodies."""
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".jsonl":
            found: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            found = json.loads(text)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} cannot be read: {error}") from None
    if isinstance(found, dict) and "log" in found:
        found = [_from_har(entry) for entry in found["log"].get("entries") or ()]
    for case in found if isinstance(found, list) else [found]:
        if not isinstance(case, dict) or not isinstance(case.get("response"), dict):
            raise Unreadable(f"{path} holds no exchanges: each is an object with `request` and `response`")
        yield case


def _from_har(entry: dict[str, Any]) -> dict[str, Any]:
    def side(one: dict[str, Any], text: Any, encoded: bool = False) -> dict[str, Any]:
        body: Any = {"base64": text} if encoded else text
        try:
            body = json.loads(base64.b64decode(text) if encoded else text) if text else None
        except ValueError:
            pass
        headers = {h["name"].lower(): h["value"] for h in one.get("headers") or ()}
        return {**one, "headers": {k: v for k, v in headers.items() if k != "content-encoding"}, "body": body}

    asked, told = entry["request"], entry["response"]
    content = told.get("content") or {}
    return {
        "request": side(asked, (asked.get("postData") or {}).get("text")),
        "response": side(told, content.get("text"), content.get("encoding") == "base64"),
    }


def addressed(case: dict[str, Any], given: argparse.Namespace, file: str) -> tuple[str, str, str | None] | None:
    """(provider[:variant]/model, operation, dialect) that an exchange is read with; None of recorded traffic nobody here speaks."""
    if given.provider is not None:
        body = (case.get("request") or {}).get("body")
        model = body.get("model") if isinstance(body, dict) else None
        return f"{given.provider}/{model or 'model'}", given.operation, None
    if case.get("dialect") in replay.DIALECTS and case.get("operation") in replay.OPERATIONS:
        target, dialect = replay.target(case)
        return target, "chat", dialect or None
    if file in replay_operations.FILES:
        return (*replay.target({**case, "file": file}), None)
    if "dialect" in case:
        return None
    raise Unreadable("the recording does not say who answered: name --provider and --operation")


def request_body(case: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of a request; those of a form by their names."""
    body = (case.get("request") or {}).get("body")
    if not isinstance(body, dict):
        return None
    if set(body) == {"base64"}:
        return None
    if set(body) == {"form"}:
        return dict(body["form"])
    if set(body) == {"multipart"}:
        return {part["name"]: None for part in body["multipart"]}
    return body


def reply_of(case: dict[str, Any]) -> Reply | None:
    """The reply, or None where its status or its body is not there or is no JSON."""
    response = {"headers": {}, "body": None, **case["response"]}
    body, headers = response["body"], {str(k).lower(): str(v) for k, v in (response["headers"] or {}).items()}
    status = response.get("status") or (400 if "expected_error" in case else 200)
    if body is None:
        return None
    if replay.is_stream({**case, "response": {**response, "status": status}}):
        return Reply(status, headers, data=replay.body_bytes(body))
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return None
    return Reply(status, {**headers, "content-type": headers.get("content-type", "application/json")}, body)


# --- a document, a list -----------------------------------------------------------------------------------------------


def openapi(given: argparse.Namespace, catalog: Catalog) -> list[Drift]:
    """The request and the reply of one operation of the document."""
    provider, bound, variant = _bound(given, catalog)
    try:
        document = Document(Path(given.file))
        url = given.url or urlsplit(bound.base_url + bound.plan.call.url({**bound.values, "model": bound.model})).path
        path, table = document.operation(url, bound.plan.call.verb)
    except (OSError, ValueError, LookupError, AttributeError) as error:
        raise Unreadable(f"{error}; --url names the path in the document") from None
    drift = Drift(given.provider, f"{given.operation} ({bound.plan.call.verb} {path})")
    asked = document.schema(table.get("requestBody") or {}) or document.schema(table.get("requestBody") or {}, "form")
    if asked is not None:
        unsent, lacking = sent(document, asked, Sent(catalog, provider, given.operation, None, variant))
        drift.add("unsent", unsent, given.ignore)
        drift.add("lacking", lacking, given.ignore)
    replies = table.get("responses") or {}
    told = replies.get("200") or replies.get(200) or replies.get("201") or replies.get("default") or {}
    whole, events = document.schema(told), document.schema(told, "event-stream")
    if whole is not None and bound.plan.job is None:
        unread, reasons = answered(document, whole, Reading(bound))
        drift.add("unread", unread, given.ignore)
        drift.add("reasons", reasons, given.ignore)
    if events is not None and bound.plan.stream is not None and bound.plan.stream.map is not None:
        unread, passed = streamed(document, events, Reading(bound))
        drift.add("unread", unread, given.ignore)
        drift.add("events", passed, given.ignore)
    return [drift]


def models(given: argparse.Namespace, catalog: Catalog) -> list[Drift]:
    """The ids of a list beside the facts of the catalog."""
    provider = catalog.resolve(given.provider.partition(":")[0])
    listed = _live(given, catalog) if given.live else _listed(given, catalog)
    facts = catalog.facts.all(provider)
    drift = Drift(provider, "models", len(listed))
    served = {id for id, about in facts.items() if not ((about or {}).get("deprecated") or (about or {}).get("retired"))}
    drift.add("new", listed - set(facts), given.ignore)
    drift.add("gone", served - listed, given.ignore)
    drift.add("deprecated", (listed & set(facts)) - served, given.ignore)
    return [drift]


def _live(given: argparse.Namespace, catalog: Catalog) -> set[str]:
    import engine

    with engine.Client(catalog) as client:
        return {str(model.id) for model in client.list_models(given.provider).models}


def _listed(given: argparse.Namespace, catalog: Catalog) -> set[str]:
    if given.file is None:
        raise Unreadable("name the file of the list, or --live")
    try:
        found = json.loads(Path(given.file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Unreadable(f"{given.file} cannot be read: {error}") from None
    if isinstance(found, list) and all(isinstance(id, str) for id in found):
        return set(found)
    try:
        answer = given_operation(catalog, f"{given.provider}/model", "list_models").read(200, {}, json.dumps(found).encode())
    except Error as error:
        raise Unreadable(f"{given.file} is no list of models of {given.provider}: {error}") from None
    return {str(model.id) for model in answer.models}


def _bound(given: argparse.Namespace, catalog: Catalog) -> tuple[str, Any, str | None]:
    model = f"{given.provider}/model"
    try:
        provider, variant, _ = catalog.split(model)
        default = catalog.plan(provider).default_model
        return provider, given_operation(catalog, f"{given.provider}/{default or 'model'}", given.operation), variant
    except Error as error:
        raise Unreadable(str(error)) from None


# --- the command ------------------------------------------------------------------------------------------------------


def report(drifts: list[Drift]) -> None:
    for drift in drifts:
        counted = f", {drift.looked} {'models' if drift.operation == 'models' else 'exchanges'}" if drift.looked else ""
        print(f"{drift.target} {drift.operation}{counted}{': nothing unknown' if drift.clean else ''}")
        for kind, places in drift.found.items():
            if places:
                print(f"  {SAID[kind]}:")
                for place, times in sorted(places.items(), key=lambda one: (-one[1], one[0])):
                    print(f"    {place}" + (f"  ×{times}" if times > 1 else ""))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = parser.add_subparsers(required=True, metavar="exchanges|openapi|models")

    def way(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        made = ways.add_parser(name, help=help, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        made.set_defaults(run=run)
        made.add_argument("--catalog", action="append", default=[], metavar="PATH", help="further spec file or folder")
        made.add_argument("--ignore", action="append", default=[], metavar="GLOB", help="places that are rightly unknown")
        made.add_argument("--json", action="store_true", help="one JSON document")
        return made

    one = way("exchanges", exchanges, "recorded requests and replies")
    one.add_argument("files", nargs="+", metavar="FILE")
    one.add_argument("--provider", metavar="ID", help="whose they are, with :variant where it speaks another dialect")
    one.add_argument("--operation", default="chat", metavar="NAME")
    one = way("openapi", openapi, "an OpenAPI document")
    one.add_argument("file", metavar="FILE")
    one.add_argument("--provider", required=True, metavar="ID")
    one.add_argument("--operation", default="chat", metavar="NAME")
    one.add_argument("--url", metavar="PATH", help="path in the document, where it is not the spec's own")
    one = way("models", models, "a list of models")
    one.add_argument("file", nargs="?", metavar="FILE")
    one.add_argument("--live", action="store_true", help="ask the provider now")
    one.add_argument("--provider", required=True, metavar="ID")
    given = parser.parse_args(argv)
    try:
        drifts = given.run(given, Catalog(given.catalog))
    except (Unreadable, Error) as problem:
        print(f"drift: {problem}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps([drift.to_dict() for drift in drifts], indent=2, ensure_ascii=False))
    else:
        report(drifts)
    return 0 if all(drift.clean for drift in drifts) else 1


if __name__ == "__main__":
    sys.exit(main())
