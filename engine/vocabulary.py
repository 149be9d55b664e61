"""The closed word lists of the language (SPEC_LANGUAGE 2, 5, 11, 12): what templates may read and maps may emit."""

from __future__ import annotations

from typing import Any

OPERATIONS = (
    "chat completion embeddings rerank image image_edit image_variation video speech voices clone_voice delete_voice transcription "
    "moderation ocr search read upload_file get_file list_files delete_file download_file count_tokens batch list_models "
    "show_model pull_model realtime"
).split()

STATUSES = "active beta enterprise unverified deprecated discontinued private".split()
CATEGORIES = "chat cloud gateway local audio image video embeddings search regional".split()
CAPABILITIES = (
    "stream tools parallel_tools vision audio_in video_in documents audio_out image_out json_mode json_schema thinking "
    "citations web_search prompt_cache prefill logprobs system realtime batch"
).split()
FINISH_REASONS = "stop length tool_calls content_filter pause error other".split()
FRAMINGS = "sse ndjson eventstream json_array raw".split()
REPLIES = "json text binary jsonl http".split()
VERBS = "get post put patch delete".split()
PAYLOADS = "body form multipart binary xml jsonl".split()
AUTH_SCHEMES = "bearer header query basic body sign any".split()
IDENTITIES = ["aws", "azure", "gcp"]
SIGNERS = ["aws-sigv4", "oci-v1", "tencent-tc3", "volcengine-v4"]
PART_TYPES = "text image audio video document thinking tool_call tool_result json refusal native".split()
MEDIA_TYPES = "image audio video document".split()

#: words of a JSON Schema whose values are mappings from names to schemas: a name there is never a keyword
SCHEMA_NAMES = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
#: words whose values are data, not schemas
SCHEMA_DATA = frozenset(("const", "enum", "default", "examples", "example", "required", "dependentRequired"))
#: request field that is a file -> the kind of part it is; None: what the bytes are
MEDIA_FIELDS = {
    "audio": "audio", "image": "image", "mask": "image", "document": "document", "file": None,
    "samples": "audio", "consent": "audio",
}  # fmt: skip
#: the fields of each operation that are files (`image` is a field of several, with several meanings)
HOLDERS = {
    "transcription": ("audio",),
    "image_edit": ("image", "mask"),
    "image_variation": ("image",),
    "video": ("image",),
    "clone_voice": ("samples", "consent"),
    "ocr": ("document",),
    "upload_file": ("file",),
}

#: parameters of a chat request: subject to `params`, reported one by one
CHAT_PARAMS = (
    "max_tokens n seed top_k top_logprobs temperature top_p min_p frequency_penalty presence_penalty repetition_penalty "
    "stop logprobs parallel_tool_calls store logit_bias metadata user service_tier reasoning_effort verbosity "
    "prompt_cache_key safety_identifier modalities audio prediction"
).split()
IMAGE_PARAMS = "n size width height aspect_ratio quality style seed negative_prompt format background".split()
PARAMS: dict[str, list[str]] = {
    "chat": CHAT_PARAMS,
    "count_tokens": CHAT_PARAMS,
    "completion": ["suffix", "echo", "best_of", *[p for p in CHAT_PARAMS if p not in ("parallel_tool_calls", "verbosity")]],
    "embeddings": ["dimensions", "input_type", "encoding", "truncate", "user"],
    "rerank": ["top_n", "return_documents", "max_tokens", "user"],
    "image": [*IMAGE_PARAMS, "partial_images", "user"],
    "image_edit": [*IMAGE_PARAMS, "partial_images", "mask", "user"],
    "image_variation": [*IMAGE_PARAMS, "user"],
    "video": ["image", "duration", "size", "aspect_ratio", "seed", "negative_prompt", "resolution"],
    "speech": ["voice", "format", "speed", "sample_rate", "language", "instructions"],
    "voices": ["search", "language", "gender", "owned"],
    "clone_voice": "name id samples consent description language gender text labels denoise".split(),
    "transcription": ["language", "prompt", "diarize", "timestamps", "temperature", "format"],
    "moderation": [],
    "ocr": ["pages", "include_images"],
    "search": ["n", "domains", "after", "before", "country", "language"],
    "read": ["format"],
    "upload_file": ["purpose", "expires"],
    "list_files": ["limit", "purpose"],
    "realtime": "voice audio_format sample_rate temperature max_tokens language speed modalities transcription".split(),
}
#: client events of a session (SPEC_LANGUAGE 7.4), each a message of the spec's `send`
CLIENT_EVENTS = "open history audio commit text tool_result respond interrupt pong keepalive close".split()


