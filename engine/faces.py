"""The callable faces of operations: `client.chat(…)`, `client.chat.stream(…)`, `client.chat.explain(…)` and their twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import ConfigError, Error, UnsupportedError
from engine.streams import AsyncStream, Stream
from engine.vocabulary import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from engine.client import AsyncClient, Client
    from engine.explain import Explanation
    from engine.jobs import AsyncJob, Job
    from engine.types import Response

__all__ = ["AsyncFace", "Face", "async_face_of", "face_of", "faced", "named"]

T = TypeVar("T")

#: fields that may be given by position, after the model
POSITIONAL: dict[str, tuple[str, ...]] = {
    "chat": ("messages",),
    "count_tokens": ("messages",),
    "completion": ("prompt",),
    "embeddings": ("input",),
    "rerank": ("query", "documents"),
    "image": ("prompt",),
    "image_edit": ("prompt", "image"),
    "image_variation": ("image",),
    "video": ("prompt",),
    "speech": ("text",),
    "clone_voice": ("name", "samples"),
    "delete_voice": ("id",),
    "transcription": ("audio",),
    "moderation": ("input",),
    "ocr": ("document",),
    "search": ("query",),
    "read": ("url",),
    "upload_file": ("file",),
    "get_file": ("id",),
    "delete_file": ("id",),
    "download_file": ("id",),
    "batch": ("requests",),
}

#: operations whose messages may come in the words of a dialect
_WORDED = frozenset(("chat", "count_tokens"))


def named(operation: str, given: tuple[Any, ...], fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with the positional ones under their names. ConfigError for one too many or one given twice."""
    if not given:
        return fields
    names = POSITIONAL.get(operation, ())
    if len(given) > len(names):
        raise ConfigError(f"{operation} takes a model and {len(names)} further positional argument{'s' if len(names) != 1 else ''}")
    for name, value in zip(names, given):
        if name in fields:
            raise ConfigError(f"{operation} got `{name}` twice")
        fields[name] = value
    return fields


