"""What every store does, and what only some can suffer: other processes, broken files, a server that is away."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import engine
from engine.cache.memory import OVERHEAD, MemoryStore
from engine.cache.seal import Seal, key_beside
from engine.cache.sqlite import SqliteStore
from engine.errors import ConfigError
from engine.secret import Secret
from engine.testing import Simulator
from tests.cache.stores import SECRET, STORES, opened
from tests.redis_server import RedisServer, needs_redis

ROOT = Path(__file__).resolve().parents[2]
A = "groq/llama-3.3-70b-versatile"
X, Y, K, L = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


@pytest.mark.parametrize("name", STORES)
def test_what_is_put_is_found_where_it_was_put(name: str, tmp_path: Path) -> None:
    until = time.time() + 100
    with opened(name, tmp_path) as store:
        store.put(X, K, b"\x00one", until)
        store.put(X, K, b"two", until)
        store.put(Y, L, b"three", until)
        assert store.get(X, K) == b"two" and store.get(Y, L) == b"three"
        assert store.get(Y, K) is None and store.get(X, L) is None
        assert store.stats()["entries"] == 2
        assert store.clear(X) == 1 and store.get(X, K) is None and store.get(Y, L) == b"three"
        assert store.clear() == 1 and store.stats()["entries"] == 0


@pytest.mark.parametrize("name", STORES)
def test_vectors_lead_to_keys_of_their_group_only(name: str, tmp_path: Path) -> None:
    until = time.time() + 100
    with opened(name, tmp_path) as store:
        for key in (*(f"{i:064}" for i in range(5)), "e" * 64):
            store.put(X, key, b"an answer", until)
        for i in range(5):
            store.point(X, K, f"{i:064}", b"v%d" % i, until, 3)
        store.point(X, L, "e" * 64, b"other", until, 3)
        held = dict(store.points(X, K))
        assert (
            len(held) == 3
            and held[f"{4:064}"] == b"v4"
            and store.points(X, L) == [("e" * 64, b"other")]
            and store.points(Y, K) == []
        )
        store.clear(X)
        assert not store.points(X, K)


@pytest.mark.parametrize("name", ["memory", "sqlite"])
def test_time_runs_out_and_room_too(name: str, tmp_path: Path) -> None:
    now = 1000.0
    with opened(name, tmp_path, lambda: now, entries=10) as store:
        store.put(X, K, b"soon over", 1005.0)
        assert store.get(X, K) == b"soon over"
        now = 1005.0
        assert store.get(X, K) is None
        for i in range(300):
            now += 1
            store.put(X, f"{i:064}", b"value", now + 10_000)
        if name == "sqlite":
            assert store.stats()["entries"] <= 10 + 64
            store.sweep()
        assert 9 <= store.stats()["entries"] <= 10 and store.get(X, f"{299:064}") and store.get(X, f"{288:064}") is None
    with opened(name, tmp_path / "b", lambda: now, bytes=10_000) as store:
        store.put(X, K, bytes(20_000), now + 100)
        assert store.get(X, K) is None  # larger than all there is
        for i in range(64 * 3 + 1):
            now += 1
            store.put(X, f"{i:064}", bytes(1000), now + 10_000)
        assert store.stats()["bytes"] <= 10_000 and store.get(X, f"{64 * 3:064}")


def test_memory_forgets_what_was_used_least() -> None:
    store = MemoryStore(entries=2)
    until = time.time() + 100
    store.put(X, "1", b"1", until)
    store.put(X, "2", b"2", until)
    store.get(X, "1")
    store.put(X, "3", b"3", until)
    assert store.get(X, "1") and store.get(X, "2") is None and store.stats()["bytes"] == 2 * (1 + OVERHEAD)
    for group in (K, L):  # a question has one place among others
        store.point(X, group, "1", b"v", until, 9)
    store.point(X, L, "gone", b"v", until, 9)
    assert store.stats() == {"entries": 2, "bytes": 3 * (1 + OVERHEAD), "vectors": 1} and not store.points(X, K)
    store.get(X, "3")
    store.put(X, "4", b"4", until)
    assert store.points(X, L) == [] and store.stats() == {"entries": 2, "bytes": 2 * (1 + OVERHEAD), "vectors": 0}


def test_vectors_count_for_the_room_there_is(tmp_path: Path) -> None:
    until = time.time() + 1000
    memory, file = MemoryStore(bytes=100_000), SqliteStore(tmp_path / "a.sqlite", bytes=100_000)
    for i in range(150):
        for store in (memory, file):
            store.put(X, f"{i:064}", bytes(100), until)
            store.point(X, K, f"{i:064}", bytes(2000), until, 1000)
    file.sweep()
    assert memory.stats()["bytes"] <= 100_000 and file.stats()["bytes"] <= 100_000
    assert (
        30 < memory.stats()["vectors"] == memory.stats()["entries"] < 50
        and 30 < file.stats()["vectors"] == file.stats()["entries"] < 50
    )
    file.close()


@pytest.mark.parametrize("store", ["memory", "file"])
def test_an_answer_that_does_not_fit_says_so(store: str, tmp_path: Path) -> None:
    with Simulator([{"say": "a long answer " * 50}]) as sim:
        client = sim.client(cache={"store": "memory" if store == "memory" else tmp_path / "a.sqlite", "bytes": 500})
        assert client.chat(A, "hi").report.cache == {"hit": False, "kept": False}


# --- a file -------------------------------------------------------------------------------------------------------------


WORK = """
import sqlite3, sys, time
from engine.cache.sqlite import SqliteStore
store, number, until = SqliteStore(sys.argv[1]), int(sys.argv[2]), time.time() + 100
waited = 0
for i in range(150):
    there = (i * 7 + number) % 150
    try:
        store.put("a" * 64, f"{i:064}", b"%064d" % i * 20, until)
        assert store.get("a" * 64, f"{there:064}") in (None, b"%064d" % there * 20)
    except sqlite3.OperationalError:  # the file was locked for longer than a look-up may take: a miss
        waited += 1
