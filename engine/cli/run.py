"""`llmkit run`: any other operation of a provider: pictures, voices, transcripts, rankings, searches, files, jobs."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.cli.chat import settings_of, standard_input
from engine.cli.jobs import Progress, store_of
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError, Error
from engine.faces import POSITIONAL
from engine.types import Response
from engine.vocabulary import MEDIA_FIELDS, OPERATIONS

#: operations that have a command of their own, or take more than one command could say
ELSEWHERE = ("chat", "realtime", "batch")
_NOT_SHOWN = ("data", "vector", "kind", "choice")


def run(arguments: argparse.Namespace) -> int:
    """One call of an operation. Sounds, pictures and files go to --output, or to a free name here; the rest to the terminal."""
    operation, model = arguments.operation.replace("-", "_"), arguments.model
    if operation not in OPERATIONS or operation in ELSEWHERE:
        known = ", ".join(name for name in OPERATIONS if name not in ELSEWHERE)
        raise ConfigError(f"`{arguments.operation}` is no operation that `run` calls; it is one of {known}")
    fields = _fields(operation, arguments)
    from engine import Client

    settings = {"catalog": arguments.catalog, "override": arguments.override, "providers": settings_of(arguments, model)}
    with Client(**settings, jobs=store_of(arguments)) as client:
        face = getattr(client, operation)
        if arguments.explain:
            print(dumps(face.explain(model, **fields).to_dict(), indent=2))
            return 0
        with not_lost(operation):
            if arguments.resume:
                job = client.job(_record(arguments.resume), timeout=arguments.timeout)
                with Progress() as progress:
                    answer = job.wait(progress=progress, out=arguments.output)
            elif arguments.stream:
                from engine.cli.streamed import streamed

                told = not arguments.json and arguments.output is None
                answer = streamed(face, operation, model, {**fields, "timeout": arguments.timeout}, arguments.output, told)
            elif client.operation(model, operation).plan.job is not None:
                answer = _followed(arguments, face, model, fields)
            else:
                answer = face(model, timeout=arguments.timeout, out=arguments.output, **fields)
    if answer is not None and arguments.output != "-":
        show(answer, operation, arguments.output, arguments.json, words=not arguments.stream)
    return 0


@contextmanager
def not_lost(operation: str) -> Iterator[None]:
    """Show an answer that was paid for before the error that its writing came to."""
    try:
        yield
    except Error as error:
        if isinstance(error.partial, Response) and error.partial.outputs:
            show(error.partial, operation, None, False)
        raise


def _record(given: str) -> Any:
    """What --resume names: a file with a job's record, or the key of a kept one."""
    path = Path(given)
    return json.loads(path.read_text("utf-8")) if path.is_file() else given


def _followed(arguments: argparse.Namespace, face: Any, model: str, fields: dict[str, Any]) -> Any:
    """A job submitted, and unless --submit says otherwise followed; its record is kept before it is submitted."""
    job = face.submit(model, timeout=arguments.timeout, **fields)
    print(f"submitted {safe(str(job.id))} (llmkit jobs wait {job.key})", file=sys.stderr)
    if arguments.record:
        Path(arguments.record).write_text(dumps(job.record, indent=2) + "\n", "utf-8")
    if arguments.submit:
        print(dumps(job.record))
        return None
    with Progress() as progress:
        return job.wait(progress=progress, out=arguments.output)


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
        fields.setdefault(names[0], _media(first) if names[0] in MEDIA_FIELDS else first)
        if rest:
            second = names[1] if len(names) > 1 else None
            if second is None:
                fields[names[0]] = words if operation in ("moderation",) else " ".join(words)
            else:
                fields.setdefault(second, _media(rest[0]) if second in MEDIA_FIELDS else rest)
    return fields


def _media(where: str) -> Any:
    """A file is sent from where it lies, an address as it is."""
    return where if where.startswith(("https://", "http://", "data:")) else Path(where)


def show(answer: Any, operation: str, output: str | None, whole: bool, words: bool = True) -> None:
    """Print an answer: its `words`, a line for each output, or the `whole` as JSON. Content that has no file yet gets one."""
    if output is None and not whole:
        for found in answer.outputs:
            if found.kind in ("audio", "image", "video", "content") and found.fields.get("data") is not None:
                _keep(found, operation)
    paths = [o.fields["path"] for o in answer.outputs if o.fields.get("path")]
    if not paths and output is not None and answer.text and Path(output).is_file():
        paths = [output]
    for path in paths:
        print(f"wrote {safe(path)} ({Path(path).stat().st_size} bytes)", file=sys.stderr)
    if whole:
        print(dumps(answer.to_dict(), indent=2))
    elif words and answer.choices and answer.text:
        print(safe(answer.text))
    for found in () if whole else answer.outputs:
        shown = {k: v for k, v in found.to_dict().items() if k not in _NOT_SHOWN and v is not None}
        if shown:
            print(safe(dumps(shown)))
    for warning in answer.warnings:
        print(f"note: {safe(warning)}", file=sys.stderr)
    if answer.cost is not None:
        print(f"[${answer.cost}]", file=sys.stderr)


def _keep(output: Any, operation: str) -> None:
    """Write what was paid for to a name nobody has, though nobody said where."""
    from engine.call.normalize.media import format_of, sniff

    data = output.fields.pop("data")
    kind = output.fields.get("media_type") or (sniff(data[:32]) if isinstance(data, str) else None) or ""
    ending = format_of(kind.partition(";")[0].strip()) if "/" in kind else "bin"
    if not ending.isalnum() or len(ending) > 8:  # what a provider says names no file
        ending = "bin"
    content = base64.b64decode(data) if isinstance(data, str) else bytes(data)
    for number in range(1, 10_000):
        path = Path(f"{operation}-{number}.{ending}")
        try:
            with path.open("xb") as file:
                file.write(content)
        except FileExistsError:
            continue
        output.fields["path"], output.fields["bytes"] = str(path), len(content)
        return
