"""Who besides its own file vouches for a dialect (SERVE.md 11): laws cannot see what is misspelt alike in both directions."""

from __future__ import annotations

from engine.spec.extend import Source, dialect_tree
from engine.spec.problem import Problems

SELF_CONSISTENT = "self-consistent only"


def witnesses(source: Source, dialect: str) -> tuple[str, ...]:
    """`recordings` of real traffic that replay, `client` libraries of the vendor that understand what is served."""
    node = source.dialect(dialect)
    declared = node.get("witnesses") if node is not None else None
    return tuple(str(item.value) for item in declared.value) if declared is not None and declared.is_list else ()


def standing(source: Source, dialect: str) -> str | None:
    """The witnesses of a served dialect in a few words, `self-consistent only` without any; None where it is not served."""
    tree = dialect_tree(source, dialect, Problems())
    serve = tree.get("serve") if tree is not None else None
    if serve is None or serve.value is None:
        return None
    return " and ".join(witnesses(source, dialect)) or SELF_CONSISTENT
