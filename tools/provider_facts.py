"""What the generated pages say of a provider, read from its merged tree: identity, settings, evidence, parameters, deviations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from engine.catalog import Catalog
from engine.examples.cases import dialect_examples
from engine.spec.extend import operation_names, operation_tree
from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.vocabulary import CAPABILITIES, OPERATIONS, PARAMS

ROOT = Path(__file__).resolve().parents[1]
#: provider -> operation -> {cases, flags}: whose answers were recorded and replay; written by tools/providers_md.py --recorded
RECORDED = ROOT / "tools" / "recorded.yaml"
EMPTY = Node({})


@dataclass(frozen=True)
class Proof:
    """How far something is proven: recorded, tested, declared, or denied; `partial` if only for some models."""

    level: str  # recorded tested declared no
    file: str = ""  # from the root of the project
    example: str = ""
    partial: bool = False


@dataclass
class Who:
    """Everything the pages show of one provider."""

    id: str
    name: str
    tree: Node
    plain: dict[str, Any]
    status: dict[str, Any]
    operations: dict[str, Proof] = field(default_factory=dict)
    capabilities: dict[str, Proof] = field(default_factory=dict)
    dialects: dict[str, tuple[str, ...]] = field(default_factory=dict)
    trees: dict[str, Node] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return f"catalog/providers/{self.id}.yaml"

    @property
    def ended(self) -> bool:
        return self.status["value"] in ("discontinued", "private")

    @property
    def model(self) -> str:
        return str((self.plain.get("models") or {}).get("default") or "model")

    @property
    def categories(self) -> list[str]:
        return list(self.plain.get("categories") or [])

    @property
    def regions(self) -> list[str]:
        return list(self.plain.get("regions") or [])

    def settings(self) -> Iterator[tuple[str, list[str], dict[str, Any], str]]:
        """(kind, environment names, table, name) of the secrets, the variables and a chosen address."""
        for kind in ("secrets", "variables"):
            for name, given in (self.plain.get(kind) or {}).items():
                table = given if isinstance(given, dict) else {"env": given}
                env = table.get("env") or []
                yield kind, [env] if isinstance(env, str) else list(env), table, name
        if isinstance(self.plain.get("base_url"), dict):
            env = self.plain["base_url"].get("env") or []
            yield "base_url", [env] if isinstance(env, str) else list(env), self.plain["base_url"], "base_url"


def everybody(catalog: Catalog) -> list[Who]:
    """All shipped providers, by id."""
    known = yaml.safe_load(RECORDED.read_text("utf-8")) if RECORDED.is_file() else {}
    return [_who(catalog, id, known.get(id) or {}) for id in catalog.provider_ids()]


def _who(catalog: Catalog, id: str, known: dict[str, Any]) -> Who:
    tree = catalog.tree(id)
    plain = tree.plain()
    stated = plain.get("status") or "active"
    status = stated if isinstance(stated, dict) else {"value": stated}
    who = Who(id, str(plain["name"]), tree, plain, {"value": "active", **status})
    own = _own_examples(catalog, id)
    proven: dict[str, tuple[int, Proof]] = {}  # flag -> how much else it needs, and the plainest example that exercises it
    for operation in OPERATIONS:
        if operation not in operation_names(tree):
            continue
        merged, chain = operation_tree(catalog, tree, operation, (), Problems())
        if merged is None:
            continue
        who.dialects[operation], who.trees[operation] = chain, merged
        skipped = {name for name, _ in (merged.get("skip_examples") or EMPTY).items()}
        found = [e for e in own if e[2] == operation]
        found += [e for dialect in chain for e in _inherited(catalog, dialect) if e[1] not in skipped]
        capable = {**dict.fromkeys(CAPABILITIES), **(plain.get("capabilities") or {})}
        runs = [e for e in found if all(_yes(capable.get(flag)) or flag in ("stream", "system") for flag in e[3])]
        for file, name, _, needs in runs:
            for flag in needs:
                if flag not in proven or len(needs) < proven[flag][0]:
                    proven[flag] = len(needs), Proof("tested", file, name)
        who.operations[operation] = Proof("tested", *runs[0][:2]) if runs else Proof("declared", who.file)
        if operation in known:
            who.operations[operation] = Proof(
                "recorded", "tools/recorded.yaml", f"{known[operation]['cases']} recorded exchanges replay"
            )
    seen = {flag for found in known.values() for flag in found.get("flags") or ()}
    _capabilities(who, {flag: proof for flag, (_, proof) in proven.items()}, seen)
    return who


def _capabilities(who: Who, proven: dict[str, Proof], seen: set[str]) -> None:
    stated = dict(who.plain.get("capabilities") or {})
    chat = who.trees.get("chat")
    if chat is not None and chat.get("stream") is not None:
        stated.setdefault("stream", True)
    for flag in CAPABILITIES:
        if flag not in stated or stated[flag] is None:
            continue
        value = stated[flag]
        partial = isinstance(value, dict) and (value.get("value") == "partial" or bool(value.get("models")))
        if not _yes(value):
            who.capabilities[flag] = Proof("no", who.file)
        elif flag in seen:
            who.capabilities[flag] = Proof("recorded", "tools/recorded.yaml", "recorded exchanges replay", partial)
        elif flag in proven:
            who.capabilities[flag] = Proof("tested", proven[flag].file, proven[flag].example, partial)
        else:
            who.capabilities[flag] = Proof("declared", who.file, "", partial)


def _yes(value: Any) -> bool:
    return bool(value.get("value", True)) if isinstance(value, dict) else bool(value)


_Example = tuple[str, str, str, tuple[str, ...]]  # file, name, operation, needs


def _read(nodes: Any, file: str) -> Iterator[_Example]:
    for node in nodes:
        plain = node.plain()
        if not plain.get("variant"):
            yield file, str(plain.get("name")), str(plain.get("operation") or "chat"), tuple(plain.get("needs") or ())


def _own_examples(catalog: Catalog, id: str) -> list[_Example]:
    beside = catalog.example_file("providers", id)
    found = beside.get("examples") if beside is not None else None
    return list(_read(found.value if found is not None else (), f"catalog/providers/{id}.examples.yaml"))


@cache
def _inherited(catalog: Catalog, dialect: str) -> tuple[_Example, ...]:
    return tuple(_read(dialect_examples(catalog, dialect), f"catalog/dialects/{dialect}.examples.yaml"))


# --- parameters -----------------------------------------------------------------------------------------------------------


def fates(who: Who, operation: str = "chat") -> dict[str, list[str]]:
    """What becomes of every neutral parameter: fate -> parameters, each with what there is to say."""
    tree = who.trees.get(operation)
    out: dict[str, list[str]] = {"same": [], "changed": [], "written": [], "not taken": []}
    if tree is None:
        return out
    table = dict((tree.get("params") or EMPTY).items())
    read = set(re.findall(r"[a-z_]+", " ".join(_templates(tree.get("body")))))
    read |= {"reasoning_effort"} if "reasoning" in read else set()
    for name in PARAMS[operation]:
        node = table.get(name)
        if node is not None and node.value is not None:
            said = _said(name, node)
            out["changed" if said else "same"].append(f"`{name}`{said}")
        else:
            out["written" if name in read else "not taken"].append(f"`{name}`")
    return out


def own_parameters(who: Who, operation: str = "chat") -> list[str]:
    """The parameters that only this wire has, each with what there is to say."""
    tree = who.trees.get(operation)
    table = (tree.get("native_params") or EMPTY) if tree is not None else EMPTY
    return [f"`{name}`{_said(name, node)}" for name, node in table.items() if node.value is not None]


def _said(name: str, node: Node) -> str:
    plain = node.plain()
    if not isinstance(plain, dict):
        return f" as `{plain}`" if plain != name else ""
    words = [f"as `{plain['to']}`"] if plain.get("to") not in (None, name) else []
    words += [
        f"{word} {plain[key]}" for key, word in (("min", "at least"), ("max", "at most")) if isinstance(plain.get(key), int | float)
    ]
    words += [f"at most {plain['max_items']} items"] if isinstance(plain.get("max_items"), int) else []
    words += ["only " + ", ".join(map(str, plain["only"]))] if plain.get("only") else []
    words += [", ".join(f"{old} becomes {new}" for old, new in plain["table"].items())] if plain.get("table") else []
    words += ["on a condition"] if plain.get("if") and plain["if"] not in ("logprobs", "tools or server_tools") else []
    return f" ({'; '.join(words)})" if words else ""


def _templates(node: Node | None) -> Iterator[str]:
    if node is None:
        return
    if node.is_map:
        for key, inner in node.items():
            if str(key).startswith("$") and isinstance(inner.value, str):
                yield inner.value
            yield from _templates(inner)
    elif node.is_list:
        for inner in node.value:
            yield from _templates(inner)
    elif isinstance(node.value, str):
        yield from re.findall(r"\{\{(.*?)\}\}", node.value)


# --- deviations -----------------------------------------------------------------------------------------------------------

_COMMENT = re.compile(r"^(?P<code>(?:[^#\"']|\"[^\"]*\"|'[^']*')*?)\s*(?:^|(?<=\s))#\s?(?P<text>.*)$")
_KEY = re.compile(r"^(\s*)(?:- )?(\"[^\"]*\"|[\w.$*-]+):")


def deviations(who: Who) -> list[tuple[str, str, str]]:
    """(where, why, what) of every comment of the file: why something differs, with its page and month, and the line it is about."""
    out: list[tuple[str, str, str]] = []
    stack: list[tuple[int, str]] = []
    waiting: list[str] = []
    for line in (ROOT / who.file).read_text("utf-8").splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            waiting.append(bare.lstrip("# "))
            continue
        key = _KEY.match(line)
        if key:
            while stack and stack[-1][0] >= len(key.group(1)):
                stack.pop()
            stack.append((len(key.group(1)), key.group(2).strip('"')))
        found = _COMMENT.match(line)
        trailing = found.group("text") if found and "http" in found.group("text") else ""
        where = ".".join(name for _, name in stack)
        code = line[: found.start("text")].rstrip("# ").strip() if found and trailing else bare
        if waiting:
            out.append((where, " ".join(waiting), code))
            waiting = []
        if trailing:
            out.append((where, trailing, code))
    return out
