"""Media of any spelling -> one media part (SPEC_LANGUAGE 12.1): kind, where it lies, and what it is.

The type of the bytes is what the caller says (data URI, media type, format), else what the file name or the URL ends in, else
what the first bytes show.
"""

from __future__ import annotations

from typing import Any

from engine.errors import ConfigError

#: ending -> media type
TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "bmp": "image/bmp",
    "tif": "image/tiff", "tiff": "image/tiff", "heic": "image/heic", "heif": "image/heif", "avif": "image/avif",
    "svg": "image/svg+xml",
    "mp3": "audio/mpeg", "mpga": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "oga": "audio/ogg",
    "opus": "audio/opus", "m4a": "audio/mp4", "aac": "audio/aac", "aiff": "audio/aiff", "amr": "audio/amr", "caf": "audio/x-caf",
    "au": "audio/basic", "pcm": "audio/pcm", "pcm16": "audio/pcm",
    "mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska", "webm": "video/webm",
    "mpeg": "video/mpeg", "mpg": "video/mpeg", "avi": "video/x-msvideo", "wmv": "video/x-ms-wmv", "flv": "video/x-flv",
    "3gp": "video/3gpp",
    "pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html",
    "htm": "text/html",
    "xml": "text/xml", "css": "text/css", "rtf": "application/rtf", "json": "application/json", "jsonl": "application/jsonl",
    "doc": "application/msword", "xls": "application/vnd.ms-excel", "zip": "application/zip", "epub": "application/epub+zip",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}  # fmt: skip
_SHORT = {
    "audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
    "audio/x-flac": "flac",
    "audio/mp4": "m4a", "audio/x-m4a": "m4a", "audio/x-aiff": "aiff", "image/jpg": "jpeg", "image/svg+xml": "svg",
    "video/quicktime": "mov", "video/x-matroska": "mkv", "video/x-msvideo": "avi", "video/x-ms-wmv": "wmv", "video/x-flv": "flv",
    "video/3gpp": "three_gp", "text/plain": "txt", "text/markdown": "md", "application/msword": "doc",
    "application/epub+zip": "epub",
    **{v: k for k, v in TYPES.items() if v.startswith("application/vnd.")},
}  # fmt: skip
#: first bytes of a file -> its media type
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"), (b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"), (b"ID3", "audio/mpeg"), (b"#!AMR", "audio/amr"),
    (b"caff", "audio/x-caf"), (b".snd", "audio/basic"), (b"II*\0", "image/tiff"), (b"MM\0*", "image/tiff"), (b"BM", "image/bmp"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)  # fmt: skip
#: the same for containers, by what stands further in: bytes 8 to 11 of RIFF, FORM and ISO files
_FORMS = {
    b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo", b"AIFF": "audio/aiff", b"AIFC": "audio/aiff",
}  # fmt: skip
_BRANDS = {
    b"heic": "image/heic", b"mif1": "image/heif", b"avif": "image/avif", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime", b"3gp4": "video/3gpp", b"3gp5": "video/3gpp",
}  # fmt: skip
_ZIP = "UEsDB"
_KINDS = ("image", "audio", "video")
_STANDARD = str.maketrans("-_", "+/")
_VAGUE = ("application/octet-stream", "binary/octet-stream", "")


def sniff(data: str, frames: bool = True) -> str | None:
    """The media type the first bytes of a base64 text show, if they show one. Without `frames` the two bytes that begin a frame of
    MP3 or AAC are no sign: a text may begin like that too."""
    head = _bytes(data[:24])
    for start, found in _MAGIC:
        if head.startswith(start):
            return found
    if head[:4] in (b"RIFF", b"RF64", b"FORM"):
        return _FORMS.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if frames and len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        layer = head[1] >> 1 & 3
        if layer == 0 and head[1] & 0xF0 == 0xF0:
            return "audio/aac"
        if layer in (1, 2) and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3:
            return "audio/mpeg"
    return None


def kind_of(media_type: str | None) -> str:
    """image, audio or video by the first half of a media type, else document."""
    head = (media_type or "").partition("/")[0]
    return head if head in _KINDS else "document"


def format_of(media_type: str) -> str:
    """The short word providers use for a media type: `audio/mpeg` is mp3."""
    return _SHORT.get(media_type) or media_type.rpartition("/")[2].removeprefix("x-")


def ending(name: str) -> str | None:
    """The media type that the ending of a file name or URL stands for."""
    path = name[:2048].partition("#")[0].partition("?")[0]
    return TYPES.get(path.rpartition(".")[2].lower()) if "." in path else None


