"""What the SDK matrix shows: tables for a terminal, the page docs/sdk-matrix.md and its picture, an SVG written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]

#: column of features -> its cases
FEATURES: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "usage": ("usage", "cached"),
    "finish": ("finish",),
    "thinking": ("thinking",),
    "signature": ("signature",),
    "tools": ("tools",),
    "second": ("second",),
    "image": ("image",),
    "schema": ("schema",),
    "choice": ("choice-auto", "choice-none", "choice-required", "choice-tool"),
    "errors": ("authentication", "rate_limit", "invalid_request", "overloaded", "not_found", "operator"),
    "midstream": ("midstream",),
}


def outcome(row: Row) -> str:
    """passed, failed, lost (not carried, and said so) or none (the library has no such thing)."""
    return "lost" if "lost" in row else "none" if "lacks" in row else "passed" if row.get("ok") else "failed"


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many cases came out how."""
    found = dict.fromkeys(("passed", "failed", "lost", "none"), 0)
    for row in rows:
        if "case" in row:
            found[outcome(row)] += 1
        elif "missing" in row:
            found["failed"] += 1
    return found


def features(rows: Sequence[Row]) -> str:
    """One line per library: two marks per feature, whole and streamed; `+` passed, `~` not carried, `-` there is no such, `X` failed."""
    lines = [["library", *FEATURES]]
    for sdk in _names(rows, "sdk"):
        mine = [row for row in rows if row["sdk"] == sdk and "case" in row]
        cells = [_marks([row for row in mine if row["case"] in cases]) for cases in FEATURES.values()]
        lines.append([f"{sdk} ({_version(rows, sdk)})", *cells])
    return _aligned(lines)


def summary(rows: Sequence[Row]) -> str:
    """Libraries down, upstreams across: cases passed, `~` not carried, `X` failed."""
    upstreams = _names(rows, "upstream")
    lines = [["library on", *upstreams]]
    for sdk in _names(rows, "sdk"):
        lines.append([sdk, *(_cell(rows, sdk, upstream) for upstream in upstreams)])
    total = counts(rows)
    told = f"{total['passed']} passed, {total['failed'] or 'none'} failed, {total['lost']} not carried and said so"
    return f"{_aligned(lines)}\n\n{told}, {total['none']} that no such library has"


def page(rows: Sequence[Row]) -> str:
    """docs/sdk-matrix.md."""
    upstreams, sdks = _names(rows, "upstream"), _names(rows, "sdk")
    total = counts(rows)
    grid = [["library", *upstreams], ["---"] * (1 + len(upstreams))]
    grid += [[sdk, *(_cell(rows, sdk, upstream) for upstream in upstreams)] for sdk in sdks]
    direct = [row for row in rows if row["upstream"] == upstreams[0]]
    lost: dict[tuple[str, str, str], dict[str, set[str]]] = {}
    for row in rows:
        if "lost" in row:
            found = lost.setdefault((row["upstream"], row["case"], row["lost"]), {"sdks": set(), "warned": set()})
            found["sdks"].add(row["sdk"])
            found["warned"].update(row["warned"])
    table = [["onto", "feature", "why", "the gateway's warning"], ["---"] * 4]
    for (upstream, case, why), found in lost.items():
        table.append([upstream, case, why, "; ".join(sorted(found["warned"])) or "none: nobody asked for it"])
    return f"""# Client libraries against every dialect

Written by `make sdk-matrix`. Every library is the vendor's own, unmodified. `direct` is the simulator speaking the library's dialect;
every other column is the library talking to `llmkit serve`, which calls a provider of that dialect (the simulator again, so that the
answers are known). {total["passed"]} cases passed, {total["failed"]} failed, {total["lost"]} were not carried, {total["none"]} do not
exist in the library.

![the matrix](sdk-matrix.svg)

A cell counts the cases that passed; `~` those that the upstream's dialect cannot carry, `X` those that failed.

{_markdown(grid)}

The cases, whole and streamed: a text with characters of all kinds, tokens of input, output and cache, three reasons to finish,
thinking, its signature, two parallel tool calls, a second turn with the library's own objects and the tools' results (the model tells
what it saw of both), an image, an answer after a schema, each mode of tool choice, five classes of error with their message, a refused
key of the operator (behind the gateway), and an error in mid-stream.

## Each library directly

Two marks, whole and streamed: `+` passed, `-` the library or its API has no such thing, `X` failed. `midstream` exists streamed only.

```
{features(direct)}
```

## What is not carried

A case may fail onto a dialect only if the library of that dialect's own vendor lacks it too, and if what a request asked for is then
named in the answer's header `x-llmkit-warnings`.

{_markdown(table) if lost else "Nothing."}
"""


