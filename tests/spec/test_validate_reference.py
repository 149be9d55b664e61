"""The generated key reference is fresh, and every rule anyone can meet is explained there (STYLE 11 and 19)."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "schemas" / "README.md"


def reported() -> dict[str, str]:
    """Rule names in calls such as `problems.error("unknown-key", …)`, with where they stand."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "engine").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Attribute, ast.Name)):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            first = node.args[0] if node.args else None
            spoken = (
                name in ("error", "warn", "problem", "report", "Problem") and isinstance(first, ast.Constant) and str(first.value)
            )
            if spoken and re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", spoken):
                found.setdefault(spoken, f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_the_page_is_fresh() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "schema_reference.py"))["page"]()
    assert PAGE.read_text("utf-8") == made, "run `make docs`"


def test_every_rule_that_is_reported_is_explained() -> None:
    from engine.spec.rules import rules

    known = rules()
    missing = {rule: place for rule, place in reported().items() if rule not in known}
    assert not missing, missing
    assert len(reported()) > 30


def test_links_to_the_page_lead_somewhere() -> None:
    text = PAGE.read_text("utf-8")
    anchors = {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    wanted = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert wanted <= anchors, wanted - anchors
