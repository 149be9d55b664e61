"""The walls of ARCHITECTURE.md, as a failing build."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "engine"
FILES = sorted(p for p in ENGINE.rglob("*.py") if "_data" not in p.parts)

#: module -> the only place that may import it
HOMES: dict[str, str | tuple[str, ...]] = {
    "yaml": "engine/spec/load",
    "jsonschema": "engine/spec/validate",
    "jinja2": "engine/expr/template",
    "jmespath": "engine/expr/query",
    "httpx": "engine/call/send",
    "aiohttp": "engine/call/send",
    "tiktoken": "engine/tokens",
    "tokenizers": "engine/tokens",
    "websockets": ("engine/realtime/", "engine/serve/socket"),
    "opentelemetry": "engine/telemetry",
    "matplotlib": "engine/cli/plot",
    "pyarrow": "engine/batch/rows",
    "redis": "engine/reliability/link",
    "botocore": "engine/call/send/identity",
    "google": "engine/call/send/identity",
    "azure": "engine/call/send/identity",
}
#: nothing of the clock, the environment, files or the network inside the pure core
IMPURE = {"os", "time", "socket", "ssl", "random", "subprocess", "pathlib", "http", "urllib.request", "asyncio", "threading"}
SIGNATURE_SCHEMES = {"aws-sigv4"}
#: provider names that are also plain words: they may stand inside a sentence, never alone
ENGLISH = {"together", "fireworks", "perplexity", "replicate", "inception", "modal", "writer", "stability", "meta", "lambda"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def typing_lines(path: Path) -> set[int]:
    """Lines under `if TYPE_CHECKING:`, which import nothing when the program runs."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_each_library_has_one_home(path: Path) -> None:
    for name, line in imports(path):
        home = HOMES.get(name.split(".")[0])
        if home and line not in typing_lines(path):
            assert relative(path).startswith(home), f"{relative(path)}:{line} imports {name}; its home is {home}"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_spec_and_call_meet_only_in_the_plan(path: Path) -> None:
    place = relative(path)
    for name, line in imports(path):
        if place.startswith("engine/spec/"):
            assert not name.startswith("engine.call"), f"{place}:{line} reaches over the waist"
        if place.startswith("engine/call/"):
            assert not name.startswith("engine.spec"), f"{place}:{line} reaches over the waist"


@pytest.mark.parametrize("path", [p for p in FILES if relative(p).startswith("engine/call/")], ids=relative)
def test_the_core_is_pure(path: Path) -> None:
    if relative(path).startswith("engine/call/send"):
        return
    for name, line in imports(path):
        if line not in typing_lines(path):
            top = name if name in IMPURE else name.split(".")[0]
            assert top not in IMPURE, f"{relative(path)}:{line} imports {name}"


def test_code_is_compiled_in_one_module() -> None:
    """RELIABILITY P5: no eval, no pickle; compile and exec in the spec compiler only."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "eval", f"{relative(path)}:{node.lineno}"
                if node.func.id in ("exec", "compile"):
                    assert relative(path) == "engine/expr/function.py", f"{relative(path)}:{node.lineno}"
        for name, line in imports(path):
            assert name.split(".")[0] not in ("pickle", "marshal", "shelve"), f"{relative(path)}:{line}"


def test_the_engine_names_no_provider_and_no_dialect() -> None:
    """The first `if provider ==` would start a second, hidden catalog."""
    catalog = ROOT / "catalog"
    ids = {p.name.removesuffix(".yaml") for kind in ("providers", "dialects") for p in (catalog / kind).glob("*.yaml")}
    ids = {i for i in ids if not i.endswith(".examples")}
    assert ids, "the catalog is empty"
    hosts = set()
    for path in (catalog / "providers").glob("*.yaml"):
        hosts |= set(re.findall(r"https?://([a-z0-9.-]+\.[a-z]{2,})", path.read_text("utf-8")))
    hosts -= {host for host in hosts if host.endswith("example.com")}
    told = "|".join(re.escape(i) for i in sorted(ids - ENGLISH, key=len, reverse=True))
    words = re.compile(rf"(?<![\w-])({told})(?![\w-])")
    for path in FILES:
        tree = ast.parse(path.read_text("utf-8"))
        documents = {id(n.body[0].value) for n in ast.walk(tree) if _documented(n)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
                if node.value in SIGNATURE_SCHEMES or relative(path).startswith("engine/cli"):
                    continue
                assert node.value not in ids, f"{relative(path)}:{node.lineno} names `{node.value}`"
                found = words.search(node.value)
                assert not found, f"{relative(path)}:{node.lineno} names `{found and found.group(1)}`"
                assert not any(host in node.value for host in hosts), f"{relative(path)}:{node.lineno} names a provider's host"


def _documented(node: ast.AST) -> bool:
    body = getattr(node, "body", None)
    return (
        isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and bool(body)
        and isinstance(body[0], ast.Expr)
        and isinstance(body[0].value, ast.Constant)
    )


def test_files_stay_readable() -> None:
    long = {
        relative(p): n for p in [*FILES, *sorted((ROOT / "tools").rglob("*.py"))] if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long, f"over 400 lines, a wall is missing: {long}"


def test_names_say_what_is_in() -> None:
    vague = {"utils", "util", "helpers", "common", "manager", "base", "misc"}
    assert not [relative(p) for p in FILES if p.stem in vague or p.parent.name in vague]
