"""A Python function -> a tool: its name, what its docstring says, and the JSON Schema of its parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from engine.call.hints import Builder, Member, hints_of, members_of, schema_of
from engine.errors import ConfigError

__all__ = ["docstring", "tool_from_function"]

_NAME = re.compile(r"[^A-Za-z0-9_-]")
_SECTION = re.compile(
    r"(args?|arguments|parameters|params|keyword args|keyword arguments|other parameters|returns?|yields?|raises|examples?|notes?"
    r"|attributes|see also|warnings?|references|todo):?",
    re.IGNORECASE,
)
_PARAMETERS = frozenset(
    ("arg", "args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters")
)
_SPHINX = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*?\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_SPHINX_OTHER = re.compile(r":(?:\w+)(?:\s[^:]*)?:")
_GOOGLE = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY = re.compile(r"\*{0,2}(\w+)(?:\s*,\s*\*{0,2}\w+)*\s*(?::.*)?$")


def tool_from_function(function: Callable[..., Any]) -> dict[str, Any]:
    """`{name, description, parameters}` of a function, method or partial; a dataclass or model is a tool of its fields.

    Parameters come from the type hints (Annotated texts and docstring entries describe them); one with a default is not
    required. `self`, `*args` and `**kwargs` are no parameters. Raises ConfigError for hints that JSON has no word for.
    """
    if isinstance(function, type):
        return _from_class(function)
    target: Any = function
    while hasattr(target, "func") and hasattr(target, "keywords"):  # functools.partial
        target = target.func
    inner = target if inspect.isroutine(target) else getattr(target, "__call__", target)  # noqa: B004
    name = getattr(target, "__name__", None) or type(target).__name__
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise ConfigError(f"tool {name}: its parameters cannot be read") from None
    hints = hints_of(inspect.unwrap(inner))
    text, about = docstring(inspect.getdoc(inner) or inspect.getdoc(target) or "")
    members: dict[str, Member] = {}
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        given = parameter.default is not parameter.empty
        default = parameter.default if given else None
        hint = hints.get(parameter.name, type(default) if isinstance(default, (bool, int, float, str)) else Any)
        members[parameter.name] = Member(hint, not given, default, about.get(parameter.name))
    builder = Builder()
    try:
        parameters = builder.finished(builder.object(members))
    except ConfigError as error:
        raise ConfigError(f"tool {name}: {error.message}") from None
    tool = {"name": _NAME.sub("_", name)[:64], "parameters": parameters}
    if text:
        tool["description"] = text
    return tool


def _from_class(cls: type) -> dict[str, Any]:
    if members_of(cls) is None and not hasattr(cls, "model_json_schema"):
        raise ConfigError(f"{cls.__name__} is a class, not a function; a dataclass, TypedDict or pydantic model would do")
    schema = schema_of(cls)
    description = schema.pop("description", None)
    schema.pop("title", None)
    tool = {"name": _NAME.sub("_", cls.__name__)[:64], "parameters": schema}
    if description:
        tool["description"] = description
    return tool


def docstring(text: str) -> tuple[str, dict[str, str]]:
    """(the description, {parameter: its description}) of a docstring in Google, NumPy or Sphinx style."""
    lines = inspect.cleandoc(text).split("\n") if text else []
    head: list[str] = []
    found: dict[str, str] = {}
    at = 0
    started = False
    while at < len(lines):
        line = lines[at]
        sphinx = _SPHINX.match(line)
        if sphinx:
            started = True
            at = _more(lines, at + 1, sphinx[1], sphinx[2], found)
            continue
        if _SPHINX_OTHER.match(line):
            started = True
        section = line.strip().rstrip(":").lower() if _SECTION.fullmatch(line.strip()) else None
        ruled = section is not None and at + 1 < len(lines) and re.fullmatch(r"[-=]{3,}", lines[at + 1].strip()) is not None
        if section is not None and not line[:1].isspace() and (ruled or line.rstrip().endswith(":")):
            started = True
            at = _section(lines, at + (2 if ruled else 1), ruled, found if section in _PARAMETERS else {})
            continue
        if not started:
            head.append(line)
        at += 1
    return "\n".join(head).strip(), found


def _section(lines: list[str], at: int, ruled: bool, found: dict[str, str]) -> int:
    """Read the entries of a section; the line after it."""
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        indent = len(line) - len(line.lstrip())
        if ruled:
            entry = _NUMPY.match(line) if not indent else None
            last = not indent and (
                entry is None or (at + 1 < len(lines) and re.fullmatch(r"[-=]{3,}", lines[at + 1].strip()) is not None)
            )
            text = ""
        else:
            last = not indent
            entry = _GOOGLE.match(line.strip())
            text = entry[2] if entry else ""
        if last:
            break
        at = _more(lines, at + 1, entry[1], text, found, indent) if entry else at + 1
    return at


def _more(lines: list[str], at: int, name: str, text: str, found: dict[str, str], indent: int = 0) -> int:
    """Take the deeper lines that go on with an entry; the line after them."""
    pieces = [text.strip()] if text.strip() else []
    while at < len(lines) and lines[at].strip() and len(lines[at]) - len(lines[at].lstrip()) > indent:
        pieces.append(lines[at].strip())
        at += 1
    if pieces:
        found[name] = " ".join(pieces)
    return at
