"""Handles of jobs: submitted now, followed later, also by another process (RELIABILITY J1).

job = client.video.submit("replicate/owner/model", "A lighthouse in the fog.")
saved = job.record                      # plain data; keep it anywhere
client.job(saved).wait().outputs

A client with a store (`Client(jobs=True)`, engine.jobstore) keeps the records itself, from before the submission on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine.calling import _leaving
from engine.errors import AmbiguousError, ConfigError, Error, UnsupportedError
from engine.leaving import passing

if TYPE_CHECKING:
    from engine.call.flow import Call
    from engine.call.job import JobCall
    from engine.call.step import Flow
    from engine.calling import Caller
    from engine.client import AsyncClient, Client
    from engine.types import Response
    from engine.webhooks import Delivery

__all__ = ["AsyncJob", "Job", "begin"]

#: what a record keeps of the job itself
_KEPT = ("key", "id", "submit", "last", "state", "progress", "names")
_PLAIN = (str, int, float, bool)
_SHORT = 2048  # characters of a text that a record keeps of a part: its address, not its content


def begin(call: Call, operation: str, model: str) -> dict[str, Any]:
    """The record of a job that is about to be submitted: what is needed to follow it from anywhere."""
    context = call.context or {}
    reads = call.operation.plan.reads
    request = {k: kept for k, v in context.items() if k in reads and k[:1] != "$" and (kept := _small(v)) is not None}
    return {"operation": operation, "model": model, "request": request, **dict.fromkeys(_KEPT), "names": named(context)}


def named(context: Mapping[str, Any]) -> dict[str, str] | None:
    """The ids that a call has made for itself so far; they stay the same through its job."""
    names = context.get("$uuid")
    return dict(names.made) or None if names is not None else None


def _small(value: Any) -> Any:
    """What of a field a record keeps: plain values, short lists, and of a sound or picture what is short; None for the rest."""
    if isinstance(value, (list, tuple)):
        return list(value) if all(isinstance(v, _PLAIN) for v in value) and sum(len(str(v)) for v in value) <= _SHORT else None
    if isinstance(value, Mapping):
        return {k: v for k, v in value.items() if isinstance(v, _PLAIN) and (not isinstance(v, str) or len(v) <= _SHORT)}
    return value if isinstance(value, _PLAIN) else None


def followed(client: Any, call: Call, model: str, limited: bool, taken: str | None = None) -> JobCall:
    """A prepared call as one that submits a job, or takes up the record of that key. Unless the caller limited it, the job has the
    time its spec gives it."""
    from engine.call.job import JobCall
    from engine.reliability.attempts import Attempts
    from engine.reliability.deadline import Deadline

    attempts, table = call.attempts, call.operation.plan.job
    if table is not None and not limited:
        attempts.deadline = Deadline(call.clock, table.timeout)
    target = client._target(model, call.operation.name, None)

    def again() -> Attempts:
        ring = target.provider.ring
        made = Attempts(attempts.target, attempts.limits, attempts.deadline, call.clock, target.bucket, ring, "safe")
        made.notify = attempts.notify
        return made

    made = JobCall(
        call.operation, call.request, call.route, attempts, call.clock, call.credentials, call.tokens, call.finish, call.context,
        call.unsupported, again=again, told=_nobody,
    )  # fmt: skip
    made.out = call.out
    made.pairs = call.pairs  # whoever masks the errors of the one knows what signed the other
    if client.keeps_jobs:
        import secrets

        from engine.jobstore import Kept

        plan, left = call.operation.plan, attempts.deadline.left()
        key = taken or secrets.token_hex(8)
        made.keeper = Kept(client.jobs, key, plan.provider, plan.replay != "unsafe", left, taken=taken is not None)
    return made


def submitting(client: Caller, operation: str, model: str, fields: dict[str, Any]) -> tuple[JobCall, dict[str, Any]]:
    """The call and the record of a job that is to be submitted. UnsupportedError where the operation is no job."""
    limited = fields.get("timeout") is not None
    call = client._prepare(operation, model, fields, False)
    if call.operation.plan.job is None:
        message = f"{operation} is one exchange here, not a job: call it"
        raise UnsupportedError(message, provider=call.operation.provider, model=call.operation.model, operation=operation)
    return followed(client, call, model, limited), begin(call, operation, model)


def resuming(client: Caller, record: Mapping[str, Any] | str, timeout: float | None) -> tuple[JobCall, dict[str, Any]]:
    """The same of a job that a record speaks of, or a key of the client's store."""
    problem: Error
    try:
        return _resuming(client, record, timeout)
    except Exception as caught:
        problem = _leaving(caught, None)
    raise problem


