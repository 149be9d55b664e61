"""The whole check as authors meet it: `llmkit check` on files, folders and ids (SPEC_LANGUAGE 14, STYLE 9)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.check import check, combinations, matching_name
from engine.cli import main
from engine.spec.node import Node
from engine.spec.pattern import glob_matches
from engine.spec.problem import Problems

ROOT = Path(__file__).resolve().parents[2]
CATALOG = Catalog()
CHAT_DIALECTS = [i for i in CATALOG.dialect_ids() if (n := CATALOG.dialect(i)) is not None and n.get("operation").value == "chat"]  # type: ignore[union-attr]

WIRE = """operation: chat
post: /chat
body: {model: "{{ model }}", messages: {$for: m in messages, role: "{{ m.role }}", content: "{{ m.text }}"}}
params: {max_tokens: max_tokens, temperature: temperature}
response: {text: answer, finish: reason}
finish_reasons: {end: stop}
"""
ACME = """name: Acme
base_url: https://api.acme.example/v1
secrets: {api_key: ACME_API_KEY}
auth: {bearer: "{{ api_key }}"}
chat: acme-wire
models: {default: m}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMKIT_CATALOG", raising=False)
    return tmp_path / "cache"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name.replace('__', '.').replace('_', '-')}.yaml").write_text(text, "utf-8")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["check", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


# --- what is checked -------------------------------------------------------------------------------------------------


def test_a_folder_of_ones_own_with_its_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = (
        "examples: [{name: hello, operation: chat, request: {messages: [{role: user, content: Hi}]}, sends: {path: /chat}}]\n"
    )
    folder = write(tmp_path, acme_wire=WIRE, acme=ACME, acme__examples=examples)
    code, out, _ = run(capsys, folder)
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith("2 files, 1 example, no errors, no warnings, ")
    code, out, _ = run(capsys, folder / "acme-wire.yaml", folder / "acme.examples.yaml")
    assert (code, out.split(",")[0]) == (0, "2 files")


def test_a_failing_example_is_told_at_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = (
        "examples:\n  - {name: hello, operation: chat, request: {messages: [{role: user, content: Hi}]}, sends: {path: /chats}}\n"
    )
    write(tmp_path, acme_wire=WIRE, acme=ACME, acme__examples=examples)
    code, out, _ = run(capsys, tmp_path)
    assert code == 1
    assert f"{tmp_path}/acme.examples.yaml:2:5: error[example]: acme: example `hello`: path: /chat instead of /chats" in out


def test_an_inherited_example_that_fails_is_told_where_it_is_suffered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = "examples:\n  - {name: hello, request: {messages: [{role: user, content: Hi}]}, sends: {method: PUT}}\n"
    write(tmp_path, acme_wire=WIRE, acme=ACME, acme_wire__examples=examples)
    _, out, _ = run(capsys, tmp_path)
    assert f"{tmp_path}/acme.yaml:5:1: error[example]" in out
    assert f"(from {tmp_path}/acme-wire.examples.yaml:2)" in out


