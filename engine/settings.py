"""What a caller says about a provider, and how it is joined with the environment and the spec (SPEC_LANGUAGE 2.2).

A caller's explicit value wins over the environment, the environment over the spec's default. Only names a spec declares
are read from the environment, and none for a spec from a stranger (RELIABILITY A1, A2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import ConfigError
from engine.plan import Auth, ProviderPlan, Variable
from engine.plan import Secret as Declared
from engine.secret import Secret
from engine.spec.pattern import pattern_matches

__all__ = ["Bound", "Settings", "bind", "missing_credential"]

#: settings every provider has, beside its secrets and variables
GENERAL = ("base_url", "base_model", "ca_file", "proxy")


@dataclass(slots=True)
class Settings:
    """One provider's settings as a caller gave them. Secrets and variables are both wrapped until the spec says which is which."""

    base_url: str | None = None
    base_model: str | None = None
    ca_file: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    values: dict[str, Secret] = field(default_factory=dict)
    keys: tuple[dict[str, Secret], ...] = ()  # one per further key: what differs from `values`

    @classmethod
    def of(cls, provider: str, given: Mapping[str, Any]) -> Settings:
        """Read a caller's mapping. A list stands for keys to be used in turn; several lists must be equally long."""
        if not isinstance(given, Mapping):
            raise ConfigError(f"the settings of {provider} must be a mapping", provider=provider)
        general: dict[str, Any] = {}
        values: dict[str, Secret] = {}
        lists: dict[str, list[Secret]] = {}
        for name, value in given.items():
            if value is None:
                continue
            if name in GENERAL:
                if not isinstance(value, (str, bytes)) and not hasattr(value, "__fspath__"):
                    raise ConfigError(f"the setting `{name}` of {provider} must be text", provider=provider)
                general[name] = str(value)
            elif isinstance(value, (list, tuple)):
                if not value:
                    raise ConfigError(f"the setting `{name}` of {provider} is an empty list", provider=provider)
                lists[name] = [_wrapped(provider, name, v) for v in value]
            else:
                values[name] = _wrapped(provider, name, value)
        if len({len(items) for items in lists.values()}) > 1:
            raise ConfigError(f"the lists of keys of {provider} differ in length", provider=provider)
        sets = [dict(zip(lists, row)) for row in zip(*lists.values())] if lists else []
        if sets:
            values.update(sets[0])
        return cls(values=values, keys=tuple(sets[1:]), **general)

    def plain(self) -> dict[str, Any]:
        """The mapping a catalog binds an operation with; keys after the first are left out."""
        out: dict[str, Any] = dict(self.values)
        if self.base_url is not None:
            out["base_url"] = self.base_url
        if self.base_model is not None:
            out["base_model"] = self.base_model
        return out


def _wrapped(provider: str, name: str, value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, (bytes, bytearray)):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, (bool, int, float)):
        value = str(value)
    if not isinstance(value, (str, Mapping)):
        raise ConfigError(f"the setting `{name}` of {provider} must be text or a mapping", provider=provider)
    return Secret(value)


@dataclass(slots=True)
class Bound:
    """Values of a provider for one caller: `values` (variables, and `base_url` if caller or operator chose it), `secrets`."""

    values: dict[str, Any]
    secrets: dict[str, Secret]


def bind(who: ProviderPlan, settings: Mapping[str, Any], environ: Mapping[str, str], *, require_secrets: bool = False) -> Bound:
    """Secrets and variables of a provider from a caller's settings, the environment and the spec's defaults.

    Raises ConfigError for a setting the provider does not have, a variable that is missing or does not fit, and, with
    `require_secrets`, for a credential that is neither given nor optional. No message holds a value.
    """
    names = {s.name for s in who.secrets} | {v.name for v in who.variables}
    for name in settings:
        if name not in names and name not in GENERAL:
            from engine.spec.problem import nearest

            near = nearest(name, [*sorted(names), *GENERAL])
            hint = f"; did you mean `{near}`?" if near else f"; it has {', '.join([*sorted(names), *GENERAL])}"
            raise ConfigError(f"{who.id} has no setting `{name}`{hint}", provider=who.id)
    stranger = who.trust == "remote"
    readable: Mapping[str, str] = {} if stranger else environ
    base_url = _base_url(who, settings, readable)
    moved = "base_url" in settings and settings["base_url"] is not None and who.base_url is None
    secrets = dict(_secrets(who, settings, {} if moved else readable))
    if require_secrets and who.secrets:
        missing = [s for s in who.secrets if not s.optional and s.name not in secrets]
        if missing:
            raise ConfigError(_missing(who, missing, moved), provider=who.id)
    values = _variables(who, settings, readable, secrets)
    if base_url is not None:
        values["base_url"] = base_url
    return Bound(values, secrets)


def missing_credential(who: ProviderPlan, auth: Auth, secrets: Mapping[str, Any], moved: bool) -> str | None:
    """A sentence that says which credential to hand over and how, or None if all that `auth` needs are there."""
    if auth.scheme == "any":
        told = [missing_credential(who, option, secrets, moved) for _, option in auth.options]
        if not told or None in told:
            return None
        identities = (why for (_, option), why in zip(auth.options, told) if any(t.source is not None for t in option.tokens))
        return "; or ".join(str(why) for why in dict.fromkeys((told[0], *identities)))
    missing = [s for s in who.secrets if s.name in auth.needs and s.name not in secrets]
    moved = moved and who.base_url is None
    if missing:
        return _missing(who, missing, moved)
    source = next((token.source for token in auth.tokens if token.source is not None), None)
    return _no_identity(who, source, moved) if source is not None else None


