"""Settings, environment and spec defaults joined (SPEC_LANGUAGE 2.2, RELIABILITY A1, A2, A7, A8)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ConfigError
from engine.plan import Auth, ProviderPlan, Variable
from engine.plan import Secret as Declared
from engine.secret import Secret
from engine.settings import Settings, bind, missing_credential

WHO = ProviderPlan(
    "acme",
    "Acme",
    secrets=(Declared("api_key", ("ACME_KEY", "ACME_TOKEN")), Declared("sa", ("ACME_SA",), format="json", optional=True)),
    variables=(
        Variable("region", ("ACME_REGION",), default=lambda c: "eu", pattern="[a-z]{2}"),
        Variable("project", (), default=lambda c: (c.get("sa") or {}).get("project_id")),
        Variable("server", (), format="url"),
        Variable("tier", (), values=("a", "b")),
    ),
)


def test_caller_over_environment_over_default() -> None:
    bound = bind(WHO, {}, {"ACME_TOKEN": " key-1 \n", "ACME_REGION": "us", "OTHER_KEY": "x"})
    assert bound.values["region"] == "us" and bound.secrets["api_key"].reveal() == "key-1"
    bound = bind(WHO, {"region": "jp", "api_key": "mine"}, {"ACME_KEY": "env", "ACME_REGION": "us"})
    assert bound.values["region"] == "jp" and bound.secrets["api_key"].reveal() == "mine"
    assert bind(WHO, {}, {}).values == {"region": "eu"}


def test_json_credentials_are_parsed_and_defaults_may_read_them() -> None:
    bound = bind(WHO, {}, {"ACME_SA": '{"project_id": "p1", "private_key": "pk"}'})
    assert bound.values["project"] == "p1" and bound.secrets["sa"].reveal()["private_key"] == "pk"
    for text in ("not json", "[1]", "[" * 100_000):
        with pytest.raises(ConfigError) as caught:
            bind(WHO, {"sa": text}, {})
        assert text[:20] not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"region": "Europe"},
        {"region": "eu\r\nx"},
        {"tier": "c"},
        {"server": "ftp://x"},
        {"server": "https://u:p@x"},
        {"base_url": "https://x/?a=1"},
        {"base_url": "https://x#y"},
        {"base_url": "x.test/v1"},
        {"base_url": "https://x:99999/"},
        {"base_url": "https://x y/"},
        {"base_url": "https://"},
        {"regoin": "eu"},
    ],
)
def test_values_that_do_not_fit_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        bind(WHO, settings, {})


def test_a1_a_stranger_reads_no_environment_and_gets_no_server() -> None:
    who = ProviderPlan("acme", "Acme", secrets=WHO.secrets, variables=WHO.variables, trust="remote")
    bound = bind(who, {}, {"ACME_KEY": "env", "ACME_REGION": "us"})
    assert bound.secrets == {} and bound.values == {"region": "eu"}
    with pytest.raises(ConfigError):
        bind(who, {"base_url": "https://x.test"}, {})


def test_a2_a_moved_base_url_needs_its_own_key_unless_the_operator_chooses_it() -> None:
    assert bind(WHO, {"base_url": "https://x.test/"}, {"ACME_KEY": "env"}).secrets == {}
    own = ProviderPlan(
        "own", "Own", secrets=WHO.secrets, base_url=Variable("base_url", ("OWN_URL",), default=lambda c: "http://localhost:1/v1")
    )
    bound = bind(own, {"base_url": "https://x.test/"}, {"ACME_KEY": "env"})
    assert bound.secrets["api_key"].reveal() == "env" and bound.values["base_url"] == "https://x.test"
    assert bind(own, {}, {"OWN_URL": "http://h:2"}).values["base_url"] == "http://h:2"
    assert bind(own, {}, {}).values["base_url"] == "http://localhost:1/v1"


def test_missing_things_say_how_to_give_them() -> None:
    with pytest.raises(ConfigError, match="ACME_KEY"):
        bind(WHO, {}, {}, require_secrets=True)
    auth = Auth("bearer", needs=("api_key",))
    assert "ACME_KEY" in str(missing_credential(WHO, auth, {}, False))
    assert missing_credential(WHO, auth, {"api_key": Secret("x")}, False) is None
    either = Auth("any", options=(("a", auth), ("b", Auth("none"))))
    assert missing_credential(WHO, either, {}, False) is None
    needy = ProviderPlan("n", "N", variables=(Variable("deployment", required=True),))
    with pytest.raises(ConfigError, match="deployment"):
        bind(needy, {}, {})


def test_lists_are_keys_in_turn_and_reprs_show_nothing() -> None:
    made = Settings.of("acme", {"api_key": ["key-one", "key-two"], "region": "eu", "proxy": "http://u:pw@proxy"})
    assert made.values["api_key"].reveal() == "key-one" and [k["api_key"].reveal() for k in made.keys] == ["key-two"]
    assert "key-" not in repr(made) and "pw" not in repr(made)
    for given in ({"a": ["1", "2"], "b": ["1"]}, {"a": []}, {"a": object()}, {"base_url": 3}, "text"):
        with pytest.raises(ConfigError):
            Settings.of("acme", given)  # type: ignore[arg-type]