class Shape:
    """What is known about a value: its fields (None: anything), the shape of its items, its closed word list.

    `whole` is a mapping of ours: it has every field, if only as None, and nothing else.
    """

    __slots__ = ("fields", "item", "values", "whole")

    def __init__(
        self,
        fields: dict[str, Shape] | None = None,
        item: Shape | None = None,
        values: tuple[Any, ...] | None = None,
        whole: bool = False,
    ) -> None:
        self.fields = fields
        self.item = item
        self.values = values
        self.whole = whole


ANY = Shape()
BOOL = Shape(values=(True, False))
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "auto")
#: what a text is embedded for, and how a vector is written
INPUT_TYPES = tuple("query document classification clustering similarity question_answering fact_verification code_query".split())
ENCODINGS = tuple("float base64 int8 uint8 binary ubinary".split())
#: operations that are about no model: the provider's name is enough
MODELLESS = frozenset(
    "upload_file get_file list_files delete_file download_file voices clone_voice delete_voice "
    "batch list_models search read".split()
)


def _shape(names: str, **special: Shape) -> Shape:
    return Shape({**dict.fromkeys(names.split(), ANY), **special})


PART = _shape(
    "type text citations cache uri url data media_type format filename detail file_id bytes size signature redacted id given_id "
    "name arguments arguments_json server json is_error dialect native item_id index signed_by transcript number",
    via=Shape(values=("url", "data", "file")),
    plain=BOOL,
    made=BOOL,
    open=BOOL,
)
assert PART.fields is not None
PART.fields["parts"] = Shape(item=PART)
PARTS = Shape(item=PART)
MESSAGE = _shape(
    "text name thinking id given_id tool_name json is_error cache index",
    role=Shape(values=("system", "user", "assistant", "tool")),
    parts=PARTS,
    content=PARTS,  # parts without thinking and tool calls
    result_parts=PARTS,  # of a tool message: the parts of its result
    run_media=PARTS,  # of the last tool message of a run: the media in the results of the whole run
    thinking_parts=PARTS,
    tool_calls=PARTS,
    plain=BOOL,  # exactly one text part with nothing but its text
    text_only=BOOL,  # every part of `content` is bare text
    first=BOOL,
    last=BOOL,
)
TURN = _shape("text", role=Shape(values=("user", "assistant")), parts=PARTS, plain=BOOL, last=BOOL)
TOOL = _shape("name description parameters strict cache type native data")
CHAT = Shape(
    {
        **dict.fromkeys(CHAT_PARAMS, ANY),
        **dict.fromkeys("model system thinking_budget stream_options extra_body extra_headers extra_query documents".split(), ANY),
        "messages": Shape(item=MESSAGE),
        "turns": Shape(item=TURN),
        "system_parts": PARTS,
        "system_plain": BOOL,
        "tools": Shape(item=TOOL),
        "server_tools": Shape(item=_shape("type", native=ANY)),  # tools the provider runs, {type: web_search, …}
        "tool_choice": _shape("name allowed", mode=Shape(values=("auto", "none", "required", "tool"))),
        "response_format": _shape("name description schema strict", type=Shape(values=("text", "json_object", "json_schema"))),
        "reasoning": _shape(
            "budget summary",
            effort=Shape(values=EFFORTS),
            mode=Shape(values=("none", "auto", "enabled")),
            visible=BOOL,
        ),
        "reasoning_effort": Shape(values=EFFORTS),
        "stream": BOOL,
        "stream_usage": BOOL,
        "prefill": ANY,  # text of a last assistant message, if the history ends in one
        "has_tool_history": BOOL,  # a tool call or result stands in the history
    }
)
#: request shape per operation; names every template of that operation may read
REQUESTS: dict[str, Shape] = {"chat": CHAT, "count_tokens": Shape({**(CHAT.fields or {}), "chat_body": ANY})}
for _name, _fields in {
    "completion": "prompt suffix stream",
    "embeddings": "input",
    "rerank": "query documents",
    "image": "prompt stream",
    "image_edit": "prompt image stream",
    "image_variation": "image",
    "video": "prompt",
    "speech": "text stream",
    "voices": "",
    "clone_voice": "",
    "delete_voice": "id",
    "transcription": "audio stream",
    "moderation": "input",
    "ocr": "document",
    "search": "query",
    "read": "url",
    "upload_file": "file",
    "get_file": "id",
    "list_files": "",
    "delete_file": "id",
    "download_file": "id",
    "batch": "requests",
    "list_models": "",
    "show_model": "",
    "pull_model": "stream",
}.items():
    _own: dict[str, Shape] = dict.fromkeys([*_fields.split(), *PARAMS.get(_name, [])], ANY)
    _own.update(dict.fromkeys(("model", "extra_body", "extra_headers", "extra_query"), ANY))
    if _name == "embeddings":
        _own["inputs"] = Shape(item=_shape("text", parts=PARTS))
        _own["texts"] = ANY  # the inputs, if all of them are texts
        _own["input_parts"] = PARTS  # of a lone input
        _own["input_type"] = Shape(values=INPUT_TYPES)
        _own["encoding"] = Shape(values=ENCODINGS)
    for _media in MEDIA_FIELDS:
        if _media in _own:
            _own[_media] = PARTS if _media == "samples" else PART
    if _name == "image_edit":
        _own["images"] = PARTS  # all that were given; `image` is the first
    REQUESTS[_name] = Shape(_own)
