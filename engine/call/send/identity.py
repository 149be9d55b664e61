"""The machine's own identity: named sources of credentials, each the cloud's own library, imported when first asked.

A source looks where its library looks: environment, files of the cloud's command line tool, helper processes, the
metadata service of a virtual machine or container. That blocks, so that the async driver asks in a thread.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import ConfigError

__all__ = ["SOURCES", "Identify", "installed"]

KEPT = 900.0  # seconds for which credentials are used that state no end; their libraries renew in time what has one

Found = tuple[dict[str, str], float | None]


class Identify:
    """A step: ask a source for credentials, and get (the values by name, their end in Unix seconds or None)."""

    __slots__ = ("options", "source")

    def __init__(self, source: str, options: Mapping[str, Any]) -> None:
        self.source = source
        self.options = options

    def __str__(self) -> str:
        return f"this machine's {self.source} identity"

    def block(self, driver: Any) -> Found:
        return self._ask()

    async def pause(self, driver: Any) -> Found:
        import asyncio

        return await asyncio.to_thread(self._ask)

    def _ask(self) -> Found:
        try:
            return SOURCES[self.source][2](self.options)
        except ImportError:
            raise ConfigError(f"{self} needs llmkit-engine[{SOURCES[self.source][1]}]") from None
        except ConfigError:
            raise
        except Exception as error:  # what a vendor's library raises is not ours to know, and may quote what it read
            raise ConfigError(f"{self} could not be had: {type(error).__name__}") from None


def installed(source: str) -> bool:
    """Whether the library behind a source is here."""
    from importlib.util import find_spec

    try:
        return find_spec(SOURCES[source][0]) is not None
    except ModuleNotFoundError:  # the package above it
        return False


def _aws(options: Mapping[str, Any]) -> Found:
    """`access_key`, `secret_key`, `session_token`, by the chain of the AWS tools.

    https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
    """
    session = importlib.import_module("botocore.session").Session(profile=options.get("profile") or None)
    credentials = session.get_credentials()
    if credentials is None:
        raise ConfigError("this machine has no aws identity: no profile, process, role or metadata service has one")
    frozen = credentials.get_frozen_credentials()
    values = {"access_key": frozen.access_key, "secret_key": frozen.secret_key}
    if frozen.token:
        values["session_token"] = frozen.token
    end = getattr(credentials, "_expiry_time", None)
    return values, end.timestamp() if end is not None else None


def _gcp(options: Mapping[str, Any]) -> Found:
    """`token` and `project`, by the Application Default Credentials.

    https://cloud.google.com/docs/authentication/application-default-credentials
    """
    auth = importlib.import_module("google.auth")
    credentials, project = auth.default(scopes=[_scope(options)])
    credentials.refresh(importlib.import_module("google.auth.transport.requests").Request())
    end = credentials.expiry  # UTC without saying so
    from datetime import UTC

    return {"token": credentials.token, "project": project or ""}, end.replace(tzinfo=UTC).timestamp() if end is not None else None


def _azure(options: Mapping[str, Any]) -> Found:
    """`token`, by the chain of azure-identity.

    https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential
    """
    with importlib.import_module("azure.identity").DefaultAzureCredential() as credential:
        found = credential.get_token(_scope(options))
    return {"token": found.token}, float(found.expires_on)


def _scope(options: Mapping[str, Any]) -> str:
    scope = options.get("scope")
    if not scope or not isinstance(scope, str):
        raise ConfigError("the machine's identity is asked for a `scope`, which the spec does not give")
    return scope


#: name -> (its library, the extra that brings it, how it is asked)
SOURCES: dict[str, tuple[str, str, Callable[[Mapping[str, Any]], Found]]] = {
    "aws": ("botocore", "aws", _aws),
    "gcp": ("google.auth", "gcp", _gcp),
    "azure": ("azure.identity", "azure", _azure),
}
