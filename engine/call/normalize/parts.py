"""Content of any spelling -> canonical parts (SPEC_LANGUAGE 12.1, SERVE 15).

One table from the `type` of what the caller wrote to one reader. Readers take the item and the notes and give one part,
which is always a new mapping; what it refers to (schemas, arguments) is passed on, never copied or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.call.json import JsonError, JsonLimitError, dumps, loads
from engine.call.normalize.media import decoded, encoded, media
from engine.call.normalize.native import native_part
from engine.errors import ConfigError, LimitError
from engine.vocabulary import PART

DEPTH = 64  # levels of parts within parts
EPHEMERAL = {"type": "ephemeral"}
assert PART.fields is not None
_FIELDS = frozenset(PART.fields) | {"extra"}


class Notes(list[str]):
    """What was left out on the way, as sentences for the report."""

    __slots__ = ()

    def left_out(self, item: Mapping[str, Any], known: frozenset[str], label: str) -> None:
        """Say which keys of `item` mean nothing here; keys without a value mean nothing anywhere."""
        for key in item.keys() - known:
            value = item[key]
            if value is not None and value != [] and value != {} and value != "":
                sentence = f"`{key:.60}` of {label} was left out: it has no neutral meaning"
                if sentence not in self:
                    self.append(sentence)


def mapping_of(item: Any, what: str) -> dict[str, Any]:
    """A caller's object as a mapping with text keys: dicts, the engine's types, models of other SDKs."""
    if item.__class__ is dict:
        found = item
    elif isinstance(item, Mapping):
        found = dict(item)
    elif not isinstance(item, type) and hasattr(item, "to_dict"):
        found = item.to_dict()
    elif not isinstance(item, type) and hasattr(item, "model_dump"):
        found = item.model_dump(exclude_none=True)
    else:
        raise ConfigError(f"{what} is a mapping, not {type(item).__name__}")
    if not isinstance(found, dict) or any(not isinstance(k, str) for k in found):
        raise ConfigError(f"{what} has keys that are not text")
    return found


def read_content(content: Any, notes: Notes, depth: int = 0) -> list[dict[str, Any]]:
    """The parts of a `content`: nothing, text, one part or a list of parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, (list, tuple)):
        if depth >= DEPTH:
            raise LimitError(f"content is nested deeper than {DEPTH} levels")
        return [read_part(item, notes, depth) for item in content if item is not None]
    return [read_part(content, notes, depth)]


def read_part(item: Any, notes: Notes, depth: int = 0) -> dict[str, Any]:
    """One part. Raises ConfigError for a type nobody knows, naming the nearest one."""
    if isinstance(item, str):
        return {"type": "text", "text": item}
    if isinstance(item, (bytes, bytearray)):
        return media(None, data=item)
    item = mapping_of(item, "a content part")
    kind = item.get("type")
    if kind is None:
        kind = _untyped(item)
    reader = READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise ConfigError(_unknown(kind))
    if item.get("native") is not None and item.get("server"):
        return native_part(item)  # it goes back as it came, or not at all
    part = reader(item, notes, depth)
    cache = item.get("cache_control", item.get("cache"))
    if cache is not None and cache is not False:
        part["cache"] = EPHEMERAL if cache is True else cache
    if item.get("extra") and "extra" not in part:
        part["extra"] = item["extra"]
    return part


def _untyped(item: Mapping[str, Any]) -> str | None:
    """The type an item without `type` must have."""
    for key in ("text", "image_url", "input_audio", "file", "video_url", "content"):
        if item.get(key) is not None:
            return "text" if key == "content" else key
    return None


def _unknown(kind: Any) -> str:
    from difflib import get_close_matches

    if not isinstance(kind, str):
        return "a content part needs a `type`"
    near = get_close_matches(kind, READERS, 1)
    hint = f"did you mean `{near[0]}`?" if near else "what only one provider understands travels as {type: native, dialect, data}"
    return f"a content part of type `{kind:.60}` is not known; {hint}"


