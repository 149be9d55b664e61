"""The models a gateway offers by name, listed in one shape that the client libraries of several vendors read."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from engine.call.json import dumps
from engine.plan import Served
from engine.serve.gateway.config import Config
from engine.serve.gateway.tenants import Tenant
from engine.serve.reply import write_reply
from engine.types import Event, Response

PATH = "/v1/models"


def models(config: Config, path: str, tenant: Tenant | None = None) -> bytes | None:
    """The answer to `GET /v1/models`, or to one with a name below it; None for a name that is not offered to this tenant."""
    if path == PATH:
        listed = [_model(name) for name in _names(config, tenant)]
        ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]} if listed else {"first_id": None, "last_id": None}
        return dumps({"object": "list", "data": listed, "has_more": False, **ends})
    name = unquote(path.removeprefix(f"{PATH}/"))
    offered = config.target(name) is not None and (tenant is None or tenant.may(name))
    return dumps(_model(name)) if offered else None


def listed(config: Config, served: Served, tenant: Tenant | None = None) -> bytes:
    """The same list as one dialect writes it."""
    response = Response(outputs=[Event("model", {"id": name, "name": name, "owner": "llmkit"}) for name in _names(config, tenant)])
    return dumps(write_reply(served, response))


def _names(config: Config, tenant: Tenant | None) -> list[str]:
    offered = [name for name in (*config.routes, *config.aliases) if not name.endswith("*")]
    return offered if tenant is None else [name for name in offered if tenant.may(name)]


def _model(name: str) -> dict[str, Any]:
    about = {"id": name, "object": "model", "type": "model", "display_name": name, "owned_by": "llmkit"}
    return {**about, "created": 0, "created_at": "1970-01-01T00:00:00Z"}  # the day is not known
