"""A bounded sample of `make soak`: streams through the gateway, none lost and none cut."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvloop")
pytest.importorskip("uvicorn")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the cores of processes are chosen on Linux only")
def test_no_stream_is_lost_or_cut() -> None:
    command = [sys.executable, str(ROOT / "tools" / "bench" / "gateway" / "soak.py"), "--width", "80", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 lost, 0 cut" in done.stdout and '"left": 0' in done.stdout
