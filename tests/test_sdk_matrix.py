"""Official client libraries, unmodified, against the simulator: every cell passes (SERVE.md 14)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import sdk_matrix

PYTHON = os.environ.get("LLMKIT_SDK_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="LLMKIT_SDK_PYTHON names no Python with the client libraries")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    assert PYTHON is not None
    return sdk_matrix.matrix(PYTHON)


@pytest.mark.parametrize("sdk", sdk_matrix.SDKS)
def test_every_cell_passes(sdk: str, rows: list[dict[str, Any]]) -> None:
    mine = [row for row in rows if row["sdk"] == sdk]
    assert not [row["missing"] for row in mine if "missing" in row]
    wrong = [f"{row['case']} {'streamed' if row['stream'] else 'whole'}: {row['why']}" for row in mine if row.get("ok") is False]
    assert not wrong
    assert sum(row.get("ok") is True for row in mine) >= 20


def test_the_table_tells_every_library(rows: list[dict[str, Any]]) -> None:
    lines = sdk_matrix.table(rows).splitlines()
    assert len(lines) == 1 + len(sdk_matrix.SDKS) and all(name in lines[0] for name in sdk_matrix.COLUMNS)
