"""`llmkit new`: a provider file to start from."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from engine.catalog import Catalog
from engine.errors import ConfigError
from engine.spec.problem import nearest

TEMPLATE = """name: {name}
docs: {docs}
base_url: {base_url}
secrets: {{api_key: {env}}}
auth: {{bearer: "{{{{ api_key }}}}"}}

# What differs from the dialect goes into a table, each deviation with its reason, a link and a date:
# {operation}:
#   extends: {dialect}
#   params: {{max_tokens: max_completion_tokens, logit_bias: ~}}   # docs URL (2026-11)
{operation}: {dialect}

capabilities: {{}}
models: {{default: my-model}}
"""


def new(arguments: argparse.Namespace) -> int:
    """Write the file and say what to do next."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", arguments.id):
        raise ConfigError(f"an id has small letters, digits and hyphens: not `{arguments.id}`")
    catalog = Catalog(arguments.catalog, arguments.override)
    dialect = catalog.dialect(arguments.dialect)
    if dialect is None:
        near = nearest(arguments.dialect, catalog.dialect_ids())
        hint = f"; did you mean `{near}`?" if near else f"; there are {', '.join(catalog.dialect_ids())}"
        raise ConfigError(f"no dialect `{arguments.dialect}`{hint}")
    operation = dialect.get("operation")
    text = TEMPLATE.format(
        name=arguments.name or arguments.id.replace("-", " ").title(),
        docs=arguments.base_url.split("//", 1)[0] + "//" + arguments.base_url.split("//", 1)[-1].split("/")[0],
        base_url=arguments.base_url,
        env=arguments.id.upper().replace("-", "_") + "_API_KEY",
        operation=operation.value if operation is not None else "chat",
        dialect=arguments.dialect,
    )
    if arguments.output == "-":
        print(text, end="")
        return 0
    path = Path(arguments.output)
    if path.exists():
        raise ConfigError(f"{path} exists already")
    path.write_text(text, "utf-8")
    print(f"wrote {path}; next: llmkit check {path}")
    return 0
