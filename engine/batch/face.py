"""`client.batch(…)`: the callable face of batches, for both clients."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.batch.local import ask_all, ask_all_async, left_behind
from engine.batch.rows import Rows
from engine.batch.run import Batch, Run
from engine.calling import _leaving
from engine.errors import ConfigError, Error, UnsupportedError
from engine.leaving import passing

if TYPE_CHECKING:
    from engine.batch.remote import Remote
    from engine.catalog import Catalog
    from engine.client import AsyncClient, Client

__all__ = ["AsyncBatchFace", "BatchFace"]

MODES = ("local", "remote", "auto")
CONCURRENCY = 16
#: fields that say how a row is asked, not what: they may be others in a later run
_OPTIONS = ("timeout", "attempts", "tenant", "tags")
_MOST = 1000  # calls at a time: as many as may wait for a limit


class _Face:
    name = "batch"

    def __init__(self, client: Any) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<batch of {self._client!r}>"

    def _begun(
        self, rows: Any, model: Any, operation: str, mode: str, out: Any, checkpoint: Any, resume: bool, progress: Any, wait: bool,
        ambiguous: str, fields: dict[str, Any],
    ) -> tuple[Run, Remote | None]:  # fmt: skip
        """The run of a batch, and who hands it over if it is remote: what can be wrong before the first row is found here."""
        client = self._client
        if mode not in MODES:
            raise ConfigError(f"the mode of a batch is one of {', '.join(MODES)}")
        if model is not None and not isinstance(model, str):
            raise ConfigError("the model of a batch is named by a text: provider/model, or the name of a route")
        if mode == "remote" and (model is None or model in client._routes):
            raise ConfigError("a remote batch is about one model: say which")
        if model is not None and model not in client._routes:
            target = client._target(model, operation, fields.get("dialect"))
            if target.missing is not None:
                raise ConfigError(target.missing, provider=target.operation.provider, operation=operation)
            if mode == "auto" and self._serves(model):
                mode = "remote"
        _known(client.catalog, operation, fields)
        settings: dict[str, Any] = {"mode": "remote" if mode == "remote" else "local", "operation": operation, "model": model}
        settings["fields"] = {name: value for name, value in fields.items() if name not in _OPTIONS}
        remote: Remote | None = None
        if mode == "remote":
            from engine.batch.remote import Remote

            remote = Remote(client, str(model), operation, wait, ambiguous, fields.get("timeout"))
            fields = settings["fields"]
        told = None
        if progress is not None and progress is not False:
            from engine.batch.told import told_to

            told = told_to(progress)
        held = None
        if out is None:
            held = tempfile.TemporaryDirectory(prefix="llmkit-batch-")
            out = Path(held.name) / "answers.jsonl"
        left = remote.left if remote is not None else left_behind(client)
        where = checkpoint or f"{out}.checkpoint"
        run = Run(Rows(rows, operation, model, fields), out, where, settings, resume=resume, left=left, told=told, held=held)
        return run, remote

    def _serves(self, model: str) -> bool:
        """Whether the model's provider has a batch service."""
        try:
            self._client._target(model, "batch", None)
        except UnsupportedError:
            return False
        return True


def _known(catalog: Catalog, operation: str, fields: dict[str, Any]) -> None:
    """ConfigError for a field that no row could have: it would be the error of every one."""
    from engine.call.normalize import names, normalize
    from engine.spec.compile.parameters import declared
    from engine.worded import CALL_FIELDS

    strange = [name for name in fields if name not in names(operation) and name not in CALL_FIELDS]
    strange = [name for name in strange if not declared(catalog, (), operation, name)]
    if strange and "dialect" not in fields:
        normalize(operation, {strange[0]: fields[strange[0]]})


def _many(concurrency: int) -> int:
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 0 < concurrency <= _MOST:
        raise ConfigError(f"concurrency is a number from 1 to {_MOST}")
    return concurrency


class BatchFace(_Face):
    """Batches of a blocking client.

    `rows`: a path of JSON lines or Parquet, or an iterable of mappings (or texts); each row has the fields of a request and may
    have an `id`, `operation` and `model` of its own. Further keywords are fields of every row. `out`: where the answers go,
    one JSON line {id, response, error} for each row, in order (default: a temporary file). `checkpoint`: default
    `<out>.checkpoint`; a run that finds one goes on where it ended, if it is given the same rows (`resume=False` refuses).
    `mode`: `local` makes `concurrency` calls at a time; `remote` hands the rows to the provider's batch service; `auto` does if he
    has one. `progress`: True for a line on standard error, or a function that is given the Batch.
    Of remote batches: `timeout` is how long to wait (seconds; default: the service's own time, a day or more), `wait=False` comes
    back when everything is submitted; `ambiguous` says what to do about a part of which nobody knows whether it was submitted:
    `raise`, `again`, or the id that the provider has for it.

    Raises ConfigError before anything is sent, and the error that would meet every further row too (a refused key, no credit,
    a budget that is used up); what was answered until then is kept, and the same call goes on.
    """

    _client: Client

    def __call__(
        self,
        rows: Any,
        *,
        model: str | None = None,
        out: str | Path | None = None,
        checkpoint: str | Path | None = None,
        operation: str = "chat",
        mode: str = "local",
        concurrency: int = CONCURRENCY,
        resume: bool = True,
        progress: bool | Callable[[Batch], None] | None = None,
        wait: bool = True,
        ambiguous: str = "raise",
        **fields: Any,
    ) -> Batch:
        problem: Exception
        try:
            many = _many(concurrency)
            given = (rows, model, operation, mode, out, checkpoint, resume, progress, wait, ambiguous, fields)
            run, remote = self._begun(*given)
            try:
                if remote is not None:
                    self._client._driver.run(remote.flow(run))
                else:
                    ask_all(self._client, run, many)
                run.tell()
                return run.view()
            finally:
                run.close()
        except Exception as caught:
            problem = _leaving(caught, None) if isinstance(caught, Error) else caught  # files and rows are the caller's
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem


class AsyncBatchFace(_Face):
    """Batches of an async client: `await client.batch(…)`; the twin of BatchFace."""

    _client: AsyncClient

    async def __call__(
        self,
        rows: Any,
        *,
        model: str | None = None,
        out: str | Path | None = None,
        checkpoint: str | Path | None = None,
        operation: str = "chat",
        mode: str = "local",
        concurrency: int = CONCURRENCY,
        resume: bool = True,
        progress: bool | Callable[[Batch], None] | None = None,
        wait: bool = True,
        ambiguous: str = "raise",
        **fields: Any,
    ) -> Batch:
        problem: Exception
        try:
            many = _many(concurrency)
            given = (rows, model, operation, mode, out, checkpoint, resume, progress, wait, ambiguous, fields)
            run, remote = self._begun(*given)
            try:
                if remote is not None:
                    await self._client._driver.run(remote.flow(run))
                else:
                    await ask_all_async(self._client, run, many)
                run.tell()
                return run.view()
            finally:
                run.close()
        except Exception as caught:
            problem = _leaving(caught, None) if isinstance(caught, Error) else caught  # files and rows are the caller's
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem
