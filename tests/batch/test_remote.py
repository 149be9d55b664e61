"""Batches handed to a provider's own service: what is submitted, what comes back, and what a killed run leaves."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.batch import remote
from engine.batch.run import Batch
from engine.errors import AmbiguousError, AuthenticationError, ConfigError, DeadlineError, UnsupportedError
from tests.batch.service import Service, said
from tests.client.fakes import FakeClock

MODEL = "openai/gpt-4.1-mini"
ROWS = [{"id": f"r{i}", "messages": [{"role": "user", "content": f"row {i}"}]} for i in range(7)]


def client(service: Service, **options: Any) -> engine.Client:
    return engine.Client(
        transport=service.transport, providers={"openai": {"api_key": "k-canary-1234"}}, clock=FakeClock(), **options
    )


def ask(service: Service, folder: Path, rows: Any = ROWS, **options: Any) -> Batch:
    return client(service).batch(rows, **{"model": MODEL, "out": folder / "o.jsonl", "mode": "remote", **options})


def texts(done: Batch) -> list[Any]:
    return [line["response"] and line["response"]["choices"][0]["text"] for line in done.results()]


def test_rows_are_uploaded_followed_and_written_in_their_order(tmp_path: Path) -> None:
    service = Service()
    done = ask(service, tmp_path, max_tokens=50)
    assert texts(done) == [f"You said: row {i}" for i in range(7)] and done.ended and done.failed == 0
    assert [line["id"] for line in done.results()] == [f"r{i}" for i in range(7)]
    sent = [json.loads(line) for line in service.files["file-0"].splitlines()]
    assert sent[3] == {
        "custom_id": "row-3", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "row 3"}], "max_tokens": 50},
    }  # fmt: skip
    with client(service) as asked:
        usage = {"input_tokens": 1000, "output_tokens": 100}
        full, half = asked.price(MODEL, usage).cost, asked.price(MODEL, usage, batch=True).cost
    assert done.cost == 7 * half and half == full / 2 and done.usage["input_tokens"] == 7000
    assert service.asked == [
        "POST /v1/files", "POST /v1/batches", "GET /v1/batches/batch-0", "GET /v1/batches/batch-0", "GET /v1/files/file-1/content",
    ]  # fmt: skip
    assert ask(service, tmp_path, max_tokens=50).ended and len(service.asked) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.jsonl", "o.jsonl.checkpoint"]


def test_the_async_client_does_the_same(tmp_path: Path) -> None:
    service = Service()

    async def main() -> Batch:
        options: Any = {"providers": {"openai": {"api_key": "k"}}, "clock": FakeClock()}
        async with engine.AsyncClient(transport=service.transport, **options) as asked:
            return await asked.batch(ROWS, model=MODEL, mode="auto", out=tmp_path / "o.jsonl")

    assert texts(asyncio.run(main())) == [f"You said: row {i}" for i in range(7)] and "POST /v1/batches" in service.asked


def test_every_failure_is_an_error_of_its_row(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Any:
        number = int(body["messages"][-1]["content"][-1])
        if number == 1:
            return 400, {
                "error": {"message": "too many tokens", "type": "invalid_request_error", "code": "context_length_exceeded"}
            }
        return None if number == 2 else (429, {"error": "slow down"}) if number == 3 else said(body)

    service = Service()
    service.answer = answer
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
    rows = [*ROWS[:4], {"messages": [picture], "model": "openai/gpt-4.1"}, 7, {"messages": "last 6"}]
    done = ask(service, tmp_path, rows)
    kinds = [line["error"] and line["error"]["kind"] for line in done.results()]
    assert kinds == [None, "context_length", "server", "rate_limit", "unsupported", "config", None]
    assert texts(done)[-1] == "You said: last 6" and (done.answered, done.failed) == (2, 5)
    assert len(service.files["file-0"].splitlines()) == 5


def test_a_batch_that_is_refused_is_the_error_of_all_its_rows(tmp_path: Path) -> None:
    service = Service()
    service.state = "failed"
    done = ask(service, tmp_path)
    assert {line["error"]["code"] for line in done.results()} == {"invalid_json_line"} and done.failed == 7 and done.ended


def test_an_expired_batch_has_what_was_ready(tmp_path: Path) -> None:
    service = Service()
    service.state = "expired"
    service.answer = lambda body: said(body) if body["messages"][-1]["content"] == "row 0" else None
    assert texts(ask(service, tmp_path)) == ["You said: row 0", *[None] * 6]


def test_large_batches_go_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ROWS", 3)
    service = Service()
    assert texts(ask(service, tmp_path)) == [f"You said: row {i}" for i in range(7)]
    assert [len(service.files[b["input_file_id"]].splitlines()) for b in service.batches.values()] == [3, 3, 1]
    monkeypatch.setattr(remote, "BYTES", 1)
    monkeypatch.setattr(remote, "CLAIM", 2)
    assert len(texts(ask(service, tmp_path, out=tmp_path / "p.jsonl"))) == 7
    assert len(service.batches) == 3 + 4


def test_what_was_dropped_from_a_row_is_warned_of_in_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ROWS", 3)
    service = Service()
    rows = [{**row, "top_k": 5} if n % 2 else row for n, row in enumerate(ROWS)]
    assert ask(service, tmp_path, rows, wait=False).state == "submitted"
    told = [line["response"].get("warnings") for line in ask(service, tmp_path, rows).results()]
    assert told == [["top_k was dropped: openai does not take it"] if n % 2 else None for n in range(7)]


def test_listeners_are_told_of_each_part_and_what_it_cost(tmp_path: Path) -> None:
    service, seen = Service(), list[Any]()
    made = client(service, on=seen.append)
    done = made.batch(ROWS, model=MODEL, out=tmp_path / "o.jsonl", mode="remote")
    ends = [event for event in seen if event.name == "call_ended"]
    assert [(event.operation, event.kind) for event in ends] == [("batch", "ok")] * 2  # the submission, and the way to its end
    assert ends[1].usage["input_tokens"] == done.usage["input_tokens"] and ends[1].cost == done.cost > 0
    assert ends[0].cost is None and not ends[0].usage
    service.state = "failed"
    seen.clear()
    made.batch(ROWS, model=MODEL, out=tmp_path / "p.jsonl", mode="remote")
    assert [event.kind for event in seen if event.name == "call_ended"] == ["ok", "server"]


def test_a_run_that_does_not_wait_is_followed_by_a_later_one(tmp_path: Path) -> None:
    service = Service()
    first = ask(service, tmp_path, wait=False)
    assert (first.state, first.rows, first.ended) == ("submitted", 0, False)
    service.polls = 10**6
    with pytest.raises(DeadlineError, match="the same call follows it again"):
        service.batches["batch-0"]["left"] = 10**6
        ask(service, tmp_path, timeout=3600)
    service.batches["batch-0"]["left"] = 1
    assert len(texts(ask(service, tmp_path))) == 7
    assert service.asked.count("POST /v1/batches") == 1


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("place", ["POST /v1/files", "POST /v1/batches", "GET /v1/batches/batch-0", "GET /v1/files/file-1/content"])
@pytest.mark.parametrize("after", [False, True])
def test_a_killed_run_submits_nothing_twice(place: str, after: bool, tmp_path: Path) -> None:
    service = Service(1)

    def kill(request: httpx.Request) -> httpx.Response | None:
        if f"{request.method} {request.url.path}" == place:
            if after:
                service._handled(request)
            raise Killed
        return None

    service.trouble = kill
    with pytest.raises(Killed):
        ask(service, tmp_path)
    service.trouble = lambda request: None
    if place != "POST /v1/batches":
        done = ask(service, tmp_path)
    else:
        with pytest.raises(AmbiguousError, match="rows 1 to 7"):
            ask(service, tmp_path)
        done = ask(service, tmp_path, ambiguous="batch-0" if after else "again")
    assert texts(done) == [f"You said: row {i}" for i in range(7)]
    assert len(service.batches) == 1


def test_a_submission_that_is_refused_did_not_happen(tmp_path: Path) -> None:
    service = Service()
    service.trouble = lambda request: (
        httpx.Response(401, json={"error": {"message": "no: k-canary-1234"}}) if request.url.path == "/v1/batches" else None
    )
    with pytest.raises(AuthenticationError) as raised:
        ask(service, tmp_path)
    assert "k-canary" not in str(raised.value)
    service.trouble = lambda request: None
    assert len(texts(ask(service, tmp_path))) == 7 and len(service.batches) == 1


def test_what_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    service = Service()
    with pytest.raises(ConfigError, match="one model"):
        ask(service, tmp_path, model=None)
    with pytest.raises(ConfigError, match="mode of a batch"):
        ask(service, tmp_path, mode="far")
    with pytest.raises(UnsupportedError), engine.Client(providers={"cohere": {"api_key": "k"}}) as other:
        other.batch(ROWS, model="cohere/command-r", mode="remote")
    assert not service.asked and not list(tmp_path.iterdir())


def test_answers_of_embeddings(tmp_path: Path) -> None:
    service = Service()
    service.answer = lambda body: {
        "object": "list",
        "data": [{"index": 0, "embedding": [0.5, len(body["input"])]}],
        "usage": {"prompt_tokens": 3},
    }
    done = ask(service, tmp_path, ["one", "two"], model="openai/text-embedding-3-small", operation="embeddings")
    assert [line["response"]["outputs"][0]["vector"][0] for line in done.results()] == [0.5, 0.5]
    assert service.batches["batch-0"]["endpoint"] == "/v1/embeddings" and isinstance(done.cost, Decimal)


def test_a_batch_whose_lines_lie_in_a_bucket(tmp_path: Path) -> None:
    """Bedrock: a signed upload, a job that names it, and the answers beside it."""
    arn, asked = "arn:aws:bedrock:us-east-1:1:model-invocation-job/j1", list[httpx.Request]()

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        assert f"/us-east-1/{'s3' if '.s3.' in request.url.host else 'bedrock'}/" in request.headers["authorization"]
        if request.url.host == "b.s3.us-east-1.amazonaws.com" and request.method == "GET":
            said = {
                "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 3, "outputTokens": 1},
            }
            rows = [json.loads(line) for line in asked[0].content.splitlines()]
            return httpx.Response(200, content="\n".join(json.dumps({**row, "modelOutput": said}) for row in reversed(rows)))
        if request.url.host == "b.s3.us-east-1.amazonaws.com":
            return httpx.Response(200, headers={"etag": "x"})
        if request.method == "POST":
            return httpx.Response(200, json={"jobArn": arn})
        where = json.loads(asked[1].content)["inputDataConfig"]
        return httpx.Response(200, json={"jobArn": arn, "status": "Completed", "inputDataConfig": where})

    keys = {"access_key": "AKID", "secret_key": "s" * 40, "region": "us-east-1"}
    settings = {**keys, "batch_bucket": "https://b.s3.us-east-1.amazonaws.com", "batch_role": "arn:aws:iam::1:role/r"}
    with engine.Client(transport=httpx.MockTransport(handle), providers={"amazon-bedrock": settings}, clock=FakeClock()) as made:
        done = made.batch(["one", "two"], model="amazon-bedrock/us.amazon.nova-pro-v1:0", mode="remote", out=tmp_path / "o")
        assert texts(done) == ["hi", "hi"] and done.usage["input_tokens"] == 6
        put, post, poll, get = asked
        job = json.loads(post.content)
        assert f"s3://b{put.url.path}" == job["inputDataConfig"]["s3InputDataConfig"]["s3Uri"] and put.method == "PUT"
        assert json.loads(put.content.splitlines()[0]) == {
            "recordId": "row-0",
            "modelInput": {"messages": [{"role": "user", "content": [{"text": "one"}]}]},
        }
        assert job["modelId"] == "us.amazon.nova-pro-v1:0" and job["clientRequestToken"] in job["jobName"]
        assert (
            poll.url.raw_path.endswith(b"model-invocation-job%2Fj1")
            and get.url.path == f"/llmkit/j1/{put.url.path.rpartition('/')[2]}.out"
        )
        with (
            pytest.raises(ConfigError, match="batch-bucket-is-not-set"),
            engine.Client(providers={"amazon-bedrock": keys}) as other,
        ):
            other.batch(["one"], model="amazon-bedrock/us.amazon.nova-pro-v1:0", mode="remote")


def test_a_batch_whose_rows_are_known_by_a_label(tmp_path: Path) -> None:
    """Vertex: lines in a bucket without ids of their own."""
    job, asked = "projects/1/locations/us-central1/batchPredictionJobs/2", list[httpx.Request]()

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        assert request.headers["authorization"] == "Bearer t"
        if request.url.path.startswith("/upload/"):
            return httpx.Response(200, json={"name": request.url.params["name"]})
        if request.url.path.startswith("/storage/"):
            said = {"candidates": [{"content": {"parts": [{"text": "hi"}], "role": "model"}, "finishReason": "STOP"}]}
            lines = [{**json.loads(line), "status": "", "response": said} for line in asked[0].content.splitlines()]
            lines[1].update(status="Bad Request: nothing asked", response={})
            return httpx.Response(200, content="\n".join(map(json.dumps, lines)))
        done = {"state": "JOB_STATE_SUCCEEDED", "outputInfo": {"gcsOutputDirectory": "gs://bucket/llmkit/prediction-1"}}
        return httpx.Response(200, json={"name": job, **(done if request.method == "GET" else {"state": "JOB_STATE_PENDING"})})

    settings = {"access_token": "t", "project": "p", "region": "us-central1", "batch_bucket": "bucket"}
    with engine.Client(transport=httpx.MockTransport(handle), providers={"google-vertex": settings}, clock=FakeClock()) as made:
        done = made.batch(["one", "two"], model="google-vertex/gemini-3-flash-preview", mode="remote", out=tmp_path / "o")
    assert texts(done) == ["hi", None]
    assert [line["error"] and line["error"]["message"] for line in done.results()] == [None, "Bad Request: nothing asked"]
    put, post, poll, get = asked
    assert json.loads(post.content)["inputConfig"]["gcsSource"]["uris"] == [f"gs://bucket/{put.url.params['name']}"]
    assert (
        poll.url.path == f"/v1/{job}"
        and get.url.raw_path == b"/storage/v1/b/bucket/o/llmkit%2Fprediction-1%2Fpredictions.jsonl?alt=media"
    )
