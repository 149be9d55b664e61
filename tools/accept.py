#!/usr/bin/env python3
"""Read recorded requests backwards, write them again, and compare (SERVE.md 14).

    tools/accept.py DIR [--dialect NAME] [--case ID] [--verbose] [--across]

DIR holds `<dialect>.jsonl` files as its README describes. Every chat request is accepted in the words of its dialect and
rendered in the same dialect; `equal` is the same JSON, `spelling` the same under the rules of `tools/spelling.py`. With
`--across` it is also rendered in every other dialect: an exception that is not ours fails, and so does anything that is
neither read again by that dialect nor warned about. Exit code 0: nothing differs but what `tests/accept_exceptions.yaml` lists.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ROOT = Path(__file__).resolve().parents[1]
for _path in (ROOT,):
    if str(_path) not in sys.path:
        sys.path.insert(0, str(_path))

EXCEPTIONS = ROOT / "tests" / "accept_exceptions.yaml"
#: file of the recordings -> (dialect of the catalog, a provider that speaks it, a model of it)
DIALECTS = {
    "openai-chat": ("openai-chat", "openai-compatible", "m"),
    "openai-responses": ("openai-responses", "openai:responses", "m"),
    "anthropic-messages": ("anthropic-messages", "anthropic", "claude-opus-4-6"),
    "gemini-generatecontent": ("gemini", "google-gemini", "m"),
    "bedrock-converse": ("bedrock-converse", "amazon-bedrock", "m"),
    "cohere-v2": ("cohere-v2", "cohere", "m"),
    "mistral": ("mistral", "mistral", "m"),
    "ollama": ("ollama", "ollama", "m"),
}
#: where one setting has a spelling of its own for older models
BY_MODEL = ("anthropic-messages",)
VERDICTS = ("equal", "spelling", "differs", "refused", "failed")


@dataclass
class Case:
    """One recorded request and what became of it."""

    id: str
    file: str
    body: dict[str, Any]
    path: str
    query: dict[str, str]
    verdict: str = ""
    why: str = ""
    extra: bool = False
    written: Any = None
    fields: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


class Judge:
    """Accepts and renders with one catalog."""

    def __init__(self) -> None:
        from engine.catalog import Catalog
        from engine.serve.accept import Accepting, compile_accept
        from engine.spec.problem import Problems

        self.catalog = Catalog()
        self.accepting: dict[str, Accepting] = {}
        for dialect, *_ in DIALECTS.values():
            tree, chain = dialect_tree(self.catalog, dialect)
            self.accepting[dialect] = compile_accept(tree, chain, Problems())
        self._operations: dict[str, Any] = {}

    def operation(self, file: str, model: str | None = None) -> Any:
        from engine.examples import given_operation

        _, provider, default = DIALECTS[file]
        target = f"{provider}/{model or default}"
        if target not in self._operations:
            self._operations[target] = given_operation(self.catalog, target, "chat")
        return self._operations[target]

    def accept(self, case: Case) -> dict[str, Any]:
        """The canonical fields of a recorded request."""
        accepting = self.accepting[DIALECTS[case.file][0]]
        routed = accepting.route("POST", case.path, case.query) or {}
        return {**accepting.accept(json.loads(json.dumps(case.body)), None), **routed}

    def judge(self, case: Case) -> None:
        """Fill in the verdict of accept and render in one dialect."""
        from engine.errors import Error
        from tools.spelling import alike, difference

        try:
            case.fields = self.accept(case)
            case.extra = "extra" in repr(case.fields)
            fields = dict(case.fields)
            model = (fields.get("model") or model_in(case.path)) if case.file in BY_MODEL else None
            operation = self.operation(case.file, model if isinstance(model, str) else None)
            request = operation.render(**fields)
        except Error as error:
            case.verdict, case.why = "refused", f"{type(error).__name__}: {error}"
            return
        except Exception as error:
            case.verdict, case.why = "failed", f"{type(error).__name__}: {error}"
            return
        case.written = json.loads(request.body or b"null")
        if "model" not in case.body and isinstance(case.written, dict):
            case.written.pop("model", None)  # it stands in the URL, or the service asks for none
        dialect = DIALECTS[case.file][0]
        if case.written == case.body:
            case.verdict = "equal"
        elif alike(dialect, case.body, case.written):
            case.verdict = "spelling"
        else:
            case.verdict, case.why = "differs", difference(dialect, case.body, case.written)

    def across(self, case: Case, file: str) -> tuple[str, str]:
        """(verdict, why) of rendering an accepted request in another dialect, and of what that dialect's own reader makes of it."""
        from engine.errors import Error
        from engine.laws.sameness import lost_in_silence

        given = {k: v for k, v in self.accept(case).items() if k != "model"}
        try:
            request = self.operation(file).render(**json.loads(json.dumps(given)))
        except Error as error:
            return "refused", str(error)
        except Exception as error:
            return "failed", f"{type(error).__name__}: {error}"
        written = json.dumps(json.loads(request.body or b"null"), ensure_ascii=False)
        back = self.accepting[DIALECTS[file][0]].accept(json.loads(written), None)
        said = {k: v for k, v in given.items() if k not in ("extra", "stream")}
        lost = lost_in_silence(said, back, request.report) if "messages" in given and "messages" in back else []
        if lost:
            return "lost", ", ".join(lost)
        if request.report.warnings:
            return "warned", "; ".join(request.report.warnings)
        for text in texts_of(case.fields.get("messages") or ()):
            if text.strip() and json.dumps(text.strip(), ensure_ascii=False)[1:-1] not in written:
                return "lost", text[:80]
        return "written", ""


