"""Batches asked row by row: order, typed errors, what stops a run, and what a later one is held to."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.batch.output import Output
from engine.batch.run import Batch
from engine.errors import AmbiguousError, AuthenticationError, ConfigError, LocalLimitError
from engine.testing import Simulator

MODEL = "openai/gpt-4.1-mini"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def client(stand_in: Simulator) -> engine.Client:
    stand_in.reset()
    return stand_in.client()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_answers_stand_in_the_order_of_the_rows_with_their_errors(client: engine.Client, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    written = [
        json.dumps({"id": "a", "messages": [{"role": "user", "content": "one"}], "stream": True}),
        '"two"',
        "",
        "{not JSON",
        json.dumps({"id": 7, "messages": []}),
        json.dumps({"id": "e", "operation": "embeddings", "model": "openai/text-embedding-3-small", "input": "five"}),
        json.dumps({"id": "f", "operation": "batch"}),
        json.dumps({"id": "g", "model": "nowhere/m", "messages": "hi"}),
    ]
    rows.write_text("\n".join(written), "utf-8")
    done = client.batch(rows, model=MODEL, out=tmp_path / "out.jsonl", max_tokens=9)
    found = lines(tmp_path / "out.jsonl")
    assert [line["id"] for line in found] == ["a", 1, 2, 7, "e", "f", "g"]
    assert [line["error"] and line["error"]["kind"] for line in found] == [
        None, None, "config", "invalid_request", None, "config", "not_found",
    ]  # fmt: skip
    assert found[0]["response"]["choices"][0]["text"] == "You said: one" and found[0]["response"]["usage"]["output_tokens"] == 4
    assert found[4]["response"]["outputs"][0]["vector"]
    assert "row 3 is not JSON" in found[2]["error"]["message"]
    assert (done.answered, done.failed, done.ended, done.rows) == (3, 4, True, 7)
    costs = [line["response"]["cost"] for line in found if line["response"]]
    assert done.cost == sum(map(Decimal, costs)) > 0 and done.unpriced == 0
    assert [line["id"] for line in done.results()] == [line["id"] for line in found]
    again = client.batch(rows, model=MODEL, out=tmp_path / "out.jsonl", max_tokens=9)
    assert {**again.to_dict(), "seconds": 0} == {**done.to_dict(), "seconds": 0} and lines(tmp_path / "out.jsonl") == found


def test_an_answer_that_cannot_be_written_is_an_error_of_its_row(client: engine.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = type(client)._run

    def odd(self: engine.Client, operation: str, model: str, given: Any, fields: dict[str, Any]) -> Any:
        answer = run(self, operation, model, given, fields)
        answer.created = float("nan") if fields["messages"] == "two" else 1
        return answer

    monkeypatch.setattr(type(client), "_run", odd)
    done = client.batch([{"messages": "one", "id": object}, {"messages": "two", "id": 2.5}], model=MODEL)
    first, second = done.results()
    assert (first["id"], second["id"]) == ("<class 'object'>", "2.5") and first["response"]
    assert second["error"]["kind"] == "protocol" and "JsonError" in second["error"]["message"]


def test_an_output_that_nobody_named_lives_as_long_as_its_batch(client: engine.Client) -> None:
    done = client.batch(["one", "two"], model=MODEL)
    out = done.out
    assert [line["response"]["choices"][0]["text"] for line in done.results()] == ["You said: one", "You said: two"]
    assert done.usage["input_tokens"] > 0
    del done
    assert not out.exists()


def test_the_async_client_does_the_same(stand_in: Simulator, tmp_path: Path) -> None:
    told: list[Batch] = []

    def watch(batch: Batch) -> None:
        told.append(batch)
        raise ValueError("no batch fails because its watcher does")

    async def main() -> Batch:
        async with stand_in.async_client() as client:
            return await client.batch(map(str, range(300)), model=MODEL, out=tmp_path / "o.jsonl", concurrency=40, progress=watch)

    done = asyncio.run(main())
    assert [line["response"]["choices"][0]["text"] for line in done.results()] == [f"You said: {i}" for i in range(300)]
    assert told[0].rows == 0 and told[-1].rows == 300 and told[-1].ended and told[-1].share == 1.0


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_refused_key_stops_the_run_and_the_same_call_goes_on(kind: str, tmp_path: Path) -> None:
    def ask(simulator: Simulator) -> Batch:
        rows, out = (str(i) for i in range(40)), tmp_path / "o.jsonl"
        if kind == "sync":
            return simulator.client().batch(rows, model=MODEL, out=out, concurrency=4)

        async def main() -> Batch:
            async with simulator.async_client() as client:
                return await client.batch(rows, model=MODEL, out=out, concurrency=4)

        return asyncio.run(main())

    def said(request: dict[str, Any]) -> Any:
        return AuthenticationError("revoked") if int(request["messages"][-1]["text"]) > 9 else "fine"

    with Simulator(script=said) as simulator:
        with pytest.raises(AuthenticationError):
            ask(simulator)
        assert 10 < len(simulator.requests) < 20
    with Simulator() as simulator:
        done = ask(simulator)
        assert len(simulator.requests) == 40 - 10
    assert [line["id"] for line in done.results()] == list(range(40)) and done.failed == 0


def test_a_budget_that_is_used_up_stops_the_run_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    def ask(**options: Any) -> Batch:
        with simulator.client(**options) as client:
            return client.batch([str(i) for i in range(30)], model=MODEL, out=tmp_path / "o.jsonl", concurrency=1, max_tokens=5)

    with Simulator() as simulator:
        with pytest.raises(LocalLimitError):
            ask(budgets=[{"usd": "0.0255", "per": "total"}])  # what a call may cost at most is set aside first
        few = len(simulator.requests)
        assert 2 < few < 30
        done = ask(budgets=[{"usd": 1, "per": "total"}], rates={"openai": {"concurrency": 2}})
        assert len(simulator.requests) == 30 and done.ended and done.failed == 0
    assert [line["id"] for line in done.results()] == list(range(30))


def test_what_a_later_run_is_held_to(client: engine.Client, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    client.batch(["one", "two"], model=MODEL, out=out)
    with pytest.raises(ConfigError, match="another model"):
        client.batch(["one", "two"], model="openai/gpt-4.1", out=out)
    with pytest.raises(ConfigError, match="another fields"):
        client.batch(["one", "two"], model=MODEL, out=out, temperature=1)
    with pytest.raises(ConfigError, match="first 2 rows"):
        client.batch(["one", "other"], model=MODEL, out=out)
    with pytest.raises(ConfigError, match="ends after 1"):
        client.batch(["one"], model=MODEL, out=out)
    with pytest.raises(ConfigError, match="resume it, or delete"):
        client.batch(["one", "two"], model=MODEL, out=out, resume=False)
    assert client.batch(["one", "two"], model=MODEL, out=out, timeout=9, concurrency=1).rows == 2
    grown = client.batch(["one", "two", "three"], model=MODEL, out=out)
    assert grown.ended and [line["response"]["choices"][0]["text"][10:] for line in grown.results()] == ["one", "two", "three"]
    (tmp_path / "o.jsonl.checkpoint").unlink()
    with pytest.raises(ConfigError, match="no checkpoint speaks of it"):
        client.batch(["one", "two"], model=MODEL, out=out)
    for wrong in (
        {"concurrency": 0},
        {"rows": {"a": 1}},
        {"rows": "nowhere.jsonl"},
        {"progress": 7},
        {"max_token": 9},
        {"rows": Table()},
    ):
        with pytest.raises(ConfigError):
            client.batch(**{"rows": ["one"], "model": MODEL, **wrong})


class Table:
    """What a data frame looks like: iterating gives the names of its columns."""

    columns = ("a", "b")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


def test_no_secret_is_kept(client: engine.Client, tmp_path: Path) -> None:
    client.batch(["one"], model=MODEL, out=tmp_path / "o.jsonl", extra_headers={"X-Token": "canary-12345"})
    assert all(b"canary" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_file_that_grows_is_read_on(client: engine.Client, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "o.jsonl"
    rows.write_text('"one"\r\n"two"')
    client.batch(rows, model=MODEL, out=out)
    with rows.open("a") as file:
        file.write('\n"three"\n')
    done = client.batch(rows, model=MODEL, out=out)
    assert [line["response"]["choices"][0]["text"][10:] for line in done.results()] == ["one", "two", "three"]


def test_a_missing_key_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with engine.Client() as client, pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        client.batch(["one"], model=MODEL, out=tmp_path / "o.jsonl")
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_share_a_checkpoint(client: engine.Client, tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with sqlite3.connect(path, isolation_level=None) as held:
        held.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigError, match="another process"):
            client.batch(["one"], model=MODEL, out=tmp_path / "o.jsonl", checkpoint=path)
        held.execute("ROLLBACK")
    held.close()


class Full:
    """A file on a disk with little room."""

    def __init__(self, file: Any, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        if len(data) > self._room:
            self._file.write(data[: self._room])
            self._file.flush()
            raise OSError(28, "No space left on device")
        self._room -= len(data)
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_full_disk_leaves_a_batch_that_goes_on(client: engine.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Output.__init__

    def small(self: Output, path: Any, place: int) -> None:
        begin(self, path, place)
        self._file = Full(self._file, 9_000)

    rows = [str(i) for i in range(60)]
    with monkeypatch.context() as patch:
        patch.setattr(Output, "__init__", small)
        with pytest.raises(ConfigError, match=r"No space left on device.*can be resumed"):
            client.batch(rows, model=MODEL, out=tmp_path / "o.jsonl", concurrency=4)
    assert 8_000 < (tmp_path / "o.jsonl").stat().st_size <= 9_000
    done = client.batch(rows, model=MODEL, out=tmp_path / "o.jsonl")
    assert [line["response"]["choices"][0]["text"] for line in done.results()] == [f"You said: {i}" for i in range(60)]


def test_files_that_cannot_be_used_are_told(client: engine.Client, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 this is none")
    for rows, out, said in ((tmp_path / "rows.parquet", "o", "cannot be read"), (["one"], "no/folder/o", "cannot be opened")):
        with pytest.raises(ConfigError, match=said):
            client.batch(rows, model=MODEL, out=tmp_path / out)

    def rows_of_mine() -> Iterator[str]:
        yield "one"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):  # what the caller's rows raise is the caller's
        client.batch(rows_of_mine(), model=MODEL, out=tmp_path / "p")


def test_what_may_not_be_asked_twice_is_ambiguous_after_a_kill(client: engine.Client, tmp_path: Path) -> None:
    from engine.batch.local import left_behind
    from engine.batch.rows import Rows
    from engine.batch.run import Run

    def run(unsafe: bool) -> Run:
        rows = Rows(["a", "b"], "video", "fal/fal-ai/kling-video", {})
        left = left_behind(client) if unsafe else lambda run, row: row
        return Run(rows, tmp_path / "o", tmp_path / "c", {}, left=left)

    first = run(True)
    assert [row.fields for row in first.turn([], 1)] == [{"prompt": "a"}]
    first.close()
    again = run(True)
    assert [row.fields for row in again.turn([], 9)] == [{"prompt": "b"}]
    again.close()
    found = lines(tmp_path / "o")
    assert found[0]["error"]["kind"] == AmbiguousError.kind and len(found) == 1
    last = run(False)
    assert [row.fields for row in last.turn([], 9)] == [{"prompt": "b"}]
    last.close()


def test_rows_of_a_parquet_file(client: engine.Client, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [
        {"id": i, "messages": [{"role": "user", "content": f"row {i}", "name": None}], "seed": None if i else 4} for i in range(9)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    done = client.batch(tmp_path / "rows.parquet", model=MODEL)
    assert [line["response"]["choices"][0]["text"] for line in done.results()] == [f"You said: row {i}" for i in range(9)]