def test_a_file_may_bear_the_name_of_a_packaged_provider(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    id = CATALOG.provider_ids()[0]
    (tmp_path / f"{id}.yaml").write_text(ACME.replace("acme-wire", CHAT_DIALECTS[0]), "utf-8")
    code, out, _ = run(capsys, tmp_path / f"{id}.yaml")
    assert code == 0, out


def test_a_packaged_file_is_checked_as_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    path = CATALOG.path("providers", CATALOG.provider_ids()[0])
    assert run(capsys, path)[0] == 0


@pytest.mark.parametrize("make", ["missing", "folder", "link", "empty folder", "examples alone", "unknown id", "twins"])
def test_what_cannot_be_checked_is_said_in_one_line(make: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path: list[object] = [tmp_path / "acme.yaml"]
    if make == "folder":
        (tmp_path / "acme.yaml").mkdir()
    elif make == "link":
        (tmp_path / "acme.yaml").symlink_to(tmp_path / "nowhere.yaml")
    elif make == "empty folder":
        path = [tmp_path]
    elif make == "examples alone":
        path = [write(tmp_path, acme__examples="examples: []") / "acme.examples.yaml"]
    elif make == "unknown id":
        path = ["no-such-provider-anywhere"]
    elif make == "twins":
        (tmp_path / "b").mkdir()
        path = [write(tmp_path, acme=ACME) / "acme.yaml", write(tmp_path / "b", acme=ACME) / "acme.yaml"]
    code, out, err = run(capsys, *path)
    assert code in (1, 2)
    assert "Traceback" not in out + err
    if make in ("folder", "link"):
        assert "error[unreadable-file]" in out
    else:
        assert err.startswith("llmkit: ") and err.count("\n") == 1


BROKEN = [
    "",
    "\n\n",
    "- a\n- b\n",
    "just text",
    "name: [",
    "name: A\x00",
    "a: &b 1\nc: *b\n",
    "chat: 1",
    "models: {default: [1]}",
    "auth: []\nchat: {}",
]
BROKEN += [
    "name: A\nchat: {post: /c, response: {text: [[[]]]}}\nbase_url: {env: 1}",
    "secrets: [a]\nvariables: 3\nhosts: {}\nchat: openai",
]
BROKEN += [
    "name: A\nbase_url: https://a.example\nchat: {params: [], parts: 3, stream: [], errors: x, post: {}, job: 1, upload: []}"
]


@pytest.mark.parametrize("text", BROKEN)
def test_no_text_makes_a_traceback(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "acme.yaml").write_text(text, "utf-8")
    code, out, err = run(capsys, tmp_path / "acme.yaml", "--no-cache")
    assert code == 1
    assert "error[" in out
    assert "engine-failure" not in out
    assert "Traceback" not in out + err


def test_a_file_whose_name_is_no_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "My Acme.yaml").write_text(ACME.replace("acme-wire", CHAT_DIALECTS[0]), "utf-8")
    code, out, _ = run(capsys, tmp_path / "My Acme.yaml")
    assert code == 1
    assert f"{tmp_path}/My Acme.yaml:1:1: error[bad-id]" in out


def test_a_fault_of_the_engine_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, acme_wire=WIRE, acme=ACME)
    monkeypatch.setattr(Catalog, "compile", lambda *_, **__: 1 / 0)
    findings = check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")])
    assert [p.rule for p in findings.problems] == ["engine-failure"]


# --- what is told ----------------------------------------------------------------------------------------------------

MISTAKEN = """name: Acme
docs: 2026-01-01
baseurl: https://api.acme.example/v1
base_url: https://api.acme.example/v1
secrets: {api_key: ACME_API_KEY}
auth: {bearer: "{{ api_kye }}"}
chat:
  extends: acme-wire
  params: {max_token: max_tokens, temperature: {max: 1}}
  response: {text: "answer.[x"}
models: {default: m}
"""


def test_all_steps_tell_their_findings_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, acme_wire=WIRE, acme=MISTAKEN)
    code, out, _ = run(capsys, tmp_path / "acme.yaml", tmp_path / "acme-wire.yaml", "--format", "json")
    assert code == 1
    found = [(p["line"], p["rule"]) for p in map(json.loads, out.splitlines())]
    assert found == [(2, "ambiguous-scalar"), (3, "unknown-key"), (6, "unknown-name"), (9, "unknown-parameter"), (10, "bad-path")]


def test_the_three_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, acme_wire=WIRE, acme=MISTAKEN)
    code, out, err = run(capsys, tmp_path, "--format", "github")
    assert code == 1
    assert all(line.startswith("::error file=") for line in out.splitlines())
    assert "2 files, no examples, 5 errors, no warnings" in err
    _, out, _ = run(capsys, tmp_path)
    assert (
        "  9 |   params: {max_token: max_tokens, temperature: {max: 1}}\n    |            ^^^^^^^^^ did you mean `max_tokens`?"
        in out
    )


def test_a_dialects_fault_is_told_once_and_suffered_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, acme_wire=WIRE.replace("m.role", "m.rle"), acme=ACME, acme_two=ACME)
    _, out, _ = run(capsys, tmp_path)
    assert out.count("error[unknown-field]") == 1
    assert f"{tmp_path}/acme-wire.yaml:3:" in out
    findings = check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")])
    (problem,) = findings.problems
    assert (problem.mark.file, problem.mark.line) == (f"{tmp_path}/acme.yaml", 5)
    assert problem.origin is not None and problem.origin.file == f"{tmp_path}/acme-wire.yaml"


