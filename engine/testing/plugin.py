"""The pytest plugin: the fixture `llmkit_sim`, registered by installing the package.

def test_greeting(llmkit_sim):
    assert llmkit_sim.client().chat("groq/any", "Hello").text.startswith("Hello")

@pytest.mark.llmkit_sim(script=[{"say": "No."}], fault="u_503_once")
def test_retry(llmkit_sim): ...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from engine.testing.simulator import Simulator


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "llmkit_sim(**options): options of the `llmkit_sim` fixture's Simulator (script, fault, …)")


@pytest.fixture
def llmkit_sim(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """A running stand-in for every provider (`engine.testing.Simulator`); options by the mark of the same name."""
    from engine.testing.simulator import Simulator

    mark = request.node.get_closest_marker("llmkit_sim")
    with Simulator(*(mark.args if mark else ()), **(mark.kwargs if mark else {})) as running:
        yield running
