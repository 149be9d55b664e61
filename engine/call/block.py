"""The state of an answer that is being read: candidates and their blocks (SPEC_LANGUAGE 7.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.call.assemble import assemble
from engine.call.json import JsonError, dumps, loads
from engine.call.media import join_base64
from engine.call.thinking_tags import TagCutter
from engine.types import Citation, Part


class Block:
    """One part in the making. `pieces` are texts, argument texts or base64, joined once at the end."""

    __slots__ = (
        "arguments",
        "assembled",
        "citations",
        "fields",
        "id",
        "name",
        "ordinal",
        "pieces",
        "redacted",
        "server",
        "signature",
        "type",
    )

    def __init__(self, type: str) -> None:
        self.type = type
        self.pieces: list[str] = []
        self.id: str | None = None
        self.name: str | None = None
        self.signature: str | None = None
        self.redacted: str | None = None
        self.arguments: Any = None  # given as a whole: a mapping or a list
        self.assembled = False  # the arguments come in pieces with places; only the end tells that they are whole
        self.server = False
        self.ordinal = 0  # of a call: its place among the calls of the candidate
        self.citations: list[Citation] | None = None
        self.fields: dict[str, Any] = {}  # of media and native parts

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def sealed(self) -> bool:
        """A signed or encrypted block is finished: what follows without an index is a new one."""
        return self.signature is not None or self.redacted is not None

    def put(self, at: Any, piece: Any) -> None:
        """A piece of the arguments at its place."""
        if not self.assembled:
            self.assembled, self.arguments = True, dict(self.arguments) if isinstance(self.arguments, dict) else {}
        assemble(self.arguments, at, piece)

    def lay(self, fields: dict[str, Any]) -> None:
        """What an event says of a native item, over what was said of it before; its data may come in pieces."""
        before, data = self.fields.get("data"), fields.get("data")
        self.fields.update(fields)
        if before.__class__ is dict and data.__class__ is dict:
            self.fields["data"] = {**before, **data}

    def read_arguments(self) -> tuple[Any, str, bool]:
        """(parsed arguments, their JSON text, whether they are valid). No arguments are `{}`."""
        text = "".join(self.pieces).strip()
        if not text or text == "null":
            parsed = self.arguments if self.arguments is not None else {}
            try:
                return parsed, dumps(parsed).decode(), True
            except JsonError:  # a number that JSON has no word for
                return str(parsed), str(parsed), False
        try:
            return loads(text.encode("utf-8", "replace")), text, True
        except JsonError:
            return text, text, False

    def complete(self) -> bool:
        """Whether a call's arguments are surely whole although the stream was cut."""
        if not self.pieces:
            return self.arguments is not None and not self.assembled
        parsed, _, valid = self.read_arguments()
        return valid and isinstance(parsed, dict)

    def part(self, dialect: str | None, origin: str) -> Part:
        """The finished part; `origin` marks who signed it."""
        signed_by = origin if self.sealed else None
        if self.type == "tool_call":
            arguments, text, valid = self.read_arguments()
            return Part(
                "tool_call",
                id=self.id,
                name=self.name,
                arguments=arguments,
                arguments_json=text,
                invalid=None if valid else True,
                signature=self.signature,
                signed_by=signed_by,
                server=self.server or None,
                dialect=dialect if self.server else None,
            )
        if self.type == "native":
            return self._native(dialect)
        if self.type in ("text", "thinking", "refusal"):
            return Part(
                self.type,
                text=self.text or None if self.type == "thinking" else self.text,
                id=self.id,
                signature=self.signature,
                redacted=self.redacted,
                signed_by=signed_by,
                citations=self.citations,
            )
        data = join_base64(self.pieces) if self.pieces else None
        known = {k: self.fields.get(k) for k in ("text", "url", "media_type")}
        return Part(self.type, id=self.id, data=data, signature=self.signature, signed_by=signed_by, **known)

    def _native(self, dialect: str | None) -> Part:
        """An item as it came; a call or a result of a tool that the provider ran says so in canonical words too."""
        said, data = self.fields, self.fields.get("data")
        if said.get("tool") not in ("call", "result"):
            return Part("native", dialect=dialect, native=data)
        id, name = (value if isinstance(value := said.get(key), str) else None for key in ("id", "name"))
        part = Part(f"tool_{said['tool']}", id=id, name=name, server=True, dialect=dialect, native=data)
        if part.type == "tool_call":
            arguments = said.get("arguments")
            part.arguments = {} if arguments is None else arguments
            if isinstance(arguments, str):
                try:
                    part.arguments = loads(arguments.encode("utf-8", "replace"))
                except JsonError:
                    part.arguments = {"input": arguments}
            part.arguments_json = dumps(part.arguments).decode()
        else:
            text = said.get("text")
            part.text = text if text is None or isinstance(text, str) else dumps(text).decode()
            part.is_error = True if said.get("is_error") else None
        return part


