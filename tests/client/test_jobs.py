"""Jobs: submitted once, asked about under the deadline, followed from a record by anybody (RELIABILITY J1, R3)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from engine import AsyncClient, Client, errors

SPEC = """
name: Slow
base_url: https://slow.test
secrets: {api_key: SLOW_KEY}
auth: {bearer: "{{ api_key }}"}
video:
  post: /videos
  body: {prompt: "{{ prompt }}"}
  params: {seed: seed}
  job:
    id: id
    poll: {get: "/videos/{{ job.id }}"}
    state: status
    states: {done: done, failed: [failed, gone]}
    error: error
    progress: percent
    result: {get: "/videos/{{ job.id }}/content"}
    cancel: {delete: "/videos/{{ job.id }}"}
    every: 0.01
    max_every: 0.02
  response: {video: {url: url}}
models: {default: v1}
"""


class Server:
    """A provider in memory: `script` answers each question in turn, the last one for ever."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.seen: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(f"{request.method} {request.url.path}")
        assert request.headers["authorization"] == "Bearer k"
        if request.method == "POST":
            assert json.loads(request.content)["prompt"] == "A fog."
            return httpx.Response(200, json={"id": "j1", "status": "queued"})
        if request.method == "DELETE":
            return httpx.Response(204)
        if request.url.path.endswith("/content"):
            return httpx.Response(200, json={"url": "https://slow.test/v.mp4"})
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


@pytest.fixture
def spec(tmp_path: Any) -> str:
    path = tmp_path / "slow.yaml"
    path.write_text(SPEC)
    return str(path)


RUNNING, DONE = {"id": "j1", "status": "running", "percent": 50}, {"id": "j1", "status": "done", "percent": 100}


def test_a_call_waits_for_the_end(spec: str) -> None:
    server = Server(RUNNING, RUNNING, DONE)
    with Client(catalog=[spec], transport=httpx.MockTransport(server), providers={"slow": {"api_key": "k"}}) as made:
        answer = made.video("slow/v1", "A fog.")
    assert [o.url for o in answer.outputs] == ["https://slow.test/v.mp4"]
    assert server.seen == ["POST /videos", *["GET /videos/j1"] * 3, "GET /videos/j1/content"]
    assert answer.provider == "slow"


def test_an_async_call_too(spec: str) -> None:
    server = Server(RUNNING, DONE)

    async def run() -> Any:
        async with AsyncClient(catalog=[spec], transport=httpx.MockTransport(server), providers={"slow": {"api_key": "k"}}) as made:
            job = await made.video.submit("slow/v1", "A fog.")
            assert await job.poll() == "running" and job.progress == 0.5
            return await job.wait()

    assert asyncio.run(run()).outputs[0].url == "https://slow.test/v.mp4"
    assert server.seen[0] == "POST /videos" and server.seen.count("POST /videos") == 1


def test_a_record_is_followed_by_another_client(spec: str) -> None:
    server = Server(RUNNING, DONE)
    settings: dict[str, Any] = {"transport": httpx.MockTransport(server), "providers": {"slow": {"api_key": "k"}}}
    job = Client(catalog=[spec], **settings).video.submit("slow/v1", "A fog.", seed=3)
    kept = json.loads(json.dumps(job.record))
    assert job.id == "j1" and job.state == "queued" and not job.done
    assert '"k"' not in json.dumps(kept)  # no secret is kept
    told: list[str] = []
    again = Client(catalog=[spec], **settings).job(kept)
    answer = again.wait(progress=lambda record: told.append(record["state"]))
    assert answer.outputs[0].url == "https://slow.test/v.mp4" and again.done
    assert told == ["queued", "queued", "running", "done"]
    assert server.seen.count("POST /videos") == 1


def test_a_failed_job_says_why(spec: str) -> None:
    server = Server({"id": "j1", "status": "failed", "error": "the prompt is not allowed"})
    made = Client(catalog=[spec], transport=httpx.MockTransport(server), providers={"slow": {"api_key": "k"}})
    with pytest.raises(errors.Error, match="the prompt is not allowed") as caught:
        made.video("slow/v1", "A fog.")
    assert caught.value.provider == "slow" and caught.value.operation == "video"


def test_a_question_that_fails_is_asked_again_and_nothing_submitted_twice(spec: str) -> None:
    """R3: asking is safe, submitting is not."""
    server = Server(httpx.Response(500), httpx.Response(503), DONE)
    made = Client(catalog=[spec], transport=httpx.MockTransport(server), providers={"slow": {"api_key": "k"}})
    assert made.video("slow/v1", "A fog.").outputs
    assert server.seen.count("POST /videos") == 1