def media(
    kind: str | None,
    *,
    url: Any = None,
    data: Any = None,
    file_id: Any = None,
    media_type: Any = None,
    format: Any = None,
    filename: Any = None,
) -> dict[str, Any]:
    """A media part. `kind` None (a file of any sort) is decided by the media type. Raises ConfigError without content."""
    for name, value in (("url", url), ("media_type", media_type), ("format", format), ("filename", filename), ("file_id", file_id)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"the {name} of a media part is text, not {type(value).__name__}")
    if media_type in _VAGUE:
        media_type = None
    if media_type and ";" in media_type:
        media_type = media_type.partition(";")[0].strip()
    if isinstance(data, (bytes, bytearray, memoryview)):
        data = encoded(bytes(data))
    elif data is not None and not isinstance(data, str):
        raise ConfigError(f"the data of a media part is bytes or base64 text, not {type(data).__name__}")
    if data and data[:8].lower().startswith(("data:", "https://", "http://")):  # an address where base64 belongs
        url, data = data, None
    if url and data is None:
        if url[:5].lower() == "data:":
            given, data = _data_uri(url)
            media_type, url = (given if given not in _VAGUE else media_type), None
        elif ":" not in url[:12] and sniff(url, frames=False):  # bare base64 where an address belongs
            data, url = url, None
    part: dict[str, Any] = {"type": kind or "document"}
    if data is not None:
        part["via"], part["data"] = "data", _standard(data)
    elif url:
        part["via"], part["url"] = "url", url
    elif file_id:
        part["via"] = "file"
    else:
        raise ConfigError(f"{_named(kind)} has no content: give a url, data or file_id")
    if file_id:
        part["file_id"] = file_id
    media_type = media_type or _guess(kind, part, format, filename)
    if media_type:
        part["media_type"] = media_type
        if kind is None:
            part["type"] = kind_of(media_type)
    if filename:
        part["filename"] = filename
    return part


def encoded(data: bytes) -> str:
    """Standard base64."""
    from binascii import b2a_base64

    return b2a_base64(data, newline=False).decode("ascii")


def decoded(data: str) -> bytes:
    """The bytes of base64 text. Raises ConfigError when it is none."""
    from binascii import Error as BadBase64
    from binascii import a2b_base64

    try:
        return a2b_base64(data)
    except (BadBase64, ValueError):
        raise ConfigError("the data of a media part is not base64") from None


def _bytes(data: str) -> bytes:
    try:
        return decoded(data)
    except ConfigError:
        return b""


def _guess(kind: str | None, part: dict[str, Any], format: str | None, filename: str | None) -> str | None:
    if format:
        known = format if "/" in format else TYPES.get(format.lower().lstrip("."))
        head = kind if kind in _KINDS else "application"
        if known and kind in _KINDS and kind_of(known) != kind:
            known = None  # `webm` or `mp4` of a sound
        return known or f"{head}/{format.lower()}"
    found = (ending(filename) if filename else None) or (ending(part["url"]) if "url" in part else None)
    if found is None and "data" in part:
        data = part["data"]
        found = sniff(data)
        if found is None and data.startswith(_ZIP) and kind is None:
            found = "application/zip"
        if found is None and kind == "image":
            found = "image/png"  # a type has to be named; viewers look at the bytes
    if found and kind in ("audio", "video") and kind_of(found) != kind:
        second = found.rpartition("/")[2]
        if second in ("mp4", "webm", "ogg", "3gpp", "mpeg"):
            return f"{kind}/{second}"
    return found


def _data_uri(uri: str) -> tuple[str, str]:
    """Media type and base64 of a data URI (RFC 2397)."""
    comma = uri.find(",", 5, 1024)
    if comma < 0:
        raise ConfigError("a data URI needs a comma before its data")
    head = uri[5:comma]
    media_type = head.partition(";")[0].strip().lower()
    body = uri[comma + 1 :]
    if not head.rstrip().lower().endswith(";base64"):
        from urllib.parse import unquote_to_bytes

        return media_type or "text/plain", encoded(unquote_to_bytes(body))
    if "%" in body:
        from urllib.parse import unquote

        body = unquote(body)
    return media_type, body


def _standard(data: str) -> str:
    """Standard base64 of the URL-safe, wrapped or unpadded kinds; other text is left as it is."""
    if "-" in data or "_" in data:
        data = data.translate(_STANDARD)
    if "\n" in data or "\r" in data or " " in data:
        data = "".join(data.split())
    return data + "=" * (-len(data) % 4) if len(data) % 4 and not data.endswith("=") else data


def _named(kind: str | None) -> str:
    return f"{'an' if kind in ('image', 'audio') else 'a'} {kind or 'file'} part"
