"""The pytest plugin, as a user's test run has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest

def test_it_needs_no_options(llmkit_sim):
    assert llmkit_sim.client().chat("cohere/m", "Hello").text.startswith("Hello")
    assert len(llmkit_sim.requests) == 1 and llmkit_sim.url("openai-chat").endswith("/v1")

@pytest.mark.llmkit_sim(script=[{"say": "by mark"}], fault="u_500_once")
def test_it_takes_options_by_its_mark(llmkit_sim):
    assert llmkit_sim.client().chat("groq/m", "x").text == "by mark"
    assert len(llmkit_sim.requests) == 2

def test_nothing_is_shared(llmkit_sim):
    assert not llmkit_sim.requests
"""


def test_the_fixture_in_a_run_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(TESTS)
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--strict-markers",
        "-p",
        "engine.testing.plugin",
        "-p",
        "no:cacheprovider",
        "test_user.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_costs_other_test_runs_nothing() -> None:
    code = "import sys, engine.testing.plugin; print(sorted(m for m in sys.modules if m.startswith('engine')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['engine', 'engine.testing', 'engine.testing.plugin']"
