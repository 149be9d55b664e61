"""Official client libraries, unmodified: every cell against the simulator passes, and a sample of those through the gateway
(`make sdk-matrix` tries all; SERVE.md 14)."""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import sdk_matrix
import sdk_picture

ROOT = sdk_matrix.ROOT
PYTHON = os.environ.get("LLMKIT_SDK_PYTHON")
needs_sdks = pytest.mark.skipif(not PYTHON, reason="LLMKIT_SDK_PYTHON names no Python with the client libraries")
#: every library and every upstream once: library number i on upstream number i + 3, so that none meets its own dialect
SAMPLE = [(sdk, sdk_matrix.DIALECTS[(place + 3) % len(sdk_matrix.DIALECTS)]) for place, sdk in enumerate(sdk_matrix.SDKS)]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    assert PYTHON is not None
    direct = [(sdk, "direct") for sdk in sdk_matrix.SDKS]
    return list(sdk_matrix.matrix(PYTHON, pairs=[*direct, *SAMPLE]))


@needs_sdks
@pytest.mark.parametrize("sdk", sdk_matrix.SDKS)
def test_every_cell_passes(sdk: str, rows: list[dict[str, Any]]) -> None:
    mine = [row for row in rows if row["sdk"] == sdk]
    assert not [row["missing"] for row in mine if "missing" in row]
    wrong = [
        f"on {row['upstream']} {row['case']} {'streamed' if row['stream'] else 'whole'}: {row['why']}"
        for row in mine
        if row.get("ok") is False
    ]
    assert not wrong
    assert len({row["upstream"] for row in mine}) == 2 and sum(row.get("ok") is True for row in mine) >= 50


@needs_sdks
def test_what_is_not_carried_is_named_in_a_warning(rows: list[dict[str, Any]]) -> None:
    asked = [row for row in rows if "lost" in row and row["case"].startswith("choice")]
    assert asked and all("tool_choice" in " ".join(row["warned"]) for row in asked)
    assert not [row for row in rows if "lost" in row and row["upstream"] == "direct"]


@needs_sdks
def test_the_tables_tell_every_library(rows: list[dict[str, Any]]) -> None:
    lines = sdk_picture.features([row for row in rows if row["upstream"] == "direct"]).splitlines()
    assert len(lines) == 1 + len(sdk_matrix.SDKS) and all(name in lines[0] for name in sdk_picture.FEATURES)
    assert "X" not in "".join(line.partition(")")[2] for line in lines[1:])


MADE = [
    {"sdk": "a", "upstream": "direct", "package": "a 1.0"},
    {"sdk": "a", "upstream": "direct", "case": "text", "stream": False, "ok": True},
    {"sdk": "a", "upstream": "direct", "case": "signature", "stream": False, "lacks": "no place"},
    {"sdk": "a", "upstream": "b", "package": "a 1.0"},
    {"sdk": "a", "upstream": "b", "case": "text", "stream": False, "ok": False, "why": "<lost>"},
    {"sdk": "a", "upstream": "b", "case": "choice-auto", "stream": False, "lost": "no word", "warned": ["tool_choice was dropped"]},
]


def test_a_failure_shows_in_every_form() -> None:
    assert sdk_picture.counts(MADE) == {"passed": 1, "failed": 1, "lost": 1, "none": 1}
    assert sdk_picture.summary(MADE).splitlines()[1].split() == ["a", "1", "0", "~1", "X1"]
    assert sdk_picture.features(MADE[3:]).splitlines()[1].split()[3] == "X"
    page = sdk_picture.page(MADE)
    assert "| a | 1 | 0 ~1 X1 |" in page and "| b | choice-auto | no word | tool_choice was dropped |" in page
    drawn = ET.fromstring(sdk_picture.picture(MADE))
    squares = [node.get("fill") for node in drawn.iter() if node.get("rx")]
    assert squares == ["#2f9e62", "#d64545"]


def test_the_page_holds_the_whole_matrix() -> None:
    page = (ROOT / "docs" / "sdk-matrix.md").read_text("utf-8")
    head = next(line for line in page.splitlines() if line.startswith("| library |"))
    assert head.strip("| ").split(" | ")[1:] == list(sdk_matrix.UPSTREAMS)
    lines = [line for line in page.splitlines() if (m := re.match(r"\| ([a-z0-9-]+) \| \d", line)) and m[1] in sdk_matrix.SDKS]
    assert len(lines) == len(sdk_matrix.SDKS) and not any("X" in line for line in lines)
    ET.parse(ROOT / "docs" / "sdk-matrix.svg")
