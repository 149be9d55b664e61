"""What is wrong with a spec file, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.spec.node import NOWHERE, Mark


@dataclass(slots=True)
class Problem:
    """One finding. `mark` is where the reader should look; `origin` where an inherited value was written."""

    rule: str
    message: str
    mark: Mark = NOWHERE
    severity: str = "error"  # or "warning"
    suggestion: str | None = None
    origin: Mark | None = None
    width: int = 1  # characters under the caret

    def __str__(self) -> str:
        tail = f"; did you mean `{self.suggestion}`?" if self.suggestion else ""
        origin = f" (from {self.origin.file}:{self.origin.line})" if self.origin else ""
        return f"{self.mark}: {self.severity}[{self.rule}]: {self.message}{tail}{origin}"

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"rule": self.rule, "severity": self.severity, "message": self.message, "suggestion": self.suggestion}
        out.update(file=self.mark.file, line=self.mark.line, column=self.mark.column)
        out["origin"] = str(self.origin) if self.origin else None
        return {k: v for k, v in out.items() if v is not None}


class Problems(list[Problem]):
    """Findings of one run, in the order found."""

    def error(self, rule: str, message: str, mark: Mark | None = None, suggestion: str | None = None, **extra: Any) -> None:
        self.append(Problem(rule, message, mark or NOWHERE, "error", suggestion, **extra))

    def warn(self, rule: str, message: str, mark: Mark | None = None, suggestion: str | None = None, **extra: Any) -> None:
        self.append(Problem(rule, message, mark or NOWHERE, "warning", suggestion, **extra))

    @property
    def errors(self) -> list[Problem]:
        return [p for p in self if p.severity == "error"]

    def sorted(self) -> list[Problem]:
        """By file, then place."""
        return sorted(self, key=lambda p: (p.mark.file, p.mark.line, p.mark.column, p.rule))


def nearest(word: str, words: Iterable[Any], likeness: float = 0.6) -> str | None:
    """The closest valid spelling (case and dashes do not count), else one that begins like it, else None."""
    import difflib

    folded: dict[str, str] = {}
    for known in words:
        folded.setdefault(str(known).lower().replace("-", "_"), str(known))
    plain = word.lower().replace("-", "_")
    found = difflib.get_close_matches(plain, folded, 1, likeness)
    if found:
        return folded[found[0]]
    if len(plain) >= 4:
        return next(
            (known for text, known in folded.items() if text.startswith(plain) or (len(text) >= 4 and plain.startswith(text))), None
        )
    return None
