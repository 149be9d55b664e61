"""Large texts are looked through in another way than small ones, and come to the same (RELIABILITY M1)."""

from __future__ import annotations

import json
import random

import pytest

from engine.call import json as codec

FILL = "x" * (codec._LARGE + 1)


def deep(levels: int, filled: str) -> bytes:
    return b"[" * levels + json.dumps({"fill": filled}).encode() + b"]" * levels


@pytest.mark.parametrize("levels", [0, 1, 63, 64, 65, 1000])
def test_nesting_is_limited_alike(levels: int) -> None:
    for text in (deep(levels, FILL), deep(levels, FILL + "]}],[{\\"), deep(levels, "x")):
        if levels + 1 <= codec.DEPTH:
            assert json.loads(text) == codec.loads(text) == codec.loads_event(text)
        else:
            for read in (codec.loads, codec.loads_event):
                with pytest.raises(codec.JsonLimitError):
                    read(text)


@pytest.mark.parametrize(
    "lie",
    [
        '"]]]]]]]]]]]]]]],{"',
        '{"]]]]]]]]]]]]]]]]]]],{": 1}',
        '"}}}}}}}}}}},{ \\"a"',
        '"]]]]]]]]]]]]],[1"',
        '["]]]]]]]]]]", {"a": 1}]',
    ],
)
def test_brackets_inside_texts_hide_no_nesting(lie: str) -> None:
    lies = ",".join([lie] * 60)
    text = f'[{lies},"{FILL}",{lies},{"[" * 80}{"]" * 80}]'.encode()
    assert json.loads(text)
    with pytest.raises(codec.JsonLimitError):
        codec.loads(text)


def test_lists_of_vectors_are_read_as_the_library_reads_them() -> None:
    dice = random.Random(3)
    vectors = [[dice.uniform(-1, 1) for _ in range(256)] for _ in range(100)]
    shapes = [
        {"data": [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]},
        {"data": [{"embedding": v, "index": i} for i, v in enumerate(vectors)]},
        {"embeddings": {"float": vectors}},
        {"data": [{"name": "]]],{", "values": v} for v in vectors]},
    ]
    for shape in shapes:
        for indent in (None, 2):
            text = json.dumps(shape, indent=indent).encode()
            assert len(text) > codec._LARGE
            assert codec.loads(text) == shape
