"""Text -> Node tree: the boring part of YAML only, every value with its place (SPEC_LANGUAGE 2, RELIABILITY A3).

The parser's events are read one by one instead of letting the library compose a tree: nothing here recurses, limits are
enforced while reading, and scalars get the meaning this language gives them, not the one of YAML 1.1.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import yaml

from engine.spec.node import Mark, Node
from engine.spec.problem import Problems
from engine.spec.scan import too_deep

SPEC_LIMIT = 256 * 1024  # bytes of a provider or dialect file
DATA_LIMIT = 1024 * 1024  # bytes of an examples or model facts file
NODE_LIMIT = 20_000
DEPTH_LIMIT = 32
SAFE_DEPTH = 10_000  # half of what a parser that builds a tree by recursion survives
FINDINGS_LIMIT = 100  # a file with more is garbage; reading on would only cost time

#: what each finding of the loader means, for `llmkit explain` and the key reference
RULES = {
    "too-large": "A spec is at most 256 KiB, an examples or model facts file at most 1 MiB.",
    "not-utf8": "Files are UTF-8 text.",
    "nul-byte": "A NUL byte cannot stand in a text file.",
    "too-deep": "Mappings and lists nest at most 32 deep.",
    "too-many-nodes": "A file holds at most 20,000 keys and values.",
    "bad-yaml": "The text is not well-formed YAML.",
    "empty-file": "There is nothing in the file.",
    "second-document": "A file holds one document; `---` starts a second one.",
    "duplicate-key": "A key stands twice in one mapping; YAML readers would silently keep one of them.",
    "no-anchors": "Anchors and aliases are refused: a patch cannot reach through them.",
    "no-tags": "Tags (`!name`) are refused: a spec is plain data.",
    "no-merge-keys": "`<<` is refused; sharing is what `extends` and patches are for.",
    "bad-key": 'A key is one line of text, never a list or a mapping. Templates need quotes: "{{ x }}".',
    "ambiguous-scalar": "Unquoted, this is a date, a time, a number or a boolean to some YAML readers and text to others.",
    "bad-number": "Numbers are finite and integers fit 64 bits; quote longer ones.",
}

_new: Any = tuple.__new__  # half of the time of a named tuple's own
_PARSER: Any = yaml.cyaml.CParser if yaml.__with_libyaml__ else yaml.SafeLoader  # type: ignore[attr-defined]  # ten times faster
_NULLS = frozenset(("", "~", "null"))
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_AMBIGUOUS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[Tt \t].*)?"), "a date"),
    (re.compile(r"[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.\d*)?"), "a base-60 number"),
    (re.compile(r"[-+]?0[0-9_]+|[-+]?0o[0-7_]+"), "an octal number"),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), "a hexadecimal number"),
    (re.compile(r"[-+]?0b[01_]+"), "a binary number"),
    (re.compile(r"[-+]?\d[\d_]*_[\d_]*(?:\.[\d_]*)?"), "a number"),
    (re.compile(r"True|TRUE|False|FALSE"), "a boolean"),
    (re.compile(r"Null|NULL"), "null"),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), "not a finite number"),
)
_WORD_LIMIT = 64  # characters of a scalar whose meaning is worth keeping
#: characters a scalar must begin with to be anything but text
_SUSPECT = frozenset("0123456789-+.tfnTFN~")


@lru_cache(maxsize=1 << 12)
def _meaning(text: str) -> tuple[Any, tuple[str, str, str | None] | None]:
    """What an unquoted scalar means, and what is wrong with it: a rule, a message, a suggestion. Most words come again."""
    if text in _NULLS:
        return None, None
    if text == "true" or text == "false":
        return text == "true", None
    if _INT.fullmatch(text):
        number = int(text) if len(text) <= 20 else 1 << 64
        if -(1 << 63) <= number < 1 << 63:
            return number, None
        return text, ("bad-number", f"`{text[:40]}` does not fit 64 bits; quote it", None)
    for pattern, reading in _AMBIGUOUS:
        if pattern.fullmatch(text):
            message = f"unquoted, `{text}` is {reading} to some readers and text to others; quote it"
            return text, ("ambiguous-scalar", message, f'"{text}"')
    if _FLOAT.fullmatch(text):
        value = float(text) if len(text) <= 400 else float("inf")
        return (value, None) if value - value == 0 else (text, ("bad-number", f"`{text[:40]}` is not a finite number", None))
    return text, None


def load(text: str | bytes, file: str, problems: Problems, *, limit: int = SPEC_LIMIT) -> Node | None:
    """The tree of one YAML document. Whatever is wrong goes to `problems`; nothing is ever raised.

    `file` is the name in the marks, `limit` the most bytes. None when no tree could be read (too large, too deep, not
    YAML); after smaller findings the tree is there, so that later steps report theirs in the same run.
    """
    source = _decode(text, file, problems, limit)
    if source is None:
        return None
    if not _harmless(source) and _refused(source, file, problems):
        return None
    found = Problems()
    node = _Reader(source, file, found).read()
    if found and _refused(source, file, problems):  # depth is told first, and alone: what else is wrong may come of it
        return None
    problems.extend(found)
    return node


def _harmless(source: str) -> bool:
    """Whether a text is far from as deep as a parser can bear: a collection begins with a line or one of four characters."""
    return sum(map(source.count, "\n[{-?")) < SAFE_DEPTH


def _refused(source: str, file: str, problems: Problems) -> bool:
    """Whether a text is too deep, which is reported."""
    offset = too_deep(source, DEPTH_LIMIT)
    if offset is None:
        return False
    before = source[:offset]
    mark = Mark(file, before.count("\n") + 1, offset - before.rfind("\n"))
    problems.error("too-deep", f"nested deeper than {DEPTH_LIMIT} levels", mark)
    return True


def _decode(text: str | bytes, file: str, problems: Problems, limit: int) -> str | None:
    top = Mark(file, 1, 1)
    if len(text) > limit:
        problems.error("too-large", f"the file has {len(text):,} bytes; at most {limit:,} are read", top)
        return None
    try:
        raw = text if isinstance(text, bytes) else text.encode()
        source = raw.decode()
    except UnicodeError as error:
        line = text[: error.start].count(b"\n" if isinstance(text, bytes) else "\n") + 1  # type: ignore[attr-defined,arg-type]
        problems.error("not-utf8", f"the file is not UTF-8 text (byte {error.start})", Mark(file, line, 1))  # type: ignore[attr-defined]
        return None
    if len(raw) > limit:
        problems.error("too-large", f"the file has {len(raw):,} bytes; at most {limit:,} are read", top)
        return None
    if "\0" in source:
        at = source.index("\0")
        problems.error("nul-byte", "a NUL byte", Mark(file, source.count("\n", 0, at) + 1, at - source.rfind("\n", 0, at)))
        return None
    return source.removeprefix("\ufeff")


class _Stop(Exception):
    """Reading cannot go on; the reason is already among the problems."""


class _Open:
    """A collection whose end has not been read."""

    __slots__ = ("key", "key_mark", "marks", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.key: str | None = None
        self.key_mark: Mark | None = None
        self.marks: dict[str, Mark | None] = {}


class _Reader:
    def __init__(self, source: str, file: str, problems: Problems) -> None:
        self.source = source
        self.file = file
        self.problems = problems
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.count = 0
        self.skip = 0  # open collections inside a key that is no text

    def read(self) -> Node | None:
        parser: Any = None
        try:
            parser = _PARSER(self.source)
            self._events(parser)
        except _Stop:
            return None
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
            return None
        except yaml.YAMLError as error:
            at = getattr(error, "position", 0)
            message = str(getattr(error, "reason", None) or "not well-formed YAML")
            line = self.source.count("\n", 0, at) + 1
            self.problems.error("bad-yaml", message, Mark(self.file, line, at - self.source.rfind("\n", 0, at)))
            return None
        except (ValueError, OverflowError, LookupError):  # escapes beyond Unicode, in the pure Python scanner
            self.problems.error("bad-yaml", "an escape sequence names no character", Mark(self.file, 1, 1))
            return None
        finally:
            if parser is not None:
                parser.dispose()
        if self.root is None:
            self.problems.error("empty-file", "the file is empty", Mark(self.file, 1, 1))
        return self.root

    def _events(self, parser: Any) -> None:
        next_event = parser.get_event
        scalar, mapping, sequence = yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
        documents = 0
        enough = len(self.problems) + FINDINGS_LIMIT
        while True:
            event = next_event()
            if len(self.problems) > enough:
                raise _Stop
            kind = event.__class__
            if kind is scalar:
                self._scalar(event)
            elif kind is mapping:
                self._open(event, {})
            elif kind is sequence:
                self._open(event, [])
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                if self.skip:
                    self.skip -= 1
                else:
                    self.stack.pop()
            elif kind is yaml.AliasEvent:
                name = f"*{event.anchor}"
                self.problems.error("no-anchors", f"aliases are refused: `{name}`", self._mark(event), width=len(name))
                self._put(Node(None, self._mark(event)))
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if event.tags:
                    self.problems.error("no-tags", "tags are refused: `%TAG`", self._mark(event))
                if documents > 1:
                    self.problems.error("second-document", "a file holds one document", self._mark(event), width=3)
                    raise _Stop
            elif kind is yaml.StreamEndEvent:
                return

    def _mark(self, event: Any) -> Mark:
        mark = event.start_mark
        return Mark(self.file, mark.line + 1, mark.column + 1)

    def _counted(self, event: Any) -> Mark:
        """The place of a key or value, which is counted."""
        start = event.start_mark
        mark: Mark = _new(Mark, (self.file, start.line + 1, start.column + 1))
        self.count += 1
        if self.count <= NODE_LIMIT and event.anchor is None and event.tag is None:
            return mark
        if self.count > NODE_LIMIT:
            self.problems.error("too-many-nodes", f"more than {NODE_LIMIT:,} keys and values", mark)
            raise _Stop
        if event.anchor is not None:
            name = f"&{event.anchor}"
            self.problems.error("no-anchors", f"anchors are refused: `{name}`", mark, width=len(name))
        if event.tag is not None:
            self.problems.error("no-tags", f"tags are refused: `{event.tag}`", mark)
        return mark

    def _open(self, event: Any, value: Any) -> None:
        mark = self._counted(event)
        if self.skip:
            self.skip += 1
        elif self.stack and self.stack[-1].node.value.__class__ is dict and self.stack[-1].key is None:
            braces = event.__class__ is yaml.MappingStartEvent and event.flow_style
            message = 'a template needs quotes: "{{ … }}"' if braces else "a key is text, not a list or a mapping"
            self.problems.error("bad-key", message, mark)
            self.skip = 1
            self.stack[-1].key, self.stack[-1].key_mark = f"\0{self.count}", mark
        else:
            node = Node(value, mark)
            self._put(node)
            self.stack.append(_Open(node))
        if len(self.stack) + self.skip > DEPTH_LIMIT:
            self.problems.error("too-deep", f"nested deeper than {DEPTH_LIMIT} levels", mark)
            raise _Stop

    def _scalar(self, event: Any) -> None:
        mark = self._counted(event)
        if self.skip:
            return
        text = event.value
        plain = event.implicit[0] and event.tag is None
        top = self.stack[-1] if self.stack else None
        if top is not None and top.key is None and top.node.value.__class__ is dict:
            if plain and text == "<<":
                self.problems.error("no-merge-keys", "merge keys are refused: `<<`", mark, width=2)
            top.key, top.key_mark = text, mark
            return
        if plain and (not text or text[0] in _SUSPECT):
            value, wrong = (_meaning if len(text) <= _WORD_LIMIT else _meaning.__wrapped__)(text)
            if wrong is not None:
                self.problems.error(*wrong[:2], mark, wrong[2], width=len(text))
            self._put(Node(value, mark))
        else:
            if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                self.problems.error("not-utf8", "half of a surrogate pair", mark)
                text = text.encode(errors="replace").decode()
            self._put(Node(text, mark))

    def _put(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        value = top.node.value
        if value.__class__ is list:
            value.append(node)
            return
        key = top.key
        if key is None:  # an alias where a key should stand: reported
            top.key, top.key_mark = f"\0{self.count}", node.mark
            return
        node.key_mark = top.key_mark
        top.key = None
        if key in value:
            first = value[key].key_mark
            where = f" (first on line {first.line})" if first is not None else ""
            self.problems.error("duplicate-key", f"`{key}` stands twice{where}", node.key_mark, width=len(key))
        elif not key.startswith("\0"):
            value[key] = node

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        if self.problems and self.problems[-1].rule == "bad-key" and self.problems[-1].mark[:2] == (self.file, line + 1):
            return  # the parser stumbled over what is already told
        said = (
            (error.problem or "not well-formed YAML")
            .removeprefix("could not find expected ")
            .removeprefix("did not find expected ")
        )
        message = said if said == error.problem else f"{said} expected here"
        if error.context:
            message = f"{message}, {error.context}"
            if error.context_mark is not None and error.context_mark.line != line:
                message += f" begun on line {error.context_mark.line + 1}"
        lines = self.source.split("\n")
        shown = lines[line] if line < len(lines) else ""
        earlier = lines[line - 1] if 0 < line <= len(lines) else ""
        if "\t" in shown[: len(shown) - len(shown.lstrip())]:
            message += "; indent with spaces, not tabs"
        elif _BARE_TEMPLATE.search(shown) or _BARE_TEMPLATE.search(earlier):
            message += '; a template needs quotes: "{{ … }}"'
        elif "flow" in message:
            message += "; inside { } and [ ] quote a text that holds one of , : { } [ ]"
        elif "mapping values are not allowed" in message:
            message += "; quote a text that holds `: `"
        self.problems.error("bad-yaml", message, Mark(self.file, line + 1, column + 1))


_BARE_TEMPLATE = re.compile(r"(?:[:,\[{-]\s+|^\s*)\{\{")