REQUESTS["realtime"] = Shape(
    {
        **{name: shape for name, shape in (CHAT.fields or {}).items() if name not in CHAT_PARAMS or name == "reasoning_effort"},
        **dict.fromkeys(PARAMS["realtime"], ANY),
        **dict.fromkeys("text id name json is_error".split(), ANY),  # of what one message of `send` says
        "audio": PART,
    }
)

_USAGE = (
    "input_tokens output_tokens cache_read_tokens cache_write_tokens cache_write_1h_tokens reasoning_tokens "
    "audio_input_tokens audio_output_tokens image_input_tokens image_output_tokens total_tokens "
    "seconds characters images pages searches cost"
)
USAGE_FIELDS = _USAGE.split()
#: output kind -> (fields, primary field or None); fields in () carry position, not data
OUTPUTS: dict[str, tuple[tuple[str, ...], str | None]] = {
    kind: (tuple(names.split()), primary)
    for kind, names, primary in (
        ("start", "id model created", None),
        ("text", "text full index signature", "text"),
        ("thinking", "text full signature redacted id index", None),
        ("tool_call", "index id name arguments full_arguments at piece signature server", None),
        ("citation", "url title text start end source index", None),
        ("media", "type media_type data url id text index signature", None),
        ("native", "data index tool id name arguments text is_error", "data"),
        ("refusal", "text full index", "text"),
        ("logprobs", "content", "content"),
        ("usage", _USAGE, None),
        ("finish", "reason detail", "reason"),
        ("error", "message code type status param", "message"),
        ("details", "facts", "facts"),
        ("embedding", "vector index dtype", "vector"),
        ("result", "index score text url title published", None),
        ("verdict", "flagged categories scores index", "flagged"),
        ("file", "id name bytes purpose status created expires", "id"),
        ("content", "data media_type name", "data"),
        ("image", "url data media_type text seed", None),
        ("partial_image", "index data media_type", "data"),
        ("video", "url data media_type", None),
        ("audio", "data hex url media_type", None),
        ("segment", "text start end speaker confidence final", None),
        ("word", "text start end speaker confidence", None),
        ("voice", "id name languages gender description preview category status created raw", None),
        ("language", "code", "code"),
        ("model", "id name context max_output created owner status", "id"),
        ("progress", "status completed total", "status"),
        ("page", "text index images url title", None),
        ("batch_item", "id response error", None),
        ("transcript", "text full tail final role start end speaker confidence", "text"),
        ("speech", "state", "state"),
        ("turn", "state", "state"),
        ("session", "id state rate", None),
        ("ping", "id", "id"),
    )
}
#: fields that alone do not make an output worth emitting
POSITION_FIELDS = frozenset("index server type media_type dtype".split())
COMMON_OUTPUTS = ("usage", "error", "start")
#: output kinds an operation's maps may emit
OPERATION_OUTPUTS: dict[str, tuple[str, ...]] = {
    "chat": tuple("start text thinking tool_call citation media native refusal logprobs usage finish error details".split()),
    "completion": ("start", "text", "logprobs", "usage", "finish", "error", "citation"),
    "embeddings": ("start", "embedding", "usage", "error"),
    "rerank": ("start", "result", "usage", "error"),
    "image": ("start", "image", "partial_image", "text", "usage", "finish", "error"),
    "image_edit": ("start", "image", "partial_image", "text", "usage", "finish", "error"),
    "image_variation": ("start", "image", "usage", "error"),
    "video": ("start", "video", "usage", "error"),
    "speech": ("start", "audio", "word", "usage", "finish", "error"),
    "voices": ("voice", "error"),
    "clone_voice": ("voice", "usage", "error"),
    "delete_voice": ("voice", "error"),
    "transcription": ("start", "text", "language", "segment", "word", "usage", "finish", "error"),
    "moderation": ("start", "verdict", "usage", "error"),
    "ocr": ("start", "page", "usage", "error"),
    "search": ("start", "result", "usage", "error"),
    "read": ("start", "page", "usage", "error"),
    "upload_file": ("file", "error"),
    "get_file": ("file", "error"),
    "list_files": ("file", "error"),
    "delete_file": ("file", "error"),
    "download_file": ("content", "error"),
    "count_tokens": ("usage", "error"),
    "batch": ("batch_item", "usage", "error"),
    "list_models": ("model", "error"),
    "show_model": ("model", "error"),
    "pull_model": ("model", "progress", "error"),
    "realtime": tuple("session transcript word audio text speech turn tool_call usage ping error".split()),
}
