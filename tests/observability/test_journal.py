"""The journal of calls: a row for every call and target, written beside the call and never in its way."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import errors
from engine.events import CallEnded
from engine.ledger.journal import COLUMNS, Journal
from tests.routing.targets import A, B, Several

PRICES = {"openai/*": {"input": 1, "output": 10}, "groq/*": {"input": 100, "output": 1000}}


def ended(n: int = 0, **more: Any) -> CallEnded:
    said: dict[str, Any] = {
        "call": str(n),
        "at": float(n),
        "operation": "chat",
        "provider": "p",
        "model": "m",
        "kind": "ok",
        "seconds": 1.0,
    }
    return CallEnded(**{**said, **more})


def test_a_row_for_every_call_and_target_and_no_prompt_in_it(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with Several(groq="u_503_always") as several, several.client(ledger=path, prices=PRICES, attempts=1) as client:
        client.chat(engine.Route([A, B], name="smart"), "a secret prompt", tenant="acme", tags={"team": "search"})
        client.chat(B, "a secret prompt")
        with client.chat.stream(B, "a secret prompt") as stream:
            next(stream)
        assert client.journal is not None
        rows = client.journal.calls()
    assert [(row["provider"], row["kind"], row["route"]) for row in rows] == [
        ("groq", "overloaded", "smart"), ("openai", "ok", "smart"), ("openai", "ok", None), ("openai", "cancelled", None),
    ]  # fmt: skip
    assert rows[1]["cost"] and rows[1]["tenant"] == "acme" and rows[1]["tags"] == '["team:search"]' and rows[1]["attempts"] == 1
    assert rows[2]["input_tokens"] and rows[2]["seconds"] > 0 and rows[3]["first_event"] > 0
    assert b"secret" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("given", ["argument", "ledger", "environment", "refused", "nothing"])
def test_who_says_where_it_is(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "here.sqlite"
    if given in ("environment", "refused"):
        monkeypatch.setenv("LLMKIT_JOURNAL", str(path))
    options: dict[str, Any] = {"argument": {"journal": path}, "ledger": {"ledger": str(path)}, "refused": {"journal": False}}
    with Several() as several, several.client(**options.get(given, {})) as client:
        client.chat(B, "hi")
    found = sqlite3.connect(path).execute("SELECT count(*) FROM calls").fetchone()[0] if path.exists() else 0
    assert found == (given not in ("refused", "nothing"))


def test_async_clients_leave_rows_too(tmp_path: Path) -> None:
    async def run(several: Several) -> None:
        async with several.async_client(journal=tmp_path / "j.sqlite") as client:
            await asyncio.gather(*(client.chat(B, "hi") for _ in range(20)))

    with Several() as several:
        asyncio.run(run(several))
    assert len(Journal(tmp_path / "j.sqlite").calls()) == 20


def test_it_stays_as_long_as_it_may_and_nothing_is_lost() -> None:
    journal = Journal(":memory:", keep=50)
    for n in range(1000):
        journal(ended(n, cost=Decimal("0.0000000011")))
        if n % 10 == 9:
            journal.flush()
    rows = journal.calls()
    assert len(rows) == 50 and [row["at"] for row in rows] == [float(n) for n in range(950, 1000)] and journal.lost == 0
    assert rows[0]["cost"] == 2 and tuple(rows[0]) == COLUMNS and journal.calls(since=990.0)[0]["at"] == 990.0


def test_the_thread_writes_by_itself_and_leaves_when_there_is_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    threads = threading.active_count()
    for n in range(500):
        journal(ended(n))
    assert threading.active_count() <= threads + 1
    reader = sqlite3.connect(tmp_path / "j.sqlite")
    until = time.monotonic() + 5
    while reader.execute("SELECT count(*) FROM calls").fetchone()[0] < 500 and time.monotonic() < until:
        time.sleep(0.05)
    assert reader.execute("SELECT count(*) FROM calls").fetchone()[0] == 500


def test_rows_that_wait_when_the_process_ends_are_written(tmp_path: Path) -> None:
    code = (
        "import sys; from engine.ledger.journal import Journal; from tests.observability.test_journal import ended\n"
        "journal = Journal(sys.argv[1])\nfor n in range(300): journal(ended(n))\n"
    )
    path = tmp_path / "j.sqlite"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path(__file__).resolve().parents[2])
    assert sqlite3.connect(path).execute("SELECT count(*) FROM calls").fetchone() == (300,)


def test_a_disk_that_fails_costs_rows_and_no_call(tmp_path: Path) -> None:
    with Several() as several, several.client(journal=tmp_path / "j.sqlite") as client:
        assert client.journal is not None
        client.chat(B, "hi")
        client.journal.flush()
        client.journal._pen._db.execute("DROP TABLE calls")
        assert client.chat(B, "hi").text
        client.journal.flush()
        assert client.journal.lost == 1
    with pytest.raises(errors.ConfigError, match="cannot be opened"):
        Journal(tmp_path)


def test_what_a_call_waits_for_it_is_little() -> None:
    journal = Journal(":memory:")
    events = [ended(n) for n in range(5000)]
    began = time.thread_time()
    for event in events:
        journal(event)
    assert (time.thread_time() - began) / len(events) < 50e-6  # 5 µs on a quiet machine
