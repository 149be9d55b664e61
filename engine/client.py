"""The thin public face: a client binds operations to settings, sends them and hands back typed answers.

    client = engine.Client()
    client.chat("groq/llama-3.3-70b-versatile", "Say hello in Welsh").text

Every operation a spec names is a method: `client.chat`, `client.embeddings`, `client.rerank` …
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.calling import Caller, _leaving
from engine.errors import ConfigError, Error
from engine.faces import AsyncFace, Face, async_face_of, face_of, faced, named
from engine.leaving import passing
from engine.several import AT_ONCE, SEVERAL, following, joined
from engine.streams import AsyncStream, Stream, on_interrupt

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from types import TracebackType

    from engine.batch.face import AsyncBatchFace, BatchFace
    from engine.call.flow import Call
    from engine.call.send.drive import Driver
    from engine.call.send.drive_async import AsyncDriver
    from engine.jobs import AsyncJob, Job
    from engine.realtime.face import AsyncSessionFace, SessionFace
    from engine.routing.probing import Pulse
    from engine.types import HttpRequest, Response
    from engine.webhooks import Delivery

__all__ = ["AsyncClient", "Client"]


@faced(face_of)
class Client(Caller):
    """A client that blocks. Shareable between threads; makes its connections when first used.

    Arguments: `catalog` (paths, mappings, `engine.remote(…)` or a Catalog), `override` (packaged ids they may replace),
    `providers` ({id: {secrets, variables, base_url, base_model, ca_file, proxy}}; a list of keys is used in turn),
    `transport` (any httpx transport), `prices` (a file or mapping of your own, on top of the catalog's), `unsupported` (warn,
    error or ignore what a spec cannot express), `timeout` (the deadline of a call, 600 s), the limits `connect`, `send`,
    `headers`, `first_event` and `idle` in seconds, `attempts` per target (or `max_retries`), `limits` (any of
    engine.reliability.deadline.Limits), `trust_env` (use the environment's proxies), `routes` ({name: engine.Route} or an
    llmkit.yaml: names that stand where a model stands), `rates` (what may be asked of a provider: engine.reliability.rates),
    `budgets` (what may be spent: engine.ledger.budget) with their `ledger` (a path, or a Redis: engine.ledger.opening), `journal`
    (a file that gets a row for every call; default: the ledger's, or LLMKIT_JOURNAL; False: none), `route_log`
    (a file that gets a line for every routed call), `jobs` (where records of jobs are kept from before their submission on: a path,
    or True for the user's own store; engine.jobstore), `cache` (where answers are kept: engine.cache.options),
    `on` (a listener of every event: see `Client.on`).
    """

    if TYPE_CHECKING:
        chat: Face
        completion: Face
        embeddings: Face
        rerank: Face
        image: Face
        image_edit: Face
        image_variation: Face
        video: Face
        speech: Face
        voices: Face
        clone_voice: Face
        delete_voice: Face
        transcription: Face
        moderation: Face
        ocr: Face
        search: Face
        read: Face
        upload_file: Face
        get_file: Face
        list_files: Face
        delete_file: Face
        download_file: Face
        count_tokens: Face
        batch: BatchFace
        list_models: Face
        show_model: Face
        pull_model: Face
        realtime: SessionFace

    def call(self, operation: str, model: str, /, **fields: Any) -> Response:
        """Any operation a spec names."""
        return self._run(operation, model, (), fields)

    def job(self, record: Mapping[str, Any] | str, *, timeout: float | None = None) -> Job:
        """A job that was submitted before, by this process or another: `record` is what `job.record` gave, or with `jobs` the key
        of a kept one."""
        from engine.jobs import Job, resuming

        return Job(self, *resuming(self, record, timeout))

    def sign(self, request: HttpRequest) -> HttpRequest:
        """A rendered request with its credentials; may fetch a token."""
        call: Call | None = None
        problem: Error
        try:
            call = self._signing(request)
            signed: HttpRequest = self._driver.run(call.signed())
            return signed
        except Exception as caught:
            problem = _leaving(caught, call)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem

    def check(self, *models: Any, call: bool = False) -> list[Pulse]:
        """Ask targets whether they are there: those of the models and routes named, or of all the client's routes.

        Lists a provider's models where it can, which costs nothing; with `call`, and on this machine, asks for some tokens.
        Opens connections and makes local servers load their models, so it also warms up. Raises ConfigError only.
        """
        from engine.routing.probing import ask

        return ask(self, models, call)

    def webhook(self, provider: str, headers: Any, body: bytes | str, *, secret: str | Sequence[str] | None = None) -> Delivery:
        """A webhook of a provider: its headers and raw body, verified (engine.webhooks). `secret` is the endpoint's, in place of
        the setting. AuthenticationError for what is not the provider's, or not of now."""
        from engine.webhooks import receive

        return receive(self, provider, headers, body, secret)

    def close(self) -> None:
        """Close all connections. The client can be used again; it then opens new ones."""
        if (driver := self.__dict__.get("_driver")) is not None:
            driver.transport.close()
        if self._cache is not None:
            self._cache.close()
        if self.journal is not None:
            self.journal.flush()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @cached_property
    def _driver(self) -> Driver:
        from engine.call.send.drive import Driver

        with self._lock:
            made: Driver = self.__dict__.setdefault("_driver", Driver(self._transport_for(), self._clock.sleep))
        return made

    def _transport_for(self) -> Any:
        if self._transport is None:
            from engine.call.send.threaded import PooledTransport

            return PooledTransport()
        if hasattr(self._transport, "handle_request"):
            from engine.call.send.given import GivenTransport

            return GivenTransport(self._transport)
        if hasattr(self._transport, "open"):
            return self._transport
        raise ConfigError("transport must be an httpx transport")

    def _run(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Response:
        if operation in SEVERAL and model.__class__ is str and model not in self._routes:
            return self._several(operation, model, given, fields)
        return self._once(operation, model, given, fields)

    def _several(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Response:
        """As many exchanges as the inputs or the pages take, inputs a few at a time; all within one deadline."""
        share = self._share(operation, model, given, fields)
        asked = share.first
        if len(asked) > 1:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(min(AT_ONCE, len(asked))) as pool:
                running = [pool.submit(lambda f: self._once(operation, model, (), share.timed(f)), f) for f in asked]
                try:
                    return joined([one.result() for one in running])
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        answers: list[Response] = []
        page: dict[str, Any] | None = asked[0]
        while page is not None:
            answers.append(self._once(operation, model, (), share.timed(page)))
            page = following(share.operation, page, answers)
        return joined(answers)

    def _once(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Response:
        call: Any = None
        problem: Error
        try:
            call, flow = self._flow(operation, model, named(operation, given, fields) if given else fields, False)
            response: Response = self._driver.run(flow)
            return response
        except Exception as caught:
            problem = _leaving(caught, call)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem

    def _stream(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Stream:
        choice = on_interrupt(fields)

        def start() -> tuple[Any, Any]:
            call, flow = self._flow(operation, model, named(operation, given, fields), True, choice)
            return call, self._driver.stream(flow)

        return Stream(start)


@faced(async_face_of)
class AsyncClient(Caller):
    """The async twin of Client: the same arguments, `await client.chat(…)`, `async for event in client.chat.stream(…)`.

    Uses aiohttp when it is installed (extra [fast]) and no transport is given. Belongs to one event loop at a time.
    """

    if TYPE_CHECKING:
        chat: AsyncFace
        completion: AsyncFace
        embeddings: AsyncFace
        rerank: AsyncFace
        image: AsyncFace
        image_edit: AsyncFace
        image_variation: AsyncFace
        video: AsyncFace
        speech: AsyncFace
        voices: AsyncFace
        clone_voice: AsyncFace
        delete_voice: AsyncFace
        transcription: AsyncFace
        moderation: AsyncFace
        ocr: AsyncFace
        search: AsyncFace
        read: AsyncFace
        upload_file: AsyncFace
        get_file: AsyncFace
        list_files: AsyncFace
        delete_file: AsyncFace
        download_file: AsyncFace
        count_tokens: AsyncFace
        batch: AsyncBatchFace
        list_models: AsyncFace
        show_model: AsyncFace
        pull_model: AsyncFace
        realtime: AsyncSessionFace

    async def call(self, operation: str, model: str, /, **fields: Any) -> Response:
        """Any operation a spec names."""
        return await self._run(operation, model, (), fields)

    def job(self, record: Mapping[str, Any] | str, *, timeout: float | None = None) -> AsyncJob:
        """A job that was submitted before, by this process or another."""
        from engine.jobs import AsyncJob, resuming

        return AsyncJob(self, *resuming(self, record, timeout))

    async def sign(self, request: HttpRequest) -> HttpRequest:
        """A rendered request with its credentials; may fetch a token."""
        call: Call | None = None
        problem: Error
        try:
            call = self._signing(request)
            signed: HttpRequest = await self._driver.run(call.signed())
            return signed
        except Exception as caught:
            problem = _leaving(caught, call)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem

    async def check(self, *models: Any, call: bool = False) -> list[Pulse]:
        """Ask targets whether they are there."""
        from engine.routing.probing import ask_async

        return await ask_async(self, models, call)

    async def webhook(
        self, provider: str, headers: Any, body: bytes | str, *, secret: str | Sequence[str] | None = None
    ) -> Delivery:
        """A webhook of a provider: its headers and raw body, verified."""
        from engine.webhooks import receive_async

        return await receive_async(self, provider, headers, body, secret)

    async def close(self) -> None:
        """Close all connections. The client can be used again; it then opens new ones."""
        if (driver := self.__dict__.get("_driver")) is not None:
            await driver.transport.close()
        if self._cache is not None:
            self._cache.close()
        if self.journal is not None:
            self.journal.flush()

    aclose = close

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @cached_property
    def _driver(self) -> AsyncDriver:
        from engine.call.send.drive_async import AsyncDriver

        return AsyncDriver(self._transport_for(), self._clock.pause)

    def _transport_for(self) -> Any:
        if self._transport is None:
            try:
                from engine.call.send.aio import AiohttpTransport
            except ImportError:
                from engine.call.send.evented import AsyncPooledTransport

                return AsyncPooledTransport()
            return AiohttpTransport()
        if hasattr(self._transport, "handle_async_request"):
            from engine.call.send.given import AsyncGivenTransport

            return AsyncGivenTransport(self._transport)
        if hasattr(self._transport, "open"):
            return self._transport
        raise ConfigError("transport must be an async httpx transport")

    def _run(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Coroutine[Any, Any, Response]:
        if operation in SEVERAL and model.__class__ is str and model not in self._routes:
            return self._several(operation, model, given, fields)
        return self._once(operation, model, given, fields)

    async def _several(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Response:
        """As many exchanges as the inputs or the pages take, inputs a few at a time; all within one deadline."""
        share = self._share(operation, model, given, fields)
        asked = share.first
        if len(asked) > 1:
            import asyncio

            room = asyncio.Semaphore(AT_ONCE)

            async def one(fields: dict[str, Any]) -> Response:
                async with room:
                    return await self._once(operation, model, (), share.timed(fields))

            running = [asyncio.ensure_future(one(f)) for f in asked]
            try:
                return joined(await asyncio.gather(*running))
            finally:
                for task in running:
                    task.cancel()
        answers: list[Response] = []
        page: dict[str, Any] | None = asked[0]
        while page is not None:
            answers.append(await self._once(operation, model, (), share.timed(page)))
            page = following(share.operation, page, answers)
        return joined(answers)

    async def _once(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> Response:
        call: Any = None
        problem: Error
        try:
            call, flow = self._flow(operation, model, named(operation, given, fields) if given else fields, False)
            response: Response = await self._driver.run(flow)
            return response
        except Exception as caught:
            problem = _leaving(caught, call)
        except BaseException as stop:
            raise passing(stop)  # noqa: B904
        raise problem

    def _stream(self, operation: str, model: str, given: tuple[Any, ...], fields: dict[str, Any]) -> AsyncStream:
        choice = on_interrupt(fields)

        def start() -> tuple[Any, Any]:
            call, flow = self._flow(operation, model, named(operation, given, fields), True, choice)
            return call, self._driver.stream(flow)

        return AsyncStream(start)
