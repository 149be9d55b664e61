"""A batch handed to a provider's own batch service: its parts are submitted, followed and fetched (SPEC_LANGUAGE 7.3).

A part is noted in the checkpoint before it is submitted and again with the provider's id, so that a killed run goes on with the
jobs it left. A part of which only the first is noted may run or not: it is submitted again under the id that the first submission
chose, where the service knows it by that, and otherwise ambiguous (RELIABILITY J1, R4).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.batch.results import Results, lines_of
from engine.batch.rows import Row
from engine.batch.run import Done, Run, failed
from engine.call.json import loads
from engine.call.step import Flow, Wait
from engine.errors import AmbiguousError, DeadlineError, Error, UnsupportedError
from engine.leaving import leaving
from engine.several import added
from engine.types import Response

if TYPE_CHECKING:
    from engine.call.job import Ask, JobCall

__all__ = ["Remote"]

ROWS = 10_000  # of a part, unless the spec's `batch_size` says less
BYTES = 16 << 20  # of the requests of a part: they are written into one body
CLAIM = 200  # rows that are claimed together


class _Part:
    """Rows `first` to `last` as one job. `record` is the job's, None while nobody knows, without an id while it may be submitted
    again; `ids` of rows without an outcome."""

    __slots__ = ("answers", "fetched", "first", "ids", "last", "number", "record", "rows")

    def __init__(self, number: int, first: int, last: int, record: dict[str, Any] | None = None, fetched: bool = False) -> None:
        self.number = number
        self.first = first
        self.last = last
        self.record = record
        self.fetched = fetched
        self.ids: dict[int, Any] = {}
        self.rows: list[Row] = []  # of a part that may have to be submitted again
        self.answers = Response()  # the sums of what was fetched

    @property
    def unknown(self) -> bool:
        """Whether it may run or not."""
        return self.record is None or (self.record.get("id") is None and self.record.get("submit") is None)


class Remote:
    """One run of a remote batch of one model."""

    def __init__(self, client: Any, model: str, operation: str, wait: bool, ambiguous: str, timeout: float | None) -> None:
        self._client = client
        self._model = model
        self._target = client._target(model, operation, None).operation
        self._service = client._target(model, "batch", None).operation
        if self._service.plan.job is None:
            raise UnsupportedError("the batch of this provider is no job", provider=self._service.provider, operation="batch")
        self._wait = wait
        self._ambiguous = ambiguous
        self._timeout = timeout
        self._parts: list[_Part] | None = None
        self._warned: dict[str, list[int]] = {}  # what was warned of when rows were written -> their numbers

    def left(self, run: Run, row: Row) -> Row | None:
        """A row that was claimed by a run that was killed: to be submitted now, or None if a part has it."""
        for part in self._known(run):
            if part.first <= row.number <= part.last:
                part.ids[row.number] = row.id
                if part.unknown:
                    part.rows.append(row)
                return None
        return row

    def flow(self, run: Run) -> Flow:
        """Submit what is to be submitted; then, if the caller waits, follow every part to its end."""
        parts = self._known(run)
        for part in parts:
            if part.unknown:
                yield from self._resolved(run, part)
        yield from self._submitted(run, parts)
        run.state = "submitted"
        run.tell()
        if self._wait:
            for part in parts:
                if not part.fetched:
                    yield from self._followed(run, part, len(parts))
        run.settle()

    def _known(self, run: Run) -> list[_Part]:
        if self._parts is None:
            self._parts = [_Part(*found) for found in run.book.parts()]
        return self._parts

    # --- submitting -------------------------------------------------------------------------------------------------

    def _submitted(self, run: Run, parts: list[_Part]) -> Flow:
        most = min(self._service.plan.batch_size or ROWS, ROWS)
        pending: list[tuple[Row, dict[str, Any]]] = []
        refused: list[Done] = []
        size = 0
        while True:
            ready = run.turn(refused, min(CLAIM, most - len(pending)))
            refused = []
            for row in ready:
                try:
                    request, length = self._request(row)
                except Error as error:
                    refused.append(failed(row, self._target.place(error)))
                else:
                    if pending and self._shared(request) != self._shared(pending[0][1]):
                        yield from self._parted(run, parts, pending)
                        pending, size = [], 0
                    pending.append((row, request))
                    size += length
            if pending and (run.drained or len(pending) >= most or size >= BYTES):
                run.turn(refused, 0)
                refused = []
                yield from self._parted(run, parts, pending)
                pending, size = [], 0
            elif run.drained and not refused:
                return

    def _parted(self, run: Run, parts: list[_Part], pending: list[tuple[Row, dict[str, Any]]]) -> Flow:
        """Make the next part of these rows."""
        part = _Part(len(parts), pending[0][0].number, pending[-1][0].number)
        part.ids = {row.number: row.id for row, _ in pending}
        yield from self._handed(run, part, [request for _, request in pending])
        parts.append(part)

    def _shared(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """What a job says once for all its rows; None where each says all of it."""
        own = self._service.plan.row_fields
        return {name: value for name, value in request["body"].items() if name not in own} if own else None

    def _request(self, row: Row) -> tuple[dict[str, Any], int]:
        """(a row as templates of the service see it, bytes of its body). Raises what a call of it would before it is sent."""
        if row.model != self._model or row.operation != self._target.name:
            raise UnsupportedError("a remote batch is about one model and one operation, and this row names another")
        written, _, _ = self._target.start(dict(row.fields))
        if written is None:
            raise UnsupportedError(
                "something must be fetched or uploaded before this can be asked, which a remote batch does not do"
            )
        body = written.body or b"{}"
        path = urlsplit(written.url).path
        for text in written.report.warnings if written.report is not None else ():
            self._warned.setdefault(text, []).append(row.number)
        return {"id": f"row-{row.number}", "model": self._target.model, "path": path, "body": loads(body)}, len(body)

    def _handed(self, run: Run, part: _Part, requests: list[dict[str, Any]], names: dict[str, str] | None = None) -> Flow:
        """Submit one part, again under the `names` it chose. Until the submission itself goes out, nothing has happened."""
        from engine.call.flow import exchanged
        from engine.call.job import course, heard
        from engine.jobs import begin, followed, named

        call = self._client._prepare("batch", self._model, {"requests": requests}, False)
        if names:
            call.context["$uuid"].made.update(names)
            call.request = None
        record, job, plan = begin(call, "batch", self._model), followed(self._client, call, self._model, False), call.operation.plan
        steps = course(call.operation, call.context, record, _nobody, call.clock.random)
        next(steps)

        def ready() -> Flow:
            signed = job.at_once() or (yield from job.ready())
            record["names"] = named(call.context)
            run.book.part(part.number, part.first, part.last, record if plan.replay == "keyed" else None)
            return signed

        def read(answer: Any) -> Any:
            return heard(plan, None, answer.status, answer.headers, answer.body, call.operation.clock())

        try:
            document, _ = yield from self._client._seen(job, exchanged(job, plan.call.timeout, read, ready))
            steps.send(document)
        except Error as error:
            if error.kind != AmbiguousError.kind:
                run.book.forget(part.number)
            raise leaving(error, job) from None
        finally:
            steps.close()
        self._note(run, part, record)

    def _note(self, run: Run, part: _Part, record: dict[str, Any]) -> None:
        mine = {text: [n for n in rows if part.first <= n <= part.last] for text, rows in self._warned.items()}
        record["warnings"] = {text: rows for text, rows in mine.items() if rows} or None
        self._warned = {text: left for text, rows in self._warned.items() if (left := [n for n in rows if n > part.last])}
        part.record, part.rows = record, []
        run.book.part(part.number, part.first, part.last, record)

    def _resolved(self, run: Run, part: _Part) -> Flow:
        """What the caller wants to be done about a part that may run or not."""
        if part.record is not None or self._ambiguous == "again":
            requests = []
            for row in part.rows:
                try:
                    requests.append(self._request(row)[0])
                except Error as error:
                    del part.ids[row.number]
                    run.turn([failed(row, self._target.place(error))], 0)
            yield from self._handed(run, part, requests, (part.record or {}).get("names"))
        elif self._ambiguous != "raise":
            record = {"operation": "batch", "model": self._model, "request": {}, "id": self._ambiguous}
            self._note(run, part, {**dict.fromkeys(("submit", "last", "state", "progress")), **record})
        else:
            raise AmbiguousError(
                f"rows {part.first + 1} to {part.last + 1} were being submitted when the run ended, and may run or not: "
                "look among the provider's batches, then resume with its id as `ambiguous`, or with `again`",
                provider=self._service.provider,
                operation="batch",
            )

    # --- following --------------------------------------------------------------------------------------------------

    def _followed(self, run: Run, part: _Part, parts: int) -> Flow:
        """Wait for a part and keep its outcomes; every row of it has one then."""
        from engine.call.job import course
        from engine.jobs import resuming

        assert part.record is not None

        def told(record: dict[str, Any]) -> None:
            percent = f" {record['progress']:.0%}" if record.get("progress") is not None else ""
            run.state = f"part {part.number + 1} of {parts}: {record.get('state') or 'submitted'}{percent}"
            run.tell()

        job, record = resuming(self._client, part.record, self._timeout or self._service.plan.job.timeout)
        results = Results(self._client, self._target, self._service)
        steps = course(job.operation, job.context or {}, record, told, job.clock.random)
        failures: list[Error] = []
        try:
            yield from self._client._seen(job, self._walked(run, part, results, job, steps, record, failures))
        except Error as error:
            if error not in failures:
                raise
        self._fail(run, part, failures[0] if failures else results.missing())

    def _walked(
        self, run: Run, part: _Part, results: Results, job: JobCall, steps: Any, record: dict[str, Any], failures: list[Error]
    ) -> Flow:
        """The way of a part to its end: the sums of its answers. Raises what stands in its way; a job that failed is the outcome of
        every row, and is put into `failures` as well."""
        from engine.call.job import Pause, ask

        given: Any = None
        while True:
            try:
                step = steps.send(given)
            except StopIteration as done:
                for document in done.value:
                    self._take(run, part, results, document)
                return part.answers
            except Error as error:
                failures.append(leaving(error, job))
                raise failures[0] from None
            try:
                if isinstance(step, Pause):
                    if job.attempts.deadline.left() <= step.seconds:
                        raise job.attempts.deadline.error()
                    given = yield Wait(step.seconds)
                elif step.call is not None and step.call.reply == "jsonl":
                    yield from self._fetched(run, part, results, job, step)
                    given = None
                else:
                    given, _ = yield from ask(job, step)
            except DeadlineError as error:
                error.message = f"{error.message}; the batch {record['id']} goes on, and the same call follows it again"
                error.args = (error.message,)
                raise leaving(error, job) from None
            except Error as error:
                raise leaving(error, job) from None

    def _fetched(self, run: Run, part: _Part, results: Results, job: JobCall, step: Ask) -> Flow:
        """Results in lines: they go to a file beside the checkpoint, and are read from there."""
        from engine.disk import Target

        place = Target(f"{run.book.path}.part-{part.number}.jsonl")
        try:
            yield from results.stored(job, step, place)
            place.keep()
            for documents in lines_of(place.path):
                self._take(run, part, results, documents)
        finally:
            place.abandon()
            place.path.unlink(missing_ok=True)

    def _take(self, run: Run, part: _Part, results: Results, document: Any) -> None:
        """Keep the outcomes a document holds, each row's first."""
        if document is not None:
            outcomes = list(self._outcomes(part, results, document))
            run.turn(outcomes, 0)
            told, priced = part.answers, [done.cost for done in outcomes if done.cost is not None]
            told.usage = added([told.usage, *(done.usage for done in outcomes if done.usage is not None)])
            told.cost = sum(priced, told.cost or Decimal(0)) if priced else told.cost

    def _outcomes(self, part: _Part, results: Results, document: Any) -> Iterator[Done]:
        warned = {text: frozenset(rows) for text, rows in ((part.record or {}).get("warnings") or {}).items()}
        for number, outcome in results.of(document):
            if number in part.ids:
                row = Row(number, part.ids.pop(number), self._target.name, self._model, {})
                yield outcome(row, [text for text, rows in warned.items() if number in rows])

    def _fail(self, run: Run, part: _Part, error: Error) -> None:
        """Give every row without an outcome this one; then nothing of the part is left to ask for."""
        rows = [Row(number, id, self._target.name, self._model, {}) for number, id in part.ids.items()]
        part.ids.clear()
        run.turn([failed(row, error) for row in rows], 0, part.number)
        part.fetched = True


def _nobody(record: dict[str, Any]) -> None:
    """Nobody watches a submission."""
