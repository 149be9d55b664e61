"""The order of a served stream (SERVE.md 6): wires open one block at a time, canonical events need not.

One block is open. When a piece of another arrives, an open text or thinking block closes; an open tool call closes if its
arguments are a whole JSON object, as nothing can follow one; otherwise the newcomer waits. So interleaved calls are
untangled, text never waits for anything but an unfinished call, and nothing is reordered within a block.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.call.block import Block, Candidate
from engine.call.json import JsonError, dumps, loads
from engine.call.outputs import text_of
from engine.serve.answer import MEDIA, PROSE, complete_media

_MARKS = re.compile(r'["\\{}\[\]]')


class Piece:
    """One block as it is written. `view` is what templates see of it; `block` the canonical one it comes from."""

    __slots__ = (
        "block",
        "choice",
        "closed",
        "done",
        "held",
        "made",
        "ordinal",
        "pattern",
        "pieces",
        "placed",
        "scan",
        "type",
        "view",
    )

    def __init__(self, type: str, choice: int, block: Block) -> None:
        self.type = type
        self.choice = choice
        self.block = block
        self.view: dict[str, Any] | None = None  # None until it opens
        self.pieces: list[str] = []  # text, argument text or base64 sent so far
        self.ordinal = 0  # of a call: its place among the calls of its choice
        self.held: list[dict[str, Any]] = []  # deltas of a call that has no name yet
        self.made: str | None = None  # the id of a call that came without
        self.placed = False  # its arguments come in pieces with places, and again as a whole
        self.done = False  # a call known to be whole
        self.closed = False
        self.scan = Braces()
        self.pattern: Any = None  # of its frames, once learnt; False where they differ by more than their text

    @property
    def complete(self) -> bool:
        """Nothing can follow, or what follows may open a new block."""
        return self.type != "tool_call" or self.done or self.scan.closed(self.pieces)

    @property
    def text(self) -> str:
        """All that was sent."""
        return "".join(self.pieces)

    def begin(self, number: int, item_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The view of a block that opens as the `number`th of its choice."""
        block = self.block
        view: dict[str, Any] = {"type": self.type, "index": number, "number": number, "open": True, "item_id": item_id}
        if self.type == "tool_call":
            view.update(id=block.id or self.made, name=block.name, given_id=block.id or self.made)
            if block.server:
                view["server"] = True
            if block.signature is not None:
                view["signature"] = block.signature
        elif self.type in PROSE:
            if block.id is not None:
                view["id"] = block.id
            if fields.get("redacted") is not None:
                view["redacted"] = fields["redacted"]
        elif self.type == "native":
            view.update(dialect=fields.get("dialect"), native=fields.get("native"))
        self.view = view
        return view

    def told(self, citations: list[dict[str, Any]]) -> dict[str, Any]:
        """The view with all that was sent so far; sources stand with text."""
        view = self.view
        assert view is not None
        view["open"] = not self.closed
        if self.type == "tool_call":
            view["arguments_json"] = text = self.text.strip() or "{}"
            view["arguments"] = _parsed(text)
        elif self.type in PROSE:
            view["text"] = self.text
            if self.type == "text" and citations:
                view["citations"] = citations
        elif self.type in MEDIA:
            if self.pieces:
                view["data"] = self.text
            complete_media(view)
        return view

    def arguments(self, fields: dict[str, Any]) -> str:
        """The argument text of an event that has not been sent yet."""
        given, full = fields.get("arguments"), fields.get("full_arguments")
        if given.__class__ is str and full is None and not fields.get("whole"):
            return str(given)
        value = full if full is not None else given
        if value is None:
            return ""
        self.done = not self.placed or bool(fields.get("whole"))
        if value == {} and not fields.get("whole"):
            return ""  # pieces with places may follow
        sent = self.text
        if value.__class__ is str and value.startswith(sent):
            return str(value[len(sent) :])
        return dumps(value).decode() if not sent and value.__class__ is not str else ""


def _parsed(text: str) -> Any:
    try:
        return loads(text)
    except JsonError:
        return text


class Braces:
    """Whether a JSON text that comes in pieces has closed its outermost brace; every character is looked at once."""

    __slots__ = ("_at", "_depth", "_escaped", "_inside", "_whole")

    def __init__(self) -> None:
        self._at = 0  # pieces seen
        self._depth = 0
        self._inside = self._escaped = self._whole = False

    def closed(self, pieces: list[str]) -> bool:
        """True once the object is whole; asked again it goes on where it stopped."""
        for text in pieces[self._at :] if not self._whole else ():
            self._feed(text)
        self._at = len(pieces)
        return self._whole

    def _feed(self, text: str) -> None:
        at = 0
        if self._escaped and text:
            at, self._escaped = 1, False
        while True:
            found = _MARKS.search(text, at)
            if found is None:
                return
            mark, at = found[0], found.end()
            if self._inside:
                if mark == "\\":
                    self._escaped = at >= len(text)
                    at += 1
                elif mark == '"':
                    self._inside = False
            elif mark == '"':
                self._inside = True
            elif mark in "{[":
                self._depth += 1
            elif mark in "}]":
                self._depth -= 1
                self._whole = self._whole or self._depth <= 0


