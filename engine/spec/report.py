"""Findings as people and machines read them: source line and caret, JSON lines, annotations of a code host (STYLE 9)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable

from engine.spec.node import Mark
from engine.spec.problem import Problem

FORMS = ("text", "json", "github")
MANUAL = "schemas/README.md"
_WIDEST = 140  # characters of a source line that are shown
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "dim": "\x1b[2m", "help": "\x1b[36m", "off": "\x1b[0m"}
_PLAIN = dict.fromkeys(_COLORS, "")
#: where YAML begins a new line
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def format_problems(
    problems: Iterable[Problem], sources: Callable[[str], str | None], *, form: str = "text", color: bool = False
) -> str:
    """Every finding once, sorted by file and place; empty text if there is none.

    `form`: `text` (place, message, source line with a caret, suggestion, where to read more), `json` (one object per line)
    or `github` (workflow annotations). `sources` gives a file's text, or None. The result ends without a line break.
    """
    shown = distinct(problems)
    if form == "json":
        return "\n".join(_escaped_json(json.dumps(p.to_dict(), ensure_ascii=False)) for p in shown)
    if form == "github":
        return "\n".join(_safe(_annotation(p)) for p in shown)
    lines: dict[str, list[str]] = {}
    return "\n".join(_told(p, sources, lines, _COLORS if color else _PLAIN) for p in shown)


def distinct(problems: Iterable[Problem]) -> list[Problem]:
    """Sorted by place, each finding once."""
    found = {(p.mark.file, p.mark.line, p.mark.column, p.severity, p.rule, p.message): p for p in problems}
    return [found[key] for key in sorted(found)]


def counts(problems: Iterable[Problem], seconds: float | None = None, **totals: int) -> str:
    """One line: `2 files, 14 examples, 1 error, no warnings, 0.12 s`. Further totals come first, named in the plural."""
    shown = distinct(problems)
    errors = sum(p.severity == "error" for p in shown)
    words = [_count(n, name.removesuffix("s")) for name, n in totals.items()]
    words += [_count(errors, "error"), _count(len(shown) - errors, "warning")]
    return ", ".join(words + ([f"{seconds:.2f} s"] if seconds is not None else []))


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}" + ("" if number == 1 else "s")


def _told(problem: Problem, sources: Callable[[str], str | None], lines: dict[str, list[str]], paint: dict[str, str]) -> str:
    mark, level = problem.mark, paint[problem.severity]
    where = f" (from {problem.origin.file}:{problem.origin.line})" if problem.origin else ""
    out = [f"{_safe(str(mark))}: {level}{problem.severity}[{problem.rule}]{paint['off']}: {_safe(problem.message)}{_safe(where)}"]
    more = f"{paint['dim']}more: {MANUAL}#{problem.rule}{paint['off']}"
    hint = f"{paint['help']}did you mean `{_safe(problem.suggestion)}`?{paint['off']}  {more}" if problem.suggestion else more
    source = _line(mark, sources, lines)
    if source is None:
        out.append(f"  {hint}")
    else:
        out += _pointed(mark, source, problem.width, hint, level, paint["off"])
    if problem.origin and (inherited := _line(problem.origin, sources, lines)) is not None:
        out += _pointed(problem.origin, inherited, 1, f"written in {_safe(problem.origin.file)}", level, paint["off"])
    return "\n".join(out)


def _line(mark: Mark, sources: Callable[[str], str | None], lines: dict[str, list[str]]) -> str | None:
    if mark.file not in lines:
        lines[mark.file] = _BREAK.split(sources(mark.file) or "")
    found = lines[mark.file]
    text = found[mark.line - 1] if 0 < mark.line <= len(found) else ""
    return text if text.strip() else None


def _pointed(mark: Mark, source: str, width: int, hint: str, level: str, off: str) -> list[str]:
    """The source line under its number, and a caret line; long lines are cut around the caret."""
    column = min(mark.column - 1, len(source))
    start = max(0, column - _WIDEST // 2) if len(source) > _WIDEST else 0
    text = source[start : start + _WIDEST]
    head, tail = ("…" if start else ""), ("…" if start + _WIDEST < len(source) else "")
    before, under = text[: column - start], text[column - start : column - start + max(1, width)]
    gutter = f"{mark.line:>3} | "
    caret = " " * (len(gutter) - 2) + "| " + " " * _cells(head + before) + level + "^" * max(1, _cells(under)) + off
    return [f"{gutter}{head}{_safe(text)}{tail}", f"{caret} {hint}"]


def _cells(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _safe(text: str) -> str:
    """Text of a spec on one line, unable to steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " if c in "\t\n" else "�" for c in text)


def _escaped_json(text: str) -> str:
    """JSON in which no unprintable character is left for a terminal to obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _annotation(problem: Problem) -> str:
    mark = problem.mark
    message = problem.message + (f"; did you mean `{problem.suggestion}`?" if problem.suggestion else "")
    if problem.origin:
        message += f" (from {problem.origin.file}:{problem.origin.line})"
    place = f"file={_escaped(mark.file, ',:')},line={mark.line},col={mark.column},title={_escaped(problem.rule, ',:')}"
    return f"::{problem.severity} {place}::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" or c in also else c for c in text)
