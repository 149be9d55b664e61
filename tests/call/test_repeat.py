"""Frames that are like one before but for their text are read as if each were parsed and mapped (RELIABILITY T1, T3)."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.call.reader import Reader
from engine.catalog import Catalog
from engine.errors import Error
from engine.laws import answers
from engine.laws.words import one, words
from engine.serve.encoder import Encoder
from engine.types import Event
from tests.serve.answers import CATALOG, DIALECTS


def stream(dialect: str, random: Random) -> bytes:
    """A long answer of many pieces, whose texts are all that makes trouble."""
    served = CATALOG.served(dialect)
    encoder = Encoder(served, {"stream_usage": True})
    made = [Event("start", {"id": "r1", "model": "m", "created": 7})]
    for kind in ("thinking", "text", "text"):
        if kind in (served.stream.writes if served.stream is not None else ()):
            made += [
                Event(kind, {"text": one(random, (words(random), "x", "text", "delta", "\0", "assistant", " "))}) for _ in range(30)
            ]
    made.append(Event("tool_call", {"index": 0, "id": "c1", "name": "f", "arguments": '{"a": "'}))
    made += [Event("tool_call", {"index": 0, "arguments": json.dumps(words(random))[1:-1]}) for _ in range(30)]
    made.append(Event("tool_call", {"index": 0, "arguments": '"}'}))
    made += [Event("finish", {"reason": "tool_calls"}), Event("usage", {"input_tokens": 3, "output_tokens": 9})]
    return b"".join([encoder.feed([event]) for event in made]) + encoder.end()


def read(dialect: str, pieces: list[bytes], learns: bool) -> tuple[list[Any], Any, int]:
    served = CATALOG.served(dialect)
    encoder = Encoder(served, {})
    reader = Reader(served.plan, {"content-type": encoder.content_type})
    if not learns:
        reader._lessons = 0
    told, alike = [], 0
    for piece in pieces:
        told += [event.to_dict() for event in reader.feed(piece)]
        alike = max(alike, reader._alike)
    told += [event.to_dict() for event in reader.end()]
    return told, reader.error and reader.error.to_dict(), alike


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_makes_no_difference_that_frames_are_alike(dialect: str) -> None:
    most = 0
    for seed in range(6):
        random = Random(f"{dialect} {seed}")
        data = stream(dialect, random)
        pieces = answers.cut(data, seed)
        told, error, alike = read(dialect, pieces, True)
        assert (told, error) == read(dialect, pieces, False)[:2]
        most = max(most, alike)
    numbered = CATALOG.served(dialect).stream.number is not None  # no frame of it is like another
    assert most > 10 or numbered


def chunk(text: Any, **more: Any) -> bytes:
    body = {"id": "i", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, **more}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


HEAD = b"".join(chunk(f"t{n} ") for n in range(5))
ODD = {
    "an error in between": [b'data: {"error": {"message": "no"}}\n\n', chunk("a")],
    "a text that closes its own quotes": [HEAD.split(b"\n\n")[0].replace(b"t0 ", b'a"}}], "choices": [{"delta": {"content": "b')],
    "a half surrogate": [chunk("\ud83d"), chunk("\ude00")],
    "bytes that are no text": [HEAD.split(b"\n\n")[0].replace(b"t0 ", b"\xff\xfe") + b"\n\n"],
    "a bare control character": [HEAD.split(b"\n\n")[0].replace(b"t0 ", b"a\x01b") + b"\n\n"],
    "nothing": [chunk(""), chunk(None), chunk("a")],
    "a number": [chunk(7), chunk("a")],
    "another candidate": [chunk("a").replace(b'"index": 0', b'"index": 1'), chunk("b")],
    "another id": [chunk("a").replace(b'"id": "i"', b'"id": "j"'), chunk("b"), chunk("c")],
    "an end in between": [chunk("a", finish_reason="stop"), chunk("b")],
    "a call in between": [
        b'data: {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}}]}\n\n',
        chunk("b"),
    ],
    "the end mark": [b"data: [DONE]\n\n", chunk("late")],
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_only_almost_alike_is_read_for_itself(odd: list[bytes]) -> None:
    pieces = [
        HEAD,
        *odd,
        b"" if odd[-1].endswith(b"\n\n") else b"\n\n",
        HEAD,
        chunk("z", finish_reason="stop"),
        b"data: [DONE]\n\n",
    ]
    for given in (pieces, [b"".join(pieces)]):
        told, error, alike = read("openai-chat", given, True)
        assert (told, error) == read("openai-chat", given, False)[:2]
        assert alike or len(given) == 1


RUN = b"".join(chunk(f"word {n} ") for n in range(80))


@pytest.mark.parametrize(
    "odd",
    [[], *ODD.values(), [b": a comment\n\n"], [chunk("a\nb")], [chunk("\u200b")]],
    ids=["none", *ODD, "comment", "escaped", "unseen"],
)
def test_a_burst_is_read_as_its_frames_are_one_by_one(odd: list[bytes]) -> None:
    whole = RUN + b"".join(odd) + RUN + b"data: [DONE]\n\n" + RUN
    single = [whole[at : at + 1000] for at in range(0, len(whole), 1000)]
    told = read("openai-chat", [whole], True)
    assert told[:2] == read("openai-chat", single, False)[:2]
    assert told[2] > 50
    assert read("openai-chat", [whole[:7000], whole[7000:14000], whole[14000:]], True)[:2] == told[:2]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_burst_is_written_as_its_events_are_one_by_one(dialect: str) -> None:
    random = Random(dialect)
    events = [Event("start", {"id": "r1", "model": "m", "created": 7})]
    events += [Event("text", {"text": one(random, (words(random), "x", "\0", "\ud83d", '"'))}) for _ in range(40)]
    events += [Event("text", {"text": "a", "index": 0}), Event("text", {"text": "b", "index": 0}), Event("text", {"text": "c"})]
    events += [Event("text", {"text": f"{n}", "signature": None}) for n in range(9)]
    events += [Event("finish", {"reason": "stop"})]
    one_by_one, at_once = (Encoder(CATALOG.served(dialect), {}, make_id=lambda: "1" * 32) for _ in range(2))
    assert at_once.feed(events) == b"".join(one_by_one.feed([event]) for event in events)
    assert at_once.end() == one_by_one.end()


def test_streams_whose_frames_all_differ_are_left_alone() -> None:
    served = CATALOG.served("openai-chat")
    reader = Reader(served.plan)
    reader.feed(b"".join(chunk("a b", obfuscation=f"x{n}") for n in range(50)))
    assert reader._lessons == 0 and reader._alike == 0
    assert reader.partial.text == "a b" * 50


END = """
name: X
base_url: https://x.test
auth: {}
chat:
  post: /chat
  body: {q: "{{ messages[-1].text }}"}
  response: {text: d}
  stream: {map: {%s}, end: eof}
