"""What is shared between the files of one check hides nothing: each failure is told for exactly those it concerns."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from engine.catalog import BUILTIN, Catalog
from engine.check import Findings, check
from engine.errors import Error
from engine.expr.function import locate
from engine.kinship import families
from engine.spec.load import DATA_LIMIT, load
from engine.spec.node import Nodes, node_of
from engine.spec.problem import Problems
from engine.spec.report import format_problems
from engine.spec.validate import KINDS, _acceptor, _validator

WIRE = """operation: chat
post: /chat
headers: {x-mood: "{{ 'calm' }}"}
body: {model: "{{ model }}", question: "{{ (messages | last).text }}", heat: "{{ temperature }}"}
params: {max_tokens: limit}
response: {text: answer, finish: why}
finish_reasons: {done: stop}
examples:
  - {name: asks, request: {messages: "hi", temperature: 1}, sends: {path: /chat, body: {model: m, question: hi, heat: 1}}}
  - {name: limits, request: {messages: "hi", max_tokens: 5}, sends: {body: {model: m, question: hi, limit: 5}}}
  - {name: answers, reply: {body: {answer: hello, why: done}}, gives: {text: hello, finish_reason: stop}}
"""
PLAIN = """name: {name}
docs: https://docs.{id}.example
base_url: https://api.{id}.example/v1
secrets: {{api_key: {key}_API_KEY}}
auth: {{bearer: "{{{{ api_key }}}}"}}
models:
  default: m
"""
#: what a provider changes -> what is told of it: rule, line, and a word of the message; nothing for what breaks nothing
CHANGES = {
    "chat: wire\n": None,
    "chat: {extends: wire, body: {heat: ~}}\n": None,  # a deviation in the body is not compared there
    "chat: {extends: wire, errors: {ok: \"answer != 'hello'\"}}\n": ("example", 8, "`answers`"),
    "chat: wire\nerrors: {ok: \"answer != 'hello'\"}\n": ("example", 8, "`answers`"),
    "chat: wire\nvariants: {slow: {chat: {errors: {ok: \"answer != 'hello'\"}}}}\n": ("example", 9, "bad:slow"),
    "chat: {extends: wire, headers: {x-mood: '{{ mod }}'}}\n": ("unknown-name", 8, "`mod`"),
    "  'x*': {chat: {body: {heat: '{{ heat }}'}}}\nchat: wire\n": ("unknown-name", 8, "`heat`"),
}


def folder(root: Path, providers: dict[str, str]) -> Path:
    for kind in ("providers", "dialects"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    (root / "dialects" / "wire.yaml").write_text(WIRE, "utf-8")
    for id, text in providers.items():
        (root / "providers" / f"{id}.yaml").write_text(PLAIN.format(id=id, name=id.title(), key=id.upper()) + text, "utf-8")
    return root


def told(root: Path, ids: list[tuple[str, str]], **options: Any) -> tuple[list[str], Findings]:
    catalog = Catalog([root], findings=Problems())
    findings = check(catalog, ids, **options)
    text = format_problems(findings.problems, catalog.text)
    return [text, *map(repr, findings.problems)], findings


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_what_a_provider_breaks_is_told_for_him_alone(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else inherits the same is checked before or after him, by the same process or by another."""
    root = folder(tmp_path, {"good": "chat: wire\n", "bad": change, "other": "chat: {extends: wire}\n"})
    monkeypatch.setattr("engine.check.processes", lambda items: 2)
    expected, alone = told(root, [("providers", "bad")])
    assert [(p.rule, p.mark.line) for p in alone.problems] == ([CHANGES[change][:2]] if CHANGES[change] else [])
    assert all(CHANGES[change][2] in p.message and p.mark.file.endswith("bad.yaml") for p in alone.problems)
    specs = [("dialects", "wire"), ("providers", "good"), ("providers", "bad"), ("providers", "other")]
    for number, places in enumerate(("0123", "2130", "3210", "1203")):
        order = [specs[int(place)] for place in places]
        found, findings = told(root, order)
        assert found == expected
        assert {r.provider for r in findings.results if r.failures} <= {"bad"}
        assert findings.examples == 3 * 3 + (3 if "variants" in change else 0) - 3 * (alone.examples == 0)
        groups = ([[0, 1], [2, 3]], [[2], [3, 0], [1]], [[0, 1, 2, 3]], [[3, 1], [0], [2]])[number]
        monkeypatch.setattr("engine.check.families", lambda catalog, chosen, count, groups=groups: groups)
        found, forked = told(root, order, parallel=True)
        assert found == expected and list(map(repr, forked.results)) == list(map(repr, findings.results))