class Candidate:
    """One candidate answer: ordered blocks, a table of them, usage-free facts."""

    __slots__ = ("append", "blocks", "calls", "citations", "cutter", "finish", "fulls", "keys", "logprobs", "seen")

    def __init__(self, cutter: TagCutter | None) -> None:
        self.blocks: list[Block] = []
        self.keys: dict[tuple[str, Any], Block] = {}
        self.append: Callable[[str], None] | None = None  # of the last block's pieces, while bare text may go there
        self.calls = 0
        self.citations: list[Citation] = []
        self.seen: set[tuple[Any, ...]] = set()
        self.cutter = cutter
        self.finish: str | None = None  # native
        self.fulls: dict[tuple[str, Any], str] = {}
        self.logprobs: list[Any] | None = None

    def new(self, type: str, key: Any = None) -> Block:
        """A new block at the end; found again by (type, key)."""
        block = Block(type)
        self.blocks.append(block)
        self.append = block.pieces.append if type == "text" and self.cutter is None else None
        if key is not None:
            self.keys[type, key] = block
        return block

    def prose(self, type: str, index: Any, id: str | None, continues: bool) -> Block:
        """The block that text, thinking or refusal belongs to; `continues` if it brings a signature only."""
        if index is not None:
            return self.keys.get((type, index)) or self.new(type, index)
        if id is not None:
            found = self.keys.get((type, ("id", id)))
            if found is not None:
                return found
        last = self.blocks[-1] if self.blocks else None
        if last is None or last.type != type or (last.sealed and not continues) or (id and last.id and id != last.id):
            return self.new(type, ("id", id) if id is not None else None)
        return last

    def call(self, index: Any, id: str | None, name: str | None) -> Block:
        """The block of a tool call: by index unless it carries another id; by id; else the latest; else a new one."""
        found: Block | None = None
        if index is not None:
            found = self.keys.get(("tool_call", index))
            if found is not None and id and found.id and id != found.id:
                found = None
        elif id:
            found = self.keys.get(("tool_call", ("id", id)))
        elif name is None:
            found = next((b for b in reversed(self.blocks) if b.type == "tool_call"), None)
        if found is None:
            found = self.new("tool_call", index)
            found.ordinal = self.calls
            self.calls += 1
        if id and not found.id:
            found.id = id
            self.keys["tool_call", ("id", id)] = found
        return found


def name_calls(candidates: Mapping[int, Candidate], warn: Callable[[str], None]) -> None:
    """Calls without a name are dropped; calls without an id get one (Ollama and Gemini send none)."""
    for candidate in candidates.values():
        if candidate.calls:
            break
    else:
        return
    taken = {b.id for c in candidates.values() for b in c.blocks if b.id}
    count = 0
    for candidate in candidates.values():
        kept: list[Block] = []
        for block in candidate.blocks:
            if block.type == "tool_call":
                if not block.name and not block.server:
                    warn("a tool call without a name was dropped")
                    continue
                count += 1
                if not block.id:
                    while f"call_{count}" in taken:
                        count += 1
                    block.id = f"call_{count}"
                    taken.add(block.id)
            kept.append(block)
        candidate.blocks[:] = kept
