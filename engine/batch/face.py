"""`client.batch(…)`: the callable face of batches, for both clients."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.batch.rows import Row, Rows
from engine.batch.run import Batch, Run
from engine.calling import _leaving
from engine.errors import ConfigError, Error
from engine.leaving import passing

if TYPE_CHECKING:
    from engine.client import AsyncClient, Client

__all__ = ["AsyncBatchFace", "BatchFace"]

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

    def _run(
        self, rows: Any, model: Any, operation: str, out: Any, checkpoint: Any, resume: bool, progress: Any, fields: Any
    ) -> Run:
        """The run of a batch: everything that can be wrong before the first row is found here."""
        if model is not None and not isinstance(model, str):
            raise ConfigError("the model of a batch is named by a text: provider/model, or the name of a route")
        if model and model not in self._client._routes:
            target = self._client._target(model, operation, fields.get("dialect"))
            if target.missing is not None:
                raise ConfigError(target.missing, provider=target.operation.provider, operation=operation)
        held = None
        if out is None:
            held = tempfile.TemporaryDirectory(prefix="llmkit-batch-")
            out = Path(held.name) / "answers.jsonl"
        settings: dict[str, Any] = {"mode": "local", "operation": operation, "model": model}
        settings["fields"] = {name: value for name, value in fields.items() if name not in _OPTIONS}
        told = None
        if progress is not None and progress is not False:
            from engine.batch.told import told_to

            told = told_to(progress)
        return Run(
            Rows(rows, operation, model, fields), out, checkpoint or f"{out}.checkpoint", settings,
            resume=resume, unsafe=self._unsafe, told=told, held=held,
        )  # fmt: skip

    def _unsafe(self, row: Row) -> bool:
        """Whether a row that was being asked when its run was killed may have happened, and must not happen twice (R3)."""
        if row.model in self._client._routes:
            return False
        try:
            plan = self._client._target(row.model, row.operation, row.fields.get("dialect")).operation.plan
        except Error:
            return False  # nothing was sent, and nothing will be
        return bool(plan.replay == "unsafe")


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
    `concurrency`: calls at a time. `progress`: True for a line on standard error, or a function that is given the Batch.

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
        concurrency: int = CONCURRENCY,
        resume: bool = True,
        progress: bool | Callable[[Batch], None] | None = None,
        **fields: Any,
    ) -> Batch:
        problem: Exception
        try:
            many = _many(concurrency)
            run = self._run(rows, model, operation, out, checkpoint, resume, progress, fields)
            try:
                from engine.batch.local import ask_all

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
        concurrency: int = CONCURRENCY,
        resume: bool = True,
        progress: bool | Callable[[Batch], None] | None = None,
        **fields: Any,
    ) -> Batch:
        problem: Exception
        try:
            many = _many(concurrency)
            run = self._run(rows, model, operation, out, checkpoint, resume, progress, fields)
            try:
                from engine.batch.local import ask_all_async

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
