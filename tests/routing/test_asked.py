"""What a request asks: language and task found on this machine, abilities, and a core without clock and I/O."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.call.normalize import normalize
from engine.routing.asked import needs_of, task_of
from engine.routing.language import language_of
from tests.routing.targets import A, B, C, Several

TEXTS = {
    "en": ["Say hello in Welsh, please", "What is the capital of Wales?", "I would like to know how this works"],
    "de": ["Wie heißt die Hauptstadt von Wales?", "Das ist nicht der richtige Weg"],
    "fr": ["Quelle est la capitale du pays de Galles ?", "Je ne sais pas ce qu'il faut faire"],
    "es": ["¿Cuál es la capital de Gales?", "No sé qué es lo que hay en la casa"],
    "it": ["Qual è la capitale del Galles e come si chiama?"],
    "pt": ["Qual é a capital do País de Gales? Não sei"],
    "nl": ["Wat is de hoofdstad van Wales en hoe kom ik er?"],
    "sv": ["Vad är huvudstaden i Wales och hur är det där?"],
    "pl": ["Jaka jest stolica Walii i czy to jest daleko?"],
    "tr": ["Galler'in başkenti nedir ve nasıl bir yer?"],
    "cy": ["Beth yw prifddinas Cymru?", "Mae hi'n bwrw glaw yn y mynyddoedd"],
    "ru": ["Какая столица Уэльса?"],
    "uk": ["Яка столиця Уельсу і що це є?"],
    "ar": ["ما هي عاصمة ويلز"],
    "fa": ["پایتخت ولز چیست و در کجاست"],
    "zh": ["威尔士的首都是哪里"],
    "ja": ["ウェールズの首都はどこですか", "東京都は日本の首都です"],
    "ko": ["웨일스의 수도는 어디입니까"],
    "hi": ["वेल्स की राजधानी क्या है"],
    "el": ["Ποια είναι η πρωτεύουσα της Ουαλίας"],
    "he": ["מהי בירת ויילס"],
    "th": ["เมืองหลวงของเวลส์คืออะไร"],
}


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in TEXTS.items() for text in texts])
def test_a_language_is_recognised(code: str, text: str) -> None:
    assert language_of(text) == code


@pytest.mark.parametrize("text", ["", "12345 + 67", "OK", "https://example.com", "!!!", "xyzzy plugh"])
def test_what_is_not_sure_is_not_said(text: str) -> None:
    assert language_of(text) is None


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("code", "Fix this bug:\n```python\ndef f(): return 1\n```"),
        ("code", "Write a SQL query with a JOIN in my Python function"),
        ("math", "Solve for x: 3*x + 4 = 10"),
        ("math", "Prove that the sum of two even numbers is even"),
        ("creative", "Write a poem about rain"),
        ("chat", "What is the capital of Wales?"),
        ("long_context", "word " * 30_000),
    ],
)
def test_a_task_is_recognised(task: str, text: str) -> None:
    assert task_of(normalize("chat", {"messages": text})) == task


def test_what_a_request_needs() -> None:
    image = {"type": "image", "url": "https://example.com/a.png"}
    messages = [{"role": "user", "content": [{"type": "text", "text": "this?"}, image]}]
    request = normalize("chat", {"messages": messages, "tools": [{"name": "f", "parameters": {"type": "object"}}]})
    assert needs_of(request, True) == {"stream", "tools", "vision"} and task_of(request) == "vision"
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    assert needs_of(normalize("chat", {"messages": "x", "response_format": schema}), False) == {"json_schema"}


def test_the_text_and_the_task_choose_the_model_and_hints_know_better() -> None:
    targets = [A, {"model": B, "tasks": ["code"]}, {"model": C, "languages": ["cy"]}]
    with Several() as several, several.client() as client:
        by_language = engine.Route(targets, policy="language", name="l")
        assert client.chat(by_language, "Beth yw prifddinas Cymru?").provider == "anthropic"
        assert client.chat(by_language, "What is the capital of Wales?").provider == "groq"
        assert client.chat(by_language, "hm", hints={"language": "cy"}).provider == "anthropic"
        by_task = engine.Route(targets, policy="task", name="t")
        answer = client.chat(by_task, "Fix the bug in this Python function: def f(x): return x +")
        assert answer.provider == "openai" and answer.report.route["task"] == "code"
        own: Any = engine.Route(targets, policy="task", classify=lambda request: "code")
        assert client.chat(own, "hello").provider == "openai"


def test_the_core_of_routing_is_pure() -> None:
    """State in, decision out: no clock, no chance, no I/O."""
    folder = Path(engine.__file__).parent / "routing"
    for name in ("decide", "asked", "language"):
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {
                "time",
                "random",
                "os",
                "socket",
                "threading",
                "asyncio",
                "pathlib",
                "datetime",
            }
