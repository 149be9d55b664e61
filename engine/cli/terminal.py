"""What reaches a terminal cannot steer it (RELIABILITY M5)."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["dumps", "safe"]


def safe(text: str) -> str:
    """Text of a model, a provider or a spec without escape and control sequences, for a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON whose unprintable characters are escaped: the same document, whoever shows it."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
