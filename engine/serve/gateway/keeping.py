"""What HTTP says of kept answers (RFC 9111): a client's `cache-control`, and how old an answer is that nobody was asked for.

A client decides for its own requests only; what is kept for how long, and who shares it, is the operator's word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.types import Response

__all__ = ["aged", "wish"]


def wish(header: str | None) -> Any:
    """The wish of a request's `cache-control` (see engine.cache.options.Wish): no-store, no-cache and max-age are understood."""
    if not header:
        return None
    said = [word.strip().lower() for word in header.split(",")]
    if "no-store" in said:
        return False
    if "no-cache" in said:
        return {"refresh": True}
    ages = [word[8:].strip('"') for word in said if word.startswith("max-age=")]
    if not ages or not ages[0].isdecimal() or len(ages[0]) > 9:
        return None
    return {"max_age": int(ages[0])} if int(ages[0]) else {"refresh": True}


def aged(response: Response | None) -> dict[str, str]:
    """Headers of an answer: whether it was kept, and how many seconds ago it was given."""
    found = response.report.cache if response is not None else None
    if found is None:
        return {}
    return {"x-llmkit-cache": "hit", "age": str(int(found.get("age", 0)))} if found["hit"] else {"x-llmkit-cache": "miss"}
