"""What `client.realtime` is: calling it gives a session that opens when its `with` block is entered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.realtime.opening import opening

if TYPE_CHECKING:
    from engine.client import AsyncClient, Client
    from engine.explain import Explanation
    from engine.realtime.blocking import Session
    from engine.realtime.session import AsyncSession

__all__ = ["AsyncSessionFace", "SessionFace"]

_NAME = "realtime"


class SessionFace:
    """Sessions of a client: `with client.realtime(model, …) as session`. Nothing is sent before the block is entered.

    Fields: `instructions` (or `system`), `messages` (what was said before), `tools`, `tool_choice`, `voice`, `audio_format`,
    `sample_rate` (Hz of what is sent), `language`, `transcription` (tell what the user said: true or a model), `temperature`,
    `max_tokens`, `speed`, `modalities`, `extra_body` (laid over the first message), `extra_query`, `extra_headers`.
    Options: `run_tools` (tools that are functions are run when the model calls them), `queue` (events that may wait unread),
    `timeout` (seconds until the session must be open), `unsupported` and `dialect`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, model: str, **fields: Any) -> Session:
        from engine.realtime.blocking import Session

        made = opening(self._client, model, fields)
        return Session(made, lambda: self._client._driver.run(made.call.ready()))

    def explain(self, model: str, **fields: Any) -> Explanation:
        """The handshake and the first message, with masked credentials. Nothing is sent."""
        return self._client._explain(_NAME, model, (), fields)

    def __repr__(self) -> str:
        return f"<{_NAME} of {self._client!r}>"


class AsyncSessionFace:
    """The async twin of SessionFace: `async with client.realtime(model, …) as session`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def __call__(self, model: str, **fields: Any) -> AsyncSession:
        from engine.realtime.session import AsyncSession

        made = opening(self._client, model, fields)
        return AsyncSession(made, lambda: self._client._driver.run(made.call.ready()))

    def explain(self, model: str, **fields: Any) -> Explanation:
        """The handshake and the first message, with masked credentials. Nothing is sent."""
        return self._client._explain(_NAME, model, (), fields)

    def __repr__(self) -> str:
        return f"<{_NAME} of {self._client!r}>"
