"""`llmkit stats`: the numbers of a journal, by hand."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.accounting.statistics import groups, moment, percentile, total
from engine.cli import main
from engine.errors import ConfigError
from engine.ledger.journal import COLUMNS, Journal
from tests.observability.test_journal import ended

DAY = 86400.0
NOW = 20000 * DAY


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """Two days: ten answers of `a` (1 to 10 s), two failures and a hit; three calls of `b`, one without a price, one cancelled."""
    path = tmp_path / "j.sqlite"
    written = Journal(path)
    for n in range(1, 11):
        used = {"input_tokens": 100, "output_tokens": 10}
        written(ended(n, at=NOW - DAY + n, provider="a", seconds=float(n), cost=Decimal("0.5"), usage=used, tags=("x", "y")))
    for kind in ("timeout", "rate_limit"):
        written(ended(at=NOW + 1, provider="a", kind=kind, seconds=99.0))
    written(ended(at=NOW + 2, provider="a", seconds=0.001, cost=Decimal(0), cached=True))
    written(ended(at=NOW + 3, provider="b", seconds=2.0, first_event=0.5, tags=("x",)))
    written(ended(at=NOW + 4, provider="b", seconds=4.0, cost=Decimal("0.000000001"), first_event=0.7))
    written(ended(at=NOW + 5, provider="b", kind="cancelled", seconds=1.0))
    written.flush()
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["stats", *arguments])
    out = capsys.readouterr()
    return code, out.out + out.err


def test_the_numbers(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = told(capsys, journal, "--json")
    a, b = json.loads(out)["groups"]
    assert code == 0 and (a["name"], b["name"]) == ("a", "b")
    assert a["calls"] == 13 and a["ok"] == 11 and a["errors"] == {"timeout": 1, "rate_limit": 1} and a["cached"] == 1
    assert a["error_share"] == round(2 / 13, 4) and a["cached_share"] == round(1 / 13, 4)
    assert (a["seconds_p50"], a["seconds_p95"]) == (5.0, 10.0)  # of the ten that were asked: neither the failures nor the hit
    assert (a["input_tokens"], a["output_tokens"], a["cost"], a["unpriced"]) == (1000, 100, "5", 0)
    assert (b["first_event_p50"], b["cancelled"], b["unpriced"]) == (0.5, 1, 1) and Decimal(b["cost"]) == Decimal("1e-9")
    whole = json.loads(out)["total"]
    assert (whole["calls"], whole["seconds_p50"], whole["errors"]) == (16, 4.0, a["errors"])


def test_the_table(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = told(capsys, journal)
    lines = out.splitlines()
    assert lines[0].split() == "provider calls errors cached p50 s p95 s first s input output USD".split()
    assert lines[1].split() == ["a", "13", "15.4%", "7.7%", "5.00", "10.00", "-", "1,000", "100", "5"]
    assert lines[2].split()[-1] == "0+?" and lines[3].startswith("total") and "errors: timeout 1, rate_limit 1" in lines
    assert len({len(line) for line in lines[:3]}) == 1


@pytest.mark.parametrize(
    "by,names",
    [
        ("model", ["a/m", "b/m"]), ("kind", ["ok", "cancelled", "rate_limit", "timeout"]), ("tag", ["x", "y", "-"]),
        ("day", ["2024-10-03", "2024-10-04"]), ("hour", ["2024-10-03T00", "2024-10-04T00"]), ("route", ["-"]),
    ],
)  # fmt: skip
def test_every_way_to_group(journal: str, by: str, names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, out = told(capsys, journal, "--by", by, "--json")
    assert [group["name"] for group in json.loads(out)["groups"]] == names


def test_times_bound_what_is_counted(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = told(capsys, journal, "--since", "2024-10-04", "--json")
    assert json.loads(out)["total"]["calls"] == 6
    _, out = told(capsys, journal, "--until", "2024-10-04", "--json")
    assert json.loads(out)["total"]["calls"] == 10
    code, out = told(capsys, journal, "--since", "1h")
    assert code == 1 and out == "no calls since 1h\n"
    assert moment("24h", 1e6) == 1e6 - 86400 and moment("1.5m", 1e6) == 1e6 - 90 and moment("2024-10-04", 0) == NOW


def test_a_picture(journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "stats.png"
    code, out = told(capsys, journal, "--png", str(path))
    assert code == 0 and f"{path} shows them" in out and path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    code, out = told(capsys, journal, "--png", str(path))
    assert code == 2 and "llmkit-engine[plot]" in out


@pytest.mark.parametrize(
    "arguments,said", [([], "LLMKIT_JOURNAL"), (["/nowhere"], "no journal"), ([__file__], "cannot be read as a journal")]
)
def test_what_is_no_journal_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.delenv("LLMKIT_JOURNAL", raising=False)
    code, out = told(capsys, *arguments)
    assert code == 2 and said in out


def test_the_environment_names_the_journal(journal: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("LLMKIT_JOURNAL", journal)
    assert told(capsys, "--by", "operation")[0] == 0
    for wrong in (["--by", "dya"], ["--since", "yesterday"]):
        assert told(capsys, *wrong)[0] == 2


def test_what_nobody_bills_has_no_unknown_price() -> None:
    rows = [
        dict.fromkeys(COLUMNS) | {"provider": "p", "kind": "ok", "seconds": 1.0, "operation": o} for o in ("list_models", "chat")
    ]
    assert [group.unpriced for group in groups(rows, "operation")] == [1, 0]


def test_percentiles_are_values_that_happened() -> None:
    assert percentile([], 0.5) is None and percentile([3.0], 0.95) == 3.0
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.25, 0.5, 0.95, 1.0)] == [1.0, 1.0, 2.0, 4.0, 4.0]
    with pytest.raises(ConfigError):
        groups([], "colour")
    assert total([]).calls == 0