def test_a_failing_example_of_a_dialect_is_told_for_everyone_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path, dict.fromkeys("abcdef", "chat: wire\n"))
    wrong = WIRE.replace("gives: {text: hello", "gives: {text: goodbye")
    (root / "dialects" / "wire.yaml").write_text(wrong, "utf-8")
    monkeypatch.setattr("engine.check.processes", lambda items: 2)
    monkeypatch.setattr("engine.check.families", lambda catalog, chosen, count: [[0, 5, 2], [1], [4, 3]])
    for parallel in (True, False):
        _, findings = told(root, [("providers", id) for id in "abcdef"], parallel=parallel)
        assert [(p.message[0], Path(p.mark.file).stem) for p in findings.problems] == [(id, id) for id in "abcdef"]


def test_the_same_text_of_two_files_fails_at_its_own_place(tmp_path: Path) -> None:
    """Both are compiled once; what is told of a failure while it runs names the file of whoever is running."""
    root = folder(tmp_path, {"one": "chat: wire\n", "two": "chat: wire\n"})
    for number, path in enumerate(sorted((root / "providers").iterdir())):
        text = path.read_text("utf-8").replace("{{ api_key }}", "{{ api_key | round }}")
        path.write_text("# a line more\n" * number + text, "utf-8")
    catalog = Catalog([root])
    places = []
    for id in ("one", "two"):
        plan = catalog.compile(id, "chat")
        assert plan is not None and plan.auth.value is not None
        with pytest.raises(Error) as caught:
            plan.auth.value({"api_key": "k"})
        places.append(locate(caught.value))
    assert [(Path(mark.file).stem, mark.line) for mark in places if mark] == [("one", 5), ("two", 6)]


def test_a_plain_text_is_itself(tmp_path: Path) -> None:
    catalog = Catalog([folder(tmp_path, {"one": "chat: wire\n", "two": "chat: wire\n"})])
    one, two = (catalog.compile(id, "chat") for id in ("one", "two"))
    assert one is not None and two is not None
    assert (one.base_url({}), two.base_url({})) == ("https://api.one.example/v1", "https://api.two.example/v1")
    assert one.call.url is two.call.url and one.call.url({"model": "m"}) == "/chat"


def test_the_same_nodes_make_one_node_and_others_another() -> None:
    nodes, tree = Nodes(), node_of({"a": 1, "b": [2]})
    a, b = tree.value["a"], tree.value["b"]
    made = nodes({"a": a, "b": b}, tree.mark)
    assert made is nodes({"a": a, "b": b}, tree.mark)
    others = [
        nodes({"b": b, "a": a}, tree.mark), nodes({"a": a, "b": a}, tree.mark), nodes({"a": a}, tree.mark),
        nodes({"a": a, "b": b}, tree.mark._replace(line=2)), nodes({"a": a, "b": b}, tree.mark, tree.mark),
        nodes({"a": a, "c": b}, tree.mark), nodes({}, tree.mark), nodes(b.value, tree.mark),
    ]  # fmt: skip
    assert len({id(node) for node in [made, *others]}) == 9