def _no_identity(who: ProviderPlan, source: str, moved: bool) -> str | None:
    """Why the machine's own identity cannot be asked for here; None if it can."""
    from engine.call.send.identity import SOURCES, installed

    if moved:
        return f"{who.id}: with another base_url hand over a credential yourself; this machine's identity goes to the provider only"
    return None if installed(source) else f"this machine's {source} identity needs llmkit-engine[{SOURCES[source][1]}]"


def _given(settings: Mapping[str, Any], name: str) -> Any:
    value = settings.get(name)
    if isinstance(value, (list, tuple)):
        value = value[0] if value else None
    return value


def _from_environment(names: Sequence[str], environ: Mapping[str, str]) -> str | None:
    for name in names:
        value = environ.get(name)
        if value is not None and value.strip():
            return value.strip()
    return None


def _secrets(who: ProviderPlan, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[tuple[str, Secret]]:
    for declared in who.secrets:
        value = _given(settings, declared.name)
        if value is None:
            value = _from_environment(declared.env, environ)
        if value is None:
            continue
        if isinstance(value, Secret):
            value = value.reveal()
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise ConfigError(
                f"the credential `{declared.name}` of {who.id} is not text: it holds half a character", provider=who.id
            )
        if declared.format == "json" and isinstance(value, str):
            value = _document(who, declared, value)
        secret = Secret(value)
        if secret:
            yield declared.name, secret


def _document(who: ProviderPlan, declared: Declared, text: str) -> Mapping[str, Any]:
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, Mapping):
        raise ConfigError(f"the credential `{declared.name}` of {who.id} must be a JSON document", provider=who.id)
    return document


def _variables(
    who: ProviderPlan, settings: Mapping[str, Any], environ: Mapping[str, str], secrets: Mapping[str, Secret]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    documents = {s.name: secrets[s.name].reveal() for s in who.secrets if s.format == "json" and s.name in secrets}
    for declared in who.variables:
        value = _given(settings, declared.name)
        if isinstance(value, Secret):
            value = value.reveal()
        if value is None:
            value = _from_environment(declared.env, environ)
        if value is None and declared.default is not None:
            value = declared.default({**documents, **values})
        if value is None:
            if declared.required:
                raise ConfigError(_missing_variable(who, declared), provider=who.id)
            continue
        values[declared.name] = _checked(who, declared, value)
    return values


def _checked(who: ProviderPlan, declared: Variable, value: Any) -> Any:
    text = value if isinstance(value, str) else str(value)
    where = f"the setting `{declared.name}` of {who.id}"
    if any(c < " " or c == "\x7f" for c in text):
        raise ConfigError(f"{where} holds a control character", provider=who.id)
    if declared.values and text not in declared.values:
        raise ConfigError(f"{where} must be one of {', '.join(declared.values)}", provider=who.id)
    if declared.pattern is not None and not pattern_matches(declared.pattern, text):
        raise ConfigError(f"{where} must match {declared.pattern}", provider=who.id)
    if declared.format == "url":
        return _url(who, declared.name, text)
    return value


def _base_url(who: ProviderPlan, settings: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    value = _given(settings, "base_url")
    if isinstance(value, Secret):
        value = value.reveal()
    if value is None and who.base_url is not None:
        value = _from_environment(who.base_url.env, environ)
        if value is None and who.base_url.default is not None:
            value = who.base_url.default({})
        if value is None and who.base_url.required:
            raise ConfigError(_missing_variable(who, who.base_url), provider=who.id)
    return None if value is None else _url(who, "base_url", str(value))


def _url(who: ProviderPlan, name: str, text: str) -> str:
    """A server the caller runs: scheme, host and path, nothing else (RELIABILITY A7)."""
    from urllib.parse import urlsplit

    if who.trust == "remote":
        raise ConfigError(f"the spec of {who.id} comes from a stranger: its `{name}` cannot be set", provider=who.id)
    try:
        parts = urlsplit(text.strip())
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or parts.username is not None or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\x7f\\]", text.strip()):
        raise ConfigError(
            f"the setting `{name}` of {who.id} must be a URL of scheme, host and path, without user, query or fragment",
            provider=who.id,
        )
    return text.strip().rstrip("/")


def _missing(who: ProviderPlan, missing: Sequence[Declared], moved: bool) -> str:
    first = missing[0]
    if moved:
        return f"{who.id}: with another base_url hand over `{first.name}` yourself; keys of the environment go to the provider only"
    hint = f" or set {first.env[0]}" if first.env and who.trust != "remote" else ""
    return f'no credential for {who.id}: pass providers={{"{who.id}": {{"{first.name}": …}}}}{hint}'


def _missing_variable(who: ProviderPlan, declared: Variable) -> str:
    hint = f" or set {declared.env[0]}" if declared.env and who.trust != "remote" else ""
    about = f" ({declared.about})" if declared.about else ""
    return f'{who.id} needs `{declared.name}`{about}: pass providers={{"{who.id}": {{"{declared.name}": …}}}}{hint}'