def test_a_misspelt_key_of_a_dialect_is_suffered_by_its_providers(tmp_path: Path) -> None:
    write(tmp_path, acme_wire=WIRE + "strem: {map: response}\n", acme=ACME)
    (problem,) = check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")]).problems
    assert str(problem).startswith(f"{tmp_path}/acme.yaml:5:1: error[unknown-key]: `strem`")
    assert len(check(Catalog([tmp_path], findings=Problems()), [("dialects", "acme-wire"), ("providers", "acme")]).problems) == 1


def test_a_small_fault_of_a_dialects_file_reaches_its_providers(tmp_path: Path) -> None:
    write(tmp_path, acme_wire=WIRE + "docs: 2026-01-01\n", acme=ACME)
    findings = check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")])
    assert [(p.rule, p.mark.file) for p in findings.problems] == [("ambiguous-scalar", f"{tmp_path}/acme.yaml")]


def test_a_deletion_that_works_for_one_variant_is_no_idle_one(tmp_path: Path) -> None:
    two = "variants: {plain: {chat: {params: {seed: ~}}}, hot: {chat: {params: {temperature: ~, seedy: ~}}}}\n"
    models = 'models: {default: m, "s*": {chat: {params: {seed: seed}}}}\n'
    write(tmp_path, acme_wire=WIRE, acme=ACME.replace("models: {default: m}\n", models) + two)
    findings = check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")])
    assert [p.message for p in findings.problems] == ["`seedy` is not there to be deleted"]


def test_a_flag_of_some_models_is_proved_by_their_patch(tmp_path: Path) -> None:
    said = 'capabilities: {vision: {value: true, models: ["v*"]}, audio_in: {value: true, models: ["x*"]}}\n'
    patch = 'models: {default: m, "v*": {chat: {parts: {image: {url: "{{ part.uri }}"}}}}}\n'
    write(tmp_path, acme_wire=WIRE, acme=ACME.replace("models: {default: m}\n", said + patch))
    findings = check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")])
    assert [p.message for p in findings.problems] == ["capability `audio_in`: chat.parts has no `audio`"]


def test_a_provider_without_chat_proves_its_flags_by_any_operation(tmp_path: Path) -> None:
    text = "name: A\nbase_url: https://a.example\ncapabilities: {stream: true, tools: true}\nmodels: {default: m}\n"
    text += 'moderation: {post: /m, body: {input: "{{ input }}"}, response: {verdict: flagged}}\n'
    text += 'transcription: {post: /t, body: {audio: "{{ audio.data }}"}, response: {text: t}, stream: {map: response}}\n'
    write(tmp_path, acme=text)
    findings = check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")])
    assert [p.message for p in findings.problems] == ["capability `tools`: no template of moderation reads `tools`"]


# --- combinations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glob", ["gpt-5*", "*", "o[1-9]*", "a?c", "[!x]y", "*-mini", "m"])
def test_a_pattern_gives_a_name_it_matches(glob: str) -> None:
    assert glob_matches(glob, matching_name(glob))


def test_each_combination_of_patches_once(tmp_path: Path) -> None:
    text = (
        ACME.replace("{default: m}", '{default: m, "a*": {about: x}, "a": {about: y}, "*b": {about: z}}')
        + "variants: {v: {about: v}}\n"
    )
    write(tmp_path, acme_wire=WIRE, acme=text)
    ways = [(model, variant, len(patches)) for model, variant, patches in combinations(Catalog([tmp_path]).tree("acme"))]
    assert ways[:4] == [("", None, 0), ("a", None, 2), ("b", None, 1), ("", "v", 1)]
    assert len(ways) == 6


def test_a_combination_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = 'models: {default: m, "a*": {about: x}, "b*": {embeddings: {batch_size: 5}}}\n'
    embeddings = 'embeddings: {post: /e, body: {input: "{{ input }}"}, response: {embedding: {from: data, vector: v}}}\n'
    write(tmp_path, acme_wire=WIRE, acme=ACME.replace("models: {default: m}\n", embeddings + models))
    catalog, made = Catalog([tmp_path]), []
    compile = catalog._compile
    monkeypatch.setattr(catalog, "_compile", lambda *a: made.append((a[1], len(a[3]))) or compile(*a))
    assert not check(catalog, [("providers", "acme")]).errors
    assert sorted(made) == [("chat", 0), ("chat", 1), ("embeddings", 0), ("embeddings", 1), ("embeddings", 1)]


# --- kept results ----------------------------------------------------------------------------------------------------