def test_a_family_is_together_and_nobody_is_left_out(tmp_path: Path) -> None:
    catalog = Catalog()
    specs = [(kind, id) for kind in ("dialects", "providers", "models") for id in sorted(catalog.files.entries[kind])]
    for count in (2, 3, 8):
        groups = families(catalog, specs, count)
        assert sorted(place for group in groups for place in group) == list(range(len(specs)))
        assert len(groups) > 2 * count
        of = {specs[place]: number for number, group in enumerate(groups) for place in group}
        assert of["dialects", "watsonx-chat"] == of["providers", "ibm-watsonx"]
    unread = folder(tmp_path, {"one": "chat: wire\n"})
    local = Catalog([unread])
    (unread / "providers" / "one.yaml").unlink()
    assert families(local, [("providers", "one"), ("dialects", "wire")], 2) == [[1], [0]]


@pytest.mark.parametrize("key", ["aliases", '"aliases"', "'aliases'", "? aliases\n", r'"\x61liases"', r'"ali\u0061ses"'])
def test_another_name_is_found_however_its_key_is_written(key: str, tmp_path: Path) -> None:
    """Files that cannot hold the key are not parsed for it."""
    root = folder(tmp_path, {"one": f"chat: wire\n{key}: [uno]\n", "two": "chat: wire\n"})
    catalog = Catalog([root])
    assert catalog.resolve("uno") == "one"
    assert not catalog.files.may_say("providers", "two", "colours")


def test_facts_are_read_once_by_who_checks_them(tmp_path: Path) -> None:
    root = folder(tmp_path, {"one": "chat: wire\n"})
    (root / "models").mkdir()
    (root / "models" / "one.yaml").write_text("models: {m: {context: 5}}\n", "utf-8")
    plain, checking = Catalog([root]), Catalog([root], findings=Problems())
    assert plain.model_info("one", "m") == checking.model_info("one", "m") != {}
    (root / "models" / "one.yaml").write_text("models: {m: {contxt: 5}}\n", "utf-8")
    _, findings = told(root, [("providers", "one"), ("models", "one")])
    assert [p.rule for p in findings.problems] == ["unknown-key"]


def test_the_quick_test_of_a_schema_says_yes_only_where_the_library_does() -> None:
    dice = random.Random(7)
    strange = [None, True, 0, -1, 1.0, 2.5, "", "x", [], {}, ["a", "a"], {"$if": 1}, {"$bad": 1}, {"x": None}, "a" * 5000, 10**20]
    words = ["$replace", "$if", "$zz", "extends", "name", "chat", "id", "body", "models", "jwt", "source", "examples", "Bad-Name"]
    folders = {"provider": "providers", "dialect": "dialects", "models": "models", "examples": "dialects"}
    accepted = refused = 0
    for kind in KINDS:
        ending = ".examples.yaml" if kind == "examples" else ".yaml"
        paths = [p for p in sorted((BUILTIN / folders[kind]).glob(f"*{ending}")) if kind == "examples" or ".examples" not in p.name]
        for path in dice.sample([p for p in paths if p.stat().st_size < 4000], 10):
            text = path.read_bytes()
            for _ in range(4):
                tree = load(text, path.name, Problems(), limit=DATA_LIMIT)
                assert tree is not None
                plain = tree.plain()
                assert _acceptor(kind)(plain), path
                holder, key = dice.choice(_entries(plain))
                if isinstance(holder, dict) and dice.random() < 0.3:
                    holder[dice.choice(words)] = dice.choice(strange)
                elif dice.random() < 0.3:
                    del holder[key]
                else:
                    holder[key] = dice.choice(strange)
                quick, sound = _acceptor(kind)(plain), _validator(kind).is_valid(plain)
                assert sound or not quick, (path, holder, key)
                accepted, refused = accepted + quick, refused + (not sound)
    assert accepted > 10 and refused > 10


def _entries(value: Any) -> list[tuple[Any, Any]]:
    """Every entry of a tree, as its holder and its key."""
    found, pending = [], [value]
    while pending:
        holder = pending.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        found += [(holder, key) for key in keys]
        pending += [holder[key] for key in keys]
    return found
