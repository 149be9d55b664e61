"""Which names belong to packaged providers: their aliases, and the environment variables of their keys (RELIABILITY A1, A2).

A spec that is not packaged cannot take a packaged provider's alias, and cannot name the variable that holds its key.
Inheriting the key is fine while the hosts it goes to are those of the provider it was inherited from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.spec.node import Mark, Node
from engine.spec.problem import Problems

if TYPE_CHECKING:
    from engine.files import Files

__all__ = ["RULES", "Ownership"]

RULES = {
    "foreign-secret": "A spec names the environment variable that holds the key of a packaged provider.\n\nA key is bound to the "
    "hosts of the provider it belongs to (RELIABILITY A2). Name a variable of your own, or extend that provider without "
    "changing its hosts."
}
_EMPTY = Node({})


class Ownership:
    """Answers for one catalog. Packaged files are read once, when a spec that is not packaged is first used, and parsed only
    where a name occurs in them."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._texts: dict[str, bytes] | None = None
        self._owners: dict[str, frozenset[str]] = {}

    def alias_owner(self, name: str) -> str | None:
        """The packaged provider that has this alias."""
        for id in self._mentioning(name):
            names = self._node(id).get("aliases")
            if names is not None and names.is_list and any(n.value == name for n in names.value):
                return id
        return None

    def owners(self, variable: str) -> frozenset[str]:
        """The packaged providers whose keys stand in this environment variable."""
        found = self._owners.get(variable)
        if found is None:
            found = frozenset(id for id in self._mentioning(variable) if variable in dict(_named(self._node(id), ("secrets",))))
            self._owners[variable] = found
        return found

    def check(self, provider: str, problems: Problems) -> None:
        """Report every variable of another provider's key that the spec's own files name."""
        for link in self._own_links(provider):
            for variable, mark in _named(link, ("secrets", "variables", "base_url")):
                owners = self.owners(variable) - {provider}
                if owners:
                    message = f"`{variable}` holds the key of {min(owners)}: name a variable of your own"
                    problems.error("foreign-secret", message, mark, width=len(variable))

    def moved(self, provider: str) -> bool:
        """Whether a spec changes the hosts of the packaged provider it extends."""
        base = self._packaged_base(provider)
        if base is None:
            return False
        variables = base.get("variables") or _EMPTY
        for link in self._own_links(provider):
            for key, node in link.items():
                if key in ("base_url", "hosts"):
                    old = base.get(key)
                    if old is None or old.plain() != node.plain():
                        return True
                elif (key == "variables" and any(name in variables.value for name, _ in node.items())) or _says_hosts(node):
                    return True
        dialects = self._files.entries["dialects"]
        return any(_says_hosts(self._files.node("dialects", id)) for id, entry in dialects.items() if entry.trust != "builtin")

    def _own_links(self, provider: str) -> Iterator[Node]:
        """The spec and what it extends, as far as none of it is packaged."""
        entries, seen, id = self._files.entries["providers"], set[str](), provider
        while id in entries and id not in seen and entries[id].trust != "builtin":
            seen.add(id)
            node = self._files.node("providers", id)
            if node is None:
                return
            yield node
            parent = node.get("extends")
            id = str(parent.value) if parent is not None else ""

    def _packaged_base(self, provider: str) -> Node | None:
        links = list(self._own_links(provider))
        parent = links[-1].get("extends") if links else None
        entry = self._files.entries["providers"].get(str(parent.value)) if parent is not None else None
        return self._node(entry.id) if entry is not None and entry.trust == "builtin" else None

    def _mentioning(self, name: str) -> list[str]:
        if self._texts is None:
            entries = self._files.entries["providers"].values()
            self._texts = {e.id: e.path.read_bytes() for e in entries if e.trust == "builtin" and e.path is not None}
        wanted = name.encode()
        return [id for id, text in self._texts.items() if wanted in text]

    def _node(self, id: str) -> Node:
        return self._files.node("providers", id) or _EMPTY


def _named(node: Node, sections: tuple[str, ...]) -> Iterator[tuple[str, Mark]]:
    """Every environment variable that a provider's sections name, also in patches of models and variants."""
    for section in sections:
        found = node.get(section)
        if found is None:
            continue
        for table in [found] if section == "base_url" else [child for _, child in found.items()]:
            names = table.get("env") if table.is_map else table if section == "secrets" else None
            for one in names.value if names is not None and names.is_list else [names]:
                if one is not None and isinstance(one.value, str):
                    yield one.value, one.mark
    for group in ("models", "variants"):
        for _, patch in (node.get(group) or _EMPTY).items():
            yield from _named(patch, sections)


def _says_hosts(node: Node | None) -> bool:
    """Whether a tree says anywhere where calls go."""
    if node is None:
        return False
    if node.is_list:
        return any(_says_hosts(child) for child in node.value)
    return any(key in ("base_url", "hosts") or _says_hosts(child) for key, child in node.items())