def _resuming(client: Caller, record: Mapping[str, Any] | str, timeout: float | None) -> tuple[JobCall, dict[str, Any]]:
    from engine.call.flow import Call
    from engine.operation import Names
    from engine.reliability.attempts import Attempts
    from engine.reliability.deadline import Deadline
    from engine.types import Report

    row = client.jobs.get(record) if isinstance(record, str) else None
    given: Any = record if row is None else row["record"]
    kept = checked(given, row is not None)
    if row is not None and row["status"] in ("ambiguous", "failed") and kept["id"] is None and kept["submit"] is None:
        raise _unknown(row)
    target = client._target(kept["model"], kept["operation"], None)
    bound, clock = target.operation, client._clock
    if bound.plan.job is None:
        raise UnsupportedError(f"{bound.name} of {bound.provider} is no job", provider=bound.provider, operation=bound.name)
    if target.missing is not None:
        raise ConfigError(target.missing, provider=bound.provider, model=bound.model, operation=bound.name)
    report = Report()
    context = {
        "model": bound.model,
        **kept["request"],
        **bound._constant,
        "$report": report,
        "$now": clock.time(),
        "$uuid": Names(bound.uuid, kept["names"]),
    }
    limits = target.limits if timeout is None else target.limits.with_({"deadline": timeout})
    run = Attempts(target.name, limits, Deadline(clock, limits.deadline), clock, target.bucket, target.provider.ring)

    def finish(response: Response) -> None:
        response.provider = response.provider or bound.provider
        response.report.attempts = run.records

    request = None
    if row is not None and row["status"] == "claimed":  # the same request with the same key names the same job
        request = client.jobs.take(row["key"], limits.deadline)
        request.context, request.report = context, report
        run.replay = bound.plan.replay
    call = Call(bound, request, target.route, run, clock, target.credentials, target.provider.tokens, finish, context)
    return followed(client, call, kept["model"], timeout is not None, kept["key"] if client.keeps_jobs else None), kept


def _nobody(record: dict[str, Any]) -> None:
    """Nobody watches this job."""


def _unknown(row: Mapping[str, Any]) -> Error:
    """Why a job without an id cannot be followed."""
    said = f": {row['error']}" if row["error"] else ""
    if row["status"] == "failed":
        return ConfigError(f"the job {row['key']} was not submitted{said}", provider=row["provider"], operation=row["operation"])
    message = (
        f"the job {row['key']} may or may not have been submitted{said}; look for it at {row['provider']}, and forget the record "
        "before you submit it again"
    )
    return AmbiguousError(message, provider=row["provider"], operation=row["operation"])


def checked(record: Mapping[str, Any], claimed: bool = False) -> dict[str, Any]:
    """A record as it was kept. ConfigError for anything else; only one that was `claimed` may be without the provider's word."""
    known = claimed or (isinstance(record, Mapping) and record.get("submit") is not None)
    names = ("operation", "model") if known else ("operation", "model", "id")
    if not isinstance(record, Mapping) or any(not isinstance(record.get(name), str) for name in names):
        raise ConfigError("a job's record is the mapping that `job.record` gave: it has an operation, a model and an id")
    return {**dict.fromkeys(_KEPT), "request": {}, **record}


