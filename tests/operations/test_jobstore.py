"""Records of jobs are kept from before their submission on, and found again by whoever comes later (RELIABILITY J1, R3, R4)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client, errors
from engine.jobstore import JobStore
from tools.job_kills import trial

JOB = {
    "post": "/videos",
    "body": {"prompt": "{{ prompt }}"},
    "job": {
        "id": "id",
        "poll": {"get": "/videos/{{ job.id }}"},
        "state": "state",
        "states": {"done": "done", "failed": "failed"},
        "error": "error",
        "cancel": {"delete": "/videos/{{ job.id }}"},
        "every": 0.01,
    },
    "response": {"video": {"url": "url"}},
}
SPEC = {
    "plain": {
        "name": "Plain",
        "base_url": "https://plain.test",
        "secrets": {"api_key": "PLAIN_KEY"},
        "auth": {"bearer": "{{ api_key }}"},
        "video": JOB,
    },
    "keyed": {
        "name": "Keyed",
        "base_url": "https://keyed.test",
        "video": {**JOB, "replay": "keyed", "idempotency_key": "Idempotency-Key"},
    },
}


class Server:
    """A provider in memory. `broken` submissions are accepted, and their answer never comes."""

    def __init__(self, state: str = "done", broken: int = 0, status: int = 200) -> None:
        self.state = state
        self.broken = broken
        self.status = status
        self.keys: list[str | None] = []
        self.made: dict[str | None, str] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            key = request.headers.get("idempotency-key")
            self.keys.append(key)
            if self.status != 200:
                return httpx.Response(self.status, json={"error": {"message": "no"}})
            self.made.setdefault(key or f"request {len(self.keys)}", f"j{len(self.made) + 1}")
            if self.broken:
                self.broken -= 1
                raise httpx.ReadError("gone")
            return httpx.Response(200, json={"id": self.made[key or f"request {len(self.keys)}"], "state": "queued"})
        if request.method == "DELETE":
            return httpx.Response(204)
        if self.state == "gone":
            return httpx.Response(404, json={"error": {"message": "no such job"}})
        ended = {"error": "a bad day"} if self.state == "failed" else {"url": "https://x.test/v.mp4"}
        return httpx.Response(200, json={"id": "j1", "state": self.state, **ended})


def client(server: Server, store: Path, **options: Any) -> Client:
    transport = httpx.MockTransport(server)
    return Client(
        catalog=[SPEC], transport=transport, providers={"plain": {"api_key": "k-canary-123456789"}}, jobs=store, **options
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def only(path: Path) -> dict[str, Any]:
    (row,) = JobStore(path).list()
    return row


def test_the_record_is_there_when_the_first_byte_is_sent(path: Path) -> None:
    seen: list[dict[str, Any]] = []

    class Watching(Server):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            seen.append(only(path))
            return super().__call__(request)

    client(Watching(), path).video("plain/m", "A fog.")
    assert [(row["status"], row["id"], row["at_work"]) for row in seen] == [("claimed", None, True), ("submitted", "j1", False)]
    assert seen[0]["record"]["request"]["prompt"] == "A fog."
    assert (only(path)["status"], only(path)["record"]["state"]) == ("done", "done")


def test_another_process_takes_it_up_by_its_key(path: Path) -> None:
    server = Server()
    job = client(server, path).video.submit("plain/m", "A fog.")
    assert only(path)["status"] == "submitted"
    answer = client(server, path).job(str(job.key)).wait()
    assert answer.outputs[0].url == "https://x.test/v.mp4"
    assert len(server.keys) == 1
    assert only(path)["status"] == "done"


def test_the_async_client_keeps_them_too(path: Path) -> None:
    server = Server()

    async def run() -> Any:
        async with AsyncClient(catalog=[SPEC], transport=httpx.MockTransport(server), jobs=path) as made:
            job = await made.video.submit("keyed/m", "A fog.")
            assert only(path)["status"] == "submitted"
            return await made.job(str(job.key)).wait()

    assert asyncio.run(run()).outputs[0].url == "https://x.test/v.mp4"
    assert only(path)["status"] == "done"


def test_nobody_knows_what_became_of_it_without_a_key(path: Path) -> None:
    server = Server(broken=9)
    made = client(server, path)
    with pytest.raises(errors.AmbiguousError):
        made.video.submit("plain/m", "A fog.")
    assert len(server.keys) == 1
    row = only(path)
    assert row["status"] == "ambiguous"
    with pytest.raises(errors.AmbiguousError, match="look for it at plain"):
        made.job(row["key"])
    assert len(server.keys) == 1


def test_with_a_key_it_is_sent_again_and_is_the_same_job(path: Path) -> None:
    server = Server(broken=3)
    made = client(server, path)
    with pytest.raises(errors.ConnectionError):
        made.video.submit("keyed/m", "A fog.")
    assert only(path)["status"] == "claimed"
    assert made.job(only(path)["key"]).wait().outputs[0].url == "https://x.test/v.mp4"
    assert len(server.keys) == 4
    assert len(set(server.keys)) == len(server.made) == 1
    assert (only(path)["status"], only(path)["id"]) == ("done", "j1")


@pytest.mark.parametrize(("model", "status"), [("keyed/m", "claimed"), ("plain/m", "ambiguous")])
def test_a_submission_that_is_cancelled_is_let_go(path: Path, model: str, status: str) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async def run() -> None:
        settings = {"plain": {"api_key": "k"}}
        async with AsyncClient(catalog=[SPEC], transport=httpx.MockTransport(never), providers=settings, jobs=path) as made:
            task = asyncio.create_task(made.video.submit(model, "A fog."))
            await asyncio.sleep(0.1)
            assert only(path)["at_work"]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert (only(path)["status"], only(path)["at_work"]) == (status, False)
    if status == "claimed":
        assert client(Server(), path).job(only(path)["key"]).wait().outputs


def test_a_refused_submission_is_over(path: Path) -> None:
    made = client(Server(status=400), path)
    with pytest.raises(errors.InvalidRequestError):
        made.video("keyed/m", "A fog.")
    row = only(path)
    assert (row["status"], row["error"]) == ("failed", "no")
    with pytest.raises(errors.ConfigError, match="was not submitted: no"):
        made.job(row["key"])


@pytest.mark.parametrize(("state", "status"), [("failed", "failed"), ("gone", "expired")])
def test_how_a_job_ended_is_kept(path: Path, state: str, status: str) -> None:
    made = client(Server(state), path)
    job = made.video.submit("plain/m", "A fog.")
    with pytest.raises(errors.Error):
        job.wait()
    assert only(path)["status"] == status
    assert only(path)["id"] == "j1"


def test_a_stopped_job_is_kept_as_such(path: Path) -> None:
    job = client(Server("running"), path).video.submit("plain/m", "A fog.")
    assert job.poll() == "running"
    assert only(path)["record"]["state"] == "running"
    job.cancel()
    assert only(path)["status"] == "cancelled"


def test_a_deadline_leaves_it_to_be_followed(path: Path) -> None:
    with pytest.raises(errors.DeadlineError, match="can be resumed"):
        client(Server("running"), path).video("plain/m", "A fog.", timeout=0.1)
    assert only(path)["status"] == "submitted"


def test_a_claim_of_a_living_process_is_left_alone(path: Path) -> None:
    class Looking(Server):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if not self.keys:
                with pytest.raises(errors.ConfigError, match="being submitted by another process"):
                    client(Server(), path).job(only(path)["key"])
            return super().__call__(request)

    client(Looking(), path).video("keyed/m", "A fog.")
    assert only(path)["status"] == "done"


def test_a_claim_of_a_dead_process_is_not(path: Path) -> None:
    client(Server(), path).video.submit("plain/m", "A fog.")
    with sqlite3.connect(path) as db:
        host = db.execute("SELECT hex(randomblob(1))").fetchone()  # the table is there
        assert host
        import socket

        db.execute(
            "UPDATE jobs SET status = 'claimed', id = NULL, owner = ?, until = 9e9", (f"{socket.gethostname()}:999999999:1",)
        )
    assert only(path)["status"] == "ambiguous"


def test_no_key_of_a_provider_and_no_sent_request_stays_in_the_file(path: Path) -> None:
    client(Server(), path).video("plain/m", "A fog.")
    client(Server(), path).video("keyed/m", "A fog.")
    data = b"".join(found.read_bytes() for found in path.parent.iterdir())
    assert b"canary" not in data
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM jobs WHERE request IS NOT NULL").fetchone() == (0,)
    assert path.stat().st_mode & 0o077 == 0


def test_names_find_one_job_or_none(path: Path) -> None:
    made = client(Server(), path)
    keys = [str(made.video.submit("keyed/m", "A fog.").key) for _ in range(2)]
    assert made.jobs.get(keys[0][:10])["key"] == keys[0]
    for number in (1, 2):
        made.jobs.claim(f"both{number}", "plain", {"operation": "video", "model": "plain/m"}, None, 1)
    for name, message in (("", "there is no job"), ("zz", "there is no job"), ("both", "several jobs")):
        with pytest.raises(errors.ConfigError, match=message):
            made.jobs.get(name)
    made.jobs.forget(keys[0])
    assert [row["key"] for row in made.jobs.list("submitted")] == [keys[1]]


def test_without_a_store_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = Client(catalog=[SPEC], transport=httpx.MockTransport(Server()))
    job = made.video.submit("keyed/m", "A fog.")
    assert job.key is None
    assert json.loads(json.dumps(job.record))["id"] == "j1"
    with pytest.raises(errors.ConfigError, match="jobs=True"):
        made.jobs.list()
    assert not list(tmp_path.iterdir())
    with Client(catalog=[SPEC], transport=httpx.MockTransport(Server()), jobs=True) as own:
        own.video.submit("keyed/m", "A fog.")
    assert (tmp_path / "llmkit" / "jobs.sqlite").exists()


@pytest.mark.parametrize("given", [7, False, ["a"]])
def test_what_is_no_store_is_refused(given: Any) -> None:
    with pytest.raises(errors.ConfigError, match="`jobs` is a path"):
        _ = Client(catalog=[SPEC], jobs=given).jobs


def test_a_job_is_followed_under_the_name_it_chose_itself(tmp_path: Path) -> None:
    """A submission that was heard before is refused by its name, and the job of that name is asked about, by another process too."""
    asked: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        task = json.loads(request.content)[0]
        asked.append(task)
        if task["taskType"] == "getResponse":
            return httpx.Response(200, json={"data": [{"status": "success", "videoURL": "https://films.test/v.mp4"}]})
        if len(asked) == 1:
            raise httpx.ReadError("cut off")  # the task was heard, its answer was not
        return httpx.Response(400, json={"errors": [{"code": "conflictTaskUUID", "message": "in use"}]})

    settings: dict[str, Any] = {
        "providers": {"runware": {"api_key": "k"}},
        "transport": httpx.MockTransport(handle),
        "jobs": tmp_path / "jobs.sqlite",
    }
    with Client(**settings) as first, pytest.raises(errors.Error):
        first.video.submit("runware/klingai:5@3", "A wave.", attempts=1)
    with Client(**settings) as later:
        (row,) = later.jobs.list()
        assert row["status"] == "claimed" and row["id"] is None
        film = later.job(row["key"]).wait()
        assert film.outputs[0].url == "https://films.test/v.mp4" and later.jobs.list()[0]["status"] == "done"
    assert len({task["taskUUID"] for task in asked}) == 1 and [t["taskType"] for t in asked] == ["videoInference"] * 2 + [
        "getResponse"
    ]


def test_a_submission_whose_first_sending_is_still_at_work_is_kept(tmp_path: Path) -> None:
    """HeyGen answers a second request with the same key by 409 until the first is done; then by what the first was told."""
    keys: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": {"id": "v-1", "status": "completed", "video_url": "https://films.test/v.mp4"}})
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            raise httpx.ReadError("cut off")
        if len(keys) == 2:
            return httpx.Response(409, json={"error": {"code": "request_in_progress", "message": "in progress"}})
        return httpx.Response(200, json={"data": {"video_id": "v-1", "status": "waiting"}})

    settings: dict[str, Any] = {
        "providers": {"heygen": {"api_key": "k"}},
        "transport": httpx.MockTransport(handle),
        "jobs": tmp_path / "jobs.sqlite",
        "attempts": 1,
    }
    with Client(**settings) as client:
        with pytest.raises(errors.Error):
            client.video.submit("heygen/a-1", "Good morning.")
        (row,) = client.jobs.list()
        with pytest.raises(errors.ServerError):
            client.job(row["key"]).wait()
        assert client.jobs.list()[0]["status"] == "claimed"
        assert client.job(row["key"]).wait().outputs[0].url == "https://films.test/v.mp4"
    assert len(keys) == 3 and len(set(keys)) == 1


@pytest.mark.parametrize("name", ["keyed", "plain", "quick-runware", "quick-transcribe"])
def test_processes_are_killed_around_the_submission(name: str) -> None:
    """A few of the kills of `make job-kills`."""
    told: list[str] = []
    assert trial(name, 5, seed=5, told=told.append), told
