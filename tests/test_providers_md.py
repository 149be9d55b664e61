"""PROVIDERS.md and docs/providers/ are what the catalog says, byte for byte."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.cli.parser import parser
from tests.shared_data import ROOT, shared

sys.path.insert(0, str(ROOT / "tools"))

import provider_facts
import provider_page
import providers_md


@pytest.fixture(scope="module")
def wanted() -> dict[Path, str]:
    return providers_md.build()


@pytest.fixture(scope="module")
def everyone() -> dict[str, provider_facts.Who]:
    return {who.id: who for who in provider_facts.everybody(Catalog())}


def test_the_pages_are_fresh(wanted: dict[Path, str]) -> None:
    stale = [p.name for p, text in wanted.items() if not p.is_file() or p.read_text("utf-8") != text]
    left = [p.name for p in (ROOT / "docs" / "providers").glob("*.md") if p not in wanted]
    assert not stale and not left, f"run `make providers`: {[*stale, *left][:9]}"


def test_the_recordings_are_counted_as_they_are() -> None:
    assert provider_facts.RECORDED.read_text("utf-8") == providers_md.recorded(shared("traffic")), "make providers RECORDED=…"


def test_the_counts_stand_on_top_and_pages_are_small(wanted: dict[Path, str], everyone: dict[str, provider_facts.Who]) -> None:
    chat = sum("chat" in who.operations for who in everyone.values())
    assert f"**{len(everyone)} providers, {chat} of them chat; none needs Python of its own.**" in wanted[ROOT / "PROVIDERS.md"]
    assert len(wanted[ROOT / "PROVIDERS.md"].encode()) < 400_000
    assert all(len(text.encode()) < 20_000 for path, text in wanted.items() if path.parent.name == "providers")


def test_every_link_of_the_matrix_leads_to_a_file(wanted: dict[Path, str]) -> None:
    definitions = [line for line in wanted[ROOT / "PROVIDERS.md"].splitlines() if line.startswith("[p")]
    assert len(definitions) > 100
    missing = [line for line in definitions if not (ROOT / line.split(": ", 1)[1].split(" ")[0]).is_file()]
    assert not missing


def test_a_cell_says_how_it_is_known(everyone: dict[str, provider_facts.Who]) -> None:
    zhipu, deepinfra, lm = everyone["zhipu"], everyone["deepinfra"], everyone["lm-studio"]
    assert zhipu.operations["chat"].level == zhipu.capabilities["thinking"].level == "recorded"
    assert deepinfra.operations["chat"].file == "catalog/providers/deepinfra.examples.yaml"
    assert deepinfra.capabilities["vision"].level == "tested" and deepinfra.capabilities["prompt_cache"].level == "declared"
    assert lm.capabilities["json_mode"].level == "no" and "video_in" not in lm.capabilities
    assert everyone["featherless"].capabilities["tools"].partial


def test_what_is_skipped_proves_nothing(everyone: dict[str, provider_facts.Who]) -> None:
    proof = everyone["amazon-sagemaker"].capabilities["stream"]
    skipped = {name for name, _ in everyone["amazon-sagemaker"].trees["chat"].get("skip_examples").items()}
    assert skipped and proof.example not in skipped


def test_every_parameter_has_one_fate(everyone: dict[str, provider_facts.Who]) -> None:
    fates = provider_facts.fates(everyone["zhipu"])
    told = [name.split("`")[1] for names in fates.values() for name in names]
    assert sorted(told) == sorted(set(told)) == sorted(provider_facts.PARAMS["chat"])
    assert "`user` as `user_id`" in fates["changed"] and "`seed`" in fates["not taken"] and "`reasoning_effort`" in fates["written"]


def test_a_page_tells_the_parameters_that_only_this_wire_has(everyone: dict[str, provider_facts.Who]) -> None:
    text = provider_page.page(everyone["google-gemini"], {})
    assert "- Only here (elsewhere dropped with a warning): " in text and "`safety_settings` as `safetySettings`" in text
    assert provider_facts.own_parameters(everyone["zhipu"]) == []


def test_every_first_call_can_be_made(wanted: dict[Path, str], everyone: dict[str, provider_facts.Who]) -> None:
    """The Python of each page names a method that there is and a target that is known; its command is one that is understood."""
    seen = set()
    for path, text in wanted.items():
        who = everyone.get(path.stem)
        if who is None or not who.operations:
            continue
        code = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0]
        (call,) = [
            node
            for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr != "Client"
        ]
        assert isinstance(call.func, ast.Attribute) and isinstance(call.args[0], ast.Constant)
        operation, target = call.func.attr, str(call.args[0].value)
        assert operation in who.operations and target.split("/")[0] == who.id
        command = next(line for line in text.splitlines() if line.startswith("llmkit "))
        given = parser().parse_args(shlex.split(command)[1:])
        assert target in vars(given).values(), path.name
        seen.add(operation)
    assert {"chat", "embeddings", "search", "image", "speech", "transcription", "ocr", "video"} <= seen


def test_a_page_says_what_goes_wrong_first(everyone: dict[str, provider_facts.Who]) -> None:
    local, tokens, slow = (provider_page.page(everyone[id], {}) for id in ("lm-studio", "sap-ai-core", "modal"))
    assert "nothing answers: start the server, or set `LM_STUDIO_API_BASE`" in local and "`ConfigError`" not in local
    assert "fetched anew once" in tokens and "`AICORE_CLIENT_ID`" in tokens.split("## Errors")[1]
    assert "calls wait 300 s" in slow and "`MODAL_ENDPOINT`" in slow.split("## Errors")[1]
    minimax = provider_page.page(everyone["minimax"], {}).split("## Errors and troubleshooting")[1]
    assert "- `quota`: `1008`" in minimax and "llmkit models minimax --live" in minimax
    assert "## Errors" not in provider_page.page(everyone["anyscale"], {})


def test_a_flag_is_proven_by_the_plainest_example(everyone: dict[str, provider_facts.Who]) -> None:
    assert everyone["berget"].capabilities["vision"].example == "images by address and as data"


def test_a_page_has_the_first_call_and_what_differs(everyone: dict[str, provider_facts.Who]) -> None:
    text = provider_page.page(everyone["ai21"], {})
    assert (
        "export AI21_API_KEY=…" in text
        and "llmkit chat ai21/" in text
        and "max_tokens: {max: 4096}" not in text.split("## What")[0]
    )
    assert "https://docs.ai21.com/reference/jamba-1-6-api-ref" in text
    assert "export" not in provider_page.page(everyone["jan"], {})
    ended = provider_page.page(everyone["anyscale"], {})
    assert "**Discontinued.** (since 2024-08-01)" in ended and "[fireworks](fireworks.md)" in ended and "## First call" not in ended
