"""Bodies of embeddings are valid by the providers' own types, and nothing of an input is lost in silence."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

from tests.shared_data import ROOT, shared

sys.path.insert(0, str(ROOT / "tools"))

import wire
import wire_operations


def test_bodies_are_valid_and_whole() -> None:
    sent, lost = wire_operations.requests(shared("wire"))
    assert len(sent) == 3 * len(wire_operations.TARGETS) and not lost
    if importlib.util.find_spec("anthropic") is None and not os.environ.get("LLMKIT_SDK_PYTHON"):
        pytest.skip("the official SDKs are not installed; see requirements-validate.txt of the wire reference")
    verdicts = wire.verdicts(shared("wire"), sent)
    assert None not in verdicts and not [(s["target"], v) for s, v in zip(sent, verdicts, strict=True) if v]
