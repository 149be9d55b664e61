"""`llmkit voices`, `llmkit clone-voice` and `llmkit delete-voice`: the voices that speak, and those made from recordings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from engine.cli.listing import table
from engine.cli.operations import called
from engine.cli.terminal import dumps, safe
from engine.errors import ConfigError

_FILTERS = ("search", "language", "gender", "owned")
_SHOWN = 60  # characters of a description


def voices(arguments: argparse.Namespace) -> int:
    """A line for each voice of a provider. What the provider cannot filter is filtered here."""
    wanted = {name: value for name in _FILTERS if (value := getattr(arguments, name))}
    answer = called(arguments, "voices", arguments.provider, {**wanted, "unsupported": "ignore"})
    if answer is None:
        return 0
    left = [name for name in wanted if answer.report.parameters.get(name, {}).get("fate") == "dropped"]
    if "owned" in left and not any(voice.category for voice in answer.voices):
        raise ConfigError("this provider does not say which voices are your own")
    found = [voice for voice in answer.voices if all(_fits(voice, name, wanted[name]) for name in left)]
    if arguments.json:
        print(dumps([voice.fields for voice in found], indent=2))
        return 0
    rows = [
        [*(_cell(voice.fields.get(name)) for name in ("id", "name", "languages", "gender", "category", "description"))]
        for voice in found
    ]
    table(["voice", "name", "languages", "gender", "kind", "description"], rows)
    print(f"{len(found)} voices", file=sys.stderr)
    return 0


def _fits(voice: Any, name: str, wanted: Any) -> bool:
    if name == "language":
        tags = [str(tag).lower() for tag in voice.languages or ()]
        return any(tag == wanted.lower() or tag.startswith(f"{wanted.lower()}-") for tag in tags)
    if name == "gender":
        return bool(voice.gender == wanted)
    if name == "owned":
        return voice.category in ("cloned", "designed")
    return any(wanted.lower() in str(text).lower() for text in (voice.name, voice.description, voice.id) if text)


def _cell(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value or "")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def clone_voice(arguments: argparse.Namespace) -> int:
    """Make a voice from recordings; prints its id, which `--param voice=…` of speech takes."""
    fields: dict[str, Any] = {"name": arguments.name, "samples": [Path(path) for path in arguments.recording]}
    for name in ("id", "language", "gender", "description", "text"):
        if getattr(arguments, name) is not None:
            fields[name] = getattr(arguments, name)
    if arguments.consent:
        given = arguments.consent
        fields["consent"] = Path(given) if Path(given).is_file() else {"file_id": given}
    if arguments.denoise:
        fields["denoise"] = True
    if arguments.labels:
        fields["labels"] = dict(_label(given) for given in arguments.labels)
    answer = called(arguments, "clone_voice", arguments.provider, fields)
    return _told(answer, arguments)


def delete_voice(arguments: argparse.Namespace) -> int:
    """Delete a voice that was made."""
    return _told(called(arguments, "delete_voice", arguments.provider, {"id": arguments.voice}), arguments)


def _label(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        raise ConfigError(f"--label is NAME=TEXT, not `{given}`")
    return name, value


def _told(answer: Any, arguments: argparse.Namespace) -> int:
    if answer is None:
        return 0
    if arguments.json:
        print(dumps([voice.fields for voice in answer.voices], indent=2))
        return 0
    for voice in answer.voices:
        print(safe(" ".join(str(value) for value in (voice.id, voice.status) if value)))
    for warning in answer.warnings:
        print(f"note: {safe(warning)}", file=sys.stderr)
    return 0
