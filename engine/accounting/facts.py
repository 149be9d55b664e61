"""Facts of models (SPEC_LANGUAGE 10), read from `models/<provider>.yaml` when somebody asks for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.files import Files

__all__ = ["Facts"]


class Facts:
    """The facts of every provider's models. Shareable between threads."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._read: dict[str, _File] = {}
        self._lock = threading.Lock()

    def of(self, provider: str, model: str, variant: str | None = None) -> dict[str, Any] | None:
        """Facts of a model, or None. An alias, another letter case, and a tuned model of a listed base are found too."""
        return self._file(provider).find(model, variant)

    def all(self, provider: str, variant: str | None = None) -> dict[str, dict[str, Any]]:
        """Facts of every known model of a provider, by id; of a variant those that differ there."""
        return self._file(provider).all(variant)

    def variants(self, provider: str) -> list[str]:
        """Variants that have facts of their own."""
        return list(self._file(provider).variants)

    def source(self, provider: str, facts: Mapping[str, Any]) -> str:
        """Where facts come from, in one line."""
        return self._file(provider).source(facts)

    def near(self, provider: str, model: str) -> str | None:
        """The id of a known model that was probably meant; None for a known one or if nothing is near."""
        known = self._file(provider)
        if not known.models or known.find(model, None) is not None:
            return None
        from engine.spec.problem import nearest

        return nearest(model, known.models, 0.7)

    def _file(self, provider: str) -> _File:
        found = self._read.get(provider)
        if found is None:
            tree = self._files.facts(provider)
            same = self._same(provider) if not tree else None
            made = self._file(same) if same is not None else _File(provider, tree)
            with self._lock:
                found = self._read.setdefault(provider, made)
        return found

    def _same(self, provider: str) -> str | None:
        """Whom a shipped provider without facts of its own extends: the same service under another name or address."""
        entry = self._files.entries["providers"].get(provider)
        node = self._files.node("providers", provider) if entry is not None and entry.trust == "builtin" else None
        extends = node.get("extends") if node is not None else None
        return str(extends.value) if extends is not None else None


class _File:
    """One provider's facts; each model is brought into form when it is first asked for."""

    def __init__(self, provider: str, tree: Mapping[str, Any]) -> None:
        self.name = f"models/{provider}.yaml"
        self.models: dict[str, Any] = tree.get("models") or {}
        self.variants: dict[str, dict[str, Any]] = tree.get("variants") or {}
        self.sources: Any = tree.get("sources") or {}
        self.checked = tree.get("checked")
        self._made: dict[tuple[str | None, str], dict[str, Any]] = {}
        self._names: dict[str, str] | None = None

    def find(self, model: str, variant: str | None) -> dict[str, Any] | None:
        if variant is not None and model in self.variants.get(variant, ()):
            return self._facts(variant, model)
        if model in self.models:
            return self._facts(None, model)
        name = self._other_names().get(model.lower())
        if name is None and model.count(":") > 1:  # ft:<base>:<whose>:<name>:<id>
            name = next((n for n in (":".join(model.split(":")[:2]),) if n in self.models), None)
        return self._facts(None, name) if name is not None else None

    def all(self, variant: str | None) -> dict[str, dict[str, Any]]:
        listed = self.models if variant is None else self.variants.get(variant, {})
        return {id: self._facts(variant, id) for id in listed}

    def source(self, facts: Mapping[str, Any]) -> str:
        told = facts.get("sources") or (list(self.sources.values()) if isinstance(self.sources, dict) else self.sources)
        checked = facts.get("checked") or self.checked
        return "; ".join([self.name, *told, *([f"checked {checked}"] if checked else ())])

    def _facts(self, variant: str | None, id: str) -> dict[str, Any]:
        key = (variant, id)
        found = self._made.get(key)
        if found is None:
            listed = self.models if variant is None else self.variants[variant]
            found = self._made[key] = self._form(listed[id] or {})
        return found

    def _form(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """Words with blanks between as lists and flags, short names of sources as what they stand for."""
        made = dict(written)
        for side in ("input", "output"):
            if isinstance(made.get(side), str):
                made[side] = made[side].split()
        if "chat" in made.setdefault("operations", ["chat"]):
            made.setdefault("output", ["text"])
        flags = made.get("capabilities")
        if isinstance(flags, str):
            made["capabilities"] = {word.lstrip("-"): word[0] != "-" for word in flags.split()}
        told = made.get("sources")
        if isinstance(told, str):
            names = self.sources if isinstance(self.sources, dict) else {}
            made["sources"] = [str(names.get(code, code)) for code in told.split()]
        return made

    def _other_names(self) -> dict[str, str]:
        """Aliases and ids in small letters, to ids. An id in small letters that two models share names neither."""
        if self._names is None:
            table: dict[str, str] = {}
            for id in self.models:
                table[id.lower()] = "" if id.lower() in table else id
            for id, facts in self.models.items():
                for alias in (facts or {}).get("aliases") or ():
                    table.setdefault(str(alias).lower(), id)
            self._names = {name: id for name, id in table.items() if id}
        return self._names
