"""Batch services that say some things once for all rows, or keep rows and answers as datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from tests.batch.service import lines_in, uploaded
from tests.client.fakes import FakeClock


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def test_rows_that_differ_in_what_a_job_says_once_are_jobs_of_their_own(tmp_path: Path) -> None:
    """Voyage: settings stand beside the file, and only inputs in it."""
    files: list[bytes] = []
    jobs: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/v1/files":
            files.append(uploaded(request))
            return httpx.Response(200, json={"id": f"file-{len(files) - 1}"})
        if path == "/v1/batches":
            jobs.append(json.loads(request.content))
            return httpx.Response(200, json={"id": f"batch-{len(jobs) - 1}", "status": "validating"})
        number = int(path.split("-")[1].split("/")[0])
        if path.startswith("/v1/batches/"):
            return httpx.Response(200, json={"id": f"batch-{number}", "status": "completed", "output_file_id": f"out-{number}"})
        answers = []
        for line in reversed(lines(files[number])):
            body = {"data": [{"embedding": [float(len(line["body"]["input"][0]))], "index": 0}], "usage": {"total_tokens": 1}}
            answers.append({"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None})
        return httpx.Response(200, content="\n".join(map(json.dumps, answers)))

    texts = [("a", "document"), ("bb", "document"), ("ccc", "query"), ("dddd", "document")]
    rows = [{"input": [text], "input_type": kind} for text, kind in texts]
    with engine.Client(transport=httpx.MockTransport(handle), providers={"voyage": {"api_key": "k"}}, clock=FakeClock()) as made:
        done = made.batch(rows, model="voyage/voyage-3.5", operation="embeddings", mode="remote", out=tmp_path / "o")
        vectors = [line["response"]["outputs"][0]["vector"] for line in done.results()]
    assert vectors == [[1.0], [2.0], [3.0], [4.0]] and done.usage["input_tokens"] == 4
    assert [job["request_params"]["input_type"] for job in jobs] == ["document", "query", "document"]
    assert [len(lines(file)) for file in files] == [2, 1, 1]
    assert lines(files[0])[0] == {"custom_id": "row-0", "body": {"input": ["a"]}}
    assert {job["endpoint"] for job in jobs} == {"/v1/embeddings"} and all(
        job["request_params"]["model"] == "voyage-3.5" for job in jobs
    )


def test_rows_and_answers_that_are_datasets(tmp_path: Path) -> None:
    """Fireworks: a dataset is made, filled and ready, then the job; the answers' address is asked for, and no key goes there."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        path, host = request.url.path, request.url.host
        if host == "storage.googleapis.com":
            assert "authorization" not in request.headers
            given = lines(lines_in(asked[1]))
            said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
            return httpx.Response(
                200, content="\n".join(json.dumps({"custom_id": r["custom_id"], "response": said}) for r in given)
            )
        assert host == "api.fireworks.ai" and request.headers["authorization"] == "Bearer k"
        if path.endswith(":getDownloadEndpoint"):
            url = "https://storage.googleapis.com/bucket/dataset/out/BIJOutputSet.jsonl?X-Goog-Signature=s"
            return httpx.Response(200, json={"filenameToSignedUrls": {"dataset/out/BIJOutputSet.jsonl": url}})
        if "/batchInferenceJobs" in path:
            state = {"state": "JOB_STATE_COMPLETED", "outputDatasetId": "accounts/acme/datasets/out"}
            new = {"state": "JOB_STATE_VALIDATING"}
            return httpx.Response(
                200, json={"name": "accounts/acme/batchInferenceJobs/j1", **(new if request.method == "POST" else state)}
            )
        dataset = "accounts/acme/datasets/x"
        return httpx.Response(200, json={"name": dataset, "state": "UPLOADING" if len(asked) < 4 else "READY"})

    settings = {"fireworks": {"api_key": "k", "account": "acme"}}
    with engine.Client(transport=httpx.MockTransport(handle), providers=settings, clock=FakeClock()) as made:
        model = "fireworks/accounts/fireworks/models/llama-v3p1-8b-instruct"
        done = made.batch(["one", "two"], model=model, mode="remote", out=tmp_path / "o")
        assert [line["response"]["choices"][0]["text"] for line in done.results()] == ["hi", "hi"]
    made_set, filled, waited, ready, job, *_ = asked
    name = json.loads(made_set.content)["datasetId"]
    assert json.loads(made_set.content)["dataset"]["exampleCount"] == "2"
    assert filled.url.path == f"/v1/accounts/acme/datasets/{name}:upload"
    assert waited.url.path == ready.url.path == f"/v1/accounts/acme/datasets/{name}"
    assert lines(lines_in(filled))[0] == {"custom_id": "row-0", "body": {"messages": [{"role": "user", "content": "one"}]}}
    assert job.url.params["batchInferenceJobId"] == name and json.loads(job.content)["inputDatasetId"].endswith(f"/datasets/{name}")


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("heard", [False, True])
def test_a_killed_submission_with_a_token_is_made_again_and_names_the_same_job(heard: bool, tmp_path: Path) -> None:
    """Bedrock: the token of the first submission is kept before it is sent, and nothing is ambiguous."""
    jobs: dict[str, dict[str, Any]] = {}
    kept: dict[str, bytes] = {}
    kill = [True]

    def handle(request: httpx.Request) -> httpx.Response:
        if ".s3." in request.url.host and request.method == "PUT":
            kept[request.url.path] = request.content
            return httpx.Response(200)
        if ".s3." in request.url.host:
            said = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn"}
            (rows,) = kept.values()
            return httpx.Response(200, content="\n".join(json.dumps({**row, "modelOutput": said}) for row in lines(rows)))
        if request.method == "POST":
            body = json.loads(request.content)
            if kill.pop() if kill else False:
                if heard:
                    jobs.setdefault(body["clientRequestToken"], body)
                raise Killed
            jobs.setdefault(body["clientRequestToken"], body)
            return httpx.Response(200, json={"jobArn": "arn:aws:bedrock:us-east-1:1:model-invocation-job/j1"})
        (job,) = jobs.values()
        arn = "arn:aws:bedrock:us-east-1:1:model-invocation-job/j1"
        return httpx.Response(200, json={"jobArn": arn, "status": "Completed", "inputDataConfig": job["inputDataConfig"]})

    keys = {"access_key": "AKID", "secret_key": "s" * 40, "region": "us-east-1"}
    settings = {**keys, "batch_bucket": "https://b.s3.us-east-1.amazonaws.com", "batch_role": "arn:aws:iam::1:role/r"}

    def run() -> Any:
        with engine.Client(
            transport=httpx.MockTransport(handle), providers={"amazon-bedrock": settings}, clock=FakeClock()
        ) as made:
            done = made.batch(["one", "two"], model="amazon-bedrock/us.amazon.nova-pro-v1:0", mode="remote", out=tmp_path / "o")
            return [line["response"]["choices"][0]["text"] for line in done.results()]

    with pytest.raises(Killed):
        run()
    assert run() == ["hi", "hi"]
    assert len(jobs) == 1 and len(kept) == 1
