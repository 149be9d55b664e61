"""The counters of an answer as disjoint classes: every token is charged once.

`input_tokens` holds what was read from a cache, written to it, heard and seen; `output_tokens` holds reasoning, speech and
images. Counters that contradict each other (more cached than read) are cut so that the classes always add up to the totals.
"""

from __future__ import annotations

from engine.types import Usage

__all__ = ["INPUT", "OUTPUT", "UNITS", "classes"]

#: classes of input tokens besides `input` itself, in the order in which they are taken from the total
INPUT = ("cache_read", "cache_write_1h", "cache_write", "audio_input", "image_input")
#: classes of output tokens besides `output` itself
OUTPUT = ("reasoning", "audio_output", "image_output")
#: other things that are charged -> their counter and how many of it are one unit
UNITS = {
    "image": ("images", 1),
    "second": ("seconds", 1),
    "thousand_characters": ("characters", 1000),
    "page": ("pages", 1),
    "search": ("searches", 1),
}


def classes(usage: Usage) -> dict[str, int]:
    """Tokens by class, without the classes that have none. Their sums are `input_tokens` and `output_tokens`."""
    found: dict[str, int] = {}
    left = usage.input_tokens
    if left:
        written, for_an_hour = usage.cache_write_tokens, usage.cache_write_1h_tokens
        if usage.cache_read_tokens:
            found["cache_read"] = part = min(usage.cache_read_tokens, left)
            left -= part
        if for_an_hour and left:
            found["cache_write_1h"] = part = min(for_an_hour, left)
            left -= part
        if written and left and written > (for_an_hour or 0):
            found["cache_write"] = part = min(written - (for_an_hour or 0), left)
            left -= part
        if usage.audio_input_tokens and left:
            found["audio_input"] = part = min(usage.audio_input_tokens, left)
            left -= part
        if usage.image_input_tokens and left:
            found["image_input"] = part = min(usage.image_input_tokens, left)
            left -= part
        if left:
            found["input"] = left
    left = usage.output_tokens
    if left:
        if usage.audio_output_tokens:
            found["audio_output"] = part = min(usage.audio_output_tokens, left)
            left -= part
        if usage.image_output_tokens and left:
            found["image_output"] = part = min(usage.image_output_tokens, left)
            left -= part
        if usage.reasoning_tokens and left:
            found["reasoning"] = part = min(usage.reasoning_tokens, left)
            left -= part
        if left:
            found["output"] = left
    return found
