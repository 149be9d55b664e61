"""Whatever comes, accepting gives fields, and rendering them fails with the engine's own errors only (RELIABILITY E1).

That a request is accepted as what it was is a law (test_served_laws).
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import Error
from engine.types import Report
from tests.serve.answers import CATALOG, DIALECTS
from tests.spoken import OPERATIONS

law = settings(
    max_examples=100 if os.environ.get("CI") else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

NAMES = (
    "model messages contents input system tools tool_choice role content parts type text name id function arguments tool_calls "
    "thinking response_format generationConfig inferenceConfig toolConfig stream stop max_tokens args toolUse toolResult url "
    "functionCall functionResponse inlineData image_url source data reasoning effort format cachePoint"
)
keys = st.sampled_from(NAMES.split())
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["user", "assistant", "tool", "text", "function", "auto", "", "x", "tool_use"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=30,
)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(body=junk)
@law
def test_whatever_comes_is_accepted_and_fails_with_our_own_errors_only(dialect: str, body: Any) -> None:
    accept = CATALOG.served(dialect).accept
    assert accept is not None
    fields = accept(body, Report())
    try:
        for other in DIALECTS:
            OPERATIONS[other].render(**fields)
    except Error:
        pass