def model_in(path: str) -> str | None:
    """The model that a cloud names in the path, as its maker names it."""
    _, found, rest = path.partition("/models/")
    return rest.partition(":")[0].replace("@", "-") if found else None


def dialect_tree(catalog: Any, dialect: str) -> tuple[Any, tuple[str, ...]]:
    """A dialect with what it extends, and the chain of ids."""
    from engine.spec.extend import operation_tree
    from engine.spec.node import node_of
    from engine.spec.problem import Problems

    tree, chain = operation_tree(catalog, node_of({"chat": dialect}), "chat", (), Problems())
    assert tree is not None
    return tree, chain


def texts_of(value: Any) -> Iterator[str]:
    """Every text of canonical messages."""
    for message in value if isinstance(value, list) else ():
        if isinstance(message.get("content"), str):
            yield message["content"]
        for part in message.get("parts") or ():
            if part.get("type") == "text" and part.get("text"):
                yield part["text"]
            if part.get("type") == "tool_call" and part.get("name"):
                yield part["name"]


def cases(folder: Path, only: str | None = None) -> Iterator[Case]:
    """Every recorded chat request of the dialects of the catalog."""
    for file in DIALECTS:
        if only is not None and only not in (file, DIALECTS[file][0]):
            continue
        for line in (folder / f"{file}.jsonl").read_text("utf-8").splitlines():
            one = json.loads(line)
            request = one.get("request") or {}
            body, url = request.get("body"), urlsplit(request.get("url") or "")
            if isinstance(body, dict) and "multipart" not in body and not url.path.endswith("/api/generate"):
                yield Case(one["id"], file, body, url.path, dict(parse_qsl(url.query)))


def listed() -> dict[str, str]:
    """The requests that differ for a known reason, by id."""
    import yaml

    found = yaml.safe_load(EXCEPTIONS.read_text("utf-8")) if EXCEPTIONS.exists() else {}
    return {id: reason for reason, ids in (found or {}).items() for id in ids}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dialect")
    parser.add_argument("--case")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--across", action="store_true")
    given = parser.parse_args(arguments)
    judge, known = Judge(), listed()
    table: dict[str, dict[str, int]] = {}
    pairs: dict[tuple[str, str], dict[str, int]] = {}
    bad = 0
    for case in cases(given.folder, given.dialect):
        if given.case and given.case != case.id:
            continue
        judge.judge(case)
        row = table.setdefault(case.file, {})
        row[case.verdict] = row.get(case.verdict, 0) + 1
        row["plain"] = row.get("plain", 0) + (not case.extra)
        if case.verdict not in ("equal", "spelling"):
            bad += case.id not in known
            if case.id not in known or given.verbose:
                print(f"{case.id} {case.verdict}: {case.why[:300]}")
        if given.case:
            print(json.dumps({"body": case.body, "fields": case.fields, "written": case.written}, indent=1, default=str))
        if given.across:
            for file in DIALECTS:
                if file == case.file:
                    continue
                verdict, why = judge.across(case, file)
                cell = pairs.setdefault((case.file, file), {})
                cell[verdict] = cell.get(verdict, 0) + 1
                if verdict in ("failed", "lost"):
                    bad += 1
                    print(f"{case.id} to {file} {verdict}: {why[:200]}")
                elif given.verbose:
                    print(f"{case.id} to {file} {verdict}: {why[:200]}")
    print(f"{'dialect':26}{'requests':>9}" + "".join(f"{v:>9}" for v in VERDICTS) + f"{'no extra':>10}")
    for file, row in table.items():
        total = sum(row.get(v, 0) for v in VERDICTS)
        print(f"{file:26}{total:9}" + "".join(f"{row.get(v, 0):9}" for v in VERDICTS) + f"{row['plain']:10}")
    total = sum(row.get(v, 0) for row in table.values() for v in VERDICTS)
    fine = sum(row.get(v, 0) for row in table.values() for v in VERDICTS[:2])
    print(f"{fine} of {total} equal or other spelling ({fine / total:.2%})" if total else "no requests")
    for (a, b), cell in pairs.items():
        print(f"{a} to {b}: " + ", ".join(f"{n} {v}" for v, n in sorted(cell.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
