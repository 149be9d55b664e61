"""Credentials that cannot be shown by accident, and the removal of known credentials from any text.

RELIABILITY S1: a secret lives in one wrapper whose every textual form is a mask; `reveal()` is called where a request is
signed and nowhere else. S2: before an error leaves, known secrets are masked in whatever it carries. S3: URLs in it lose
their query and user info.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

__all__ = ["MASK", "Masker", "Secret", "reveal"]

MASK = "***"
RUN = 8  # shortest run of a secret's characters that is masked (RELIABILITY S2)
STEM = 4  # characters looked for before a text is searched run by run
SHORT = 4  # shorter secrets are words of any text; masking them would hide nothing and ruin everything
_URL = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{1,20}://)(?:[^\s/?#@\"'<>\\]{1,512}@)?(?P<rest>[^\s?#\"'<>\\]*)(?P<query>\?[^\s#\"'<>\\]*)?"
)
_PAGE = re.compile(
    r"(?i)\?(?![a-z]*(?:code|otp|pin|pass|token|key|sig|auth|secret|nonce|state))[a-z]{1,16}=[0-9]{5,10}[.,;:)]?"
)  # the number of a page to read: no credential is that short and plain


def _bare(url: re.Match[str]) -> str:
    """A URL without user info, and without its query unless that is the number of a page."""
    query = url["query"] or ""
    return url["scheme"] + url["rest"] + (query if _PAGE.fullmatch(query) else "")


class Secret:
    """One credential: a text, or the parsed document of a JSON credential. Surrounding white space is not part of it.

    `str`, `repr`, `format` and JSON give a mask, copies share the value, pickling is refused.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str | Mapping[str, Any]) -> None:
        self.__value = value.strip() if isinstance(value, str) else value

    def reveal(self) -> Any:
        """The credential itself. For the signing step only."""
        return self.__value

    def to_dict(self) -> str:
        """The mask: what plain JSON of a structure that holds a secret shows."""
        return MASK

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"<Secret {MASK}>"

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, theirs = self.__value, other.__value
        if isinstance(mine, str) and isinstance(theirs, str):
            import hmac

            return hmac.compare_digest(mine.encode(), theirs.encode())
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is a fingerprint that could end in a key or a log

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    __reduce__ = __reduce_ex__  # type: ignore[assignment]


def reveal(values: Mapping[str, Any]) -> dict[str, Any]:
    """A plain mapping in which every Secret is opened: the context of a signing template."""
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


class Masker:
    """Replaces known secrets in texts, mappings and lists.

    Found are the secrets as they are, percent-encoded, in base64 (also of a longer text around them), JSON-escaped, and
    every run of at least 8 of their characters in any of these forms. The tables are made when first needed: only
    failing calls pay.
    """

    __slots__ = ("_grams", "_secrets", "_short", "_stems")

    def __init__(self, secrets: Iterable[Any]) -> None:
        self._secrets = tuple(secrets)
        self._grams: frozenset[str] | None = None
        self._short: tuple[str, ...] = ()
        self._stems: tuple[str, ...] = ()

    def text(self, text: str) -> str:
        """The text with every known secret replaced by `***`, and its URLs without query and user info."""
        if "://" in text:
            text = _URL.sub(_bare, text)
        if self._grams is None:
            self._prepare()
        grams = self._grams
        if grams and any(stem in text for stem in self._stems):
            text = _cover(text, grams)
        for short in self._short:
            text = text.replace(short, MASK)
        return text

    def holds(self, text: str) -> bool:
        """Whether a known secret stands in a text."""
        if self._grams is None:
            self._prepare()
        grams = self._grams
        if grams and any(stem in text for stem in self._stems) and _cover(text, grams) != text:
            return True
        return any(short in text for short in self._short)

    def value(self, value: Any, depth: int = 64) -> Any:
        """A copy of plain data with every text in it masked, keys included; what lies deeper than 64 levels is masked whole."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (bytes, bytearray)):
            return self.text(bytes(value).decode("utf-8", "replace")).encode()
        if isinstance(value, (dict, list, tuple)):
            if not depth:
                return MASK
            if isinstance(value, dict):
                return {self.text(k) if isinstance(k, str) else k: self.value(v, depth - 1) for k, v in value.items()}
            return [self.value(v, depth - 1) for v in value]
        return value

    def _prepare(self) -> None:
        grams: set[str] = set()
        stems: set[str] = set()
        short: set[str] = set()
        for secret in dict.fromkeys(_texts(self._secrets)):  # a key is often what signing wrote, too
            for form in _forms(secret):
                if len(form) >= RUN:
                    grams.update(form[i : i + RUN] for i in range(len(form) - RUN + 1))
                    # Every run of 8 holds one of these whole: a text without any, long as it may be, is done with quickly.
                    stems.update(form[i : i + STEM] for i in range(0, len(form) - STEM + 1, RUN - STEM + 1))
                elif len(form) >= SHORT:
                    short.add(form)
        self._short = tuple(sorted(short, key=len, reverse=True))
        self._stems = tuple(stems)
        self._grams = frozenset(grams)


def _texts(secrets: Iterable[Any]) -> Iterable[str]:
    """The texts to hide in credentials: JSON credentials are hidden leaf by leaf, but for addresses and plain words."""
    for secret in secrets:
        value = secret.reveal() if isinstance(secret, Secret) else secret
        if isinstance(value, str):
            if value:
                yield value
        elif isinstance(value, Mapping):
            for leaf in value.values():
                if isinstance(leaf, str) and (leaf.startswith(("http://", "https://")) or re.fullmatch(r"[a-z_]{0,24}", leaf)):
                    continue
                yield from _texts([leaf])
        elif isinstance(value, (list, tuple)):
            yield from _texts(value)


def _forms(secret: str) -> set[str]:
    """A secret as it may stand in a text. Half characters, which no text that is sent can hold, are left out of encodings."""
    import base64
    import json
    from urllib.parse import quote, quote_plus

    forms = {secret}
    secret = secret.encode("utf-8", "ignore").decode()
    forms |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms.add(secret.replace("/", "\\/"))  # as some JSON writers have it
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret), "".join(f"%{b:02X}" for b in secret.encode())):
        forms.update((encoded, re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), encoded)))
    raw = secret.encode()
    for shift in range(3):
        # Inside a longer text the secret may begin at any of three positions of a base64 group. Characters that also
        # hold bits of the neighbours are left out, the run rule covers what is between.
        text = base64.b64encode(bytes(shift) + raw).decode().rstrip("=")
        start = (0, 2, 3)[shift]
        end = len(text) if (shift + len(raw)) % 3 == 0 else -1
        forms.update((text[start:end], text[start:end].replace("+", "-").replace("/", "_")))
        if not shift:
            forms.add(text)
    return forms


def _cover(text: str, grams: frozenset[str]) -> str:
    """The text with each maximal stretch covered by known runs replaced by one mask."""
    out: list[str] = []
    done = 0
    end = -1  # end of the stretch being covered
    start = 0
    for i in range(len(text) - RUN + 1):
        if text[i : i + RUN] in grams:
            if i > end:
                if end > 0:
                    out += (text[done:start], MASK)
                    done = end
                start = i
            end = i + RUN
    if end > 0:
        out += (text[done:start], MASK)
        done = end
    if not out:
        return text
    out.append(text[done:])
    return "".join(out)