# --- the picture ---------------------------------------------------------------------------------------------------------

_LEFT, _TOP, _WIDTH, _HEIGHT = 190, 92, 92, 34  # pixels
_COLOURS = {"passed": "#2f9e62", "lost": "#8fcf6f", "failed": "#d64545", "empty": "#e3e6ea"}


def picture(rows: Sequence[Row]) -> str:
    """docs/sdk-matrix.svg: a square per library and upstream, green where every case passed."""
    upstreams, sdks = _names(rows, "upstream"), _names(rows, "sdk")
    width, height = _LEFT + _WIDTH * len(upstreams) + 16, _TOP + _HEIGHT * len(sdks) + 44
    total = counts(rows)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>Client libraries against every dialect</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(12, 24, "Client libraries, unmodified", size=15, weight=600),
        _text(12, 44, "rows: the library; columns: the dialect behind the gateway", colour="#5b6470"),
    ]
    for place, upstream in enumerate(upstreams):
        words = upstream.split("-", 1)
        for line, word in enumerate(words):
            drawn.append(_text(_LEFT + _WIDTH * (place + 0.5), _TOP - 22 + 14 * (line + 2 - len(words)), word, anchor="middle"))
    for line, sdk in enumerate(sdks):
        top = _TOP + _HEIGHT * line
        drawn.append(_text(_LEFT - 10, top + _HEIGHT / 2 + 4, sdk, anchor="end"))
        for place, upstream in enumerate(upstreams):
            drawn += _square(_LEFT + _WIDTH * place, top, counts(_of(rows, sdk, upstream)))
    told = (
        f"{total['passed']} passed, {total['failed']} failed, {total['lost']} not carried by the dialect behind and warned of (~)"
    )
    drawn += [_text(_LEFT, height - 16, told, colour="#5b6470"), "</svg>"]
    return "\n".join(drawn) + "\n"


def _square(left: float, top: float, found: dict[str, int]) -> list[str]:
    tried = found["passed"] + found["failed"] + found["lost"]
    colour = _COLOURS["empty" if not tried else "failed" if found["failed"] else "lost" if found["lost"] else "passed"]
    label = (
        f"{found['passed']}" + (f" ~{found['lost']}" if found["lost"] else "") + (f" X{found['failed']}" if found["failed"] else "")
    )
    dark = colour in (_COLOURS["empty"], _COLOURS["lost"])
    return [
        f'<rect x="{left + 2}" y="{top + 2}" width="{_WIDTH - 4}" height="{_HEIGHT - 4}" rx="5" fill="{colour}"/>',
        _text(left + _WIDTH / 2, top + _HEIGHT / 2 + 4, label, anchor="middle", colour="#1d2733" if dark else "#ffffff"),
    ]


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#1d2733", size: int = 12, weight: int = 400
) -> str:
    safe = words.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" font-weight="{weight}">{safe}</text>'
    )


# --- pieces --------------------------------------------------------------------------------------------------------------


def _names(rows: Iterable[Row], key: str) -> list[str]:
    return list(dict.fromkeys(row[key] for row in rows))


def _of(rows: Iterable[Row], sdk: str, upstream: str) -> list[Row]:
    return [row for row in rows if row["sdk"] == sdk and row["upstream"] == upstream]


def _version(rows: Iterable[Row], sdk: str) -> str:
    return next((r.get("package") or f"missing: {r['missing']}" for r in rows if r["sdk"] == sdk and "case" not in r), "")


def _cell(rows: Iterable[Row], sdk: str, upstream: str) -> str:
    found = counts(_of(rows, sdk, upstream))
    marks = [str(found["passed"]), f"~{found['lost']}" if found["lost"] else "", f"X{found['failed']}" if found["failed"] else ""]
    return " ".join(filter(None, marks))


def _marks(rows: Sequence[Row]) -> str:
    """One failure of several is a failure; what exists in part is judged by that part."""
    marks = ""
    for stream in (False, True):
        found = {outcome(row) for row in rows if row["stream"] == stream}
        order = (("failed", "X"), ("lost", "~"), ("passed", "+"), ("none", "-"))
        marks += next((mark for name, mark in order if name in found), "")
    return marks or "."


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
