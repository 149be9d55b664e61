"""The catalog: finds spec files, compiles what is asked for when it is first asked for, and keeps it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, NotFoundError, SpecError, UnsupportedError
from engine.files import BUILTIN, Entry, Files, Remote, remote
from engine.ownership import Ownership
from engine.plan import OperationPlan, ProviderPlan, Served, Webhooks
from engine.spec.node import Chains, Mark, Node
from engine.spec.problem import Problem, Problems, nearest
from engine.vocabulary import MODELLESS

if TYPE_CHECKING:
    from engine.accounting.facts import Facts
    from engine.expr.shelf import Shelf
    from engine.operation import Operation

__all__ = ["BUILTIN", "Catalog", "Remote", "remote"]


class Catalog:
    """All specs that can be reached: the packaged ones and what the caller added. Shareable between threads."""

    def __init__(self, extra: Iterable[Any] = (), override: Iterable[str] = (), findings: Problems | None = None) -> None:
        """`extra`: paths, mappings and `remote` specs; `override`: ids that may replace packaged ones.

        With `findings` the loader's are collected there, where a tree can be used in spite of them, instead of raised.
        """
        self.files = Files(override, findings)
        self._lock = self.files.lock
        self._bases: dict[str, Node] = {}  # with `extends` resolved; kept, because patches are told apart by identity
        self._plans: dict[str, ProviderPlan] = {}
        self._webhooks: dict[str, Webhooks] = {}
        self._operations: dict[tuple[Any, ...], OperationPlan] = {}
        self._warnings: dict[tuple[Any, ...], tuple[Problem, ...]] = {}
        self._served: dict[tuple[str, str | None], Served] = {}
        self.chains = Chains()  # dialects laid over one another
        self._examples: dict[str, list[tuple[Any, Mark]]] = {}
        self._shelf: Shelf | None = None
        self._aliases: dict[str, str] | None = None
        self._ownership = Ownership(self.files)
        self._unowned: set[str] = set()  # ids that are known to be nobody's alias
        self._facts: Facts | None = None
        self.files.scan(BUILTIN, "builtin")
        for source in [*_environment_paths(), *extra]:
            self.files.add(source)

    # --- what there is ----------------------------------------------------------------------------------------------

    def provider_ids(self) -> list[str]:
        """Ids of all providers, sorted."""
        return sorted(self.files.entries["providers"])

    def dialect_ids(self) -> list[str]:
        """Ids of all dialects, sorted."""
        return sorted(self.files.entries["dialects"])

    def provider(self, id: str) -> Node | None:
        """The raw tree of a provider's file."""
        return self.files.node("providers", id)

    def dialect(self, id: str) -> Node | None:
        """The raw tree of a dialect's file."""
        return self.files.node("dialects", id)

    def trust(self, id: str) -> str:
        """builtin, local or remote."""
        entry = self.files.entries["providers"].get(id)
        return entry.trust if entry else "builtin"

    def _allowed(self, id: str) -> tuple[str, ...] | None:
        """The hosts the caller lets a remote spec reach; None for one he trusts."""
        entry = self.files.entries["providers"].get(id)
        return entry.hosts if entry is not None and entry.trust == "remote" else None

    def path(self, kind: str, id: str) -> Path | None:
        """The file of a provider or dialect; None for one handed in as text or mapping."""
        return self.files.path(kind, id)

    def text(self, file: str) -> str | None:
        """The source text behind a mark, for messages that show it."""
        return self.files.text(file)

    def plan(self, provider: str) -> ProviderPlan:
        """Who a provider is: identity, secrets, variables, the names of its operations."""
        provider = self.resolve(provider)
        with self._lock:
            found = self._plans.get(provider)
            if found is None:
                from engine.spec.compile.provider import provider_plan

                problems = Problems()
                found = provider_plan(provider, self.tree(provider), problems, self.trust(provider), self._allowed(provider))
                found = self._without_foreign_keys(found)
                if problems.errors:
                    raise SpecError(problems.sorted(), provider=provider)
                self._plans[provider] = found
            return found

    def webhooks(self, provider: str, problems: Problems | None = None) -> Webhooks:
        """How a provider's webhooks are verified. UnsupportedError if his file does not say; with `problems` errors go there."""
        from engine.spec.compile.webhooks import compile_webhooks

        provider = self.resolve(provider)
        with self._lock:
            found = self._webhooks.get(provider)
            if found is None:
                told = problems if problems is not None else Problems()
                found = compile_webhooks(self.plan(provider), self.tree(provider), told)
                if found is None and told.errors and problems is None:
                    raise SpecError(told.sorted(), provider=provider)
                if found is None:
                    raise UnsupportedError(f"the file of {provider} does not say how its webhooks are verified", provider=provider)
                self._webhooks[provider] = found
            return found

    def resolve(self, name: str) -> str:
        """A provider's id from its id or one of its aliases. Raises NotFoundError with the nearest id."""
        entry = self.files.entries["providers"].get(name)
        if entry is not None:
            if entry.trust != "builtin":
                self._refuse_alias(entry)
            return name
        aliases = self.aliases()
        if name in aliases:
            return aliases[name]
        near = nearest(name, [*self.files.entries["providers"], *aliases])
        hint = f"; did you mean `{near}`?" if near else ""
        raise NotFoundError(f"no provider `{name}` in the catalog{hint}")

    def split(self, target: str, modelless: bool = False) -> tuple[str, str | None, str]:
        """`provider:variant/model` in its three pieces; the first `/` ends the provider. `modelless`: a bare provider will do."""
        head, slash, model = target.partition("/")
        if not model and (slash or not modelless):
            raise ConfigError(f"a model is named provider/model, not `{target}`")
        provider, _, variant = head.partition(":")
        return self.resolve(provider), variant or None, model

    # --- trees and plans --------------------------------------------------------------------------------------------

    def tree(self, provider: str, model: str | None = None, variant: str | None = None) -> Node:
        """A provider's tree with `extends` resolved and the patches of a model and a variant applied to its own keys.

        Operations stay patches over their dialects. Raises SpecError with every finding.
        """
        problems = Problems()
        found = self._base(provider, problems)
        if found is not None and (model is not None or variant is not None):
            from engine.spec.extend import matching_patches, patched

            found = patched(found, matching_patches(found, model, variant), problems, self.chains.node)
        if problems.errors or found is None:
            raise SpecError(problems.sorted() or f"no provider `{provider}`", provider=provider)
        return found

    def _refuse_alias(self, entry: Entry) -> None:
        """A name that packaged providers go by is theirs, whatever file is called so."""
        if entry.id not in self._unowned:
            owner = None if entry.id in self.files.override else self._ownership.alias_owner(entry.id)
            if owner is not None:
                message = f"`{entry.id}` is another name of the packaged provider {owner}; pass override=[{entry.id!r}] to use it"
                raise ConfigError(message, provider=entry.id)
            self._unowned.add(entry.id)

    def _without_foreign_keys(self, who: ProviderPlan) -> ProviderPlan:
        """A spec that inherits a packaged provider's key but not its hosts gets no key from the environment (RELIABILITY A2)."""
        if who.trust != "local" or not self._ownership.moved(who.id):
            return who
        kept = [replace(s, env=tuple(e for e in s.env if not self._ownership.owners(e) - {who.id})) for s in who.secrets]
        return replace(who, secrets=tuple(kept))

    def _base(self, provider: str, problems: Problems) -> Node | None:
        from engine.spec.extend import provider_tree

        with self._lock:
            found = self._bases.get(provider)
            if found is None:
                before = len(problems.errors)
                found = provider_tree(self, provider, problems)
                if self.trust(provider) == "local":
                    self._ownership.check(provider, problems)
                if found is not None and len(problems.errors) == before:
                    self._bases[provider] = found
            return found

    def compile(
        self, provider: str, operation: str, model: str = "", variant: str | None = None, problems: Problems | None = None
    ) -> OperationPlan | None:
        """The compiled operation for a model; one per distinct combination of patches.

        With `problems` findings are collected there and None stands for a spec that has errors; without, they raise.
        """
        from engine.spec.extend import matching_patches, relevant

        collected = problems if problems is not None else Problems()
        before = len(collected.errors)
        with self._lock:
            base = self._base(provider, collected)
            patches = matching_patches(base, model, variant) if base is not None else ()
            patches = relevant(patches, operation)
            key = (provider, operation, tuple(id(p) for p in patches))
            found = self._operations.get(key)
            if found is not None:
                collected.extend(self._warnings[key])
            elif base is not None and len(collected.errors) == before:
                start = len(collected)
                lazily = problems is None and self.trust(provider) == "builtin"
                found = self._compile(provider, operation, base, patches, collected, lazily)
                if found is not None:
                    self._operations[key] = found
                    self._warnings[key] = tuple(collected[start:])
        if problems is None and (collected.errors or found is None):
            raise SpecError(collected.sorted() or f"{provider} has no {operation}", provider=provider)
        return found

    def _compile(
        self, provider: str, operation: str, base: Node, patches: tuple[Node, ...], problems: Problems, lazily: bool
    ) -> OperationPlan | None:
        from engine.spec.compile.operation import compile_operation
        from engine.spec.compile.provider import shelved_plan
        from engine.spec.extend import operation_tree, patched

        root = patched(base, patches, problems, self.chains.node) if patches else base
        tree, dialects = operation_tree(self, base, operation, patches, problems)
        if tree is None:
            return None
        who = shelved_plan(self.shelf, provider, root, problems, self.trust(provider), self._allowed(provider))
        return compile_operation(who, root, operation, tree, dialects, problems, self.shelf, lazily)

    @property
    def shelf(self) -> Shelf:
        """What was compiled, for all providers that inherit it unchanged."""
        if self._shelf is None:
            from engine.expr.shelf import Shelf

            self._shelf = Shelf()
        return self._shelf

    def served(self, dialect: str, provider: str | None = None) -> Served:
        """A dialect spoken as a server; with a provider, as its patches have it. Compiled when first asked for.

        Raises NotFoundError for an unknown dialect, UnsupportedError for one that has no `serve`, SpecError for a wrong one.
        """
        with self._lock:
            found = self._served.get((dialect, provider))
            if found is None:
                from engine.spec.compile.serve import served

                found = self._served[dialect, provider] = served(self, dialect, provider)
            return found

    def operation(
        self,
        target: str,
        operation: str = "chat",
        *,
        settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        dialect: str | None = None,
        require_secrets: bool = False,
        unsupported: str = "warn",
    ) -> Operation:
        """An operation bound to a model: `operation("groq/llama-3.3-70b-versatile", "chat")`.

        `settings` are the provider's secrets, variables, `base_url`; the rest comes from `environ` (default: the process
        environment, builtin and local specs only). With `dialect` the variant that speaks it is picked. Raises ConfigError
        for settings that do not fit and UnsupportedError if the provider has no such operation.
        """
        from engine.operation import Operation
        from engine.settings import bind
        from engine.spec.compile.parameters import declared

        provider, variant, model = self.split(target, operation in MODELLESS)
        if dialect is not None:
            variant = self._variant_for(provider, operation, model, variant, dialect)
        plan = self.compile_checked(provider, operation, model, variant)
        who = self.plan(provider)
        bound = bind(who, settings or {}, os.environ if environ is None else environ, require_secrets=require_secrets)
        base_model = (settings or {}).get("base_model") or model
        return Operation(
            plan,
            who,
            model,
            values=bound.values,
            secrets=bound.secrets,
            known_as=str(base_model),
            variant=variant,
            model_info=lambda: self.facts.of(provider, str(base_model), variant),
            near=lambda: self._near(provider, str(base_model)),
            declared=lambda name: declared(self, self._bases.values(), operation, name),
            chat=lambda: self.operation(
                target, settings=settings, environ=environ, dialect=plan.chat_dialect, require_secrets=require_secrets
            ),
            unsupported=unsupported,
        )

    def compile_checked(self, provider: str, operation: str, model: str, variant: str | None) -> OperationPlan:
        """Like `compile`, with clear errors for a provider that cannot do it."""
        from engine.spec.extend import matching_patches, operation_names

        who = self.plan(provider)
        base = self.tree(provider)
        if operation not in operation_names(base, matching_patches(base, model, variant)):
            reason = who.status_note.get("reason")
            if who.status in ("discontinued", "private") and not who.operations:
                instead = ", ".join(who.status_note.get("instead") or ())
                why, turn_to = (f": {reason}" if reason else ""), (f"; use {instead}" if instead else "")
                message = f"{who.name} is {who.status}{why}{turn_to}"
                raise UnsupportedError(message, provider=provider, operation=operation)
            raise UnsupportedError(f"{who.name} has no {operation}; it has {', '.join(who.operations)}", provider=provider)
        found = self.compile(provider, operation, model, variant)
        assert found is not None
        return found

    def _variant_for(self, provider: str, operation: str, model: str, variant: str | None, dialect: str) -> str | None:
        for candidate in dict.fromkeys([variant, None, *self.plan(provider).variants]):
            try:
                if dialect in self.compile_checked(provider, operation, model, candidate).dialects:
                    return candidate
            except UnsupportedError:
                continue
        raise UnsupportedError(f"{provider} does not speak {dialect} for {operation}", provider=provider, operation=operation)

    def capabilities(self, provider: str, operation: str = "chat", model: str = "", variant: str | None = None) -> dict[str, Any]:
        """flag -> true, false or "partial"; a flag that is absent is unknown."""
        found = self.compile(provider, operation, model or self.plan(provider).default_model or "", variant)
        return dict(found.capabilities) if found else {}

    @property
    def facts(self) -> Facts:
        """Facts of models; nothing is read before a model is asked for."""
        if self._facts is None:
            from engine.accounting.facts import Facts

            with self._lock:
                self._facts = self._facts or Facts(self.files)
        return self._facts

    def _near(self, provider: str, model: str) -> str | None:
        try:
            return self.facts.near(provider, model)
        except SpecError:  # a hint that cannot be given is none
            return None

    def model_info(self, provider: str, model: str) -> dict[str, Any] | None:
        """Facts of a model (SPEC_LANGUAGE 10), or None."""
        return self.facts.of(self.resolve(provider), model)

    def models(self, provider: str) -> dict[str, dict[str, Any]]:
        """Facts of every known model of a provider, by id."""
        return self.facts.all(self.resolve(provider))

    # --- examples ---------------------------------------------------------------------------------------------------

    def example_file(self, kind: str, id: str) -> Node | None:
        """`<id>.examples.yaml` beside a spec."""
        return self.files.examples(kind, id)

    def plain_examples(self, dialect: str) -> list[tuple[Any, Mark]]:
        """The examples of a dialect as plain data, each with its place; shared by all who inherit them."""
        if dialect not in self._examples:
            from engine.examples.cases import dialect_examples

            self._examples[dialect] = [(example.plain(), example.mark) for example in dialect_examples(self, dialect)]
        return self._examples[dialect]

    def example_names(self, dialect: str) -> set[str]:
        """The names of a dialect's examples."""
        return {str(example["name"]) for example, _ in self.plain_examples(dialect) if example.get("name") is not None}

    def label(self, path: Path) -> str:
        """How messages name a file: relative to the packaged catalog's parent where it lies there."""
        return self.files.label(path)

    def aliases(self) -> dict[str, str]:
        """Other names of providers, to their ids. A file that cannot be read has none."""
        if self._aliases is None:
            table: dict[str, str] = {}
            for id in sorted(self.provider_ids(), key=lambda id: self.trust(id) != "builtin"):  # packaged ones have the first say
                try:
                    node = self.provider(id) if self.files.may_say("providers", id, "aliases") else None
                except SpecError:
                    continue
                names = node.get("aliases") if node is not None else None
                for alias in names.value if names is not None and names.is_list else ():
                    table.setdefault(str(alias.value), id)
            self._aliases = table
        return self._aliases


def _environment_paths() -> list[str]:
    return [p for p in os.environ.get("LLMKIT_CATALOG", "").split(os.pathsep) if p]
