"""A job: an operation that is submitted, asked about until it is over, and fetched (SPEC_LANGUAGE 7.3, RELIABILITY J1).

`course` decides and does nothing: it yields what to ask and how long to pause, so that a client, a test and an example walk the
same way. `finished` is the client's walk: every exchange has the attempts, limits and deadline of any other call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from engine.call.accumulate import Accumulator
from engine.call.failure import failure
from engine.call.flow import Call, exchanged
from engine.call.read import finish, map_document, read_value
from engine.call.request import build, with_query
from engine.call.step import Answer, Flow, Wait
from engine.call.waits import lower
from engine.errors import DeadlineError, Error, ProtocolError
from engine.plan import Call as CallPlan
from engine.plan import Job, OperationPlan
from engine.reliability.attempts import Attempts
from engine.types import HttpRequest, Response

if TYPE_CHECKING:
    from engine.operation import Operation

__all__ = ["Ask", "JobCall", "Keeper", "Pause", "answer", "ask", "begun", "course", "finished", "heard", "known", "look"]

GROWTH = 1.5  # of the pause between two questions
JITTER = 0.2  # of a pause: many jobs of one second do not ask in one second


class Ask(NamedTuple):
    """Make this call (None: the operation's own, which submits) and send its document back. `page`: further query parameters."""

    call: CallPlan | None
    scope: dict[str, Any]
    page: dict[str, Any] | None = None


class Pause(NamedTuple):
    """Let that many seconds pass."""

    seconds: float


class Keeper(Protocol):
    """Who keeps the record of a job (engine.jobstore). Nothing is sent before `claim` has come back."""

    def claim(self, request: HttpRequest | None, job: dict[str, Any]) -> None: ...
    def note(self, job: dict[str, Any]) -> None: ...
    def unsent(self, error: Error) -> None: ...
    def unknown(self, why: str) -> None: ...
    def settle(self, status: str, error: Error | None = None) -> None: ...


class JobCall(Call):
    """A call that submits a job; `again` begins the attempts of each further exchange, which may be sent twice."""

    __slots__ = ("again", "keeper", "result", "told")

    def __init__(self, *given: Any, again: Callable[[], Attempts], told: Callable[[dict[str, Any]], None], **named: Any) -> None:
        super().__init__(*given, **named)
        self.again = again
        self.told = told  # what watches the job: called with the record whenever it has changed
        self.keeper: Keeper | None = None
        self.result: Any = None  # the document of a result that came by itself (engine.webhooks): nothing is asked for it

    def noted(self, job: dict[str, Any]) -> None:
        """The record has changed, and is kept."""
        if self.keeper is not None:
            self.keeper.note(job)

    def heard(self, job: dict[str, Any]) -> None:
        """The record has changed: it is kept, and whoever watches is told."""
        self.noted(job)
        self.told(job)


def known(job: dict[str, Any]) -> dict[str, Any]:
    """What templates of a job's calls see as `job`."""
    return {"id": job.get("id"), "submit": job.get("submit"), "last": job.get("last")}


def course(
    operation: Operation,
    context: dict[str, Any],
    job: dict[str, Any],
    told: Callable[[dict[str, Any]], None],
    uniform: Callable[[float, float], float],
    noted: Callable[[dict[str, Any]], None] = lambda job: None,
) -> Generator[Ask | Pause, Any, list[Any]]:
    """The documents that `response` maps. `job` holds `id`, `submit`, `last`, `state` and `progress`, and is kept up to date: with
    an id in it nothing is submitted. `noted` hears of the id before anything else is done with it. Raises the typed error of a
    job that failed."""
    table = operation.plan.job
    assert table is not None
    if job.get("id") is None and job.get("submit") is None:
        document = yield Ask(None, context)
        job["submit"] = job["last"] = document
        job["id"] = _text(table.id(document if table.path else {**context, "job": known(job)})) if table.id is not None else None
        noted(job)
    else:
        told(job)
    pause = table.every
    while True:
        over = look(operation, table, job)
        told(job)
        if over or table.poll is None:
            break
        if table.id is not None and job.get("id") is None:
            raise operation.place(ProtocolError("the answer to the submission names no job, so it cannot be followed"))
        yield Pause(uniform(pause * (1 - JITTER), pause * (1 + JITTER)))
        pause = min(pause * GROWTH, table.max_every)
        job["last"] = yield Ask(table.poll, {**context, "job": known(job)})
    documents: list[Any] = []
    for call in table.result:
        scope = {**context, "job": {**known(job), "results": documents}}
        page: dict[str, Any] | None = {} if call.when is None or call.when(scope) else None
        while page is not None:
            documents.append((yield Ask(call, scope, page)))
            page = _following(operation, documents[-1], page)
    return documents if table.result else [job["last"]]


def _following(operation: Operation, document: Any, page: dict[str, Any]) -> dict[str, Any] | None:
    """The parameters of the next page of a result, or None after the last."""
    found = {name: value for name, query in operation.plan.pages.items() if (value := query(document)) is not None and value != ""}
    return found if found and found != page else None


def heard(
    plan: OperationPlan, call: CallPlan | None, status: int, headers: Mapping[str, Any] | None, body: bytes, now: float
) -> Any:
    """What an answer says: its document, or the value that a call names. `call` is None for the submission; a second sending of one
    that was heard before says nothing."""
    try:
        value, document = read_value(call or plan.call, plan, status, headers, body, now)
    except Error as error:
        if call is not None or plan.job is None or error.code not in plan.job.exists:
            raise
        return {}
    return document if call is None or call.value is None else value


def look(operation: Operation, table: Job, job: dict[str, Any]) -> bool:
    """Whether the job has ended well; its state and progress are noted."""
    last = job.get("last")
    if last is None:
        return False
    state = _text(table.state(last)) if table.state is not None else None
    job["state"] = state
    progress = table.progress(last) if table.progress is not None else None
    if isinstance(progress, (int, float)) and not isinstance(progress, bool):
        job["progress"] = min(progress / 100 if progress > 1 else float(progress), 1.0)
    if state in table.failed:
        found = table.error(last) if table.error is not None else None
        fields = found if isinstance(found, dict) else {"message": _text(found) or f"the job ended as {state}"}
        said = {"message": fields.get("message") or fields.get("detail") or f"the job ended as {state}", "code": fields.get("code")}
        raise operation.place(failure(operation.plan, None, {}, last, fields=said, model=operation.model, now=operation.clock()))
    return state in table.done


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def answer(operation: Operation, context: dict[str, Any], documents: list[Any], headers: dict[str, str]) -> Response:
    """The Response of a finished job: `response` over each document in turn."""
    plan, now = operation.plan, operation.clock()
    into = Accumulator(plan, context=context, model=operation.model)
    for document in documents:
        error = map_document(into, plan.response, document, headers, 200, now)
        if error is not None:
            raise operation.place(error)
    into.close()
    return finish(into, lower(headers), documents[-1] if len(documents) == 1 else documents, now)


def finished(call: JobCall, job: dict[str, Any]) -> Flow:
    """Walk the whole course under the call's deadline: the Response, or the typed error."""
    deadline, keeper = call.attempts.deadline, call.keeper
    steps = course(call.operation, call.context or {}, job, call.heard, call.clock.random, call.noted)
    given: Any = None
    headers: dict[str, str] = {}
    documents: list[Any] = [call.result]
    while call.result is None:
        try:
            step = steps.send(given)
        except StopIteration as done:
            documents = done.value
            break
        except Error as error:
            if keeper is not None:
                keeper.settle("failed", error)
            raise
        if isinstance(step, Pause):
            if deadline.left() <= step.seconds:
                raise _late(call, job, deadline.error())
            given = yield Wait(step.seconds)
        else:
            try:
                given, headers = yield from (ask(call, step) if step.call is not None else submit(call, step, job))
            except DeadlineError as error:
                if job.get("id") is None:
                    raise
                raise _late(call, job, error) from None
            except Error as error:
                if keeper is not None and job.get("id") is not None and error.kind == "not_found":
                    keeper.settle("expired", error)
                raise
    response = answer(call.operation, call.context or {}, documents, headers)
    call.finish(response)
    if call.out is not None:
        from engine.call.saving import saved

        yield from saved(call, response)
    if keeper is not None:
        keeper.settle("done")
    return response


def begun(call: JobCall, job: dict[str, Any]) -> Flow:
    """Only the submission, and what its answer says."""
    steps = course(call.operation, call.context or {}, job, call.heard, call.clock.random, call.noted)
    first = next(steps)
    assert isinstance(first, Ask)
    document, _ = yield from submit(call, first, job)
    try:
        steps.send(document)
    except StopIteration:
        pass
    except Error as error:
        if call.keeper is not None:
            call.keeper.settle("failed", error)
        raise
    finally:
        steps.close()


def submit(call: JobCall, step: Ask, job: dict[str, Any]) -> Flow:
    """The submission itself: its record is kept before the first byte of it is sent (RELIABILITY J1)."""
    keeper = call.keeper
    if keeper is None:
        return (yield from ask(call, step))
    keeper.claim(call.request, job)
    try:
        return (yield from ask(call, step))
    except Error as error:
        keeper.unsent(error)
        raise
    except GeneratorExit:  # the caller does not wait any longer
        keeper.unknown("the submission was cut off")
        raise


def _late(call: JobCall, job: dict[str, Any], error: Error) -> Error:
    """The deadline came before the job's end, which is not lost: it goes on where it runs."""
    error.message = f"{error.message}; the job {job.get('id')} goes on and can be resumed by its record"
    error.args = (error.message,)
    return call.operation.place(error)


def ask(call: JobCall, step: Ask) -> Flow:
    """(document, headers) of one exchange, repeated as the failures of its kind are."""
    operation, plan = call.operation, call.operation.plan
    wanted = plan.call if step.call is None else step.call

    def read(reply: Answer) -> Any:
        return heard(plan, step.call, reply.status, reply.headers, reply.body, operation.clock())

    if step.call is None:
        return (yield from exchanged(call, wanted.timeout, read))
    walk = _further(call, call.again())

    def ready() -> Flow:
        request: HttpRequest = build(wanted, step.scope, operation.base_url, plan, main=False)
        if step.page:
            request.url = with_query(request.url, step.page)
        return (yield from walk.signed(request, wanted.auth))

    return (yield from exchanged(walk, wanted.timeout, read, ready))


def _further(call: Call, attempts: Attempts) -> Call:
    """The same call's surroundings for another exchange."""
    return Call(
        call.operation, None, call.route, attempts, call.clock, call.credentials, call.tokens, call.finish, call.context
    )  # fmt: skip
