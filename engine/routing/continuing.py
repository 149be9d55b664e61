"""`on_interrupt="continue"`: an answer that broke off is taken up by its target where it ended (RELIABILITY T5).

Text only, and only by a model that goes on from the beginning of an answer (capability `prefill`): never within tool calls or
structured output, whose halves nobody can tell from a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.call.step import Deliver, Flow, Pump
from engine.errors import Error
from engine.types import Event, Response

if TYPE_CHECKING:
    from engine.routing.desk import RoutingDesk
    from engine.watching import Watch

__all__ = ["Continuing"]

MOST = 2  # times one answer is taken up again
CURABLE = frozenset(("stream_interrupted", "connection", "timeout", "overloaded", "server"))
_WHOLE = ("tools", "server_tools", "functions", "response_format")  # what is in them is whole or nothing


class Continuing:
    """One stream with its continuations. It stands where a Call stands when an error leaves: its flows masked theirs."""

    def __init__(self, desk: RoutingDesk, operation: str, model: Any, fields: dict[str, Any], watch: Watch | None = None) -> None:
        self.desk = desk
        self.name = operation
        self.model = model
        self.fields = fields
        self.watch = watch
        self.call, self._first = desk._begun(operation, model, dict(fields), True, "raise", watch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.call, name)

    def flow(self) -> Flow:
        """The Response with the whole text, or the error that ended it."""
        flow, said, again = self._first, "", 0
        while True:
            try:
                response: Response = yield from flow
            except Error as error:
                told = self.desk.told(error, self.call)
                text = _joined(said, _text_of(told.partial))
                left = self.call.attempts.deadline.left()
                if again >= MOST or left <= 1 or not self._may(told, text):
                    raise told from None
                again += 1
                said = text
                begun = said.rstrip()  # some refuse a beginning that ends in white space
                self.call, flow = self._next(begun, left)
                flow = _edited(flow, _Seam(said[len(begun) :]))
                continue
            if again:
                _join(response, said)
            return response

    def _may(self, error: Error, text: str) -> bool:
        if error.kind not in CURABLE or not text or any(self.fields.get(name) for name in _WHOLE):
            return False
        partial = error.partial
        if len(partial.choices) != 1 or any(part.type != "text" for part in partial.parts) or partial.finish_reason is not None:
            return False
        operation = self.call.operation
        own = (operation.model_info or {}).get("capabilities") or {}
        return own.get("prefill", operation.plan.capabilities.get("prefill")) is True

    def _next(self, begun: str, left: float) -> tuple[Any, Flow]:
        """The same target, asked to go on from what it wrote."""
        given = self.fields.get("messages")
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())
        fields = {**self.fields, "messages": [*messages, {"role": "assistant", "content": begun}], "timeout": left}
        operation = self.call.operation
        model = self.model if isinstance(self.model, str) and "/" in self.model else f"{operation.provider}/{operation.model}"
        return self.desk._begun(self.name, model, fields, True, "raise", self.watch)


class _Seam:
    """Events of a continuation as the rest of one answer: no second start, and white space at the seam only once."""

    def __init__(self, blank: str) -> None:
        self._blank = blank  # delivered already

    def __call__(self, events: list[Event]) -> list[Event]:
        out = []
        for event in events:
            if event.kind == "start":
                continue
            if self._blank and event.kind == "text" and event.text:
                text = event.text
                while self._blank and text and text[0] == self._blank[0]:
                    self._blank, text = self._blank[1:], text[1:]
                if text:
                    self._blank = ""
                event = Event("text", {**event.fields, "text": text}, event.choice)
                if not text:
                    continue
            out.append(event)
        return out


def _edited(flow: Flow, edit: Callable[[list[Event]], list[Event]]) -> Flow:
    """A flow whose events go through `edit` before they are delivered."""
    try:
        step = next(flow)
        while True:
            if step.__class__ is Deliver:
                step.events = edit(step.events)
            elif step.__class__ is Pump:
                step.take = _through(step.take, edit)
            try:
                value = yield step
            except Exception as failure:
                step = flow.throw(failure)
            else:
                step = flow.send(value)
    except StopIteration as done:
        return done.value
    finally:
        flow.close()


def _through(take: Callable[[bytes], list[Event]], edit: Callable[[list[Event]], list[Event]]) -> Callable[[bytes], list[Event]]:
    return lambda data: edit(take(data))


def _text_of(partial: Any) -> str:
    return partial.text if isinstance(partial, Response) else ""


def _joined(said: str, rest: str) -> str:
    """Two pieces of one text, the second written without the white space at the end of the first."""
    blank = said[len(said.rstrip()) :]
    while blank and rest and rest[0] == blank[0]:
        blank, rest = blank[1:], rest[1:]
    return said + rest


def _join(response: Response, said: str) -> None:
    """Put what was said before in front of a continuation's text."""
    first = response.choices[0] if response.choices else None
    if first is None:
        return
    first.text = _joined(said, first.text or "")
    part = next((part for part in first.parts if part.type == "text"), None)
    if part is not None:
        part.text = first.text
    response.warnings.append("the stream broke off and was continued: its usage is that of the last piece")
