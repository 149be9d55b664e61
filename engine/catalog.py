"""The catalog: finds spec files, compiles what is asked for when it is first asked for, and keeps it.

Three doors, three levels of trust (RELIABILITY A1): packaged files are `builtin`; paths and mappings the caller hands in
are `local`; `remote(text, hosts=[…])` is for a stranger's text. A file that shadows a packaged name is refused unless
its id is listed in `override`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, NotFoundError, SpecError, UnsupportedError
from engine.plan import OperationPlan, ProviderPlan
from engine.spec.node import Node, node_of
from engine.spec.problem import Problem, Problems, nearest

if TYPE_CHECKING:
    from engine.operation import Operation

_PACKAGED = Path(__file__).parent / "_data" / "catalog"
BUILTIN = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "catalog"
MODEL_FACTS_LIMIT = 1024 * 1024  # bytes; other spec files: 256 KiB


@dataclass(frozen=True, slots=True)
class Remote:
    """A spec from a stranger: text or a mapping, its id, and the hosts the caller allows it to reach."""

    id: str
    source: str | Mapping[str, Any]
    hosts: tuple[str, ...] = ()


def remote(source: str | Mapping[str, Any], *, id: str, hosts: Sequence[str] = ()) -> Remote:
    """Hand in an untrusted provider spec; nothing is read from the environment for it and only `hosts` can be reached."""
    return Remote(id, source, tuple(hosts))


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    trust: str
    path: Path | None = None
    data: Any = None
    hosts: tuple[str, ...] = ()


class Catalog:
    """All specs that can be reached: the packaged ones and what the caller added. Shareable between threads."""

    def __init__(self, extra: Iterable[Any] = (), override: Iterable[str] = ()) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, dict[str, _Entry]] = {"providers": {}, "dialects": {}, "models": {}}
        self._nodes: dict[tuple[str, str], Node | None] = {}
        self._bases: dict[str, Node] = {}  # with `extends` resolved; kept, because patches are told apart by identity
        self._texts: dict[str, str] = {}
        self._plans: dict[str, ProviderPlan] = {}
        self._operations: dict[tuple[Any, ...], OperationPlan] = {}
        self._aliases: dict[str, str] | None = None
        self._facts: dict[str, Any] = {}
        self._override = frozenset(override)
        self._scan(BUILTIN, "builtin")
        for source in [*_environment_paths(), *extra]:
            self._add(source)

    # --- what there is ----------------------------------------------------------------------------------------------

    def provider_ids(self) -> list[str]:
        """Ids of all providers, sorted."""
        return sorted(self._entries["providers"])

    def dialect_ids(self) -> list[str]:
        """Ids of all dialects, sorted."""
        return sorted(self._entries["dialects"])

    def provider(self, id: str) -> Node | None:
        """The raw tree of a provider's file."""
        return self._node("providers", id)

    def dialect(self, id: str) -> Node | None:
        """The raw tree of a dialect's file."""
        return self._node("dialects", id)

    def trust(self, id: str) -> str:
        """builtin, local or remote."""
        entry = self._entries["providers"].get(id)
        return entry.trust if entry else "builtin"

    def path(self, kind: str, id: str) -> Path | None:
        """The file of a provider or dialect; None for one handed in as text or mapping."""
        entry = self._entries[kind].get(id)
        return entry.path if entry else None

    def text(self, file: str) -> str | None:
        """The source text behind a mark, for messages that show it."""
        found = self._texts.get(file)
        if found is None:
            path = BUILTIN.parent / file
            try:
                found = path.read_text("utf-8") if path.is_file() else None
            except (OSError, UnicodeError):
                found = None
        return found

    def plan(self, provider: str) -> ProviderPlan:
        """Who a provider is: identity, secrets, variables, the names of its operations."""
        provider = self.resolve(provider)
        with self._lock:
            found = self._plans.get(provider)
            if found is None:
                from engine.spec.compile.provider import provider_plan

                problems = Problems()
                found = provider_plan(provider, self.tree(provider), problems, self.trust(provider))
                if problems.errors:
                    raise SpecError(problems.sorted(), provider=provider)
                self._plans[provider] = found
            return found

    def resolve(self, name: str) -> str:
        """A provider's id from its id or one of its aliases. Raises NotFoundError with the nearest id."""
        if name in self._entries["providers"]:
            return name
        aliases = self._alias_table()
        if name in aliases:
            return aliases[name]
        near = nearest(name, [*self._entries["providers"], *aliases])
        hint = f"; did you mean `{near}`?" if near else ""
        raise NotFoundError(f"no provider `{name}` in the catalog{hint}")

    def split(self, target: str) -> tuple[str, str | None, str]:
        """`provider:variant/model` in its three pieces; the first `/` ends the provider."""
        head, slash, model = target.partition("/")
        if not slash or not model:
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

            found = patched(found, matching_patches(found, model, variant), problems)
        if problems.errors or found is None:
            raise SpecError(problems.sorted() or f"no provider `{provider}`", provider=provider)
        return found

    def _base(self, provider: str, problems: Problems) -> Node | None:
        from engine.spec.extend import provider_tree

        with self._lock:
            found = self._bases.get(provider)
            if found is None:
                before = len(problems.errors)
                found = provider_tree(self, provider, problems)
                if found is not None and len(problems.errors) == before:
                    self._bases[provider] = found
            return found

    def compile(
        self, provider: str, operation: str, model: str = "", variant: str | None = None, problems: Problems | None = None
    ) -> OperationPlan | None:
        """The compiled operation for a model; one per distinct combination of patches.

        With `problems` findings are collected there and None stands for a spec that has errors; without, they raise.
        """
        from engine.spec.extend import matching_patches

        collected = problems if problems is not None else Problems()
        before = len(collected.errors)
        with self._lock:
            base = self._base(provider, collected)
            patches = matching_patches(base, model, variant) if base is not None else ()
            key = (provider, operation, tuple(id(p) for p in patches))
            found = self._operations.get(key)
            if found is None and base is not None and len(collected.errors) == before:
                found = self._compile(provider, operation, base, patches, collected)
                if found is not None:
                    self._operations[key] = found
        if problems is None and (collected.errors or found is None):
            raise SpecError(collected.sorted() or f"{provider} has no {operation}", provider=provider)
        return found

    def _compile(
        self, provider: str, operation: str, base: Node, patches: tuple[Node, ...], problems: Problems
    ) -> OperationPlan | None:
        from engine.spec.compile.operation import compile_operation
        from engine.spec.compile.provider import provider_plan
        from engine.spec.extend import operation_tree, patched

        root = patched(base, patches, problems) if patches else base
        tree, dialects = operation_tree(self, base, operation, patches, problems)
        if tree is None:
            return None
        who = provider_plan(provider, root, problems, self.trust(provider))
        return compile_operation(who, root, operation, tree, dialects, problems)

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

        provider, variant, model = self.split(target)
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
            model_info=self.model_info(provider, str(base_model)),
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
                message = f"{who.name} is {who.status}" + (f": {reason}" if reason else "") + (f"; use {instead}" if instead else "")
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

    def model_info(self, provider: str, model: str) -> dict[str, Any] | None:
        """Facts of a model (SPEC_LANGUAGE 10), or None."""
        return self.models(provider).get(model)

    def models(self, provider: str) -> dict[str, dict[str, Any]]:
        """Facts of every known model of a provider, by id."""
        provider = self.resolve(provider)
        if provider not in self._facts:
            node = self._node("models", provider)
            listed = node.get("models") if node is not None else None
            self._facts[provider] = listed.plain() if listed is not None else {}
        return self._facts[provider]  # type: ignore[no-any-return]

    # --- examples ---------------------------------------------------------------------------------------------------

    def example_file(self, kind: str, id: str) -> Node | None:
        """`<id>.examples.yaml` beside a spec."""
        path = self.path(kind, id)
        beside = path.with_name(f"{id}.examples.yaml") if path is not None else None
        if beside is None or not beside.is_file():
            return None
        return self._parse(beside.read_bytes(), self.label(beside), MODEL_FACTS_LIMIT)

    # --- files ------------------------------------------------------------------------------------------------------

    def _add(self, source: Any) -> None:
        if isinstance(source, Remote):
            self._register("providers", _Entry(source.id, "remote", data=source.source, hosts=source.hosts))
        elif isinstance(source, Mapping):
            for id, data in source.items():
                kind = "dialects" if isinstance(data, Mapping) and "operation" in data else "providers"
                self._register(kind, _Entry(str(id), "local", data=data))
        else:
            path = Path(source)
            if path.is_dir():
                self._scan(path, "local")
            elif path.is_file():
                self._file(path, "local")
            else:
                raise ConfigError(f"no spec file or folder at {path}")

    def _scan(self, root: Path, trust: str) -> None:
        folders = [(root / "providers", "providers"), (root / "dialects", "dialects"), (root / "models", "models")]
        if not any(folder.is_dir() for folder, _ in folders):
            for path in sorted(root.glob("*.yaml")):
                self._file(path, trust)
            return
        for folder, kind in folders:
            if folder.is_dir():
                for name in sorted(os.listdir(folder)):
                    if name.endswith(".yaml") and not name.endswith(".examples.yaml"):
                        self._register(kind, _Entry(name[:-5], trust, path=folder / name))

    def _file(self, path: Path, trust: str) -> None:
        if path.name.endswith(".examples.yaml"):
            return
        node = self._parse(path.read_bytes(), str(path))
        kind = "dialects" if node.get("operation") is not None else "providers"
        self._register(kind, _Entry(path.stem, trust, path=path))
        self._nodes[(kind, path.stem)] = node

    def _register(self, kind: str, entry: _Entry) -> None:
        known = self._entries[kind].get(entry.id)
        if known is not None and known.trust == "builtin" and entry.trust != "builtin" and entry.id not in self._override:
            message = f"`{entry.id}` is the name of a packaged {kind[:-1]}; pass override=[{entry.id!r}] to replace it"
            raise ConfigError(message, provider=entry.id)
        self._entries[kind][entry.id] = entry
        self._nodes.pop((kind, entry.id), None)

    def _node(self, kind: str, id: str) -> Node | None:
        key = (kind, id)
        with self._lock:
            if key not in self._nodes:
                entry = self._entries[kind].get(id)
                self._nodes[key] = self._load(entry, kind) if entry else None
            return self._nodes[key]

    def _load(self, entry: _Entry, kind: str) -> Node:
        if entry.path is not None:
            source = entry.path.read_bytes()
            packed = _PACKAGED.with_name("packed") / kind / f"{entry.id}.json"
            if entry.trust == "builtin" and packed.is_file():
                from engine.spec.packed import unpack

                found = unpack(packed.read_bytes(), source, self.label(entry.path))
                if found is not None:
                    return found
            limit = MODEL_FACTS_LIMIT if kind == "models" else 0
            return self._parse(source, self.label(entry.path), limit)
        if isinstance(entry.data, Mapping):
            return node_of(entry.data)
        return self._parse(entry.data, entry.id)

    def _parse(self, text: str | bytes, label: str, limit: int = 0) -> Node:
        from engine.spec.load import load

        problems = Problems()
        options = {"limit": limit} if limit else {}
        node = load(text, label, problems, **options)
        if isinstance(text, bytes):
            self._texts[label] = text.decode("utf-8", "replace")
        else:
            self._texts[label] = text
        if node is None or problems.errors:
            raise SpecError(problems.sorted() or [Problem("empty", "the file is empty")])
        return node

    def label(self, path: Path) -> str:
        """How messages name a file: relative to the packaged catalog's parent where it lies there."""
        try:
            return str(path.relative_to(BUILTIN.parent))
        except ValueError:
            return str(path)

    def _alias_table(self) -> dict[str, str]:
        if self._aliases is None:
            table: dict[str, str] = {}
            for id in self.provider_ids():
                node = self.provider(id)
                names = node.get("aliases") if node is not None else None
                for alias in names.value if names is not None and names.is_list else ():
                    table.setdefault(str(alias.value), id)
            self._aliases = table
        return self._aliases


def _environment_paths() -> list[str]:
    return [p for p in os.environ.get("LLMKIT_CATALOG", "").split(os.pathsep) if p]
