"""A variable inside a host must be limited to one label.

`https://{{ region }}.example.com` is safe only if `region` cannot hold a dot or a slash: give it a `pattern` without them,
a list of `values`, or `format: url` when the whole origin is the user's choice (SPEC_LANGUAGE 16, RELIABILITY A7).
"""

from __future__ import annotations

import re

from engine.spec.node import Node
from engine.spec.problem import Problems
from engine.spec.rules import URLS, Spec, calls


def check(spec: Spec, problems: Problems) -> None:
    variables = spec.tree.get("variables") or Node({})
    urls = [spec.tree.get("base_url"), *(tree.get("base_url") for tree in spec.operations.values())]
    urls += [call.get(verb) for _, call in calls(spec) for verb in URLS]
    seen: set[str] = set()
    for url in urls:
        if url is None or not isinstance(url.value, str):
            continue
        host = re.match(r"(?:https?|wss?)://((?:\{\{.*?\}\}|[^/?#{])+)", url.value)
        for hole in re.findall(r"\{\{(.*?)\}\}", host.group(1)) if host else ():
            for name in re.findall(r"[A-Za-z_]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", hole)):
                variable = variables.get(name)
                if variable is not None and name not in seen and not _limited(variable):
                    seen.add(name)
                    message = f"`{name}` stands in a host: give it a `pattern` without dots and slashes, or `values`"
                    problems.error("host-variable", message, variable.key_mark or variable.mark, width=len(name))


def _limited(variable: Node) -> bool:
    form = variable.get("format")
    pattern = variable.get("pattern")
    if (form is not None and form.value == "url") or variable.get("values") is not None:
        return True
    return pattern is not None and not re.search(r"(?<!\\)\.|/|\\\.|\\S|\\W|\\D|\[\^", str(pattern.value))
