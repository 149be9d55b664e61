"""Auth tables: the only templates that see secrets (SPEC_LANGUAGE 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import plan
from engine.expr.function import Unit
from engine.expr.query import Queries
from engine.expr.shelf import Shelf
from engine.expr.template import Templates
from engine.spec.compile.call import Calls, Functions, number, present
from engine.spec.node import Node
from engine.spec.problem import Problems, nearest
from engine.vocabulary import ANY, AUTH_SCHEMES, IDENTITIES, SIGNERS, Shape

AUTH_FUNCTIONS = ("uuid", "now", "date", "hmac256", "sha256", "hex", "fingerprint")
_NONE = plan.Auth()


class Auths:
    """Compiles the auth tables of one provider; a node that occurs twice is compiled once."""

    def __init__(
        self,
        secrets: Mapping[str, plan.Secret],
        variables: Mapping[str, Shape],
        request: Shape,
        problems: Problems,
        servers: tuple[str, ...] = (),
        trusted: bool = True,
        shelf: Shelf | None = None,
    ) -> None:
        self.shelf = shelf
        self.servers = servers
        self.trusted = trusted
        self.secrets = secrets
        self.variables = variables
        self.request = request
        self.problems = problems
        self._done: dict[int, tuple[Node, plan.Auth]] = {}  # the node is kept so that its id stays its own

    def auth(self, node: Node | None) -> plan.Auth:
        """An auth table; `{}` or nothing is no credential."""
        if node is None or not node.value:
            return _NONE
        if id(node) not in self._done:
            self._done[id(node)] = (node, self._compile(node))
        return self._done[id(node)][1]

    def _compile(self, node: Node) -> plan.Auth:
        if not node.is_map:
            self.problems.error("wrong-type", '`auth` is a mapping such as {bearer: "{{ api_key }}"}', node.mark)
            return _NONE
        for key, value in node.items():
            if key not in AUTH_SCHEMES and key not in ("tokens", "with"):
                self.problems.error("unknown-key", f"`{key}` is not a way to sign", value.key_mark, nearest(key, AUTH_SCHEMES))
        schemes = [s for s in AUTH_SCHEMES if present(node, s)]
        if len(schemes) != 1:
            self.problems.error("one-scheme", f"`auth` needs exactly one of {', '.join(AUTH_SCHEMES)}", node.key_mark or node.mark)
            return _NONE
        target = node.value[schemes[0]]
        if schemes[0] == "any":
            options = tuple((name, self.auth(option)) for name, option in target.items())
            return plan.Auth(scheme="any", options=options, reads=tuple(sorted({r for _, o in options for r in o.reads})))
        return self._leaf(node, schemes[0], target)

    def _leaf(self, node: Node, scheme: str, target: Node) -> plan.Auth:
        unit = Unit("auth")
        before = len(self.problems.errors)
        tokens = dict((node.get("tokens") or Node({})).items())
        names = {**self.variables, **dict.fromkeys(self.secrets, ANY), **dict.fromkeys(tokens, ANY)}
        templates = Templates(
            unit,
            self.problems,
            self.request,
            variables=names,
            label="auth",
            functions=AUTH_FUNCTIONS,
            trusted=self.trusted,
            shelf=self.shelf,
        )
        calls = Calls(templates, Queries(unit, self.problems, self.shelf), self.problems, self.auth, self.servers)
        signer = None
        if scheme == "sign":
            signer = str(target.value)
            if signer not in SIGNERS:
                self.problems.error("unknown-signer", f"`{signer}` is not a known signer", target.mark, nearest(signer, SIGNERS))
            if present(node, "with"):
                templates.template("value", node.value["with"], "body")
        else:
            templates.template("value", target, {"bearer": "header", "header": "header", "query": "query"}.get(scheme, "body"))
        made: list[tuple[str, Any, float | None]] = []
        for name, token in tokens.items():
            if present(token, "jwt"):
                source: Any = f"jwt_{name}"
                templates.template(source, token.value["jwt"], "body")
            elif present(token, "source"):
                source = self._identity(name, token, templates)
            else:
                if not present(token, "value"):
                    self.problems.error("missing-key", f"token `{name}` needs `value`", token.key_mark or token.mark)
                source = calls.call(token, f"auth.tokens.{name}")
            made.append((name, source, number(token, "ttl")))
        functions: Functions = unit.build() if len(self.problems.errors) == before else {}
        reads = sorted(s for s in templates.reads if s in self.secrets)
        return plan.Auth(
            scheme=scheme,
            value=functions.get("value"),
            signer=signer,
            tokens=tuple(_token(name, source, ttl, functions) for name, source, ttl in made),
            needs=tuple(s for s in reads if not self.secrets[s].optional),
            reads=tuple(reads),
        )

    def _identity(self, name: str, token: Node, templates: Templates) -> tuple[str, str | None]:
        """The source of a token that is this machine's own, and the template of what it is asked for."""
        node = token.value["source"]
        source = str(node.value)
        if source not in IDENTITIES:
            self.problems.error("unknown-identity", f"`{source}` is not a known identity", node.mark, nearest(source, IDENTITIES))
        if not self.trusted:
            message = "a spec from elsewhere cannot ask for this machine's identity"
            self.problems.error("remote-identity", message, node.mark, width=len(source))
        if not present(token, "with"):
            return source, None
        templates.template(f"with_{name}", token.value["with"], "body")
        return source, f"with_{name}"


def _token(name: str, source: Any, ttl: float | None, functions: Functions) -> plan.Token:
    if isinstance(source, tuple):
        return plan.Token(name, source=source[0], options=functions.get(source[1]), ttl=ttl)
    if isinstance(source, str):
        return plan.Token(name, jwt=functions.get(source), ttl=ttl)
    return plan.Token(name, call=source(functions), ttl=ttl)
