"""A routed call: asks the decision what to do, does it, and tells what came of it until there is an answer or nobody is left.

A generator over the steps of `engine.call.step`, as every call is: sync and async share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.call.flow import Call
from engine.call.step import Deliver, Flow, Wait
from engine.errors import Error, UnavailableError, UnsupportedError
from engine.reliability.deadline import Deadline
from engine.routing.calm import Calm, varies
from engine.routing.decide import LARGER, MOVES, Decision, decide
from engine.routing.guard import Account, guarded
from engine.several import SEVERAL, following, joined, pieces
from engine.types import Event

if TYPE_CHECKING:
    from engine.routing.desk import RoutingDesk
    from engine.routing.route import Route, Target
    from engine.types import Response
    from engine.watching import Watch

__all__ = ["Run"]

#: what a request is about: a target that would drop it is skipped, whatever the caller lets others drop
NEEDED = frozenset(("tools", "server_tools", "tool_choice", "response_format", "documents", "messages"))
KEPT = 64  # routes whose decision is remembered
MOST_STEPS = 200  # decisions of one call: nothing that is right comes near it


class _Named:
    """Who an error of a routed call is laid to when no target was asked."""

    provider = None
    model = None

    def __init__(self, name: str) -> None:
        self.name = name

    def near(self) -> None:
        return None


class Run:
    """One routed call. It stands where a Call stands when its error leaves; those of its targets were masked by then."""

    def __init__(
        self,
        desk: RoutingDesk,
        route: Route,
        operation: str,
        fields: dict[str, Any],
        stream: bool,
        account: Account,
        hints: Mapping[str, Any],
        restart: bool = False,
    ) -> None:
        self.desk = desk
        self.route = route
        self.name = operation
        self.stream = stream
        self.restart = restart
        self.account = account
        self.options = {name: fields.pop(name, None) for name in ("timeout", "attempts", "unsupported")}
        self.fields = fields
        limits = desk.limits_for(self.options["timeout"])
        self.limits = limits
        self.deadline = Deadline(desk._clock, limits.deadline)
        self.operation: Any = _Named(operation)
        self.attempts = self  # its records
        self.records: list[dict[str, Any]] = []
        self.pairs: list[Any] = []
        self.credentials: list[Any] = []
        self.tokens: list[Any] = []
        self.turn = desk.next_turn(route)
        self.ask = desk.ask(route, operation, fields, stream, hints)
        self.states: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []  # what every decision was made of, for the log
        self.refused: dict[str, str] = {}  # target -> why it cannot take this request
        self.sent: dict[str, int] = {}  # attempts by target
        self.possibly_billed = 0
        self.watch: Watch | None = None
        self.hedged: Call | None = None  # the winner of a race whose stream is being delivered
        self.lenient = False  # nobody can express everything: what a plain call would drop with a warning is dropped

    def flow(self) -> Flow:
        """The Response, or the error of the last target that was asked."""
        last: Error | None = None
        left = ""
        try:
            for _ in range(MOST_STEPS):
                decision = self.decided()
                if decision.action == "wait":
                    seconds = decision.seconds + self.desk._clock.random(0.0, min(1.0, 0.1 * decision.seconds))
                    yield Wait(min(seconds, max(0.0, self.deadline.left())))
                    continue
                if decision.action == "refuse" and self._lenient():
                    continue
                if decision.action == "refuse" or decision.chosen is None or len(self.records) >= self.limits.call_attempts:
                    break
                if self.watch is not None and last is not None and left != decision.chosen:
                    reason = decision.reasons.get(decision.chosen, "")
                    self.watch("fallback", {"target": decision.chosen, "left": left, "after": last.kind, "reason": reason})
                try:
                    response = yield from self._asked(decision)
                except Error as error:
                    last, left = error, decision.chosen
                    if not self._goes_on(error, decision.chosen):
                        raise
                    continue
                self._told(response, decision)
                return response
            raise self.nobody(decision, last)
        finally:
            self.desk.log(self)

    # --- one decision -----------------------------------------------------------------------------------------------

    def decided(self) -> Decision:
        """What to do now, by what is known now."""
        desk, ask = self.desk, self.ask
        limited = desk._gate is not None and desk._gate.limiter is not None
        first = not (self.steps or limited or desk.logs(self) or varies(self.route, ask))
        key = (id(self.route), self.name, self.stream)
        if first and (calm := desk.calm.get(key)) is not None and calm.route is self.route and calm.holds(ask, desk._targets):
            self.steps.append({"decision": calm.decision})
            return calm.decision
        now = desk._clock.monotonic()
        ask["max_wait"] = round(max(0.0, min(self.limits.max_wait, self.deadline.left() - 1)), 3)
        self.states = desk.states(self.route, self.name, ask, self.refused, now)
        draws = [0.5] * len(self.states)
        if "weighted" in self.route.policy:
            draws = [round(desk._clock.random(0.0, 1.0), 6) for _ in draws]
        made = decide(self.route.policy, ask, self.states, self.turn, draws)
        step: dict[str, Any] = {"decision": made}
        if desk.logs(self):
            step.update(ask={**ask, "tried": ask["tried"][:]}, states=self.states, draws=draws)
        self.steps.append(step)
        if first:
            calm = Calm(self.route, self.name, self.states, made)
            if calm.holds(ask, desk._targets):
                if len(desk.calm) >= KEPT:
                    desk.calm.clear()
                desk.calm[key] = calm
        return made

    def _asked(self, decision: Decision) -> Flow:
        """Ask the chosen target: its Response, or its error as it would leave a plain call."""
        target = next(t for t in self.route.every if t.model == decision.chosen)
        started, shown = len(self.records), False
        call: Call | None = None
        problem: Error
        try:
            if self.name in SEVERAL:
                response = yield from self._several(target, decision)
            else:
                call = self.call(target, decision, dict(self.fields))
                response = yield from self._one(call, decision)
            return response
        except Error as error:
            if call is not None:
                shown = (self.hedged or call).attempts.shown
                self.possibly_billed += call.attempts.possibly_billed
            problem = self.desk.told(error, call)
        finally:
            reason = decision.reasons.get(target.model, "")
            for record in self.records[started:]:
                record.setdefault("reason", reason)
            self.sent[target.model] = self.sent.get(target.model, 0) + len(self.records) - started
        problem.attempts = self.records
        problem.possibly_billed = self.possibly_billed
        if shown:
            if not self.restart:
                self.ask["cut"] = True
            else:
                yield Deliver([Event("restarted", {})])
        raise problem

    def _one(self, call: Call, decision: Decision) -> Flow:
        if self.route.hedge and len(decision.order) > 1 and decision.action == "try" and call.attempts.replay == "safe":
            from engine.routing.hedge import hedged

            return (yield from hedged(self, call, decision))
        return (yield from self.guarded(call, decision.action == "probe", len(decision.order) + len(decision.skipped) == 1))

    def guarded(self, call: Call, probe: bool = False, alone: bool = False) -> Flow:
        """A call behind its limits, budgets and breaker."""
        limited = self.options["timeout"] is not None
        work = self.desk.work(call, call.attempts.target, self.stream, self.restart, limited)
        flow = guarded(self.desk._gate, call, work, self.account, alone=alone, probe=probe)
        cache = self.desk._cache
        return flow if cache is None else cache.around(call, flow, self.stream, self.account)

    def _several(self, target: Target, decision: Decision) -> Flow:
        """Inputs past the limit of one request, or pages: one exchange after another, all with this target."""
        bound = self.desk._target(target.model, self.name, target.dialect).operation
        answers: list[Response] = []
        asked = pieces(bound, self.fields)
        page: dict[str, Any] | None = asked[0]
        while page is not None:
            call = self.call(target, decision, dict(page))
            try:
                answers.append((yield from self.guarded(call, decision.action == "probe")))
            except Error as error:
                raise self.desk.told(error, call) from None
            if len(asked) > 1:
                page = asked[len(answers)] if len(answers) < len(asked) else None
            else:
                page = following(bound, page, answers)
        return joined(answers)

    def call(self, target: Target, decision: Decision, fields: dict[str, Any]) -> Call:
        """The call to a target, with what is left of the time and of the attempts. Raises UnsupportedError, ConfigError."""
        if target.dialect is not None:
            fields["dialect"] = target.dialect
        strict = self.options["unsupported"] or ("error" if not self.lenient else self.desk._unsupported)
        call = self.desk._prepare(self.name, target.model, {**fields, "unsupported": strict}, self.stream)
        report = (call.context or {}).get("$report")
        lost = [n for n, told in (report.parameters if report else {}).items() if told["fate"] == "dropped" and n in NEEDED]
        if lost:  # skipped, never degraded (RELIABILITY F1)
            raise UnsupportedError(f"{self.name} cannot express `{lost[0]}`", provider=call.operation.provider, param=lost[0])
        run = call.attempts
        run.records = self.records
        run.deadline = self.deadline
        most = self.options["attempts"] or target.attempts or max(1, self.limits.call_attempts // len(self.route.targets))
        others = len(decision.order) > 1
        left = 1 if decision.action == "probe" else max(1, min(run.limits.attempts, most) - self.sent.get(target.model, 0))
        run.limits = run.limits.narrowed(left, 0.0 if others else run.limits.max_wait)  # who is told to wait asks another one
        self.operation = call.operation
        if self.watch is not None:
            self.watch.follows(call)
        return call

    # --- what came of it --------------------------------------------------------------------------------------------

    def _goes_on(self, error: Error, target: str) -> bool:
        """May another target be asked after this error? What the decision reads is noted."""
        ask, kind = self.ask, error.kind
        if ask.get("cut") or self.deadline.left() <= 1:
            return False
        ask["after"] = kind
        if kind == "unsupported" and not error.attempts:
            self.refused[target] = f"it cannot express this: {error.message}"
        if not self.states:  # it was decided before
            self.states = self.desk.states(self.route, self.name, ask, self.refused, self.desk._clock.monotonic())
        state = next(s for s in self.states if s["target"] == target)
        if kind in LARGER:
            ask["window"], ask["long"] = state.get("context"), True
        elif kind == "content_filter":
            if self.route.unfiltered is False:
                return False
            ask["filtered"], ask["open"] = True, self.route.unfiltered is True
        elif kind not in MOVES:
            return False
        if kind in ("authentication", "permission") and self.watch is not None:
            self.watch("key_refused", {"target": target, "kind": kind})
        passes = kind in ("unsupported", "rate_limit")  # its state says so, or until when
        passes = passes or (kind == "local_limit" and error.code not in ("budget", "ledger"))
        if not passes or self.sent.get(target, 0) >= self.limits.attempts:
            ask["tried"].append(target)
        return True

    def _lenient(self) -> bool:
        """Ask once more, without what no target can express, if that is what a plain call would do."""
        if self.lenient or not self.refused or self.options["unsupported"] or self.desk._unsupported == "error":
            return False
        self.lenient = True
        self.refused.clear()
        self.ask["after"] = None
        return True

    def nobody(self, decision: Decision, last: Error | None) -> Error:
        """The error of a call that found nobody to ask any more."""
        if last is not None:
            return last
        told = "; ".join(f"{target}: {why}" for target, why in decision.skipped.items())
        if decision.seconds or not decision.skipped:
            error: Error = UnavailableError(f"no target of {self.route.name} can be asked now: {told}")
            error.retry_after = round(decision.seconds, 3) or None
            return error
        return UnsupportedError(f"no target of {self.route.name} can do this: {told}")

    def _told(self, response: Response, decision: Decision) -> None:
        """The answer's report: every attempt with its reason and cost, and how the choice came about."""
        report = response.report
        last = next((record for record in reversed(self.records) if record["kind"] == "ok"), None)
        pending = report._pending
        if last is not None and pending is not None and pending.made is None and not self.desk.logs(self):
            pending.charged = (self.records, last)
            del report.attempts  # made with the bill, when somebody looks
        else:
            if last is not None:
                cost = response.cost
                last["cost"] = None if cost is None else str(cost)
            report.attempts = self.records
        skipped: dict[str, str] = {}
        for step in self.steps:
            skipped.update(step["decision"].skipped)
        chosen = last["target"] if last is not None else decision.chosen
        skipped.pop(str(chosen), None)
        report.route = {
            "name": self.route.name,
            "policy": list(self.route.policy),
            "chosen": chosen,
            "reasons": dict(decision.reasons),
            "skipped": skipped,
        }
        if self.ask.get("language"):
            report.route["language"] = self.ask["language"]
        if self.ask.get("task"):
            report.route["task"] = self.ask["task"]
