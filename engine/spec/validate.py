"""A loaded file against its JSON Schema, told in the words of the language and with places (SPEC_LANGUAGE 14, step 2).

The schemas in `schemas/` are what editors use. Here their references are resolved once into one tree of dictionaries, and
templates, where every key is free but those that begin with `$`, are walked in one go instead of schema by schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from engine.spec.neighbours import NEIGHBOURS
from engine.spec.node import Mark, Node
from engine.spec.problem import Problems, nearest

#: what each finding of this module means, for `llmkit explain` and the key reference
RULES = {
    "unknown-key": "A key that the language does not have at this place; a stranger is an error, never ignored.",
    "redundant-key": "The file name is the id; saying it twice is how catalogs begin to lie.",
    "unknown-directive": "In a template, keys that begin with `$` are directives, and there are eight.",
    "wrong-type": "The value is of another type than the key takes.",
    "missing-key": "A key that must be there is not.",
    "bad-value": "The value is of the right type but not one of those accepted.",
    "bad-name": "The name of an entry does not have the form that names have here.",
}

KINDS = ("provider", "dialect", "examples", "models")
_PACKAGED = Path(__file__).parents[1] / "_data" / "schemas"
SCHEMAS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "schemas"

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
#: which finding is shown when one place has several
_ORDER = {rule: i for i, rule in enumerate(("redundant-key", "wrong-type", "unknown-key", "unknown-directive", "bad-name"))}


def validate(node: Node, kind: str, problems: Problems) -> None:
    """Report where a file (as written, before `extends`) is not what its schema says. `kind`: provider dialect examples models.

    Findings are added sorted by place, one rule per place, none where the loader found something. Nothing is raised.
    """
    found, known = Problems(), {p.mark for p in problems}
    plain = node.plain()
    if not _acceptor(kind)(plain):  # a quick yes for nearly every file; the library is asked only where something is wrong
        for error in _validator(kind).iter_errors(plain):
            _report(error, node, kind, found)
    if kind == "provider" and node.is_map and node.get("extends") is None:
        for key, value in node.items():
            if value.value is None and value.mark not in known:
                message = f"`{key}` has no value, and there is no base to delete it from"
                found.warn("deletes-nothing", message, value.key_mark, width=len(key))
    best: dict[Mark, int] = {}
    for problem in found:
        rank = _ORDER.get(problem.rule, len(_ORDER))
        best[problem.mark] = min(rank, best.get(problem.mark, rank))
    told = set()
    for problem in found.sorted():
        leads = _ORDER.get(problem.rule, len(_ORDER)) == best[problem.mark]
        if leads and problem.mark not in known and str(problem) not in told:
            told.add(str(problem))
            problems.append(problem)


def _report(error: Any, root: Node, kind: str, problems: Problems) -> None:
    """One schema error as the finding an author can act on."""
    node = root
    for step in error.absolute_path:
        node = node.value[step]
    path = list(error.absolute_path)
    rule, schema, instance = error.validator, error.schema, error.instance
    title, expected = schema.get("title", kind), schema.get("x-expected")
    if list(error.schema_path)[-2:-1] == ["propertyNames"]:
        entry, words = node.value[instance], schema.get("x-words", ())
        message = f"`{instance}` is not {expected}"
        problems.error("bad-name", message, entry.key_mark, nearest(instance, words), width=len(instance))
    elif rule == "x-walk":
        close = nearest(instance, schema["x-walk"])
        problems.error("unknown-directive", f"`{instance}` is not a directive", node.key_mark, close, width=len(instance))
    elif rule == "additionalProperties":
        allowed = [k for k, v in schema["properties"].items() if k != "$replace" and "not" not in v]
        for key in instance.keys() - schema["properties"].keys():
            _unknown(key, node.value[key], allowed, title, problems)
    elif rule == "not":
        problems.error("unknown-key", f"`{path[-1]}` {expected}", node.key_mark, width=len(path[-1]))
    elif rule == "required":
        place, width = node.key_mark or node.mark, len(str(path[-1])) if path and node.key_mark else 1
        for key in error.validator_value:
            if key not in instance:
                problems.error("missing-key", f"{_a(title)} needs `{key}`", place, width=width)
    else:
        wrong = "wrong-type" if rule == "type" else "bad-value"
        wanted, close = _wanted(rule, error.validator_value, expected, instance)
        message = f"{_name(path, kind)} must be {wanted}, not {_type_of(instance) if rule == 'type' else _shown(instance)}"
        problems.error(wrong, message, node.mark, close, width=_width(node))


_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "minLength": "at least {} characters long",
    "maxLength": "at most {} characters long",
    "minItems": "a list of at least {} items",
    "maxItems": "a list of at most {} items",
    "pattern": "text like {}",
}
_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_LISTED = 16  # so many words of a closed list are named in a message


def _wanted(rule: str, limit: Any, expected: str | None, instance: Any) -> tuple[str, str | None]:
    """What a value must be, in words, and the nearest one that is."""
    if rule == "type":
        switch = _BOOLEANS.get(str(instance).lower()) if "boolean" in limit else None
        return _types(limit), switch
    if rule == "enum":
        options = [str(v).lower() if isinstance(v, bool) else str(v) for v in limit if v is not None]
        close = nearest(instance, options) if isinstance(instance, str) else None
        return expected or ("one of " + ", ".join(options) if len(options) <= _LISTED else "a word of a closed list"), close
    return expected or _LIMITS.get(rule, "{}").format(limit), None


def _unknown(key: str, entry: Node, allowed: list[str], title: str, problems: Problems) -> None:
    if key == "id" and title == "provider":
        problems.error("redundant-key", "`id` is the file's name and is not repeated", entry.key_mark, width=2)
        return
    word = key.lower().replace("-", "_")
    close = nearest(key, allowed, 0.8) or next((n for n in NEIGHBOURS.get(word, ()) if n in allowed), None) or nearest(key, allowed)
    problems.error("unknown-key", f"`{key}` is not a key of {_a(title)}", entry.key_mark, close, width=len(key))


def _name(path: list[Any], kind: str) -> str:
    if not path:
        return f"{_a(kind)} file"
    if isinstance(path[-1], int):
        owner = next((p for p in reversed(path) if isinstance(p, str)), kind)
        return f"an item of `{owner}`"
    return f"`{path[-1]}`"


def _a(title: str) -> str:
    if title.endswith("s") and not title.endswith("ss"):
        return f"`{title}`"
    return f"an {title}" if title[:1] in "aeiou" else f"a {title}"


def _types(types: Any) -> str:
    names = [_TYPES[t] for t in ([types] if isinstance(types, str) else types) if t != "null"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _type_of(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return (
        "text"
        if isinstance(value, str)
        else "a mapping"
        if isinstance(value, dict)
        else "a list"
        if isinstance(value, list)
        else "a number"
    )


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict) or value is None:
        return _type_of(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text if len(text) <= 60 else text[:59] + '…'}`"


def _width(node: Node) -> int:
    return max(1, len(str(node.value))) if isinstance(node.value, (str, int, float)) and "\n" not in str(node.value) else 1


@cache
def _acceptor(kind: str) -> Any:
    from engine.spec.accept import acceptor

    return acceptor(_Linker().file(f"{kind}.schema.json"))


@cache
def _validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    schema = _Linker().file(f"{kind}.schema.json")
    kind_of: Any = extend  # untyped in its library
    return kind_of(Draft202012Validator, {"x-walk": _walk})(schema)


def _walk(validator: Any, directives: frozenset[str], instance: Any, schema: Any) -> Iterator[Any]:
    """The keyword that stands for the whole template schema: keys that begin with `$` are a closed list."""
    from jsonschema.exceptions import ValidationError

    pending: list[tuple[tuple[Any, ...], Any]] = [((), instance)]
    while pending:
        path, value = pending.pop()
        if value.__class__ is dict:
            for key, entry in value.items():
                if key[:1] == "$" and key not in directives:
                    yield ValidationError("unknown directive", path=(*path, key), instance=key)
                elif entry.__class__ is dict or entry.__class__ is list:
                    pending.append(((*path, key), entry))
        elif value.__class__ is list:
            pending.extend(((*path, i), entry) for i, entry in enumerate(value) if entry.__class__ in (dict, list))


class _Linker:
    """Resolves every `$ref` into the schema it names, so that validation looks nothing up."""

    def __init__(self) -> None:
        self.files: dict[str, Any] = {}
        self.done: dict[tuple[str, str], dict[str, Any]] = {}

    def file(self, name: str) -> Any:
        return self._link(self._read(name), name)

    def _read(self, name: str) -> Any:
        if name not in self.files:
            self.files[name] = json.loads((SCHEMAS / name).read_bytes())
        return self.files[name]

    def _target(self, reference: str, file: str) -> dict[str, Any]:
        other, _, pointer = reference.partition("#/$defs/")
        key = (other or file, pointer)
        if key not in self.done:
            self.done[key] = made = {}
            made.update(self._link(self._read(key[0])["$defs"][pointer], key[0]))
        return self.done[key]

    def _link(self, schema: Any, file: str) -> Any:
        if isinstance(schema, list):
            return [self._link(item, file) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if schema.get("x-walk") == "template":
            return {"x-walk": frozenset(k for k in schema["properties"] if k.startswith("$"))}
        rest = {k: v for k, v in schema.items() if k not in ("$ref", "$defs", "$schema", "description", "default")}
        linked = {k: self._link(v, file) if k not in ("enum", "const", "x-words") else v for k, v in rest.items()}
        if "properties" in schema:
            linked["properties"] = {k: self._link(v, file) for k, v in schema["properties"].items()}
        if "$ref" not in schema:
            return linked
        target = self._target(schema["$ref"], file)
        if not linked or linked.keys() == {"title"}:
            return target
        return {**linked, "allOf": [target, *linked.get("allOf", ())]}
