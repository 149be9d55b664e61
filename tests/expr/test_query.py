"""Paths pass the official JMESPath suite through the compiled form (SPEC_LANGUAGE 6, 15)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.errors import SpecError
from engine.expr.query import QueryError, compile_query
from tests.shared_data import shared


def cases() -> list[Any]:
    found = []
    for path in sorted(shared("vectors", "jmespath").glob("*.json")):
        for number, suite in enumerate(json.loads(path.read_text("utf-8"))):
            for place, case in enumerate(suite["cases"]):
                found.append(pytest.param(suite["given"], case, id=f"{path.stem}-{number}-{place}"))
    return found


@pytest.mark.filterwarnings("ignore:deprecated string literal")
@pytest.mark.parametrize(("given", "case"), cases())
def test_official_suite(given: Any, case: dict[str, Any]) -> None:
    expression = case["expression"]
    if "error" in case:
        with pytest.raises((SpecError, QueryError)):
            compile_query(expression)(given)
    elif "bench" in case:
        try:
            compile_query(expression)(given)
        except SpecError as error:  # made to be slow to parse: beyond RELIABILITY A5
            assert "a path has at most" in str(error) or "nest at most" in str(error)
    else:
        before = json.dumps(given)
        found = compile_query(expression)(given)
        assert json.dumps(found, sort_keys=True) == json.dumps(case["result"], sort_keys=True)
        assert json.dumps(given) == before, "the document was changed"