def test_a_submission_that_may_have_happened_is_ambiguous(spec: str) -> None:
    """R3, J1: never submitted twice."""
    seen: list[str] = []

    def broken(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        raise httpx.ReadError("reset", request=request)

    made = Client(catalog=[spec], transport=httpx.MockTransport(broken), providers={"slow": {"api_key": "k"}})
    with pytest.raises(errors.Error) as caught:
        made.video("slow/v1", "A fog.")
    assert caught.value.kind == "ambiguous" and seen == ["POST"]


def test_a_job_outlives_the_deadline(spec: str) -> None:
    server = Server(RUNNING)
    made = Client(catalog=[spec], transport=httpx.MockTransport(server), providers={"slow": {"api_key": "k"}})
    with pytest.raises(errors.Error, match="j1 goes on") as caught:
        made.video("slow/v1", "A fog.", timeout=0.1)
    assert caught.value.kind == "deadline"


def test_a_job_is_cancelled(spec: str) -> None:
    server = Server(RUNNING)
    made = Client(catalog=[spec], transport=httpx.MockTransport(server), providers={"slow": {"api_key": "k"}})
    made.video.submit("slow/v1", "A fog.").cancel()
    assert server.seen == ["POST /videos", "DELETE /videos/j1"]


def test_what_is_no_job_or_no_record_is_refused(spec: str) -> None:
    made = Client(catalog=[spec], providers={"slow": {"api_key": "k"}, "openai": {"api_key": "k"}})
    with pytest.raises(errors.UnsupportedError, match="one exchange"):
        made.chat.submit("openai/gpt-4.1-mini", "hi")
    with pytest.raises(errors.ConfigError, match="record"):
        made.job({"id": "j1"})
    with pytest.raises(errors.UnsupportedError, match="no job"):
        made.job({"id": "j1", "model": "openai/gpt-4.1-mini", "operation": "chat"})


def test_a_record_keeps_that_there_was_a_picture_not_the_picture() -> None:
    """Where a job is asked about may hang on what was submitted."""
    seen: list[str] = []

    def kling(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        state = "submitted" if request.method == "POST" else "succeed"
        data = {"task_id": "t1", "task_status": state, "task_result": {"videos": [{"url": "https://example.com/v.mp4"}]}}
        return httpx.Response(200, json={"code": 0, "data": data})

    settings: dict[str, Any] = {"transport": httpx.MockTransport(kling), "providers": {"kling": {"api_key": "k"}}}
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 9000
    record = json.loads(json.dumps(Client(**settings).video.submit("kling/kling-v2-6", "It turns.", image=png).record))
    assert len(json.dumps(record)) < 2000
    assert Client(**settings).job(record).wait().outputs[0].url == "https://example.com/v.mp4"
    assert seen == ["POST /v1/videos/image2video", "GET /v1/videos/image2video/t1"]


def test_a_submission_without_an_id_is_told(spec: str) -> None:
    def nameless(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": "queued"})

    made = Client(catalog=[spec], transport=httpx.MockTransport(nameless), providers={"slow": {"api_key": "k"}})
    with pytest.raises(errors.ProtocolError, match="names no job"):
        made.video("slow/v1", "A fog.")


@pytest.mark.parametrize("at", ["POST", "GET"])
def test_a_signature_that_a_jobs_error_repeats_is_masked(tmp_path: Any, at: str) -> None:
    """RELIABILITY S3: what signing made is a secret too, whichever exchange of the job echoes it."""
    signed = "{header: {x-digest: \"{{ hex(hmac256(api_key, 'job')) }}\"}}"
    path = tmp_path / "slow.yaml"
    path.write_text(SPEC.replace('{bearer: "{{ api_key }}"}', signed))
    digests: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        digests.append(request.headers["x-digest"])
        if request.method == at:
            return httpx.Response(400, json={"error": {"message": f"bad digest {digests[-1]}"}})
        return httpx.Response(200, json={"id": "j1", "status": "running"})

    settings: dict[str, Any] = {"transport": httpx.MockTransport(server), "providers": {"slow": {"api_key": "k" * 20}}}
    with Client(catalog=[str(path)], **settings) as made, pytest.raises(errors.Error, match="bad digest") as caught:
        made.video("slow/v1", "A fog.")
    assert len(digests[-1]) == 64
    assert digests[-1] not in f"{caught.value!s} {caught.value!r} {caught.value.raw}"


def test_a_record_keeps_what_was_to_be_included() -> None:
    """The question has to say again which parts of an answer are wanted; lists of words are short enough to keep."""
    asked: list[httpx.URL] = []

    def service(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"id": "resp_1", "status": "queued", "output": []})
        asked.append(request.url)
        said = {"type": "message", "content": [{"type": "output_text", "text": "Done."}]}
        return httpx.Response(200, json={"id": "resp_1", "status": "completed", "output": [said]})

    settings: dict[str, Any] = {"transport": httpx.MockTransport(service), "providers": {"openai": {"api_key": "k"}}}
    include = ["file_search_call.results", "message.input_image.image_url"]
    record = Client(**settings).chat.submit("openai:background/o3", "Think.", include=include).record
    assert record["request"]["include"] == include and "messages" not in record["request"]
    assert Client(**settings).job(json.loads(json.dumps(record))).wait().text == "Done."
    assert [value for url in asked for key, value in url.params.multi_items() if key == "include[]"] == include
