"""RELIABILITY B1 by hand: a run is cut off at random places, between any two steps, and the next one goes on from its files."""

from __future__ import annotations

import json
import random
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.batch.rows import Row, Rows
from engine.batch.run import Done, Run, answered
from engine.types import Response, Usage


def opened(folder: Path, rows: list[Any]) -> Run:
    return Run(Rows(rows, "chat", "p/m", {}), folder / "out", folder / "book", {}, left=lambda run, row: row)


def outcome(row: Row) -> Done:
    return answered(row, Response(id=f"a-{row.number}", cost=Decimal("0.01"), usage=Usage(input_tokens=2)))


def killed(folder: Path, other: Path, dice: random.Random) -> None:
    """What another process finds after a kill here: what reached the files, and of the output perhaps a piece more or less."""
    other.mkdir()
    for path in folder.iterdir():
        shutil.copyfile(path, other / path.name)
    torn = other / "out"
    torn.write_bytes(torn.read_bytes() + dice.choice([b"", b'{"id": 1', b'{"id": 1}\n']))


@pytest.mark.parametrize("seed", range(12))
def test_every_row_once_and_in_order_however_often_it_is_cut_off(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr("engine.batch.run.SYNC", dice.choice([0.0, 0.001]))
    rows: list[Any] = [{"messages": f"row {i}", "id": f"r{i}"} if dice.random() < 0.9 else 7 for i in range(dice.randint(1, 160))]
    folder, crashes = tmp_path / "0", 0
    folder.mkdir()
    run, flying = opened(folder, rows), list[Row]()
    while not run.over:
        done = [outcome(flying.pop(dice.randrange(len(flying)))) for _ in range(dice.randint(0, len(flying)))]
        flying += run.turn(done, dice.randint(0, 9))
        run.output._file.flush()
        if dice.random() < 0.1:
            crashes += 1
            before = run.view()
            killed(folder, tmp_path / str(crashes), dice)
            run.close()
            folder, flying = tmp_path / str(crashes), []
            run = opened(folder, rows)
            after = run.view()
            assert (after.answered, after.failed, after.cost) == (before.answered, before.failed, before.cost)
    run.close()
    found = [json.loads(line) for line in (folder / "out").read_bytes().splitlines()]
    good = [i for i, row in enumerate(rows) if row != 7]
    assert [line["id"] for line in found] == [f"r{i}" if rows[i] != 7 else i for i in range(len(rows))]
    assert [line["response"]["id"] for line in found if line["response"]] == [f"a-{i}" for i in good]
    assert (run.sums.answered, run.sums.failed, run.sums.cost) == (len(good), len(rows) - len(good), len(good) * Decimal("0.01"))
    assert run.sums.usage == ({"input_tokens": 2 * len(good)} if good else {})
