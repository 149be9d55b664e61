"""A spec sets a header that belongs to the transport.

Host, Content-Length, Transfer-Encoding, Connection, Upgrade, TE, Trailer and Proxy-* are the client's to write
(RELIABILITY A8): a spec that sets one could split or redirect a request.
"""

from __future__ import annotations

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import Spec, calls

FORBIDDEN = frozenset(("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive"))


def check(spec: Spec, problems: Problems) -> None:
    tables = [call.get("headers") for _, call in calls(spec)] + [spec.tree.get("headers"), spec.tree.get("auth", "header")]
    seen: set[int] = set()
    for table in tables:
        for name, value in (table or Node({})).items():
            low = name.lower()
            if (low in FORBIDDEN or low.startswith("proxy-")) and id(value) not in seen:
                seen.add(id(value))
                message = f"the header `{name}` is written by the transport, never by a spec"
                problems.error("forbidden-header", message, value.key_mark or value.mark, width=len(name))
