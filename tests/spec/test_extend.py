"""Merging, extending, model patches and variants: SPEC_LANGUAGE 2.3, 5, 10; RELIABILITY A6."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.spec.extend import (
    blame,
    check_globs,
    dialect_tree,
    matching_patches,
    merge,
    operation_names,
    operation_tree,
    provider_tree,
    whole_tree,
)
from engine.spec.load import load
from engine.spec.node import Chains, Mark, Node, node_of
from engine.spec.pattern import PatternError, compile_pattern, glob_matches
from engine.spec.problem import Problems
from tests.samples import sampled


class Files:
    """A catalog of texts."""

    def __init__(self, dialects: dict[str, str], providers: dict[str, str]) -> None:
        self.trees = {"dialects": {}, "providers": {}}
        self.chains = Chains()
        for kind, texts in (("dialects", dialects), ("providers", providers)):
            for id, text in texts.items():
                problems = Problems()
                self.trees[kind][id] = load(text, f"{kind}/{id}.yaml", problems)
                assert not problems, problems

    def dialect(self, id: str) -> Node | None:
        return self.trees["dialects"].get(id)

    def provider(self, id: str) -> Node | None:
        return self.trees["providers"].get(id)

    def dialect_ids(self) -> list[str]:
        return list(self.trees["dialects"])

    def provider_ids(self) -> list[str]:
        return list(self.trees["providers"])


DIALECTS = {
    "wire": "operation: chat\npost: /chat\nbody: {model: m, messages: {user: u}}\n"
    "params: {top_p: top_p, seed: seed, stop: {max_items: 4}}\n",
    "wire-child": "operation: chat\nabout: a child\nextends: wire\nparams: {seed: ~}\nheaders: {v: '1'}\n",
    "vectors": "operation: embeddings\npost: /embed\n",
}


def chat(text: str, model: str | None = None, variant: str | None = None, **more: str) -> tuple[Any, Any, list[str]]:
    """The plain chat operation of a provider text, its dialects, and the findings."""
    files = Files(DIALECTS, {"acme": text, **more})
    problems = Problems()
    provider = provider_tree(files, "acme", problems)
    assert provider is not None
    tree, chain = operation_tree(files, provider, "chat", matching_patches(provider, model, variant), problems)
    return tree.plain() if tree else None, chain, [p.rule for p in problems]


def patched(base: Any, patch: Any) -> Any:
    return merge(node_of(base), node_of(patch)).plain()


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": None}}, {"a": {"b": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": "text"}, {"a": {"b": None}}, {"a": {"b": None}}),
        ({}, {"a": {"b": None, "c": {"d": None}}}, {"a": {"b": None, "c": {"d": None}}}),
        ({"a": {"b": 1}}, {"a": {"$replace": {"c": None}}}, {"a": {"c": None}}),
        ({"a": {"b": 1}}, {"a": {"$replace": [1]}}, {"a": [1]}),
        ({"a": {"b": 1}}, {"a": {"b": {"$replace": None}}}, {"a": {"b": None}}),
        ({}, {"a": {"b": {"$replace": {"c": 1}}}}, {"a": {"b": {"c": 1}}}),
        ({"a": 1}, {"$replace": {"b": 2}}, {"b": 2}),
    ],
)
def test_the_one_merge_rule(base: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((base, patch))
    assert patched(base, patch) == result
    assert (base, patch) == before


_VALUES = st.recursive(
    st.integers(0, 3) | st.none(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
_MAPS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


def reference(base: Any, patch: Any) -> Any:
    """RFC 7396, but for a mapping where the base has none: that is taken as written."""
    if not isinstance(patch, dict) or not isinstance(base, dict):
        return patch
    out = dict(base)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = reference(out.get(key), value)
    return out


@settings(max_examples=sampled(200), deadline=None)
@given(_MAPS, _MAPS)
def test_merging_is_a_merge_patch_and_changes_nothing_it_was_given(base: Any, patch: Any) -> None:
    a, b = node_of(base), node_of(patch)
    assert merge(a, b).plain() == reference(base, patch)
    assert a.plain() == base and b.plain() == patch


def test_every_value_keeps_the_place_of_its_writer() -> None:
    files = Files(DIALECTS, {"acme": "name: A\nchat:\n  extends: wire\n  params: {top_p: p}\n"})
    provider = provider_tree(files, "acme", Problems())
    assert provider is not None
    tree, _ = operation_tree(files, provider, "chat", (), Problems())
    assert tree is not None
    assert str(tree.value["params"].value["top_p"].mark) == "providers/acme.yaml:4:19"
    assert str(tree.value["params"].value["seed"].mark) == "dialects/wire.yaml:4:30"
    assert tree.mark.file == "providers/acme.yaml"


def test_a_bare_word_is_the_dialect() -> None:
    tree, chain, rules = chat("name: A\nchat: wire-child\n")
    assert chain == ("wire-child", "wire") and not rules
    assert tree == {
        "post": "/chat",
        "body": {"model": "m", "messages": {"user": "u"}},
        "params": {"top_p": "top_p", "stop": {"max_items": 4}},
        "headers": {"v": "1"},
    }


def test_patches_apply_in_file_order_then_the_variant() -> None:
    text = """
