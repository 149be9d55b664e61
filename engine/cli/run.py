"""`llmkit run`: any other operation of a provider: pictures, voices, transcripts, rankings, searches, jobs with their progress."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.cli.chat import settings_of, standard_input
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError
from engine.faces import POSITIONAL
from engine.vocabulary import OPERATIONS

#: operations that have a command of their own, or take more than one command could say
ELSEWHERE = ("chat", "realtime", "batch")
#: fields that are files: a path is read, an address is sent as it is
_MEDIA = ("audio", "image", "mask", "document", "file")
_NOT_SHOWN = ("data", "vector", "kind", "choice")


def run(arguments: argparse.Namespace) -> int:
    """One call of an operation. Sounds and pictures go to --output, everything else to the terminal, a line each."""
    operation, model = arguments.operation.replace("-", "_"), arguments.model
    if operation not in OPERATIONS or operation in ELSEWHERE:
        known = ", ".join(name for name in OPERATIONS if name not in ELSEWHERE)
        raise ConfigError(f"`{arguments.operation}` is no operation that `run` calls; it is one of {known}")
    fields = _fields(operation, arguments)
    from engine import Client

    with Client(catalog=arguments.catalog, override=arguments.override, providers=settings_of(arguments, model)) as client:
        face = getattr(client, operation)
        if arguments.explain:
            print(dumps(face.explain(model, **fields).to_dict(), indent=2))
            return 0
        if arguments.resume:
            answer = client.job(json.loads(Path(arguments.resume).read_text("utf-8")), timeout=arguments.timeout).wait(
                progress=_told
            )
        elif client.operation(model, operation).plan.job is not None:
            answer = _followed(arguments, face, model, fields)
        else:
            answer = face(model, timeout=arguments.timeout, **fields)
    if answer is None:
        return 0
    _show(answer, arguments)
    for warning in answer.warnings:
        print(f"note: {safe(warning)}", file=sys.stderr)
    if answer.cost is not None:
        print(f"[${answer.cost}]", file=sys.stderr)
    return 0


def _followed(arguments: argparse.Namespace, face: Any, model: str, fields: dict[str, Any]) -> Any:
    """A job submitted, and unless --submit says otherwise followed; its record is kept where --record says."""
    job = face.submit(model, timeout=arguments.timeout, **fields)
    print(f"submitted {safe(str(job.id))}", file=sys.stderr)
    if arguments.record:
        Path(arguments.record).write_text(dumps(job.record, indent=2) + "\n", "utf-8")
    if arguments.submit:
        print(dumps(job.record))
        return None
    return job.wait(progress=_told)


def _told(record: dict[str, Any]) -> None:
    part = record.get("progress")
    percent = f" {part:.0%}" if isinstance(part, float) else ""
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{safe(str(record.get('state') or 'running'))}{percent}   ", end=end, file=sys.stderr, flush=True)


def _fields(operation: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The request's fields from the words of the command line."""
    fields: dict[str, Any] = {}
    for given in arguments.param:
        name, equals, value = given.partition("=")
        if not equals:
            raise ConfigError(f"--param is NAME=JSON, not `{given}`")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value  # a bare word is a text
    for given in arguments.file:
        name, equals, where = given.partition("=")
        if not equals:
            raise ConfigError(f"--file is NAME=PATH or NAME=URL, not `{given}`")
        fields[name] = _media(where)
    words, names = list(arguments.input), POSITIONAL.get(operation, ())
    if not arguments.resume and names and names[0] not in fields and not words:
        words = [standard_input()]
    if names and words:
        first, *rest = words
        fields.setdefault(names[0], _media(first) if names[0] in _MEDIA else first)
        if rest:
            second = names[1] if len(names) > 1 else None
            if second is None:
                fields[names[0]] = words if operation in ("moderation",) else " ".join(words)
            else:
                fields.setdefault(second, _media(rest[0]) if second in _MEDIA else rest)
    return fields


def _media(where: str) -> Any:
    if where.startswith(("https://", "http://", "data:")):
        return where
    path = Path(where)
    return {"filename": path.name, "bytes": path.read_bytes()}


def _show(answer: Any, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(dumps(answer.to_dict(), indent=2))
        return
    if answer.choices and answer.text:
        print(safe(answer.text))
    files = list(_files(answer, arguments.output))
    for path, data in files:
        path.write_bytes(data)
        print(f"wrote {path} ({len(data)} bytes)", file=sys.stderr)
    for output in answer.outputs:
        shown = {k: v for k, v in output.to_dict().items() if k not in _NOT_SHOWN and v is not None}
        if shown:
            print(safe(dumps(shown)))


def _files(answer: Any, output: str | None) -> Iterator[tuple[Path, bytes]]:
    """Where each sound or picture goes: the path itself, numbered from the second on."""
    made = [o for o in answer.outputs if o.kind in ("audio", "image", "video") and o.fields.get("data") is not None]
    if made and output is None:
        raise ConfigError("the answer holds a sound or a picture: say with --output where it goes")
    for number, found in enumerate(made):
        data = found.fields["data"]
        path = Path(output or "")
        if number:
            path = path.with_stem(f"{path.stem}-{number + 1}")
        yield path, bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else base64.b64decode(data)
