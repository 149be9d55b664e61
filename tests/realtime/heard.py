"""What the tests of sessions share: the model they speak with, and a short form of what was heard."""

from __future__ import annotations

from typing import Any

MODEL = "openai/gpt-realtime"


def kinds(events: list[Any]) -> list[str]:
    return [event.kind for event in events]
