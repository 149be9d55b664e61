"""How deep a YAML text nests, told by one linear pass before any parser sees what might be too deep for it (RELIABILITY A3).

A C parser that builds a tree by recursion ends the whole process on a text of some 24,000 levels, which is a 50 KB file.
A text with too few lines and brackets to do that is read at once, and scanned only if something is wrong with it.
The pass knows quotes, comments, block scalars and plain text well enough not to count brackets inside them; what it cannot
tell apart it counts. The loader counts once more, exactly, while it reads the parser's events.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"(?P<indent> *)(?P<dashes>(?:[-?](?:[ \t]+|(?=\n|\Z)))*)"
    # A plain key takes the white space before its colon along: looking for that apart would be quadratic.
    r"(?:(?P<key>(?:\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\n]|'')*')[ \t]*|[^\s\"'\[\]{}#|>,&*!%@`][^\n]*?):(?=\s|\Z))?[ \t]*"
)
_BLANK = re.compile(r"(?:[ \t]*\r?\n)+")
_DOUBLE = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_SINGLE = re.compile(r"'(?:[^']|'')*'?")
_BLOCK_SCALAR = re.compile(r"[|>][-+0-9]*[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_FLOW = re.compile(
    r"(?P<open>[\[{])|(?P<close>[\]}])"
    r"|\"(?:[^\"\\]|\\.)*\"?|'(?:[^']|'')*'?"
    r"|(?<=[\s\[{,])#[^\n]*"
    r"|[\s,:]+|[^\s,\[\]{}:\"'](?:[^\s,\[\]{}:#]|:(?![\s,\[\]{}])|(?<!\s)#|[ \t]+(?![\s#]))*|.",
    re.DOTALL,
)


def too_deep(text: str, limit: int) -> int | None:
    """The offset of the first character that nests deeper than `limit` collections, or None."""
    position, end = 0, len(text)
    columns: list[int] = []  # where the open block collections begin
    while position < end:
        blank = _BLANK.match(text, position)
        position = blank.end() if blank else position
        line = _LINE.match(text, position)
        if line is None:
            return None
        start = line.end()
        first = text[start : start + 1]
        if not line["key"] and not line["dashes"] and first in ("", "\n", "\r", "#"):
            position = _next_line(text, start)
            continue
        column = len(line["indent"])
        begins = [column + i for i, c in enumerate(line["dashes"]) if c in "-?"]
        if line["key"]:
            begins.append(line.start("key") - position)
        while columns and columns[-1] >= column:
            columns.pop()
        columns += begins
        if len(columns) > limit:
            return position + columns[limit]
        if first in "[{":
            found = _flow(text, start, limit - len(columns))
            if found[1]:
                return found[0]
            position = _next_line(text, found[0])
        elif first in ("'", '"'):
            quoted = (_DOUBLE if first == '"' else _SINGLE).match(text, start)
            position = _next_line(text, quoted.end() if quoted else start)
        elif first in "|>" and (header := _BLOCK_SCALAR.match(text, start)):
            position = _after_block(text, header.end(), columns[-1] if columns else -1)
        else:
            position = _next_line(text, start)
    return None


def _next_line(text: str, position: int) -> int:
    found = text.find("\n", position)
    return len(text) if found < 0 else found + 1


def _after_block(text: str, position: int, column: int) -> int:
    """The first line after a block scalar whose parent begins at `column`."""
    end = len(text)
    while position < end:
        stop = _next_line(text, position)
        body = text[position:stop].lstrip(" ")
        if body.strip() and stop - position - len(body) <= column:
            return position
        position = stop
    return end


def _flow(text: str, position: int, room: int) -> tuple[int, bool]:
    """Walk a bracketed value; its end, or the offset of the bracket that is one too many and True."""
    depth = 0
    for token in _FLOW.finditer(text, position):
        if token.lastgroup == "open":
            depth += 1
            if depth > room:
                return token.start(), True
        elif token.lastgroup == "close":
            depth -= 1
            if depth <= 0:
                return token.end(), False
    return len(text), False