class Order:
    """Decides which piece of one choice may be written when; `write(piece, fields)` and `close(piece)` come in wire order."""

    __slots__ = ("_candidate", "_close", "_drop", "_live", "_write", "choice", "open", "pending")

    def __init__(
        self,
        choice: int,
        write: Callable[[Piece, dict[str, Any]], None],
        close: Callable[[Piece], None],
        drop: Callable[[str], None],
    ) -> None:
        self._write = write
        self._close = close
        self._drop = drop
        self.choice = choice
        self._candidate = Candidate(None)
        self._live: dict[int, Piece] = {}  # id of a canonical block (held by its piece) -> the piece it goes to
        self.open: Piece | None = None
        self.pending: list[tuple[Piece, dict[str, Any]]] = []

    def prose(self, kind: str, fields: dict[str, Any]) -> None:
        """A piece of text, thinking or refusal."""
        text = text_of(fields.get("text"))
        signature, redacted, id = fields.get("signature"), fields.get("redacted"), fields.get("id")
        if not text and signature is None and redacted is None:
            return
        block = self._candidate.prose(kind, fields.get("index"), id, not text and redacted is None)
        block.signature = signature if signature is not None else block.signature
        block.redacted = redacted if redacted is not None else block.redacted
        block.id = block.id or id
        delta = {"text": text or None, "signature": signature, "redacted": redacted}
        self._route(self._piece(kind, block), {k: v for k, v in delta.items() if v is not None})

    def call(self, fields: dict[str, Any]) -> None:
        """A piece of a tool call; with `whole` the arguments are all of them."""
        block = self._candidate.call(fields.get("index"), fields.get("id"), fields.get("name"))
        block.name = fields.get("name") or block.name
        block.server = bool(fields.get("server")) or block.server
        block.signature = fields.get("signature") or block.signature
        piece = self._piece("tool_call", block)
        piece.ordinal = block.ordinal
        if piece.closed:
            return
        if not block.name and not block.server:
            piece.held.append(fields)
            return
        held, piece.held = piece.held, []
        for one in (*held, fields):
            if one.get("at") is None:
                self._route(piece, one)
            else:
                piece.placed, piece.done = True, False

    def more(self, kind: str, fields: dict[str, Any]) -> str | None:
        """The text of an event that only goes on with the block that is open, which is most of a stream; else None."""
        piece = self.open
        if piece is None or piece.type != kind or self.pending or fields.get("signature") is not None:
            return None
        index, candidate = fields.get("index"), self._candidate
        block = candidate.blocks[-1] if index is None else candidate.keys.get((kind, index))
        if block is not piece.block or fields.get("id") is not None:
            return None
        if kind == "tool_call":
            text = fields.get("arguments")
            further: tuple[str, ...] = ("name", "full_arguments", "at", "server")
        else:
            text = fields.get("text")
            further = ("redacted", "full")
            if block.signature is not None or block.redacted is not None:
                return None
        if text.__class__ is not str or not text:
            return None
        for name in further:
            if fields.get(name) is not None:
                return None
        return str(text)

    def item(self, type: str, fields: dict[str, Any]) -> None:
        """Media, or a native item."""
        key = fields.get("index")
        known = self._candidate.keys.get((type, key)) if key is not None else None
        block = known or self._candidate.new(type, key)
        self._route(self._piece(type, block), fields)

    def finish(self) -> None:
        """Everything that waits comes out, whole or not."""
        if self.open is not None:
            self._shut()
        while self.pending:
            self._next()
            if self.open is not None:
                self._shut()
        for piece in self._live.values():
            if piece.held:
                self._drop("a tool call without a name was dropped")

    @property
    def calls(self) -> bool:
        """Whether the choice calls the client's own tools."""
        return any(b.type == "tool_call" and not b.server and b.name for b in self._candidate.blocks)

    def _piece(self, type: str, block: Block) -> Piece:
        found = self._live.get(id(block))
        if found is None or (found.closed and type != "tool_call"):  # a late piece of a closed text opens a new block
            found = self._live[id(block)] = Piece(type, self.choice, block)
        return found

    def _route(self, piece: Piece, fields: dict[str, Any]) -> None:
        if self.open is not None and self.open is not piece:
            if not self.open.complete:
                self.pending.append((piece, fields))
                return
            self._shut()
        self.open = piece
        self._write(piece, fields)
        while self.pending and self.open is not None and self.open.complete:
            self._shut()
            self._next()

    def _next(self) -> None:
        """The piece that has waited longest opens, with all that came for it."""
        piece = self.pending[0][0]
        mine = [fields for other, fields in self.pending if other is piece]
        self.pending = [(other, fields) for other, fields in self.pending if other is not piece]
        self.open = piece
        for fields in mine:
            self._write(piece, fields)

    def _shut(self) -> None:
        piece, self.open = self.open, None
        assert piece is not None
        piece.closed = True
        self._close(piece)