def test_unchanged_files_are_not_checked_again(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, acme_wire=WIRE, acme=ACME + "website: ~\n")
    first = check(Catalog([tmp_path]), [("providers", "acme")], cache=cache)
    monkeypatch.setattr(Catalog, "compile", lambda *_, **__: 1 / 0)
    again = check(Catalog([tmp_path]), [("providers", "acme")], cache=cache)
    assert [str(p) for p in again.problems] == [str(p) for p in first.problems] != []
    assert again.examples == first.examples


@pytest.mark.parametrize("changed", ["acme-wire.yaml", "acme.yaml", "acme.examples.yaml", "acme-wire.examples.yaml"])
def test_a_change_of_anything_it_depends_on_is_noticed(changed: str, tmp_path: Path, cache: Path) -> None:
    write(tmp_path, acme_wire=WIRE, acme=ACME)
    check(Catalog([tmp_path]), [("providers", "acme")], cache=cache)
    with open(tmp_path / changed, "a", encoding="utf-8") as file:
        file.write("examples: []\n")
    check(Catalog([tmp_path]), [("providers", "acme")], cache=cache)
    check(Catalog([tmp_path]), [("providers", "acme")], cache=cache)
    assert len(list(cache.rglob("*.json"))) == 2


def test_a_change_of_its_models_facts_is_noticed(tmp_path: Path, cache: Path) -> None:
    write(tmp_path, acme_wire=WIRE, acme=ACME)
    facts = tmp_path / "models" / "acme.yaml"
    facts.parent.mkdir()
    for context in (1000, 2000, 2000):
        facts.write_text(f"models: {{m: {{context: {context}}}}}\n", "utf-8")
        os.utime(facts, (0, 0))
        check(Catalog([tmp_path / "acme.yaml", tmp_path / "acme-wire.yaml", facts]), [("providers", "acme")], cache=cache)
    assert len(list(cache.rglob("*.json"))) == 2


def test_errors_are_never_kept(tmp_path: Path, cache: Path) -> None:
    write(tmp_path, acme_wire=WIRE, acme=MISTAKEN)
    check(Catalog([tmp_path], findings=Problems()), [("providers", "acme")], cache=cache)
    assert not list(cache.rglob("*.json"))


def test_a_spoilt_cache_is_no_failure(tmp_path: Path, cache: Path) -> None:
    write(tmp_path, acme_wire=WIRE, acme=ACME)
    check(Catalog([tmp_path]), [("providers", "acme")], cache=cache)
    for path in cache.rglob("*.json"):
        path.write_text("[]")
    assert not check(Catalog([tmp_path]), [("providers", "acme")], cache=cache).problems
    cache.joinpath("file").write_text("")
    assert not check(Catalog([tmp_path]), [("providers", "acme")], cache=cache / "file").problems


# --- the catalog itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", CHAT_DIALECTS)
def test_a_new_file_passes_for_every_chat_dialect(dialect: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "acme.yaml"
    assert main(["new", "acme", "--dialect", dialect, "--output", str(path)]) == 0
    assert f"llmkit check {path}" in capsys.readouterr().out
    code, out, _ = run(capsys, path)
    assert code == 0, out
    assert "no errors, no warnings" in out


def test_explain_knows_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    from engine.spec.rules import rules

    assert main(["explain"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == set(rules())
    assert main(["explain", "no-evidence"]) == 0
    assert "vision" in capsys.readouterr().out
    assert main(["explain", "no-evidance"]) == 2
    assert "did you mean `no-evidence`" in capsys.readouterr().err


def test_check_leaves_nodes_without_patches_plain() -> None:
    assert [variant for _, variant, _ in combinations(Node({}))] == [None]
    assert time.process_time() > 0


def test_a_streams_own_call_reads_what_stood_before_it_and_has_no_credentials_of_its_own(tmp_path: Path) -> None:
    streamed = (
        "stream: {before: {source: {post: /start, value: url}}, get: '{{ source }}', data: text, events: {a: {text: '@'}}%s}\n"
    )
    write(tmp_path, acme_wire=WIRE + streamed % "", acme=ACME)
    assert not check(Catalog([tmp_path]), [("providers", "acme")]).errors
    for auth in ("{}", "{bearer: '{{ api_key }}'}"):
        write(tmp_path, acme_wire=WIRE + streamed % f", auth: {auth}")
        found = check(Catalog([tmp_path]), [("providers", "acme")]).problems
        assert [p.rule for p in found] == ["unknown-key"]
