"""Choosing models by their facts. A model whose facts do not say it fits does not fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.accounting.price import CLASSES, amount
from engine.errors import ConfigError
from engine.vocabulary import CAPABILITIES, OPERATIONS

if TYPE_CHECKING:
    from engine.catalog import Catalog

__all__ = ["gone", "rates", "select"]

_MODALITIES = ("text", "image", "audio", "video", "pdf", "embedding", "scores")


def select(
    catalog: Catalog,
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
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`provider/model`, facts) of every model that fits, by provider and id.

    `context` is the least window in tokens, `price` the most USD per million input tokens, or {class: most}; `deprecated`
    False leaves out what its vendor gave up or will not serve any more today, True shows nothing else; `search` is a piece of
    the name. With `live`, the `models` of the provider's answer to `list_models`, only what he lists now, with what he says
    of it over the facts. Raises ConfigError for a word that is none.
    """
    wanted_in = _words(input, _MODALITIES, "modality")
    wanted_out = _words(output, _MODALITIES, "modality")
    flags = _words(capability, CAPABILITIES, "capability")
    operations = _words(operation or (), OPERATIONS, "operation")
    most = (
        {} if price is None else {k: amount(v, k) for k, v in (price if isinstance(price, Mapping) else {"input": price}).items()}
    )
    _words(most, CLASSES, "class of a price")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    tests: list[Callable[[dict[str, Any]], Any]] = []
    if operations:
        tests.append(lambda facts: operations <= set(facts.get("operations") or ()))
    if wanted_in:
        tests.append(lambda facts: wanted_in <= set(facts.get("input") or ()))
    if wanted_out:
        tests.append(lambda facts: wanted_out <= set(facts.get("output") or ()))
    if flags:
        tests.append(lambda facts: all((facts.get("capabilities") or {}).get(flag) for flag in flags))
    if context is not None:
        tests.append(lambda facts: (facts.get("context") or facts.get("max_input") or 0) >= context)
    if most:
        tests.append(lambda facts: _cheap(rates(facts, today), most))
    if deprecated is not None:
        tests.append(lambda facts: gone(facts, today) == deprecated)
    piece = (search or "").lower()
    if live is not None and provider is None:
        raise ConfigError("a live list is of one provider: name it")
    for id in [catalog.resolve(provider)] if provider is not None else catalog.provider_ids():
        for model, facts in catalog.facts.all(id).items() if live is None else _listed(catalog, id, live):
            if (not piece or piece in model.lower()) and all(test(facts) for test in tests):
                yield f"{id}/{model}", facts


def _listed(catalog: Catalog, provider: str, live: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id, facts) of what a provider lists; of a model that only he knows there is what he says."""
    for model in live:
        said = {name: value for name, value in model.fields.items() if name not in ("id", "raw") and value is not None}
        yield str(model.id), {**(catalog.facts.of(provider, str(model.id)) or {}), **said}


def gone(facts: Mapping[str, Any], today: str) -> bool:
    """Is a model deprecated or past the day it retires?"""
    retires, deprecated = facts.get("retires"), facts.get("deprecated")
    return deprecated is True or bool(deprecated and deprecated <= today) or bool(retires and retires <= today)


def rates(facts: Mapping[str, Any], today: str) -> Mapping[str, Any]:
    """The price that holds today, as written; empty if none is known."""
    found = facts.get("price") or {}
    if isinstance(found, list):
        held = [p for p in found if str(p.get("valid_from") or "") <= today]
        found = max(held, key=lambda p: str(p.get("valid_from") or ""), default={})
    return found


def _cheap(known: Mapping[str, Any], most: Mapping[str, Decimal]) -> bool:
    return all(name in known and amount(known[name], name) <= limit for name, limit in most.items())


def _words(given: str | Iterable[str], known: Iterable[str], what: str) -> set[str]:
    """A word or several, each of a closed list."""
    words = {given} if isinstance(given, str) else set(given)
    for word in words:
        if word not in known:
            from engine.spec.problem import nearest

            near = nearest(word, known)
            raise ConfigError(f"`{word}` is no {what}" + (f"; did you mean `{near}`?" if near else ""))
    return words
