"""Globs on model ids and regular expressions of variables, kept linear (RELIABILITY A6)."""

from __future__ import annotations

import math
import re
import warnings
from functools import lru_cache

PATTERN_LIMIT = 200  # characters of a pattern
SUBJECT_LIMIT = 4096  # characters a pattern ever sees
WAYS_LIMIT = 10_000_000  # ways of dividing a text among a pattern's repetitions that may have to be tried

_QUANTIFIER = re.compile(r"[*+?]|\{\d*,?\d*\}")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?P=|\(\?\(|\\g")


class PatternError(ValueError):
    """A pattern that is refused; the text says why."""


@lru_cache(maxsize=4096)
def compile_glob(text: str) -> re.Pattern[str]:
    """An anchored, case-sensitive glob: `*` any text, `?` one character, `[a-z]` `[!a-z]` one of a set.

    Each stretch between stars is matched once, at its first place and never again, so the time is bounded by the length
    of the glob times that of the id. Raises PatternError.
    """
    if len(text) > PATTERN_LIMIT:
        raise PatternError(f"a glob has at most {PATTERN_LIMIT} characters")
    stretches = [""]
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "*":
            stretches.append("")
        elif character == "?":
            stretches[-1] += "."
        elif character == "[" and (end := text.find("]", position + 1 + text.startswith(("!", "^"), position))) > 0:
            stretches[-1] += _bracket(text[position:end])
            position = end + 1
        else:
            stretches[-1] += re.escape(character)
    if len(stretches) == 1:
        source = stretches[0]
    else:
        inner = "".join(f"(?>.*?{stretch})" for stretch in stretches[1:-1] if stretch)
        source = f"{stretches[0]}{inner}.*{stretches[-1]}"
    try:
        return re.compile(source, re.DOTALL)
    except re.error as error:
        raise PatternError(f"not a glob: {error.msg}") from None


def _bracket(body: str) -> str:
    negated = body.startswith(("!", "^"))
    inside = re.sub(r"([\\\[\]&~|^])", r"\\\1", body[negated:])
    return f"[{'^' if negated else ''}{inside}]"


def glob_matches(glob: str, text: str) -> bool:
    """Whether the whole text fits the glob; text beyond 4,096 characters never does."""
    return len(text) <= SUBJECT_LIMIT and compile_glob(glob).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> re.Pattern[str]:
    """A regular expression for whole values (use `fullmatch` on at most 4,096 characters). Raises PatternError.

    At most 200 characters, no back-references, no repeated group that itself repeats something or chooses between
    alternatives; only one that begins with a separator found nowhere else in it, as in `(-[a-z]+)+`, reads one way only.
    """
    if len(text) > PATTERN_LIMIT:
        raise PatternError(f"a pattern has at most {PATTERN_LIMIT} characters")
    if _BACK_REFERENCE.search(text):
        raise PatternError("back-references are refused")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a set that may mean something else one day
            found = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(f"not a regular expression: {error}") from None
    _refuse_nested(text)
    return found


def pattern_matches(pattern: str, text: str) -> bool:
    """Whether the whole text fits the pattern. A text so long that `a*a*a*b` could divide it in too many ways never does, nor
    one beyond 4,096 characters. Raises PatternError."""
    if len(text) > SUBJECT_LIMIT:
        return False
    found = compile_pattern(pattern)
    repetitions, alternatives = _choices(pattern)
    if math.comb(len(text) + repetitions, repetitions) * alternatives > WAYS_LIMIT:
        return False
    return found.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _choices(text: str) -> tuple[int, int]:
    """(how many repetitions share a text out among them, in how many ways alternatives can be chosen)."""
    plain = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", text)
    bars, alternatives = [0], 1
    for character in plain:
        if character == "(":
            bars.append(0)
        elif character == "|":
            bars[-1] += 1
        elif character == ")" and len(bars) > 1:
            alternatives *= bars.pop() + 1
    fixed = re.sub(r"\{\d+\}", "", plain).replace("(?", "(")
    return len(_QUANTIFIER.findall(fixed)), alternatives * (bars[0] + 1)


def _refuse_nested(text: str) -> None:
    """Raise PatternError for a quantified group whose inside can be read in more than one way."""
    groups: list[tuple[int, bool]] = []  # where an open group starts, whether it repeats or chooses
    position = 0
    busy = False
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\\":
            position += 1
        elif character == "[":
            position = text.find("]", position + 1 + text.startswith("^", position)) + 1
            if position == 0:
                return
        elif character == "(":
            groups.append((position, busy))
            busy = False
            position += text.startswith("?", position)
        elif character == ")":
            start, outer = groups.pop()
            quantifier = _QUANTIFIER.match(text, position)
            repeated = quantifier is not None and quantifier.group() not in ("?", "{1}", "{0,1}")
            if repeated and busy and not _separated(text[start : position - 1]):
                raise PatternError("nested quantifiers are refused")
            busy = busy or outer or quantifier is not None
        elif character == "|" or character in "*+?" or (character == "{" and _QUANTIFIER.match(text, position - 1)):
            busy = True


def _separated(group: str) -> bool:
    """Whether every turn of a repeated group begins with one literal that nothing else in it can match."""
    body = group.removeprefix("?:")
    literal = body[:1]
    if literal in ("", "\\") or literal in ".^$*+?{}[]()|" or _QUANTIFIER.match(body, 1):
        return False
    rest = body[1:]
    if any(c in rest for c in ".\\(|^$"):
        return False
    outside = re.sub(r"\[[^\]]*\]", "", rest)
    return literal not in outside and not any(re.fullmatch(c, literal) for c in re.findall(r"\[[^\]]*\]", rest))