assert waited < 15, waited
"""


def test_processes_share_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sqlite")
    running = [subprocess.Popen([sys.executable, "-c", WORK, path, str(n)], cwd=ROOT) for n in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0] and SqliteStore(path).stats()["entries"] == 150


def test_a_file_that_another_process_makes_at_the_same_moment_is_no_stranger(tmp_path: Path, monkeypatch: Any) -> None:
    path, connect = tmp_path / "a.sqlite", sqlite3.connect
    path.touch()

    class Slow(sqlite3.Connection):
        """Between its first look at the file and the next one the other process makes it."""

        def execute(self, *given: Any) -> Any:
            rows = super().execute(*given).fetchall()
            if sqlite3.connect is not connect:
                monkeypatch.setattr(sqlite3, "connect", connect)
                SqliteStore(path).close()
            return SimpleNamespace(fetchone=lambda: rows[0])

    monkeypatch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, factory=Slow, **options))
    store = SqliteStore(path)
    store.close()
    assert sqlite3.connect is connect and store.stats()["entries"] == 0


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    with Simulator([{"say": "a private word"}]) as sim:
        sim.client(cache=tmp_path / "deep" / "answers.sqlite").chat(A, "hi")
    for path in (tmp_path / "deep").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "spend.sqlite"
    text.write_text("not a database, but somebody's notes " * 50)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (a)")
    for path in (text, other, tmp_path):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(ConfigError, match="cannot be opened"):
            engine.Client(cache=path)
        assert not path.is_file() or path.read_bytes() == before


def test_a_cache_that_breaks_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with Simulator([{"say": "fine"}]) as sim:
        client = sim.client(cache=path)
        client.chat(A, "hi")
        client._cache.store.close()  # type: ignore[union-attr]
        path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
        seen: list[Any] = []
        client.on("*", seen.append)
        assert [client.chat(A, "hi").text for _ in range(2)] == ["fine", "fine"] and len(sim.requests) == 3
        time.sleep(0.15)  # a store that failed is left alone for a moment
        client.chat(A, "hi")
        assert client.chat(A, "hi").report.cache["hit"]  # type: ignore[index]


def test_entries_that_were_changed_cut_or_moved_are_none(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with Simulator([{"say": "fine"}]) as sim:
        client = sim.client(cache=path)

        def asked(change: str) -> int:
            """How many requests it takes to ask twice, with a change in between."""
            before = len(sim.requests)
            client.chat(A, "hi", cache={"refresh": True})
            with sqlite3.connect(path) as db:
                db.execute(change)
            client.chat(A, "hi")
            return len(sim.requests) - before

        assert asked("SELECT 1") == 1
        assert asked("UPDATE answers SET body = replace(body, CAST('fine' AS BLOB), CAST('evil' AS BLOB))") == 2
        assert asked("UPDATE answers SET body = substr(body, 1, length(body) - 9)") == 2
        assert asked("UPDATE answers SET body = CAST('{}' AS BLOB)") == 2
        assert asked("UPDATE answers SET body = 7") == 2
        client.chat(A, "hi", tenant="acme")
        # what acme was told, in the place of everybody else's answer
        assert asked("UPDATE answers SET body = (SELECT body FROM answers ORDER BY at LIMIT 1)") == 2


def test_the_mark_knows_its_place(tmp_path: Path) -> None:
    seal, other = Seal(Secret(SECRET)), Seal(Secret(SECRET + "!"))
    sealed = seal.put(b"value", X, K)
    assert seal.take(sealed, X, K) == b"value"
    spoiled = [
        (other, sealed, X, K),
        (seal, sealed, Y, K),
        (seal, sealed, X, L),
        (seal, sealed[:-1], X, K),
        (seal, b"", X, K),
        (seal, None, X, K),
    ]
    assert [who.take(*rest) for who, *rest in spoiled] == [None] * 6
    first, again = (key_beside(tmp_path / "a.sqlite") for _ in range(2))
    assert first == again and stat.S_IMODE((tmp_path / "a.sqlite.key").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.sqlite.key"]


def test_a_closed_client_closes_its_file_and_can_go_on(tmp_path: Path) -> None:
    with Simulator([{"say": "fine"}]) as sim:
        client = sim.client(cache=tmp_path / "a.sqlite")
        client.chat(A, "hi")
        client.close()
        assert client._cache.store._db is None  # type: ignore[union-attr]
        assert client.chat(A, "hi").report.cache["hit"]  # type: ignore[index]
        client.close()


def test_two_clients_share_a_file_and_its_key(tmp_path: Path) -> None:
    with Simulator([{"say": "fine"}]) as sim:
        assert not sim.client(cache=tmp_path / "a.sqlite").chat(A, "hi").report.cache["hit"]  # type: ignore[index]
        answer = sim.client(cache=str(tmp_path / "a.sqlite")).chat(A, "hi")
        assert answer.report.cache and answer.report.cache["from"] == "sqlite" and len(sim.requests) == 1
        stranger = sim.client(cache={"store": tmp_path / "a.sqlite", "secret": SECRET}).chat(A, "hi")
        assert not stranger.report.cache["hit"]  # type: ignore[index]


def test_the_embedded_default_lies_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Simulator([{"say": "fine"}]) as sim:
        sim.client(cache=True).chat(A, "hi")
    assert (tmp_path / "llmkit" / "answers.sqlite").exists()


class Broken:
    """A store where nothing works."""

    name, quick, shared = "broken", True, False

    def get(self, *a: Any) -> Any:
        raise RuntimeError("sk-secret of the store")

    put = point = points = stats = clear = close = get


def test_what_is_no_store_is_refused() -> None:
    for given in (object(), {}.get, type("Half", (), {"get": None, "put": None})()):
        with pytest.raises(ConfigError, match="the store of a cache is"):
            engine.Client(cache={"store": given})


def test_a_cache_that_fails_fails_no_call() -> None:
    with Simulator([{"say": "fine"}]) as sim:
        client = sim.client(cache=Broken())
        assert [client.chat(A, "hi").text for _ in range(3)] == ["fine"] * 3
        assert client.chat(A, "hi").report.cache == {"hit": False, "kept": False}


class Confused:
    """A store that answers anything."""

    name, quick, shared = "confused", True, False

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get(self, *a: Any) -> Any:
        return self.answer

    put = point = points = stats = clear = close = get


@pytest.mark.parametrize("answer", [7, "text", b"\xff", [], {"a": 1}, [(1, 2, 3)], [("k", 5)], object(), b'{"format":1,"at":1,"until":9e12,"cost":null,"warnings":[],"ignored":{},"raw":null,"response":{"choices":[{"a":1}],"usage":7}}'])  # fmt: skip
def test_a_cache_that_answers_nonsense_fails_no_call(answer: Any) -> None:
    with Simulator([{"say": "fine"}]) as sim:
        client = sim.client(cache={"store": Confused(answer), "semantic": {"model": "openai/text-embedding-3-small"}})
        assert client.chat(A, "hi").text == "fine"
        with client.chat.stream(A, "hi") as stream:
            assert stream.finish().text == "fine"


# --- a server -----------------------------------------------------------------------------------------------------------


@needs_redis
def test_a_redis_away_paused_or_emptied_fails_no_call(tmp_path: Path) -> None:
    """RELIABILITY D1: skipped, within 50 ms, and used again when it is back."""
    with Simulator([{"say": "fine"}]) as sim, RedisServer(tmp_path) as server:
        client = sim.client(cache={"store": server.url, "secret": SECRET})
        slowest = 0.0

        def asked() -> bool:
            nonlocal slowest
            began = time.monotonic()
            answer = client.chat(A, "hi")
            slowest = max(slowest, time.monotonic() - began)
            assert answer.text == "fine" and answer.report.cache is not None
            return bool(answer.report.cache["hit"])

        def until(hit: bool) -> bool:
            ends = time.monotonic() + 5
            while time.monotonic() < ends:
                if asked() is hit:
                    return True
                time.sleep(0.05)
            return False

        assert not asked() and asked()
        server.pause()
        assert not asked()
        server.resume()
        assert until(True)
        server.kill()
        assert not asked() and not asked()
        server.start()
        assert until(True)
        server.empty()
        assert not asked() and asked()
        assert slowest < 1.0


@needs_redis
def test_clients_share_a_redis_only_with_the_same_secret(tmp_path: Path) -> None:
    with Simulator([{"say": "fine"}]) as sim, RedisServer(tmp_path) as server:
        options = {"store": server.url, "secret": SECRET}
        sim.client(cache=options).chat(A, "hi", tenant="acme")
        answer = sim.client(cache=options).chat(A, "hi", tenant="acme")
        assert answer.report.cache and answer.report.cache["from"] == "redis"
        assert not sim.client(cache={**options, "secret": SECRET + "!"}).chat(A, "hi", tenant="acme").report.cache["hit"]  # type: ignore[index]
        names = server.command("KEYS", "*")
        assert b"acme" not in names and b":answer:" in names and b"$1\r\n" not in names
        left = int(server.command("PTTL", names.split(b"\r\n")[2].decode()).strip()[1:])
        assert 0 < left <= 3_600_000
