"""A URL is not `https`.

Credentials travel encrypted. Plain `http` is for loopback, and for servers whose address the user chooses
(`base_url: {env: …}`); see RELIABILITY A7.
"""

from __future__ import annotations

import re

from engine.spec.problem import Problems
from engine.spec.rules import URLS, Spec, calls

_LOOPBACK = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)")


def check(spec: Spec, problems: Problems) -> None:
    urls = [spec.tree.get("base_url"), *(tree.get("base_url") for tree in spec.operations.values())]
    urls += [call.get(verb) for _, call in calls(spec) for verb in URLS]
    for url in urls:
        text = url.value if url is not None else None
        if url is None or not isinstance(text, str) or text.startswith(("https://", "wss://", "/", "{{")):
            continue
        if "://" in text and not _LOOPBACK.match(text):
            problems.error("insecure-url", f"`{text.split('{{')[0]}` is not https", url.mark)