name: A
chat: wire
models:
  default: m-1
  "m-*": {chat: {params: {seed: s1, top_p: ~}}}
  "*-1": {chat: {params: {seed: s2}}}
  "x*": {chat: {params: {seed: never}}}
variants:
  slow: {chat: {params: {stop: {max_items: 1}}}}
  other: {chat: wire-child}
  none: {chat: ~}
"""
    assert chat(text, "m-1")[0]["params"] == {"seed": "s2", "stop": {"max_items": 4}}
    assert chat(text, "m-1", "slow")[0]["params"] == {"seed": "s2", "stop": {"max_items": 1}}
    assert chat(text, "y")[0]["params"] == {"top_p": "top_p", "seed": "seed", "stop": {"max_items": 4}}
    assert chat(text, "m-1", "other")[:2][1] == ("wire-child", "wire")
    assert chat(text, "m-1", "none") == (None, (), [])
    with pytest.raises(ConfigError, match="no variant `slwo`; did you mean `slow`"):
        chat(text, "m-1", "slwo")


def test_a_patch_replaces_a_whole_operation() -> None:
    text = """
name: A
chat: wire
models:
  "b*": {chat: {$replace: {extends: wire-child, post: /other}}}
  "c*": {chat: {$replace: {get: /x}}}
"""
    tree, chain, rules = chat(text, "b")
    assert (tree["post"], chain, rules) == ("/other", ("wire-child", "wire"), [])
    assert chat(text, "c") == ({"get": "/x"}, (), [])


def test_what_an_operation_extends_is_changed_under_replace_only() -> None:
    text = "name: A\nchat: wire\nmodels: {'b*': {chat: {extends: wire-child, post: /other}}}\n"
    tree, chain, rules = chat(text, "b")
    assert rules == ["extends-in-patch"] and chain == ("wire",) and tree["post"] == "/other"


def test_a_provider_extends_a_provider() -> None:
    base = """
