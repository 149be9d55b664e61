"""What would be sent: a request with its credentials masked, and the fate of every parameter. No network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.secret import MASK, Masker
from engine.types import HttpRequest, Report, _Plain

__all__ = ["Explanation", "explanation"]


@dataclass(slots=True)
class Explanation(_Plain):
    """A request as it would go out. `body` is parsed where it is JSON; `price` is the estimate in USD, None if unknown, and
    `notes` say what was estimated."""

    provider: str
    model: str
    operation: str
    dialect: str | None
    method: str
    url: str
    headers: dict[str, str]
    body: Any
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    price: Any = None


def explanation(
    operation: Any, request: HttpRequest, signed: HttpRequest | None, secrets: list[Any], notes: list[str], bill: Any = None
) -> Explanation:
    """Put together what is shown of a request. `signed` is None where signing was not possible without network or key."""
    from engine.leaving import added_secrets, masked_headers

    shown = signed or request
    masker = Masker([*secrets, *added_secrets(request, signed)])
    plain = shown.to_dict()
    report = request.report or Report()
    return Explanation(
        provider=operation.provider,
        model=operation.model,
        operation=operation.name,
        dialect=operation.plan.dialect,
        method=shown.method,
        url=masked_url(request.url, shown.url, masker),
        headers=masked_headers(shown.headers, request.headers, masker),
        body=masker.value(plain["body"]),
        parameters=report.parameters,
        warnings=report.warnings,
        notes=[*notes, f"price: {bill.note}"] if bill is not None else notes,
        price=bill.cost if bill is not None else None,
    )


def masked_url(unsigned: str, signed: str, masker: Masker) -> str:
    """The URL with its query, which matters to whoever debugs a request, but without what signing added to it."""

    if unsigned == signed:
        base, question, query = unsigned.partition("?")
        return masker.text(base) + question + masker.text(query)
    base, _, query = signed.partition("?")
    known = set(unsigned.partition("?")[2].split("&"))
    pairs = [p if p in known else f"{p.partition('=')[0]}={MASK}" for p in query.split("&") if p]
    return masker.text(base) + (f"?{'&'.join(pairs)}" if pairs else "")
