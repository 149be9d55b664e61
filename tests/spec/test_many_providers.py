"""A catalog of hundreds: what providers inherit unchanged is compiled once, and its examples run once."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.check import check
from engine.examples import Case, Outcomes, cases, run, shared
from engine.expr.function import Unit
from engine.spread import processes, spread

MANY = 250
THIN = """name: Thin {n}
docs: https://docs.thin{n}.example/api
base_url: https://api.thin{n}.example/v1
secrets: {{api_key: THIN{n}_API_KEY}}
auth: {{bearer: "{{{{ api_key }}}}"}}
chat: openai-chat-open
list_models: openai-models
models: {{default: model-{n}}}
"""
WIRE = """operation: chat
post: /chat
body: {model: "{{ model }}", question: "{{ (messages | last).text }}"}
response: {text: answer}
examples:
  - {name: asks, request: {messages: "hi"}, sends: {path: /chat, body: {model: m, question: hi}}}
  - {name: answers, reply: {body: {answer: hello}}, gives: {text: hello}}
  - {name: wrong, reply: {body: {answer: hello}}, gives: {text: goodbye}}
"""


@pytest.fixture
def thin(tmp_path: Path) -> Catalog:
    folder = tmp_path / "providers"
    folder.mkdir()
    for n in range(MANY):
        (folder / f"thin-{n}.yaml").write_text(THIN.format(n=n), "utf-8")
    return Catalog([tmp_path])


def test_hundreds_of_thin_providers_share_one_wire(thin: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    built: Counter[str] = Counter()
    ran: Counter[str] = Counter()
    build = Unit.build

    def counted_build(unit: Unit) -> object:
        built[unit.label] += bool(unit.functions)
        return build(unit)

    def counted_run(catalog: Catalog, provider: str, case: Case, **options: object) -> object:
        ran[provider] += 1
        return run(catalog, provider, case, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Unit, "build", counted_build)
    monkeypatch.setattr(shared, "run", counted_run)
    ids = [("providers", f"thin-{n}") for n in range(MANY)]
    findings = check(thin, ids)
    assert not findings.problems
    each = len(cases(thin, "thin-0"))
    assert findings.examples + findings.skipped == MANY * each and each > 40
    # every operation of everyone sends one request of its own; the rest ran with the first of them
    assert ran["thin-0"] == each
    assert {ran[id] for _, id in ids[1:]} == {2}
    # what everyone compiles is his own address and credentials, two functions for each operation
    assert sum(built.values()) - 2 * 2 * MANY < 40


def test_a_failure_is_told_for_everyone_it_concerns() -> None:
    acme = {"name": "Acme", "base_url": "https://a.example", "auth": {}, "chat": "wire", "models": {"default": "m"}}
    wire = __import__("yaml").safe_load(WIRE)
    catalog = Catalog([{"wire": wire, "one": acme, "two": {**acme, "base_url": "https://b.example"}}])
    findings = check(catalog, [("providers", "one"), ("providers", "two")])
    assert [(p.rule, p.message.partition(":")[0]) for p in findings.problems] == [("example", "one"), ("example", "two")]
    assert all("`wrong`" in p.message and "goodbye" in p.message for p in findings.problems)


@pytest.mark.parametrize("provider", ["groq", "deepseek", "anthropic", "amazon-bedrock"])
def test_a_shared_result_is_the_one_that_running_gives(provider: str) -> None:
    catalog = Catalog()
    outcomes = Outcomes(catalog)
    for other in ("openai", "together", "google-vertex"):
        for case in cases(catalog, other):
            outcomes.run(other, case, None)
    for variant in (None, *catalog.plan(provider).variants):
        for case in cases(catalog, provider, variant):
            assert outcomes.run(provider, case, variant) == run(catalog, provider, case, variant=variant)


def test_providers_that_read_other_settings_do_not_share(tmp_path: Path) -> None:
    """The same nodes compiled where a name means something else are compiled again."""
    wire = {"operation": "chat", "post": "/chat", "body": {"zone": "{{ zone }}"}, "response": {"text": "answer"}}
    acme = {"name": "Acme", "base_url": "https://a.example", "auth": {}, "chat": "wire"}
    catalog = Catalog([{
        "wire": wire,
        "one": {**acme, "variables": {"zone": {"values": ["eu", "us"], "default": "eu"}}},
        "two": {**acme, "variables": {"zone": {"values": ["de", "fr"], "default": "fr"}}},
        "same": {**acme, "variables": {"zone": {"values": ["eu", "us"], "default": "us"}}},
    }])  # fmt: skip
    bodies = {id: catalog.compile(id, "chat").call.body for id in ("one", "two", "same")}  # type: ignore[union-attr]
    assert bodies["one"] is bodies["same"]
    assert bodies["one"] is not bodies["two"]
    assert catalog.operation("same/m").render(messages="hi").body == b'{"zone":"us"}'


@pytest.mark.parametrize("dialect", ["openai-chat", "anthropic-messages", "openai-responses", "cohere-v2"])
def test_how_answers_are_read_is_compiled_by_the_first_of_them(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = {"name": "Acme", "base_url": "https://a.example", "auth": {}, "chat": dialect}
    eager = Catalog([{"acme": acme}]).compile("acme", "chat")
    catalog = Catalog([{"acme": acme}])
    monkeypatch.setattr(catalog, "trust", lambda id: "builtin")  # what was checked when it was shipped
    compiled: list[str] = []
    add = Unit.function
    monkeypatch.setattr(Unit, "function", lambda unit, name, *rest: (compiled.append(name), add(unit, name, *rest)))
    lazy = catalog.compile("acme", "chat")
    assert eager is not None and lazy is not None and eager.stream is not None and lazy.stream is not None
    assert compiled and not {"response", "stream"} & set(compiled)
    assert lazy.lacks == eager.lacks and lazy.capabilities == eager.capabilities
    seen: list[object] = []
    assert lazy.stream.map is not None and lazy.response is not None
    for name, read in (("stream", lazy.stream.map), ("response", lazy.response)):
        read({}, lambda *output: seen.append(output))
        read({}, lambda *output: seen.append(output))
        assert compiled.count(name) == 1


def test_several_processes_find_what_one_finds_in_the_same_order(
    thin: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = THIN.format(n=7).replace("auth:", "atuh:") + "colour: blue\n"
    (tmp_path / "providers" / "thin-7.yaml").write_text(wrong, "utf-8")
    ids = [("providers", f"thin-{n}") for n in range(40)]
    monkeypatch.setattr("engine.check.processes", lambda items: 2)
    forked, alone = (check(Catalog([tmp_path]), ids, parallel=parallel) for parallel in (True, False))
    assert [str(p) for p in forked.problems] == [str(p) for p in alone.problems]
    assert len(alone.problems) >= 2
    assert (forked.files, forked.examples, forked.skipped) == (alone.files, alone.examples, alone.skipped)
    assert [(r.provider, r.name, r.passed) for r in forked.results] == [(r.provider, r.name, r.passed) for r in alone.results]


def test_few_files_are_worth_no_process_of_their_own() -> None:
    assert [processes(items) for items in (0, 1, 63)] == [1, 1, 1]
    assert 1 <= processes(1000) <= (os.cpu_count() or 1)


def test_every_item_is_done_once_by_whoever_is_free() -> None:
    groups = [[5, 1], [0], [2, 3, 4], [6]]
    done = list(spread(lambda item: (item * item, os.getpid()), range(7), 2, groups))
    assert sorted((item, square) for item, (square, _) in done) == [(n, n * n) for n in range(7)]
    processes_of = {item: process for item, (_, process) in done}
    assert all(len({processes_of[item] for item in group}) == 1 for group in groups)
    assert os.getpid() not in processes_of.values()
    assert list(spread(str, [], 2, [])) == []


def test_what_fails_in_another_process_is_raised_here() -> None:
    def fail(item: int) -> int:
        raise LookupError(f"item {item}")

    with pytest.raises(LookupError, match=r"item [34]"):
        list(spread(fail, [3, 4], 2, [[0], [1]]))


def test_a_process_that_ends_before_its_work_is_told() -> None:
    with pytest.raises(RuntimeError, match="ended before its work"):
        list(spread(lambda item: os._exit(3), [3, 4], 2, [[0], [1]]))


def test_waiting_for_other_processes_takes_no_time_of_this_one() -> None:
    """A pool of the standard library may turn in circles meanwhile."""
    before = time.process_time()
    assert len(list(spread(time.sleep, [0.4, 0.4], 2, [[0], [1]]))) == 2
    assert time.process_time() - before < 0.2