def _said(
    client: Client | AsyncClient, operation: str, given: tuple[Any, ...], fields: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What is passed on: with a `dialect`, what was said in its words."""
    if fields.get("dialect") is None or operation not in _WORDED:
        return given, fields
    from engine.worded import worded

    return (), worded(client.catalog, named(operation, given, fields))


class Face:
    """One operation of a client. Calling it gives the Response or raises a typed error.

    Beside the operation's own fields every call takes `timeout` (the deadline, seconds), `attempts`, `unsupported` and
    `dialect`. With a dialect, messages and fields of a chat are in its words whoever the
    provider is; where he has a variant that speaks it, that one is called.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def __call__(self, model: str, *given: Any, **fields: Any) -> Response:
        if "dialect" in fields:
            given, fields = _said(self._client, self.name, given, fields)
        return self._client._run(self.name, model, given, fields)

    def submit(self, model: str, *given: Any, **fields: Any) -> Job:
        """Submit a job and come back at once; `job.wait()` follows it. UnsupportedError where the operation is one exchange."""
        from engine.jobs import Job, submitting

        job = Job(self._client, *submitting(self._client, self.name, model, named(self.name, given, fields)))
        job._drive(job._submitting())
        return job

    def stream(self, model: str, *given: Any, **fields: Any) -> Stream:
        """The answer as it arrives. `on_interrupt="restart"` sends the request again when it breaks off after content,
        `"continue"` lets a model that can go on where it ended, if there is only text."""
        return self._client._stream(self.name, model, *_said(self._client, self.name, given, fields))

    def explain(self, model: str, *given: Any, **fields: Any) -> Explanation:
        """What would be sent, with masked credentials and the fate of every parameter. Nothing is sent."""
        return self._client._explain(self.name, model, *_said(self._client, self.name, given, fields))

    def __repr__(self) -> str:
        return f"<{self.name} of {self._client!r}>"


class AsyncFace:
    """The async twin of Face. `stream` gives an AsyncStream; `explain` sends nothing and is no coroutine."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self.name = name

    def __call__(self, model: str, *given: Any, **fields: Any) -> Coroutine[Any, Any, Response]:
        if "dialect" in fields:
            given, fields = _said(self._client, self.name, given, fields)
        return self._client._run(self.name, model, given, fields)

    async def submit(self, model: str, *given: Any, **fields: Any) -> AsyncJob:
        """Submit a job and come back at once; `await job.wait()` follows it."""
        from engine.jobs import AsyncJob, submitting

        job = AsyncJob(self._client, *submitting(self._client, self.name, model, named(self.name, given, fields)))
        await job._drive(job._submitting())
        return job

    def stream(self, model: str, *given: Any, **fields: Any) -> AsyncStream:
        """The answer as it arrives."""
        return self._client._stream(self.name, model, *_said(self._client, self.name, given, fields))

    def explain(self, model: str, *given: Any, **fields: Any) -> Explanation:
        """What would be sent, with masked credentials and the fate of every parameter. Nothing is sent."""
        return self._client._explain(self.name, model, *_said(self._client, self.name, given, fields))

    def __repr__(self) -> str:
        return f"<{self.name} of {self._client!r}>"


def _here(client: Client | AsyncClient, model: Any) -> bool:
    """Whether the tokens of a model's requests are counted on this machine: its provider has no service for that."""
    if not isinstance(model, str) or model in client._routes:
        return False
    try:
        client.operation(model, "count_tokens")
    except UnsupportedError:
        return "chat" in client.catalog.plan(client.catalog.split(model)[0]).operations
    except Error:
        pass  # told by the call itself
    return False


class CountFace(Face):
    """`client.count_tokens(model, messages)`: by the provider where he counts, else here (engine.tokens). With `tokenizer`, the
    name of a tiktoken encoding, a tokenizer.json or "estimate", always here."""

    def __call__(self, model: str, *given: Any, tokenizer: Any = None, **fields: Any) -> Response:
        if tokenizer is None and not _here(self._client, model):
            return super().__call__(model, *given, **fields)
        return _counted(self._client, model, given, fields, tokenizer)


class AsyncCountFace(AsyncFace):
    """The async twin of CountFace."""

    async def __call__(self, model: str, *given: Any, tokenizer: Any = None, **fields: Any) -> Response:
        if tokenizer is None and not _here(self._client, model):
            return await super().__call__(model, *given, **fields)
        return _counted(self._client, model, given, fields, tokenizer)


def _counted(client: Any, model: str, given: tuple[Any, ...], fields: dict[str, Any], tokenizer: Any) -> Response:
    from engine.calling import _leaving
    from engine.tokens import counted

    problem: Error
    try:
        _, said = _said(client, "count_tokens", given, fields)
        return counted(client, model, named("count_tokens", () if said is not fields else given, dict(said)), tokenizer)
    except Exception as caught:
        problem = _leaving(caught, None)
    raise problem


class _Place:
    """Where the face of an operation stands in a class of clients: it is made when first looked at, and then the client's own.

    Not a `__getattr__`: with one every attribute of a client is found the slow way.
    """

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[Any, str], Any]) -> None:
        self._name = name
        self._make = make

    def __get__(self, client: Any, kind: type) -> Any:
        if client is None:
            return self
        face = self._make(client, self._name)
        setattr(client, self._name, face)
        return face


def faced(make: Callable[[Any, str], Any]) -> Callable[[type[T]], type[T]]:
    """A class of clients with a place for the face of every operation, made by `make(client, operation)`."""

    def place(kind: type[T]) -> type[T]:
        for name in OPERATIONS:
            setattr(kind, name, _Place(name, make))
        return kind

    return place


def face_of(client: Client, name: str) -> Any:
    """The face of an operation: what `client.NAME` is."""
    if name == "batch":
        from engine.batch.face import BatchFace

        return BatchFace(client)
    if name == "realtime":
        from engine.realtime.face import SessionFace

        return SessionFace(client)
    return CountFace(client, name) if name == "count_tokens" else Face(client, name)


def async_face_of(client: AsyncClient, name: str) -> Any:
    """The same of an async client."""
    if name == "batch":
        from engine.batch.face import AsyncBatchFace

        return AsyncBatchFace(client)
    if name == "realtime":
        from engine.realtime.face import AsyncSessionFace

        return AsyncSessionFace(client)
    return AsyncCountFace(client, name) if name == "count_tokens" else AsyncFace(client, name)