class _Handle:
    """What both kinds of handle know."""

    def __init__(self, client: Any, call: JobCall, record: dict[str, Any]) -> None:
        self._client = client
        self._call = call
        self.record = record  #: plain data that `client.job` takes; no secret is in it

    @property
    def id(self) -> str | None:
        """The provider's id of the job."""
        return self.record.get("id")

    @property
    def key(self) -> str | None:
        """What the client's store knows the job by; None without a store."""
        return self.record.get("key")

    @property
    def state(self) -> str | None:
        """The provider's word for how far it is, as last heard."""
        return self.record.get("state")

    @property
    def progress(self) -> float | None:
        """0 to 1, as last heard; None if the provider does not say."""
        return self.record.get("progress")

    @property
    def done(self) -> bool:
        """Whether the job was last heard of as ended, well or not."""
        table = self._call.operation.plan.job
        return table is not None and (self.state in table.done or self.state in table.failed)

    def __repr__(self) -> str:
        return f"<job {self.id} of {self._call.operation.provider}: {self.state}>"

    def _submitting(self) -> Flow:
        """Only the submission: the record then has the job's id."""
        from engine.call.job import begun

        yield from begun(self._call, self.record)
        self._call.request = None

    def _finishing(self, watch: Callable[[dict[str, Any]], None] | None, out: Any, delivery: Delivery | None) -> Flow:
        from engine.call.job import finished

        if delivery is not None:
            if delivery.job_id is not None and delivery.job_id != self.id:
                raise ConfigError(f"the delivery is about the job {delivery.job_id}, not about {self.id}")
            if delivery.poll is not None:
                self.record["last"] = delivery.poll
            self._call.result = delivery.result

        if watch is not None:
            self._call.told = watch
        if out is not None:
            from engine.disk import place

            self._call.out = place(out)
        return (yield from finished(self._call, self.record))

    def _polling(self) -> Flow:
        from engine.call.job import Ask, ask, known, look

        call = self._call
        table = call.operation.plan.job
        if table is None or table.poll is None:
            raise UnsupportedError("this job cannot be asked about; wait for it")
        if not self.done:
            step = Ask(table.poll, {**(call.context or {}), "job": known(self.record)})
            self.record["last"], _ = yield from ask(call, step)
            try:
                look(call.operation, table, self.record)
            except Error as error:
                if call.keeper is not None:
                    call.keeper.note(self.record)
                    call.keeper.settle("failed", error)
                raise
            call.heard(self.record)
        return self.state

    def _cancelling(self) -> Flow:
        from engine.call.job import Ask, ask, known

        call = self._call
        table = call.operation.plan.job
        if table is None or table.cancel is None:
            raise UnsupportedError("this provider's jobs cannot be cancelled")
        yield from ask(call, Ask(table.cancel, {**(call.context or {}), "job": known(self.record)}))
        if call.keeper is not None:
            call.keeper.settle("cancelled")


class Job(_Handle):
    """A submitted job of a blocking client."""

    _client: Client

    def poll(self) -> str | None:
        """Ask once; the provider's word for how far it is. Raises the job's own error if it failed."""
        return self._drive(self._polling())  # type: ignore[no-any-return]

    def wait(
        self, *, progress: Callable[[dict[str, Any]], None] | None = None, out: Any = None, delivery: Delivery | None = None
    ) -> Response:
        """Follow the job to its end: the Response. `progress` is called with the record whenever it has changed; `out` is the path
        that what it made is written to; what a verified webhook (`client.webhook`) says of the job is not asked for.

        Raises the job's error, or DeadlineError when the time given to the job is over; it then goes on where it runs.
        """
        return self._drive(self._finishing(progress, out, delivery))  # type: ignore[no-any-return]

    def cancel(self) -> None:
        """Ask the provider to stop. UnsupportedError where it has no way to."""
        self._drive(self._cancelling())

    def _drive(self, flow: Flow) -> Any:
        problem: Error
        try:
            return self._client._driver.run(self._client._seen(self._call, flow))
        except Exception as caught:
            problem = _leaving(caught, self._call)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem


class AsyncJob(_Handle):
    """A submitted job of an async client; the twin of Job."""

    _client: AsyncClient

    async def poll(self) -> str | None:
        """Ask once; the provider's word for how far it is."""
        return await self._drive(self._polling())  # type: ignore[no-any-return]

    async def wait(
        self, *, progress: Callable[[dict[str, Any]], None] | None = None, out: Any = None, delivery: Delivery | None = None
    ) -> Response:
        """Follow the job to its end: the Response."""
        return await self._drive(self._finishing(progress, out, delivery))  # type: ignore[no-any-return]

    async def cancel(self) -> None:
        """Ask the provider to stop."""
        await self._drive(self._cancelling())

    async def _drive(self, flow: Flow) -> Any:
        problem: Error
        try:
            return await self._client._driver.run(self._client._seen(self._call, flow))
        except Exception as caught:
            problem = _leaving(caught, self._call)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem
