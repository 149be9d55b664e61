"""Thinking that a model writes between tags inside its text (SPEC_LANGUAGE 5.1, `thinking_tags`)."""

from __future__ import annotations


class TagCutter:
    """Cuts `<think>…</think>` out of text that comes in any pieces.

    What may be the beginning of a tag is held back until it is known. Line ends right after a tag belong to the tag.
    """

    def __init__(self, opening: str, closing: str) -> None:
        self._tags = (opening, closing)
        self._inside = 0
        self._held = ""
        self._trim = False

    def feed(self, text: str) -> list[tuple[str, str]]:
        """[(kind, text)], kind being text or thinking."""
        out: list[tuple[str, str]] = []
        text = self._held + text
        self._held = ""
        while text:
            tag = self._tags[self._inside]
            at = text.find(tag)
            if at < 0:
                keep = _overlap(text, tag)
                self._held = text[len(text) - keep :] if keep else ""
                self._add(out, text[: len(text) - keep])
                break
            self._add(out, text[:at])
            self._inside ^= 1
            self._trim = True
            text = text[at + len(tag) :]
        return out

    def close(self) -> list[tuple[str, str]]:
        """What was held back: the text ended in something that only looked like a tag."""
        out: list[tuple[str, str]] = []
        self._add(out, self._held)
        self._held = ""
        return out

    def _add(self, out: list[tuple[str, str]], text: str) -> None:
        if self._trim and text:
            text = text.lstrip("\r\n")
            self._trim = not text
        if text:
            out.append(("thinking" if self._inside else "text", text))


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of `text` begin `tag`."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
