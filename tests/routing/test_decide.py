"""The decision is a pure function: policies, filters, being out of targets, replay."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine
from engine.routing.decide import decide
from engine.routing.log import read, replayed
from engine.routing.route import POLICIES, Route
from tests.routing.targets import A, B, C, Several


def ask(**more: Any) -> dict[str, Any]:
    return {"stream": False, "tokens": 10, "needs": [], "residency": [], "tried": [], "max_wait": 60.0, **more}


def state(name: str, **more: Any) -> dict[str, Any]:
    base = {
        "target": name,
        "role": "usual",
        "weight": 1.0,
        "languages": [],
        "tasks": [],
        "lacks": [],
        "breaker": "closed",
        "in_flight": 0,
    }
    return {**base, **more}


def order(policy: Any, states: list[dict[str, Any]], turn: int = 0, draws: Any = None, **more: Any) -> list[str]:
    made = decide([policy] if isinstance(policy, str) else policy, ask(**more), states, turn, draws or [0.5] * len(states))
    assert made.action == "try" and made.chosen == made.order[0] and set(made.reasons) == set(made.order)
    return made.order


def test_each_policy_orders_by_what_it_is_called() -> None:
    assert order("order", [state("a/1"), state("b/2")]) == ["a/1", "b/2"]
    assert [order("round_robin", [state("a/1"), state("b/2"), state("c/3")], turn=n)[0] for n in range(4)] == [
        "a/1",
        "b/2",
        "c/3",
        "a/1",
    ]
    assert order("cheapest", [state("a/1"), state("b/2", cost="0.02"), state("c/3", cost="0.0100")]) == ["c/3", "b/2", "a/1"]
    assert order("least_busy", [state("a/1", in_flight=3), state("b/2", in_flight=5, weight=5.0)]) == ["b/2", "a/1"]
    fast = [state("a/1", first_event=0.2, tokens_per_second=10.0), state("b/2", first_event=1.0, tokens_per_second=100.0)]
    assert order("fastest", fast, stream=True, output=500) == ["b/2", "a/1"]
    assert order("fastest", fast, stream=True, output=5) == ["a/1", "b/2"]
    assert order("fastest", [state("a/1", whole=2.0), state("b/2", whole=1.0), state("c/3")]) == ["c/3", "b/2", "a/1"]
    tongues = [state("a/1", languages=["en"]), state("b/2"), state("c/3", languages=["cy"])]
    assert order("language", tongues, language="cy") == ["c/3", "b/2", "a/1"]
    assert order("language", tongues) == ["b/2", "a/1", "c/3"]
    assert order("task", [state("a/1"), state("b/2", tasks=["code"])], task="code") == ["b/2", "a/1"]


def test_a_further_policy_settles_ties() -> None:
    states = [state("a/1", tasks=["code"], cost="3"), state("b/2", tasks=["code"], cost="2"), state("c/3", cost="1")]
    assert order(["task", "cheapest"], states, task="code") == ["b/2", "a/1", "c/3"]
    assert order(["task", "cheapest"], states, task="chat") == ["c/3", "b/2", "a/1"]


@settings(max_examples=30)
@given(st.lists(st.floats(0.001, 0.999), min_size=3, max_size=3))
def test_weights_are_a_permutation_and_a_pure_function(draws: list[float]) -> None:
    states = [state("a/1", weight=5.0), state("b/2"), state("c/3")]
    assert sorted(order("weighted", states, draws=draws)) == ["a/1", "b/2", "c/3"]
    assert order("weighted", states, draws=draws) == order("weighted", states, draws=draws)


def test_weights_are_shares() -> None:
    import random

    dice = random.Random(7)
    states = [state("a/1", weight=7.0), state("b/2", weight=2.0), state("c/3")]
    first = Counter(order("weighted", states, draws=[dice.random() for _ in range(3)])[0] for _ in range(4000))
    assert abs(first["a/1"] / 4000 - 0.7) < 0.03 and abs(first["b/2"] / 4000 - 0.2) < 0.03


def test_out_of_targets() -> None:
    """RELIABILITY F5."""
    opened = [state("a/1", breaker="open", opens_in=20.0), state("b/2", breaker="open", opens_in=9.0)]
    made = decide(["order"], ask(), opened, 0, [0.5, 0.5])
    assert (made.action, made.chosen) == ("probe", "b/2")
    assert decide(["order"], ask(tried=["a/1"], after="server"), opened, 0, [0.5, 0.5]).action == "refuse"
    probing = [state("a/1", breaker="half_open", opens_in=0.0, probing=True)]
    assert decide(["order"], ask(), probing, 0, [0.5]).action == "refuse"
    half = [state("a/1", breaker="half_open", opens_in=0.0, probing=False), state("b/2")]
    assert decide(["order"], ask(), half, 0, [0.5, 0.5]).action == "probe"
    cooling = [state("a/1", cooling=30.0, cooling_after="rate_limit"), state("b/2", cooling=5.0, cooling_after="quota")]
    made = decide(["order"], ask(), cooling, 0, [0.5, 0.5])
    assert (made.action, made.seconds, made.chosen) == ("wait", 5.0, "b/2")
    made = decide(["order"], ask(max_wait=4.0), cooling, 0, [0.5, 0.5])
    assert (made.action, made.seconds) == ("refuse", 5.0)
    full = [state("a/1", limited=9.0), state("b/2", limited=3.0)]
    assert decide(["order"], ask(), full, 0, [0.5, 0.5]).chosen == "b/2"


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"breaker": st.sampled_from(["closed", "open", "half_open"]), "in_flight": st.integers(0, 9)},
            optional={
                "cooling": st.floats(0.1, 99),
                "cost": st.sampled_from(["1", "0.5"]),
                "probing": st.booleans(),
                "lacks": st.just(["tools"]),
            },
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.sampled_from(POLICIES), min_size=1, max_size=3),
    st.sampled_from([None, "server", "context_length", "content_filter", "invalid_request"]),
)
def test_nobody_is_asked_who_must_not_be(states: list[dict[str, Any]], policy: list[str], after: str | None) -> None:
    made_of = [state(f"p/{i}", opens_in=7.0, **s) for i, s in enumerate(states)]
    made = decide(policy, ask(needs=["tools"], after=after), made_of, 3, [0.3] * len(states))
    asked = {s["target"]: s for s in made_of}
    if made.action in ("try", "probe"):
        chosen = asked[str(made.chosen)]
        assert not chosen["lacks"] and not (chosen.get("probing") and chosen["breaker"] != "closed")
        assert not chosen.get("cooling") and after not in ("context_length", "invalid_request")
    assert not set(made.order) & set(made.skipped)
    again = decide(
        policy, json.loads(json.dumps(ask(needs=["tools"], after=after))), json.loads(json.dumps(made_of)), 3, [0.3] * len(states)
    )
    assert again == made


def test_a_log_answers_why_and_what_if(tmp_path: Path) -> None:
    log = tmp_path / "routes.log"
    route = Route([A, B, C], policy="cheapest", name="smart")
    with Several(groq="u_503_always") as several, several.client(route_log=log, attempts=1) as client:
        for _ in range(3):
            assert client.chat(route, "hi").provider == "openai"
    records = list(read(log))
    assert len(records) == 3 and [len(r["steps"]) for r in records] == [2, 2, 2]
    for record in records:
        assert all(was == now for was, now in replayed(record))
        assert replayed(record, without=[A])[0][1].chosen == B
        assert replayed(record, policy=["order"], without=[A, B])[0][1].chosen == C
        assert replayed(record, changes={A: {"cost": "9"}})[0][1].chosen == B
        assert (
            replayed(record, ask={"needs": ["tools"]}, changes={A: {"lacks": ["tools"]}})[0][1].skipped[A] == "it cannot do tools"
        )
        assert record["attempts"][0]["kind"] == "overloaded" and record["attempts"][-1]["cost"]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"targets": [A], "policy": "cheapst"}, "cheapest"),
        ({"targets": ["llama"]}, "provider/model"),
        ({"targets": []}, "1 to 64"),
        ({"targets": [{"model": A, "wieght": 2}]}, "weight"),
        ({"targets": [A, A]}, "twice"),
        ({"targets": [{"model": A, "weight": 0}]}, "weight"),
        ({"target": [A]}, "targets"),
        ({"targets": [A], "hedge": "yes"}, "hedge"),
    ],
)
def test_a_wrong_route_is_refused_with_the_word_that_is_wrong(given: dict[str, Any], word: str) -> None:
    with pytest.raises(engine.errors.ConfigError, match=word):
        engine.Client(routes={"smart": given})


def test_a_route_has_a_name_where_a_model_stands(tmp_path: Path) -> None:
    file = tmp_path / "llmkit.yaml"
    file.write_text(f"routes:\n  smart: [{A}, {B}]\n  fair: {{policy: round_robin, targets: [{A}, {B}]}}\n")
    with Several() as several, several.client(routes=file) as client:
        assert client.chat("smart", "hi").report.route["name"] == "smart"
        assert [client.chat("fair", "hi").provider for _ in range(4)] == ["groq", "openai"] * 2
        assert set(client.health()) == {A, B} and client.health(A)[A]["breaker"] == "closed"
    written = Route([A, {"model": B, "weight": 2}], larger=[C]).to_dict()
    assert Route.of(written.pop("name"), written) == Route([A, {"model": B, "weight": 2}], larger=[C])
