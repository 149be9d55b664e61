"""What a provider's batch service gives back: items of many rows, each read as the answer of a call of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.batch.rows import Row
from engine.batch.run import Done, answered, failed
from engine.call.accumulate import Accumulator
from engine.call.failure import failure
from engine.call.flow import Call, exchanged
from engine.call.json import loads
from engine.call.read import error_document, map_document, read_mapped
from engine.call.request import build
from engine.call.send.store import Store
from engine.call.step import Answer, Exchange, Flow
from engine.errors import Error, ServerError
from engine.types import HttpRequest, Response

if TYPE_CHECKING:
    from engine.call.job import Ask, JobCall
    from engine.disk import Target
    from engine.operation import Operation

__all__ = ["Results", "lines_of"]

_TOGETHER = 256  # lines that are mapped and kept together


class Results:
    """How items of a batch become outcomes of rows."""

    def __init__(self, client: Any, target: Operation, service: Operation) -> None:
        self._client = client
        self._target = target  # the operation the rows ask for
        self._service = service

    def of(self, document: Any) -> Iterator[tuple[int, Callable[..., Done]]]:
        """(number of a row, its outcome given what was warned of when it was handed over) of every item in a document. Raises the
        error the document holds."""
        service = self._service
        into = Accumulator(service.plan, context={}, model=service.model)
        error = map_document(into, service.plan.response, document, {}, 200, service.clock())
        if error is not None:
            raise service.place(error)
        for item in into.response().outputs:
            name = str(item.fields.get("id") or "").rpartition("-")[2]
            if item.kind == "batch_item" and name.isdecimal():
                yield int(name), self._outcome(item.fields)

    def _outcome(self, item: dict[str, Any]) -> Callable[..., Done]:
        try:
            response = self._answer(item.get("response"), item.get("error"))
        except Error as error:
            told = self._target.place(error)
            return lambda row, warnings=(): failed(row, told)

        def outcome(row: Row, warnings: Iterable[str] = ()) -> Done:
            response.warnings = [*warnings, *response.warnings]
            return answered(row, response)

        return outcome

    def _answer(self, document: Any, problem: Any) -> Response:
        target = self._target
        now = target.clock()
        if problem:
            said = problem if isinstance(problem, dict) else {"message": str(problem)}
            raise failure(target.plan, None, {}, said, fields=said, model=target.model, now=now)
        if document is None:
            raise self.missing()
        response = read_mapped(target.plan, target.plan.response, 200, {}, document, {}, now, target.model)
        response.provider = response.provider or target.provider
        stated = response.usage.cost
        made = self._client._seller(target).bill(response.usage, now, None, batch=True)
        response.cost = stated if stated is not None else made.cost
        return response

    def missing(self) -> Error:
        """What is said of a row that the service has left without an answer."""
        return self._target.place(ServerError("the batch has ended without an answer for this row"))

    def stored(self, job: JobCall, step: Ask, place: Target) -> Flow:
        """Fetch a result into a file, which is not final yet."""
        operation, wanted = job.operation, step.call
        assert wanted is not None
        walk = Call(
            operation, None, job.route, job.again(), job.clock, job.credentials, job.tokens, job.finish, job.context
        )  # fmt: skip
        limits = walk.attempts.limits

        def ready() -> Flow:
            request: HttpRequest = build(wanted, step.scope, operation.base_url, operation.plan, main=False)
            return (yield from walk.signed(request, wanted.auth))

        def read(answer: Answer) -> None:
            if not 200 <= answer.status < 300:
                document = error_document(answer.body)
                raise operation.place(failure(operation.plan, answer.status, answer.headers, document, now=operation.clock()))

        def carried(exchange: Exchange) -> Store:
            return Store(exchange, place, limits.file_bytes, limits.idle, walk.attempts.deadline.at)

        yield from exchanged(walk, wanted.timeout, read, ready, carried)


def lines_of(path: Path) -> Iterator[list[Any]]:
    """The documents of a file of JSON lines, some together. Raises JsonError for a line that is none."""
    documents: list[Any] = []
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                documents.append(loads(line))
            if len(documents) >= _TOGETHER:
                yield documents
                documents = []
    if documents:
        yield documents
