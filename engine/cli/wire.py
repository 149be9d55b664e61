"""`llmkit render` and `llmkit read`: one half of a call each, JSON in and JSON out, no network."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from engine.catalog import Catalog
from engine.cli.terminal import dumps
from engine.errors import ConfigError, Error
from engine.examples import given_operation
from engine.operation import Operation


def render(arguments: argparse.Namespace) -> int:
    """Request fields (JSON) to the HTTP request that would be sent; credentials are left out."""
    try:
        fields = json.loads(_input(arguments.input))
    except ValueError as error:
        raise ConfigError(f"the input is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ConfigError("the input is a JSON object of request fields")
    fields.pop("model", None)
    request = _operation(arguments).render(**fields)
    report = request.report.to_dict() if request.report else {}
    _print({**request.to_dict(), "report": {k: v for k, v in report.items() if v}})
    return 0


def read(arguments: argparse.Namespace) -> int:
    """A recorded body to the canonical response, or to the typed error (then `{"error": …}` and exit code 1)."""
    operation = _operation(arguments)
    try:
        _read(arguments, operation)
    except Error as error:
        if error.kind == "config":
            raise
        _print({"error": error.to_dict()})
        return 1
    return 0


def _read(arguments: argparse.Namespace, operation: Operation) -> None:
    headers: dict[str, str] = {}
    for header in arguments.header:
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = _input(arguments.input)
    if arguments.stream:
        reader = operation.reader(headers)
        for event in reader.feed(body):
            print(dumps(event.to_dict()))
        _print(reader.close().to_dict())
    else:
        _print(operation.read(arguments.status, {"content-type": "application/json", **headers}, body).to_dict())


def _operation(arguments: argparse.Namespace) -> Operation:
    return given_operation(Catalog(arguments.catalog, arguments.override), arguments.model, arguments.operation)


def _input(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _print(value: Any) -> None:
    print(dumps(value, indent=2))
