"""`llmkit run --stream`: what comes on the way is shown or written when it comes."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

from engine.call.normalize.media import format_of, sniff
from engine.cli.terminal import safe
from engine.disk import Target
from engine.types import Event, Response

_MADE = ("image", "video", "audio")


def streamed(face: Any, operation: str, model: str, fields: dict[str, Any], output: str | None, told: bool) -> Response:
    """The answer of a stream. Pictures on their way go to files of their own; sound to `output` while it comes, `-` for standard
    output; words to standard output, if they are to be `told`."""
    sound = None if output in (None, "-") else Target(output)
    heard = False
    try:
        with face.stream(model, **fields) as stream:
            for event in stream:
                if event.kind == "partial_image":
                    path = _preview(event, operation, output)
                    print(f"preview {(event.index or 0) + 1}: wrote {safe(str(path))}", file=sys.stderr)
                elif event.kind == "progress":
                    print(safe(_far(event)), file=sys.stderr)
                elif event.kind == "audio" and event.data is not None:
                    heard = _heard(event.data, output, sound, heard)
                elif event.kind == "text" and event.text and told:
                    print(safe(event.text), end="", flush=True)
        answer: Response = stream.response
        if told and answer.text:
            print()
        if sound is not None and heard:
            sound.keep()
    finally:
        if sound is not None:
            sound.abandon()
    if output is not None:
        _placed(answer, output, heard)
    return answer


def _far(event: Event) -> str:
    done, total = event.fields.get("completed"), event.fields.get("total")
    return str(event.fields.get("status")) + (f" {100 * done // total} %" if done is not None and total else "")


def _heard(data: str, output: str | None, sound: Target | None, before: bool) -> bool:
    """Pass a piece of sound on, if it has somewhere to go."""
    if output == "-":
        sys.stdout.buffer.write(base64.b64decode(data))
        sys.stdout.buffer.flush()
    elif sound is not None:
        if not before:
            sound.begin()
        sound.write(base64.b64decode(data))
    return True


def _preview(event: Event, operation: str, output: str | None) -> Path:
    kind = event.media_type or sniff(event.data[:32]) or ""
    ending = format_of(kind) if "/" in kind else "bin"
    ending = ending if ending.isalnum() and len(ending) <= 8 else "bin"
    content = base64.b64decode(event.data)
    if output not in (None, "-"):
        path = Path(str(output)).with_name(f"{Path(str(output)).stem}-preview-{(event.index or 0) + 1}.{ending}")
        path.write_bytes(content)
        return path
    number = (event.index or 0) + 1
    while (path := Path(f"{operation}-preview-{number}.{ending}")).exists():  # nobody said that a file may be replaced
        number += 1
    path.write_bytes(content)
    return path


def _placed(answer: Response, output: str, heard: bool) -> None:
    """Write what the answer holds, or else its words, and say in each output where it lies."""
    number = 0
    made_ones = [made for made in answer.outputs if made.kind in _MADE]
    if not made_ones and answer.text:
        if output == "-":
            print(safe(answer.text))
            return
        words = Target(output)
        words.begin()
        words.write(answer.text.encode())
        words.keep()
    for made in made_ones:
        data = made.fields.get("data")
        if data is None:
            print(f"note: a stream gives addresses as they are; not fetched: {safe(str(made.url))}", file=sys.stderr)
            continue
        number += 1
        if output == "-":
            if not (heard and made.kind == "audio"):
                sys.stdout.buffer.write(base64.b64decode(data))
            continue
        target = Target(output).numbered(number)
        if not (heard and made.kind == "audio"):
            target.begin()
            target.write(base64.b64decode(data))
            target.keep()
        del made.fields["data"]
        made.fields["path"], made.fields["bytes"] = str(target.path), target.path.stat().st_size