models: {default: m}
"""
MINDED = {
    "a word of the map": ("text: \"d != '<END>' && d || `null`\", finish: \"d == '<END>' && 'stop' || `null`\"", "<END>"),
    "how it begins": ("text: \"!starts_with(d, '#') && d || `null`\", refusal: \"starts_with(d, '#') && d || `null`\"", "#no"),
    "a number": ('text: "type(to_number(d)) == `null` && d || `null`", usage: {output_tokens: to_number(d)}', "12"),
}


@pytest.mark.parametrize("case", MINDED)
def test_a_map_that_reads_meaning_in_a_text_is_asked_about_every_text(case: str, tmp_path: Path) -> None:
    written, text = MINDED[case]
    (tmp_path / "x.yaml").write_text(END % written, "utf-8")
    operation = Catalog([tmp_path]).operation("x/m", "chat", environ={})
    told = []
    for learns in (True, False):
        reader = Reader(operation.plan, {"content-type": "text/event-stream"})
        if not learns:
            reader._lessons = 0
        events = [e.to_dict() for t in (*"abcdef", text) for e in reader.feed(f"data: {json.dumps({'d': t})}\n\n".encode())]
        told.append(events)
    assert told[0] == told[1] and told[0][-1].get("text") in (None, *(["#no"] if case == "how it begins" else []))


def test_what_tells_an_error_is_asked_about_every_text(tmp_path: Path) -> None:
    spec = END % "text: d" + "errors: {ok: \"d != 'quota is used up'\", message: d}\n"
    (tmp_path / "x.yaml").write_text(spec, "utf-8")
    reader = Reader(Catalog([tmp_path]).operation("x/m", "chat", environ={}).plan, {"content-type": "text/event-stream"})
    for text in "abcdefghij":
        reader.feed(f"data: {json.dumps({'d': text})}\n\n".encode())
    events = reader.feed(b'data: {"d": "quota is used up"}\n\n')
    assert events[-1].kind == "error"
    with pytest.raises(Error, match="quota is used up"):
        reader.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_text_may_look_like_what_stands_between_texts(dialect: str) -> None:
    """`":"` is a text in quotes, and what stands between a key and any text."""
    encoder_of = CATALOG.served(dialect)
    for text in (":", ",", ": ", ", ", "{", "}", "[", "]", ":{", "},{", ":[", '"', '":"', "\\", "text", "delta", "0"):
        encoder = Encoder(encoder_of, {"stream_usage": True})
        made = [Event("start", {"id": "r1", "model": "m", "created": 7})]
        made += [Event("text", {"text": text}) for _ in range(6)]
        made += [Event("finish", {"reason": "stop"}), Event("usage", {"input_tokens": 3, "output_tokens": 9})]
        reader = Reader(encoder_of.plan, {"content-type": encoder.content_type})
        for piece in [*[encoder.feed([event]) for event in made], encoder.end()]:
            reader.feed(piece)
        assert reader.close().text == text * 6
