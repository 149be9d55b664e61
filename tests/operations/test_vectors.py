"""Vectors as arrays, whatever way they came, and what reading them costs."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import httpx
import pytest

from engine import Client, errors


def client(document: Any) -> Client:
    serve = httpx.MockTransport(lambda request: httpx.Response(200, json=document(json.loads(request.content))))
    return Client(transport=serve, providers={"openai": {"api_key": "k"}, "cohere": {"api_key": "k"}})


def rows(make: Any) -> Any:
    return lambda asked: {"data": [{"index": i, "embedding": make(float(text))} for i, text in enumerate(asked["input"])]}


@pytest.mark.parametrize(
    "make",
    [lambda x: [x, 0.5, -1.0], lambda x: base64.b64encode(struct.pack("<3f", x, 0.5, -1.0)).decode()],
    ids=["float", "base64"],
)
def test_floats_are_float32(make: Any) -> None:
    numpy = pytest.importorskip("numpy")
    answer = client(rows(make)).embeddings("openai/text-embedding-3-small", ["1", "2"])
    assert answer.vectors.dtype == numpy.float32
    assert answer.vectors.tolist() == answer.embeddings == [[1.0, 0.5, -1.0], [2.0, 0.5, -1.0]]


def test_more_inputs_than_a_request_takes_are_rows_in_order() -> None:
    pytest.importorskip("numpy")
    asked: list[int] = []

    def answer(body: Any) -> Any:
        asked.append(len(body["input"]))
        return rows(lambda x: [x, x + 0.5])(body)

    texts = [str(i) for i in range(5000)]
    found = client(answer).embeddings("openai/text-embedding-3-small", texts).vectors
    assert sorted(asked) == [904, 2048, 2048]
    assert found.shape == (5000, 2)
    assert found[:, 0].tolist() == [float(i) for i in range(5000)]


@pytest.mark.parametrize(("dtype", "vector"), [("int8", [5, -7]), ("uint8", [5, 250]), ("ubinary", [255, 1])])
def test_whole_numbers_keep_their_type(dtype: str, vector: list[int]) -> None:
    pytest.importorskip("numpy")
    answer = client(lambda asked: {"embeddings": {dtype: [vector]}}).embeddings("cohere/embed-v4.0", ["a"], encoding=dtype)
    assert answer.vectors.dtype == {"int8": "int8"}.get(dtype, "uint8")
    assert answer.vectors.tolist() == [vector]


def test_vectors_of_several_lengths_are_no_array() -> None:
    pytest.importorskip("numpy")
    answer = client(rows(lambda x: [x] * int(x))).embeddings("openai/text-embedding-3-small", ["1", "2"])
    with pytest.raises(errors.ConfigError, match="differ in length"):
        _ = answer.vectors


def test_reading_costs_little_more_than_parsing() -> None:
    """`make vectors` measures the bar, 1.1, on 256 vectors of 3,072 numbers; a test on a busy machine allows for more."""
    pytest.importorskip("orjson")
    from tools.vector_speed import ratio

    assert ratio(rounds=6, texts=64) < 1.5
