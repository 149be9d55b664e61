"""`engine.Route`: several targets that stand where a model stands, in code or as an entry of `routes` in `llmkit.yaml`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import ConfigError

__all__ = ["POLICIES", "Route", "Target", "routes_of"]

POLICIES = ("order", "round_robin", "weighted", "cheapest", "fastest", "least_busy", "language", "task")
MOST_TARGETS = 64


@dataclass(frozen=True, slots=True)
class Target:
    """One model of a route. What it does not say holds as it does for a plain call.

    `weight` is its share (weighted, least_busy); `languages` (codes such as cy) and `tasks` (engine.routing.task) are what it
    is preferred for; `region` is where it computes, by default the provider's `region` or `location` setting; `attempts` at
    most; `dialect` picks the variant that speaks it.
    """

    model: str
    weight: float = 1.0
    languages: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    region: str | None = None
    attempts: int | None = None
    dialect: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or "/" not in self.model:
            raise ConfigError(f"a target of a route is provider/model, not {self.model!r:.80}")
        if isinstance(self.weight, bool) or not isinstance(self.weight, (int, float)) or not 0 < self.weight < 1e9:
            raise ConfigError(f"the weight of {self.model} must be a number above 0")
        if self.attempts is not None and (not isinstance(self.attempts, int) or self.attempts is True or self.attempts < 1):
            raise ConfigError(f"the attempts of {self.model} must be a whole number above 0")

    @classmethod
    def of(cls, given: Any) -> Target:
        """A target from its name, or from a mapping of its fields."""
        if isinstance(given, cls):
            return given
        if isinstance(given, str):
            return cls(given)
        if not isinstance(given, Mapping):
            raise ConfigError(f"a target of a route is provider/model or a mapping with `model`, not {given!r:.80}")
        _known(given, cls, "a target of a route")
        lists = {name: _texts(given[name], name) for name in ("languages", "tasks") if given.get(name) is not None}
        rest = {name: value for name, value in given.items() if value is not None}
        if "model" not in rest:
            raise ConfigError("a target of a route needs `model`")
        return cls(**{**rest, **lists})


@dataclass(frozen=True, slots=True)
class Route:
    """Several targets, of which one answers. Immutable and shareable; what it learns is kept by the client that uses it.

        route = engine.Route(["groq/llama-3.3-70b-versatile", "openai/gpt-5-mini"])
        client.chat(route, "Say hello in Welsh")

    `targets` are provider/model, mappings or Targets, in the order in which they are preferred. `policy` is one of POLICIES or
    several, of which the first decides and each further one settles ties. `larger` are asked only when the request is too long
    for a target, `unfiltered` only when a target's filter refused it (True: the other targets). `residency` names the regions
    the data may go to; a target in no known region is then left out. `hedge` asks a second target when the first is late
    (RELIABILITY F6). `classify` tells the task of a canonical request in place of the built-in rules. Raises ConfigError.
    """

    targets: Sequence[Any]
    policy: str | Sequence[str] = "order"
    name: str = "route"
    larger: Sequence[Any] = ()
    unfiltered: bool | Sequence[Any] = False
    residency: str | Sequence[str] = ()
    hedge: bool = False
    classify: Callable[[Mapping[str, Any]], str | None] | None = None
    every: tuple[Target, ...] = field(default=(), init=False, repr=False)  #: all targets: the usual ones, `larger`, `unfiltered`

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)  # frozen for everybody else

        given = [self.targets] if isinstance(self.targets, (str, Mapping, Target)) else list(self.targets)
        put("targets", tuple(map(Target.of, given)))
        put("larger", tuple(map(Target.of, [self.larger] if isinstance(self.larger, (str, Mapping)) else self.larger)))
        if not isinstance(self.unfiltered, bool):
            more = [self.unfiltered] if isinstance(self.unfiltered, (str, Mapping)) else self.unfiltered
            put("unfiltered", tuple(map(Target.of, more)))
        others = self.unfiltered if isinstance(self.unfiltered, tuple) else ()
        put("every", (*self.targets, *self.larger, *others))
        put("policy", _texts(self.policy, "policy"))
        put("residency", tuple(word.lower() for word in _texts(self.residency, "residency")))
        for word in self.policy:
            if word not in POLICIES:
                from engine.spec.problem import nearest

                near = nearest(word, POLICIES)
                raise ConfigError(f"`{word}` is no policy of a route" + (f"; did you mean `{near}`?" if near else ""))
        if not self.targets or len(self.every) > MOST_TARGETS:
            raise ConfigError(f"a route has 1 to {MOST_TARGETS} targets")
        if not isinstance(self.hedge, bool):
            raise ConfigError("`hedge` of a route is true or false")
        if len({target.model for target in self.every}) < len(self.every):
            raise ConfigError(f"the route {self.name} names a target twice")

    @classmethod
    def of(cls, name: str, given: Any) -> Route:
        """A route as `llmkit.yaml` writes it: a list of targets, or a mapping of its fields."""
        if isinstance(given, cls):
            return given
        if isinstance(given, (str, list, tuple)):
            return cls(given, name=name)
        if not isinstance(given, Mapping) or "targets" not in given:
            raise ConfigError(f"the route {name} is a list of targets, or a mapping with `targets`")
        _known(given, cls, f"the route {name}", but=("name", "classify", "every"))
        return cls(**{key: value for key, value in given.items() if value is not None}, name=name)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON: what `Route.of` takes, and the name."""
        written: dict[str, Any] = {"name": self.name, "policy": list(self.policy)}
        for key in ("targets", "larger", "unfiltered"):
            value = getattr(self, key)
            if value:
                written[key] = value if isinstance(value, bool) else [_plain(target) for target in value]
        if self.residency:
            written["residency"] = list(self.residency)
        if self.hedge:
            written["hedge"] = True
        return written