name: B
base_url: https://b
headers: {x: '1', y: '2'}
chat: {extends: wire, post: /b}
models: {'b*': {chat: {params: {seed: ~}}}}
"""
    files = Files(
        DIALECTS,
        {"base": base, "acme": "extends: base\nname: A\nheaders: {y: ~}\nchat: {params: {top_p: p}}\nembeddings: vectors\n"},
    )
    problems = Problems()
    tree = whole_tree(files, "acme", problems, model="b1")
    assert tree is not None and not problems
    plain = tree.plain()
    assert plain["name"] == "A" and plain["headers"] == {"x": "1"} and plain["base_url"] == "https://b"
    assert plain["chat"]["post"] == "/b" and plain["chat"]["params"] == {"top_p": "p", "stop": {"max_items": 4}}
    assert plain["embeddings"] == {"post": "/embed"}
    assert operation_names(tree) == ["chat", "embeddings"]


def test_a_word_in_a_child_provider_replaces_the_operation() -> None:
    tree, chain, rules = chat("extends: base\nname: A\nchat: wire-child\n", base="name: B\nchat: {extends: wire, post: /b}\n")
    assert (tree["post"], chain, rules) == ("/chat", ("wire-child", "wire"), [])


def test_provider_keys_follow_the_patches() -> None:
    text = "name: A\nbase_url: https://a\nmodels: {'b*': {base_url: https://b, chat: wire}}\nvariants: {v: {headers: {h: x}}}\n"
    files = Files(DIALECTS, {"acme": text})
    tree = provider_tree(files, "acme", Problems(), "b1", "v")
    assert tree is not None and tree.plain()["base_url"] == "https://b" and tree.plain()["headers"] == {"h": "x"}
    whole = whole_tree(files, "acme", Problems(), "b1")
    assert whole is not None and whole.plain()["chat"]["post"] == "/chat"


def test_deleting_nothing_is_a_warning_with_the_nearest_name() -> None:
    files = Files(DIALECTS, {"acme": "name: A\nchat:\n  extends: wire\n  params: {seeds: ~}\n"})
    provider, problems = provider_tree(files, "acme", Problems()), Problems()
    assert provider is not None
    operation_tree(files, provider, "chat", (), problems)
    assert [(p.rule, p.severity, p.suggestion, str(p.mark)) for p in problems] == [
        ("deletes-nothing", "warning", "seed", "providers/acme.yaml:4:12")
    ]


@pytest.mark.parametrize(
    ("dialects", "rule"),
    [
        ({"a": "operation: chat\nextends: b\n", "b": "operation: chat\nextends: a\n"}, "extends-cycle"),
        ({"a": "operation: chat\nextends: a\n"}, "extends-cycle"),
        ({"a": "operation: chat\nextends: bb\n", "b": "operation: chat\n"}, "unknown-dialect"),
        ({c: f"operation: chat\nextends: {chr(ord(c) + 1)}\n" for c in "abcdef"} | {"g": "operation: chat\n"}, "extends-too-deep"),
        ({"a": "operation: embeddings\n"}, "wrong-operation"),
        ({"a": "operation: chat\nextends: [b]\n"}, "wrong-type"),
    ],
)
def test_broken_chains_are_told(dialects: dict[str, str], rule: str) -> None:
    files = Files(dialects, {"acme": "name: A\nchat: a\n"})
    problems = Problems()
    provider = provider_tree(files, "acme", problems)
    assert provider is not None
    operation_tree(files, provider, "chat", (), problems)
    assert [p.rule for p in problems] == [rule]


def test_five_links_are_the_most() -> None:
    texts = {c: f"operation: chat\nextends: {chr(ord(c) + 1)}\n" for c in "abcd"} | {"e": "operation: chat\npost: /e\n"}
    files, problems = Files(texts, {"acme": "name: A\nchat: a\n"}), Problems()
    provider = provider_tree(files, "acme", problems)
    assert provider is not None and operation_tree(files, provider, "chat", (), problems)[1] == tuple("abcde")
    assert not problems


def test_unknown_names_come_with_a_suggestion() -> None:
    files = Files(DIALECTS, {"acme": "name: A\nextends: acme-base\nchat: wier\n", "acme-bas": "name: B\n"})
    problems = Problems()
    provider = provider_tree(files, "acme", problems)
    assert provider is not None
    assert operation_tree(files, provider, "chat", (), problems) == (None, ())
    assert [(p.rule, p.suggestion) for p in problems] == [("unknown-provider", "acme-bas"), ("unknown-dialect", "wire")]
    assert provider_tree(files, "nobody", problems) is None


def test_a_dialect_can_be_made_whole_alone() -> None:
    tree = dialect_tree(Files(DIALECTS, {}), "wire-child", Problems())
    assert tree is not None and tree.plain()["params"] == {"top_p": "top_p", "stop": {"max_items": 4}}


def test_an_inherited_finding_points_at_both_files() -> None:
    problems = Problems()
    problems.error("unknown-key", "`audio` is not expected here", Mark("dialects/wire.yaml", 40, 3))
    problems.error("unknown-key", "own", Mark("providers/acme.yaml", 2, 1))
    blame(problems, 0, Mark("providers/acme.yaml", 9, 3))
    assert (
        str(problems[0]) == "providers/acme.yaml:9:3: error[unknown-key]: `audio` is not expected here (from dialects/wire.yaml:40)"
    )
    assert problems[1].origin is None


@pytest.mark.parametrize(
    ("glob", "text", "fits"),
    [
        ("gpt-4*", "gpt-4o", True),
        ("gpt-4*", "GPT-4o", False),
        ("*", "", True),
        ("o[1-9]*", "o3-mini", True),
        ("o[1-9]*", "o0", False),
        ("[!a]*", "b", True),
        ("[!a]*", "a", False),
        ("*-vision*", "llava-vision-7b", True),
        ("a?c", "abc", True),
        ("a.c", "abc", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("[", "[", True),
        ("models/*", "models/a\nb", True),
        ("a", "a\n", False),
    ],
)
def test_globs(glob: str, text: str, fits: bool) -> None:
    assert glob_matches(glob, text) is fits


def test_globs_stay_linear_and_bounded() -> None:
    """RELIABILITY A6."""
    start = time.process_time()
    assert not glob_matches("*a" * 99 + "b", "a" * 4096)
    assert not glob_matches("*?" * 90 + "b", "a" * 4096)
    assert time.process_time() - start < 1
    assert not glob_matches("*", "a" * 4097)
    with pytest.raises(PatternError):
        glob_matches("a" * 201, "a")
    problems = Problems()
    check_globs(node_of({"models": {"a" * 201: {}, "[z-a]": {}, "ok*": {}, "default": "x"}}), problems)
    assert [p.rule for p in problems] == ["bad-glob", "bad-glob"]
    assert matching_patches(node_of({"models": {"[z-a]": {}}}), "z") == ()


@pytest.mark.parametrize(
    "pattern", ["[a-z]{2}(-[a-z]+)+-[0-9]", "[a-z0-9-]+", "(us|eu)", "(ab)?c+", "https?://[^/]+", "(?:x[y]*){2,}"]
)
def test_patterns_that_read_one_way_pass(pattern: str) -> None:
    compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+", "(a*)*b", "(a|a)*", "(a|b)+x", "((ab)+)*", r"(a)\1", "(?P<x>a)(?P=x)", "a" * 201, "(", "(-[a-z-]+)+", "(.a+)+", "[a"],
)
def test_patterns_that_may_explode_are_refused(pattern: str) -> None:
    """RELIABILITY A6: at most 200 characters, no back-references, no nested quantifiers."""
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@settings(max_examples=sampled(200), deadline=None)
@given(st.text("ab()[]{}*+?|\\^-.,:P<>=1!", max_size=30))
def test_no_pattern_raises_anything_else(text: str) -> None:
    for attempt in (lambda: compile_pattern(text), lambda: glob_matches(text, "abab")):
        try:
            attempt()
        except PatternError:
            pass
