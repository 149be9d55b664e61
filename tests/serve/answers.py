"""Which dialects are served, for the tests of what they write and read."""

from __future__ import annotations

from engine.catalog import Catalog

CATALOG = Catalog()
_NODES = {d: node for d in CATALOG.dialect_ids() if (node := CATALOG.dialect(d)) is not None}
#: every dialect that is served
SERVED = [d for d, node in _NODES.items() if (serve := node.get("serve")) is not None and serve.value is not None]
#: conversations that are served
DIALECTS = [d for d in _NODES if (d in SERVED or d == "mistral") and _NODES[d].value["operation"].value == "chat"]
PROSE = ("text", "thinking", "refusal")
