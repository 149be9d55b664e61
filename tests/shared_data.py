"""Where the recorded traffic, wire cases and vectors lie: beside the checkout, never inside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("LLMKIT_SHARED", ROOT.parent / "shared"))


def shared(*parts: str) -> Path:
    """A path in the shared data. Without it the test is skipped with one line; in CI its absence is a failure."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"shared data is missing in CI: {'/'.join(parts)}", pytrace=False)
        pytest.skip(f"shared data is not beside this checkout: {'/'.join(parts)}", allow_module_level=True)
    return path