def _text(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
    text = item.get("text")
    if text is None:
        text = item.get("content", "")  # a message in the place of a part
    if not isinstance(text, str):
        raise ConfigError(f"the text of a part is text, not {type(text).__name__}")
    if len(item) == 2 and "type" in item:
        return {"type": "text", "text": text}
    part: dict[str, Any] = {"type": "text", "text": text}
    for key in ("citations", "signature", "signed_by", "id", "item_id"):
        if item.get(key):
            part[key] = item[key]
    notes.left_out(item, _TEXT, "a text part")
    return part


_TEXT = frozenset([
    "type", "text", "content", "role", "citations", "signature", "signed_by", "id", "item_id", "cache",
    "cache_control", "extra", "annotations", "logprobs",
])  # fmt: skip


def _refusal(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
    return {"type": "refusal", "text": words(item.get("refusal", item.get("text")), "refusal")}


def words(value: Any, what: str) -> str:
    """Text, or ConfigError."""
    if isinstance(value, str):
        return value
    raise ConfigError(f"the {what} is text, not {type(value).__name__}")


def _engine_media(kind: str | None) -> Callable[[dict[str, Any], Notes, int], dict[str, Any]]:
    """Reader of a part with its fields laid flat, or in `source` as content blocks have it."""

    def read(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
        source = item.get("source")
        if source is not None:
            return _source(kind, mapping_of(source, "the source of a media part"), item, notes, depth)
        part = media(
            kind,
            url=item.get("url") or item.get("uri") or (item.get(kind) if kind and isinstance(item.get(kind), str) else None),
            data=item.get("data") if item.get("data") is not None else item.get("bytes"),
            file_id=item.get("file_id"),
            media_type=item.get("media_type") or item.get("mime_type"),
            format=item.get("format"),
            filename=item.get("filename") or item.get("name"),
        )
        return _rest(part, item, notes, kind or "file")

    return read


_FLAT = frozenset([
    "type", "url", "uri", "data", "bytes", "file_id", "media_type", "mime_type", "format", "filename", "name", "via",
    "size", "source", "title", "cache", "cache_control",
])  # fmt: skip
_KEPT = ("detail", "id", "item_id", "citations", "signature", "transcript", "number", "signed_by", "text", "extra")


def _rest(part: dict[str, Any], item: Mapping[str, Any], notes: Notes, label: str) -> dict[str, Any]:
    for key in _KEPT:
        if item.get(key) is not None:
            part[key] = item[key]
    notes.left_out(item, _FLAT | {label, *_KEPT}, f"a part of type {label}")
    return part


def _source(kind: str | None, source: dict[str, Any], item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
    """A content block with `source: {type: base64 | url | file | text | content}`."""
    how = source.get("type")
    name = item.get("title") or item.get("filename")
    media_type = source.get("media_type")
    if how == "text":
        text = words(source.get("data"), "data of a text source")
        part = media(kind, data=encoded(text.encode("utf-8", "replace")), media_type=media_type or "text/plain", filename=name)
        part["text"] = text
    elif how == "content":
        inner = read_content(source.get("content"), notes, depth + 1)
        text = "\n\n".join(p["text"] for p in inner if p["type"] == "text")
        part = media(kind, data=encoded(text.encode("utf-8", "replace")), media_type="text/plain", filename=name)
        part["text"], part["parts"] = text, inner
    else:
        part = media(
            kind,
            url=source.get("url"),
            data=source.get("data"),
            file_id=source.get("file_id"),
            media_type=media_type,
            filename=name,
        )
    return _rest(part, item, notes, kind or "file")


def _nested(kind: str | None, *keys: str) -> Callable[[dict[str, Any], Notes, int], dict[str, Any]]:
    """Reader of `{type: k, k: {…} or text}`: image_url, input_audio, file, video_url and their kin."""

    def read(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
        inner: Any = next((item[k] for k in keys if item.get(k) is not None), None)
        if inner is None:
            inner = {k: v for k, v in item.items() if k not in ("type", "cache", "cache_control", "detail", "extra")}
        elif isinstance(inner, str):
            inner = {"url": inner} if item.get("type") != "input_file" else {"file_url": inner}
        inner = mapping_of(inner, "the content of a media part")
        address = inner.get("url") or inner.get("file_url") or inner.get("uri")
        data = inner.get("data") if inner.get("data") is not None else inner.get("file_data")
        if address is None and data is None and isinstance(item.get("image_url"), str):
            address = item["image_url"]
        part = media(
            kind,
            url=address,
            data=data,
            file_id=inner.get("file_id"),
            media_type=inner.get("media_type") or inner.get("mime_type"),
            format=inner.get("format"),
            filename=inner.get("filename") or item.get("filename") or item.get("document_name"),
        )
        detail = inner.get("detail") or item.get("detail")
        if detail:
            part["detail"] = detail
        notes.left_out(inner, _INNER, f"a part of type {part['type']}")
        return part

    return read


_INNER = frozenset([
    "url", "file_url", "uri", "data", "file_data", "file_id", "media_type", "mime_type", "format", "filename",
    "detail", "document_name", "image_url",
])  # fmt: skip


def _thinking(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "thinking"}
    text = item.get("text") or item.get("thinking") or item.get("summary")
    if isinstance(text, (list, tuple)):  # summaries as a list of {text}
        text = "\n\n".join(p["text"] for p in read_content(text, notes, depth + 1) if p.get("text"))
    if text:
        part["text"] = words(text, "text of a thinking part")
    redacted = item.get("redacted") or item.get("data")
    if redacted is not None:
        part["redacted"] = words(redacted, "data of a redacted thinking part")
    for key in ("signature", "signed_by", "id", "item_id", "format", "number", "extra"):
        if item.get(key) is not None:
            part[key] = item[key]
    return part


def _tool_call(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
    function = item.get("function")
    return call_part(item, item if function is None else mapping_of(function, "the function of a tool call"))


def call_part(item: Mapping[str, Any], function: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call, its arguments as they came: `arguments` if parsed, `raw` (JSON text) if not."""
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError("a tool call needs the name of its tool")
    part: dict[str, Any] = {"type": "tool_call", "name": name}
    id = item.get("call_id") or item.get("given_id") or item.get("id") or item.get("tool_call_id")
    if id is not None:
        part["id"] = words(id, "id of a tool call") or None
    raw = function.get("arguments_json")
    given = function.get("arguments", function.get("input", function.get("args")))
    if given is None or (isinstance(given, str) and raw is not None):
        given = raw
    elif isinstance(raw, str):
        part["arguments_json"] = raw  # the model's own spelling of the parsed arguments
    part["arguments"] = given
    for key in ("signature", "signed_by", "item_id", "server", "dialect", "number", "index", "extra", "invalid", "made"):
        if item.get(key) is not None:
            part[key] = item[key]
    if item.get("type") == "server_tool_use":
        part["server"] = True
    return part


def arguments_of(part: dict[str, Any], parsed: bool, text: bool) -> None:
    """Set what is wanted of `arguments` (parsed; text stays text when it is no JSON) and `arguments_json`, in place."""
    given = part["arguments"]
    if given is None or given == "":
        part["arguments"] = {}
        if text:
            part["arguments_json"] = "{}"
        return
    if isinstance(given, str):
        if text:
            part["arguments_json"] = given
        if parsed and not part.get("invalid"):
            try:
                value = loads(given)
            except JsonLimitError as error:
                raise LimitError(f"the arguments of a tool call: {error}") from None
            except JsonError:
                value = None if not given.strip() else given
                if value is not None:
                    part["invalid"] = True
            part["arguments"] = {} if value is None else value
    elif text and "arguments_json" not in part:
        part["arguments_json"] = json_text(given, "the arguments of a tool call")


def json_text(value: Any, what: str) -> str:
    """Compact JSON. Raises ConfigError for what JSON cannot say."""
    try:
        return dumps(value).decode()
    except ValueError as error:
        raise ConfigError(f"{what} cannot be written as JSON: {error}") from None


def _tool_result(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
    inner = item.get("parts", item.get("content", item.get("output")))
    if inner is None:
        if item.get("text") is not None:
            inner = words(item["text"], "text of a tool result")
        elif item.get("json") is not None:
            inner = [{"type": "json", "json": item["json"]}]
    part = result_part(
        item.get("tool_use_id") or item.get("call_id") or item.get("given_id") or item.get("id"), inner, notes, depth
    )
    for key in ("name", "is_error", "server", "item_id", "extra", "made"):
        if item.get(key):
            part[key] = item[key]
    return part


def result_part(id: Any, content: Any, notes: Notes, depth: int = 0) -> dict[str, Any]:
    """A tool result; content that is neither text nor parts (a number, a mapping without a type) is a json part."""
    part: dict[str, Any] = {"type": "tool_result"}
    if id is not None:
        part["id"] = words(id, "id of a tool result") or None
    if isinstance(content, str):
        part["parts"] = [{"type": "text", "text": content}]
    elif content is None:
        part["parts"] = []
    elif _is_data(content):
        part["parts"] = [{"type": "json", "json": content}]
    else:
        part["parts"] = read_content(content, notes, depth + 1)
    return part


def _is_data(content: Any) -> bool:
    """Whether a tool's result is a value and no content."""
    if isinstance(content, (bool, int, float)):
        return True
    if content.__class__ is dict:
        return content.get("type") not in READERS if isinstance(content.get("type"), str) else True
    if content.__class__ is list:
        return bool(content) and not all(
            isinstance(x, str) or hasattr(x, "to_dict") or (isinstance(x, Mapping) and not _is_data(x)) for x in content
        )
    return False


def _json(item: dict[str, Any], notes: Notes, depth: int) -> dict[str, Any]:
    return {"type": "json", "json": item.get("json"), **{k: item[k] for k in ("id", "extra") if item.get(k) is not None}}


READERS: dict[str, Callable[[dict[str, Any], Notes, int], dict[str, Any]]] = {
    "text": _text, "input_text": _text, "output_text": _text,
    "refusal": _refusal,
    "image": _engine_media("image"), "audio": _engine_media("audio"), "video": _engine_media("video"),
    "document": _engine_media("document"), "media": _engine_media(None),
    "image_url": _nested("image", "image_url"), "input_image": _nested("image"), "video_url": _nested("video", "video_url"),
    "input_video": _nested("video", "input_video"), "audio_url": _nested("audio", "audio_url"), "input_audio": _nested("audio",
    "input_audio"),
    "file": _nested(None, "file"), "input_file": _nested(None), "file_url": _nested(None, "file_url"),
    "document_url": _nested("document", "document_url"),
    "thinking": _thinking, "redacted_thinking": _thinking, "reasoning": _thinking,
    "tool_call": _tool_call, "tool_use": _tool_call, "server_tool_use": _tool_call, "function_call": _tool_call,
    "function": _tool_call,
    "tool_result": _tool_result, "function_call_output": _tool_result,
    "json": _json,
    "native": lambda item, notes, depth: native_part(item),
}  # fmt: skip


def text_of_document(part: dict[str, Any]) -> None:
    """Give a document of plain text its `text`, for wires that take text where others take files."""
    if "text" not in part and part.get("media_type", "").startswith("text/") and "data" in part:
        part["text"] = decoded(part["data"]).decode("utf-8", "replace")