def routes_of(given: Any) -> dict[str, Route]:
    """Routes by name, from a mapping or the path of a file with `routes` (an `llmkit.yaml`). Raises ConfigError, SpecError."""
    if not given:
        return {}
    if not isinstance(given, Mapping):
        given = _written(given).get("routes") or {}
    if not isinstance(given, Mapping):
        raise ConfigError("`routes` is a mapping of names to routes")
    for name in given:
        if not isinstance(name, str) or not name or "/" in name:
            raise ConfigError(f"the name of a route is a text without a slash, not {name!r:.80}")
    return {name: Route.of(name, one) for name, one in given.items()}


def _written(path: Any) -> Mapping[str, Any]:
    """The mapping a YAML file holds."""
    from engine.errors import SpecError
    from engine.spec.load import load
    from engine.spec.problem import Problems

    problems = Problems()
    try:
        node = load(Path(path).read_bytes(), str(path), problems)
    except (OSError, TypeError) as error:
        raise ConfigError(f"routes are a mapping or the path of a file: {error}") from None
    if problems.errors:
        raise SpecError(problems.sorted())
    plain = node.plain() if node is not None else {}
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{path}: a configuration is a mapping")
    return plain


def _plain(target: Target) -> dict[str, Any]:
    default = Target("a/b")
    written = {f.name: getattr(target, f.name) for f in fields(Target)}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in written.items() if k == "model" or v != getattr(default, k)}


def _texts(value: Any, what: str) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, tuple)) else None
    if found is None or not all(isinstance(word, str) for word in found):
        raise ConfigError(f"`{what}` is a word or a list of words")
    return found


def _known(given: Mapping[str, Any], kind: Any, where: str, but: tuple[str, ...] = ()) -> None:
    names = [f.name for f in fields(kind) if f.name not in but]
    for name in given:
        if name not in names:
            from engine.spec.problem import nearest

            near = nearest(str(name), names)
            raise ConfigError(f"{where} has no `{name}`" + (f"; did you mean `{near}`?" if near else ""))
