"""The OpenAPI document of a gateway: its paths, as the dialects' files have them."""

from __future__ import annotations

from typing import Any

from engine.call.json import dumps
from engine.serve.gateway.routes import Routes


def describe(routes: Routes, keyed: bool) -> bytes:
    """OpenAPI 3.1 (spec.openapis.org/oas/v3.1.0) as JSON. `keyed`: a key is asked for."""
    paths: dict[str, Any] = {
        "/healthz": {"get": _page("whether the process runs")},
        "/readyz": {"get": _page("whether it takes requests; 503 while it starts and stops")},
    }
    paths["/v1/models"] = {
        "get": {**_page("the models that are offered by name"), **({"security": [{"key": []}]} if keyed else {})}
    }
    for verb, path, served in routes.paths():
        streams = served.stream.framing if served.stream is not None else None
        operation: dict[str, Any] = {
            "operationId": f"{served.dialect}:{path}",
            "summary": f"{served.operation} in the words of {served.dialect}",
            "tags": [served.dialect],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
            "responses": {
                "200": {"description": f"the answer; streams are {streams}" if streams else "the answer"},
                "default": {"description": f"an error as {served.dialect} words it"},
            },
        }
        if verb == "GET":
            del operation["requestBody"]
        if keyed:
            operation["security"] = [{"key": []}]
        if "{model}" in path:
            operation["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
        paths.setdefault(path, {})[verb.lower()] = operation
    about = {"title": "LLMKit gateway", "version": _version(), "description": "Any client in front of any provider."}
    schemes = {"key": {"type": "http", "scheme": "bearer", "description": "or wherever the dialect's clients put their key"}}
    return dumps({"openapi": "3.1.0", "info": about, "paths": paths, "components": {"securitySchemes": schemes if keyed else {}}})


def _page(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "JSON"}}}


def _version() -> str:
    from engine import __version__

    return __version__
