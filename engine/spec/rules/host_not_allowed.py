"""An absolute URL names a host that is neither the base URL's nor listed in `hosts`.

A call may go to the host of `base_url` and to the patterns of `hosts` (with the port if it is not 443), nowhere else: a
credential is bound to its origins (RELIABILITY A2, A7; SPEC_LANGUAGE 16). Add the host to `hosts`, or write a path.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import URLS, Spec, calls


def check(spec: Spec, problems: Problems) -> None:
    allowed = [str(n.value).lower() for n in (spec.tree.get("hosts") or Node([])).value]
    base = _host(spec.tree.get("base_url"))
    for what, call in calls(spec):
        own = _host(call.get("base_url")) if call.get("base_url") is not None else base
        for verb in URLS:
            url = call.get(verb)
            host = _host(url) if url is not None else None
            if url is None or host is None or host in (base, own):
                continue
            if "{{" in host:
                continue  # checked when the call is made
            if not any(fnmatchcase(host, pattern) for pattern in allowed):
                problems.error("host-not-allowed", f"{what}: `{host}` is not the host of `base_url` and not in `hosts`", url.mark)


def _host(node: Node | None) -> str | None:
    if node is None or not isinstance(node.value, str):
        return None
    found = re.match(r"(?:https?|wss?)://((?:\{\{.*?\}\}|[^/?#{])+)", node.value)
    return found.group(1).lower().removesuffix(":443") if found else None
