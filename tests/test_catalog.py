"""The packaged catalog: every file passes all six steps, stays small, and says when somebody last looked."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.catalog import BUILTIN, Catalog
from engine.check import check
from engine.examples.cases import dialect_examples

DIALECTS = sorted(p.stem for p in (BUILTIN / "dialects").glob("*.yaml") if not p.name.endswith(".examples.yaml"))
PROVIDERS = sorted(p.stem for p in (BUILTIN / "providers").glob("*.yaml") if not p.name.endswith(".examples.yaml"))
#: one switch for all tools cannot say which tool was strict: read backwards it stays an extra of its dialect
KNOWN = {("one-way", "cohere-v2")}


def lines(kind: str, id: str) -> int:
    """Lines of a file, without its `serve` block: the other direction has a budget of its own."""
    count, served = 0, False
    for line in (BUILTIN / kind / f"{id}.yaml").read_text("utf-8").splitlines():
        served = line.startswith("serve:") or (served and line.startswith((" ", "#")))
        count += not served
    return count


def test_the_whole_catalog_is_good_and_checked_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards what docs/performance.md says of the whole catalog (9 s cold, 2 s warm, of one quiet core) against growing by times.

    One test, so that the catalog is checked once in a run, whatever the number of processes.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    catalog, start = Catalog(), time.process_time()
    findings = check(catalog, cache=tmp_path / "llmkit" / "check")
    assert time.process_time() - start < 40.0  # in a process that has run other tests, on a busy machine
    assert not findings.errors, "\n".join(str(p) for p in findings.problems if p.severity == "error")
    unexpected = [p for p in findings.problems if (p.rule, Path(p.mark.file).stem) not in KNOWN]
    assert not unexpected, "\n".join(map(str, unexpected))
    ran = {r.provider for r in findings.results if r.passed}
    assert not {id for id in PROVIDERS if catalog.plan(id).operations} - ran
    # inherited examples that a provider cannot run need a capability it lacks, or stand in its `skip_examples`
    reasons = {r.skipped for r in findings.results if r.skipped}
    assert all(reason.startswith("needs ") or len(reason) > 12 for reason in reasons)
    code = "import sys, time; from engine.cli import main; c = main(['check']); print(time.process_time()); sys.exit(c)"
    environment = {**os.environ, "PYTHONPATH": str(BUILTIN.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, summary, seconds = done.stdout.splitlines()
    assert "no errors" in summary
    assert float(seconds) < 6.0


@pytest.mark.parametrize("id", DIALECTS)
def test_a_dialect_fits_on_a_few_screens_and_brings_examples(id: str) -> None:
    assert lines("dialects", id) <= 200
    node = Catalog().dialect(id)
    assert node is not None
    if node.get("operation") is not None and node.value["operation"].value == "chat":
        wanted = 1 if node.get("extends") is not None else 12 if node.get("serve") is not None else 2
        assert len(dialect_examples(Catalog(), id)) >= wanted


def test_a_provider_is_one_screen() -> None:
    assert lines("providers", "groq") <= 20
    assert statistics.median(lines("providers", id) for id in PROVIDERS) <= 20


def test_the_catalog_is_broad_and_says_what_cannot_be_used() -> None:
    catalog = Catalog()
    plans = {id: catalog.plan(id) for id in PROVIDERS}
    assert len(PROVIDERS) >= 230
    assert sum("chat" in who.operations for who in plans.values()) >= 200
    for id, who in plans.items():
        if who.status in ("discontinued", "private"):
            status = catalog.provider(id).plain()["status"]
            assert not who.operations and status["since"] and status["reason"] and status["instead"], id


def test_few_providers_need_a_key_that_their_dialect_did_not_foresee() -> None:
    """Of all files one in twenty at most writes a field of a chat's body, for all its models or some, that its dialect does not."""
    catalog = Catalog()

    def written(dialect: str) -> set[str]:
        node = catalog.dialect(dialect)
        assert node is not None
        plain = node.plain()
        above = plain.get("extends")
        return {*(plain.get("body") or ()), *(written(above) if isinstance(above, str) else ())}

    found = set()
    for id in PROVIDERS:
        plain = catalog.provider(id).plain()
        patches = [plain, *(plain.get("models") or {}).values(), *(plain.get("variants") or {}).values()]
        chats = [p["chat"] for p in patches if isinstance(p, dict) and isinstance(p.get("chat"), dict)]
        named = chats[0].get("extends") if chats else None
        for chat in chats:
            dialect = chat.get("extends", named)
            if isinstance(dialect, str) and {key for key in chat.get("body") or () if key[0] != "$"} - written(dialect):
                found.add(id)
    assert 0 < len(found) <= 0.05 * len(PROVIDERS), sorted(found)


@pytest.mark.parametrize("id", PROVIDERS)
def test_a_provider_says_who_where_and_when_it_was_checked(id: str) -> None:
    node = Catalog().provider(id)
    assert node is not None
    for key in ("name", "docs", "categories", "checked"):
        assert node.get(key) is not None, f"{id} has no `{key}`"
