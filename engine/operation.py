"""An operation bound to one model of one provider: pure functions from values to values, no socket.

    chat = client.operation("anthropic/claude-sonnet-4-5", "chat")
    request = chat.render(messages=[{"role": "user", "content": "hi"}])     # HttpRequest, unsigned
    answer = chat.read(200, headers, body)                                   # Response, or raises the typed error
    reader = chat.reader(headers)                                            # reader.feed(bytes) -> events; reader.close()

Shareable between threads; rendering changes neither its arguments nor the operation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from engine import errors
from engine.call.expressible import check_parts, drop_unsupported, untaken
from engine.call.forerun import needs_forerun
from engine.call.native_params import foreign, lifted
from engine.call.normalize import normalize
from engine.call.read import read_whole
from engine.call.request import build as written
from engine.types import HttpRequest, Report, Response
from engine.vocabulary import HOLDERS, PARAMS

if TYPE_CHECKING:
    from engine.call.reader import Reader
    from engine.plan import OperationPlan, ProviderPlan


#: fields that a call around another one keeps for itself
_OUTER = ("extra_body", "extra_headers", "extra_query")


def _random_id(name: str | None = None) -> str:
    from uuid import uuid4  # imported when needed: it costs some milliseconds of the first call

    return str(uuid4())


class Names:
    """Ids of one call: a name has the same one in every request of it (SPEC_LANGUAGE 3.3)."""

    __slots__ = ("_make", "made")

    def __init__(self, make: Callable[..., str], made: Mapping[str, str] | None = None) -> None:
        self._make = make
        self.made = dict(made) if made else {}

    def __call__(self, name: str | None = None) -> str:
        if name is None:
            return self._make()
        if name not in self.made:
            self.made[name] = self._make(name)
        return self.made[name]


class Operation:
    """One operation of one model, with the caller's settings."""

    __slots__ = (
        "_base_url", "_chat", "_constant", "_declared", "_foreruns", "_model_info", "_near", "_proofs", "_untaken", "clock",
        "known_as", "model", "name", "plan", "provider", "secrets", "unsupported", "uuid", "values", "variant", "who",
    )  # fmt: skip

    def __init__(
        self,
        plan: OperationPlan,
        who: ProviderPlan,
        model: str,
        *,
        values: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Any] | None = None,
        known_as: str | None = None,
        variant: str | None = None,
        model_info: Mapping[str, Any] | Callable[[], Mapping[str, Any] | None] | None = None,
        near: Callable[[], str | None] | None = None,
        chat: Callable[[], Operation] | None = None,
        declared: Callable[[str], bool] | None = None,
        unsupported: str = "warn",
        clock: Callable[[], float] = time.time,
        uuid: Callable[..., str] = _random_id,
    ) -> None:
        self.plan = plan
        self.who = who
        self.provider = who.id
        self.name = plan.name
        self.model = model
        self.values = dict(values or {})  # provider variables, and `base_url` where the caller or operator chose the server
        self.secrets = dict(secrets or {})
        self.known_as = known_as or model  # the model whose facts hold: beside an opaque id, the caller's base_model
        self.variant = variant
        self._model_info = model_info
        self._near = near
        self._chat = chat  # the conversation that `chat_body` is about
        self._declared = declared  # whether some other wire has a parameter of its own by a name
        self.unsupported = unsupported  # warn, error or ignore
        self.clock = clock
        self.uuid = uuid
        streamed = plan.stream.call if plan.stream is not None else None
        self._untaken = untaken(plan.listed, plan.reads, tuple(PARAMS.get(plan.name, ())))
        self._base_url: str | None = None
        #: a setting that is no plain value could be a number that JSON has no word for
        self._proofs = all(value is None or value.__class__ in (str, int, bool) for value in self.values.values())
        self._foreruns = bool(plan.inline or plan.upload or plan.call.before or (streamed and streamed.before))
        facts = self.model_info if "model_info" in plan.reads else None  # else nobody has to read them
        self._constant = {**self.values, "model_info": facts, "$dialects": plan.dialects, "$operation": self}

    def __repr__(self) -> str:
        return f"<Operation {self.name} of {self.provider}/{self.model}>"

    @property
    def model_info(self) -> Mapping[str, Any] | None:
        """Facts of the model (SPEC_LANGUAGE 10), read when first asked for; None for an unknown one."""
        if callable(self._model_info):
            self._model_info = self._model_info()
        return self._model_info

    @property
    def base_url(self) -> str:
        """Scheme, host and path prefix of this operation's calls."""
        if self._base_url is None:
            url = self.values.get("base_url") or self.plan.base_url(dict(self._constant))
            if not url:
                raise errors.ConfigError("no base URL: a variable in it has no value", provider=self.provider, operation=self.name)
            self._base_url = str(url).rstrip("/")
        return self._base_url

    def context(self, fields: Mapping[str, Any], report: Report, unsupported: str | None = None) -> dict[str, Any]:
        """The names templates see: the canonical request, provider variables, `model_info` and the engine's own."""
        plan = self.plan
        around = "chat_body" in plan.reads
        if around:
            context = self._around(fields, report, unsupported)
        else:
            if "extra" in fields and plan.native:
                fields = lifted(plan, fields)
            try:
                context = self._normal(fields)
            except errors.ConfigError as error:
                known = foreign(self.name, fields, error, plan, self._declared, report, unsupported or self.unsupported)
                if known is None:
                    raise
                context = self._normal(known)
        if "$warnings" in context:
            report.warnings += context.pop("$warnings")
        policy = unsupported or self.unsupported
        if not around:
            drop_unsupported(plan, context, report, policy, self._untaken)
        context.update(self._constant)
        if "model" not in context:
            context["model"] = self.model
        context["$report"] = report
        context["$now"] = self.clock()
        context["$uuid"] = Names(self.uuid)
        context["$unsupported"] = policy
        if plan.realtime is not None:
            from engine.call.socket import sounding

            sounding(plan, context)
        check_parts(plan, context, report)
        return context

    def _normal(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The canonical request."""
        plan = self.plan
        return normalize(
            self.name,
            fields,
            reads=plan.reads,
            part_reads=plan.part_reads,
            proofs=self._proofs,
            dialects=plan.dialects,
            native=plan.native,
        )

    def _around(self, fields: Mapping[str, Any], report: Report, unsupported: str | None) -> dict[str, Any]:
        """The fields of a request around `chat_body`: what this model's chat would send, and what goes into this call alone."""
        from engine.call.json import loads

        chat = self._chat() if self._chat is not None else None
        if chat is None:
            raise errors.ConfigError(f"{self.name} needs the chat of its provider")
        own = {name: fields[name] for name in _OUTER if name in fields}
        asked = {name: value for name, value in fields.items() if name not in _OUTER and name != "stream"}
        extra = fields.get("extra")
        if isinstance(extra, Mapping):  # what is beside the conversation, and what is in it
            own["extra"] = {dialect: value for dialect, value in extra.items() if dialect in self.plan.dialects}
            asked["extra"] = {dialect: value for dialect, value in extra.items() if dialect not in self.plan.dialects}
        context = chat.context(asked, report, unsupported)
        if chat._foreruns and needs_forerun(chat.plan, context):
            raise errors.UnsupportedError(f"{self.name} cannot fetch or upload what the request names; give the data itself")
        return {**own, "chat_body": loads(chat.build(context, report, unsupported).body or b"{}")}

    def render(self, **fields: Any) -> HttpRequest:
        """The HTTP request for these fields (SPEC_LANGUAGE 12.1), without credentials.

        `request.report` has the fate of every parameter. Raises UnsupportedError for what the spec cannot express and
        ConfigError for fields that make no sense; both before anything is sent.
        """
        request, _, _ = self.start(fields)
        if request is None:
            message = f"{self.name} must fetch or upload something before this request can be written; a client does that"
            raise self.place(errors.UnsupportedError(message))
        return request

    def start(self, fields: dict[str, Any]) -> tuple[HttpRequest | None, dict[str, Any], str | None]:
        """The request, or None where `engine.call.forerun` has something to get first; its context and policy."""
        policy = fields.pop("unsupported", None)
        report = Report()
        if self.name in HOLDERS:
            from engine.disk import opened

            fields = opened(fields)
        if fields.get("stream") and self.plan.stream is None:
            raise errors.UnsupportedError(f"{self.name} cannot be streamed", provider=self.provider, operation=self.name)
        try:
            context = self.context(fields, report, policy)
            waits = self._foreruns and needs_forerun(self.plan, context)
            return None if waits else self.build(context, report, policy), context, policy
        except errors.Error as error:
            raise self.place(error) from None
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError, OverflowError) as error:
            raise self.place(self._broken(error)) from None

    def build(self, context: dict[str, Any], report: Report, unsupported: str | None = None) -> HttpRequest:
        """The request for a context whose `before` values are known."""
        plan = self.plan
        streamed = plan.stream.call if context.get("stream") and plan.stream is not None else None
        base_url = self._base_url or self.base_url
        request = written(streamed or plan.call, context, base_url, plan, main=True, unsupported=unsupported or self.unsupported)
        if plan.realtime is not None:
            request.url = "ws" + request.url.removeprefix("http").removeprefix("ws")  # http: becomes ws:, https: wss:
        return request

    def read(self, status: int, headers: Mapping[str, str], body: bytes, request: HttpRequest | None = None) -> Response:
        """The answer in a whole reply. Raises the typed error a failed or unreadable reply stands for."""
        context = request.context if request is not None else None
        try:
            response = read_whole(self.plan, status, headers, body, context=context, now=self.clock(), model=self.model)
        except errors.Error as error:
            raise self.place(error) from None
        if request is not None and request.report is not None:
            response.report = request.report
            if request.report.warnings:
                response.warnings[:0] = request.report.warnings
        return response

    def reader(self, headers: Mapping[str, str] | None = None, request: HttpRequest | None = None) -> Reader:
        """A reader of a streamed reply: `feed(bytes)` gives events, `close()` the Response or the typed error."""
        from engine.call.reader import Reader

        if self.plan.stream is None:
            raise errors.UnsupportedError(f"{self.name} cannot be streamed", provider=self.provider, operation=self.name)
        context = request.context if request is not None else None
        return Reader(self.plan, headers or {}, context=context, now=self.clock(), model=self.model, masked=self._masked)

    def place(self, error: errors.Error) -> errors.Error:
        """An error with provider, model and operation filled in."""
        error.provider = error.provider or self.provider
        error.model = error.model or self.model
        error.operation = error.operation or self.name
        return self._masked(error)

    def _masked(self, error: errors.Error) -> errors.Error:
        """An error without this operation's secrets: providers echo keys, and nobody masks after a caller's own transport."""
        if not self.secrets:
            return error
        from engine.leaving import masked

        return masked(error, self.secrets.values())

    def near(self) -> str | None:
        """A known model that this one, if nothing is known of it, was probably meant to be."""
        return self._near() if self._near is not None else None

    def _broken(self, error: Exception) -> errors.Error:
        """A failure inside a compiled template, said in the author's terms."""
        from engine.expr.function import locate

        mark = locate(error)
        where = f"{mark}: " if mark else ""
        return errors.ConfigError(f"{where}the request could not be written: {type(error).__name__}: {error}")
