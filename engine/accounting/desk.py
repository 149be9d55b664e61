"""What both clients say of models and of money, without a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.accounting.bill import Bill
    from engine.accounting.book import PriceBook, Seller
    from engine.catalog import Catalog
    from engine.operation import Operation

__all__ = ["Desk", "estimate"]


class Desk:
    """Facts and prices of a client's catalog, with the caller's own prices on top."""

    _prices: Any = None
    _book: PriceBook | None = None
    if TYPE_CHECKING:

        @property
        def catalog(self) -> Catalog: ...

    def models(
        self,
        provider: str | None = None,
        *,
        operation: str | None = None,
        input: str | Iterable[str] = (),
        output: str | Iterable[str] = (),
        capability: str | Iterable[str] = (),
        context: int | None = None,
        price: Any = None,
        deprecated: bool | None = None,
        search: str | None = None,
        live: Iterable[Any] | None = None,
    ) -> list[str]:
        """Names of the models the catalog has facts of, as `provider/model`. Others work too: they just have no facts.

        Only those that fit: modalities (`input`, `output`), `capability`, at least `context` tokens, at most `price` USD per
        million input tokens (or {class: most}), `deprecated` (False: served today), `search` (a piece of the name). With
        `live=client.list_models("groq").models` of what the provider lists now; what he says of a model goes before the facts.
        """
        from engine.accounting.selection import select

        chosen = select(
            self.catalog, provider, operation=operation, input=input, output=output, capability=capability, context=context,
            price=price, deprecated=deprecated, search=search, live=live,
        )  # fmt: skip
        return [name for name, _ in chosen]

    def model(self, name: str) -> dict[str, Any] | None:
        """The facts of `provider/model` (SPEC_LANGUAGE 10), or None. They are the catalog's own: do not change them."""
        provider, variant, model = self.catalog.split(name)
        return self.catalog.facts.of(provider, model, variant)

    def price(
        self,
        model: str,
        usage: Mapping[str, Any] | Any = None,
        *,
        operation: str = "chat",
        batch: bool = False,
        service_tier: str | None = None,
        region: str | None = None,
        at: float | None = None,
        **request: Any,
    ) -> Bill:
        """What a usage costs (fields of `answer.usage`), or, without one, about what a request will: nothing is sent.

        `client.price("openai/gpt-5-mini", {"input_tokens": 900, "output_tokens": 200}).cost`;
        `client.price("openai/gpt-5-mini", messages="…", max_tokens=500)` counts characters and says `estimated`. `at` is the
        time of the call in epoch seconds (prices change). A price that is not known is None, with a note.
        """
        bound: Operation = self.operation(model, operation)
        seller = self._seller(bound)
        terms: dict[str, Any] = {"batch": batch, "tier": service_tier}
        if region is not None:
            terms["region"] = region
        if usage is None:
            if not request:
                raise ConfigError("a price is asked for a usage or for the fields of a request")
            _, context, _ = bound.start(request)
            return estimate(seller, context, at, **terms)
        if request:
            raise ConfigError(f"a price is asked for a usage or for a request, not both: {', '.join(request)}")
        return seller.bill(_usage(usage), at, **terms)

    def operation(self, model: str, operation: str = "chat", *, dialect: str | None = None) -> Operation:
        """The compiled operation of a model."""
        raise NotImplementedError

    def _seller(self, operation: Operation) -> Seller:
        from engine.accounting.book import PriceBook, Seller

        if self._book is None:
            self._book = PriceBook(self.catalog.facts, self._prices)
        return Seller(self._book, operation)


def estimate(seller: Seller, context: Mapping[str, Any], at: float | None = None, **terms: Any) -> Bill:
    """About what a canonical request will cost: its input, and its output if that is as long as it may be."""
    from engine.accounting.estimate import input_tokens
    from engine.types import Usage

    tokens, most = input_tokens(context), context.get("max_tokens") or context.get("max_completion_tokens")
    known = isinstance(most, int) and not isinstance(most, bool) and most > 0
    made = seller.bill(Usage(input_tokens=tokens, output_tokens=most if known else 0), at, **terms)
    made.estimated = True
    said = f"about {tokens} input tokens, estimated from the number of characters; "
    said += f"at most {most} output tokens" if known else "the output comes on top: there is no max_tokens"
    made.note = f"{said}; {made.note}" if made.note else said
    return made


def _usage(given: Any) -> Any:
    from engine.call.counts import counter
    from engine.types import Usage

    if isinstance(given, Usage):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError("a usage is a mapping of counters such as {input_tokens: 900, output_tokens: 200}")
    names = [f.name for f in fields(Usage)]
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in names:
            from engine.spec.problem import nearest

            near = nearest(str(name), names)
            raise ConfigError(f"`{name}` is no counter of a usage" + (f"; did you mean `{near}`?" if near else ""))
        found[name] = None if value is None else counter(name, value)
        if value is not None and found[name] is None:
            raise ConfigError(f"{name} must be a number from 0 to 10**9, not {value!r}")
    return Usage(**found)
