"""A stand-in runs jobs as the replies of their examples say: submitted, asked about, fetched, cancelled (J1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import engine
from engine.catalog import Catalog
from engine.cli import main
from engine.examples.cases import Case, cases
from engine.examples.given import dummy_settings
from engine.examples.run import model_of, subset
from engine.reliability.deadline import Clock
from engine.serve.simulate import Simulator as StandIn
from engine.serve.simulator import Simulator
from engine.testing import Simulator as Running

CATALOG = Catalog()
STAND_IN = Simulator(CATALOG)


class Hasty(Clock):
    """Nobody waits."""

    def sleep(self, seconds: float) -> None:
        return


def jobs() -> list[Any]:
    """Every example of a job in the catalog, but of those that end badly and of batches, whose face is another one."""
    found = []
    for id in CATALOG.provider_ids():
        for case in cases(CATALOG, id):
            example = case.example
            if "replies" in example and "fails" not in example and case.operation != "batch":
                found.append(pytest.param(id, case, id=f"{id}: {example['name']}"))
    return found


def answered(request: httpx.Request) -> httpx.Response:
    _, answer = STAND_IN.answer(request.method, request.url.raw_path.decode(), dict(request.headers), request.read())
    return httpx.Response(answer.status, headers=answer.headers, content=b"".join(piece.data for piece in answer.body))


def client_of(provider: str, example: Any, serves: Any = answered) -> engine.Client:
    given = example.get("given") or {}
    settings = {**dummy_settings(CATALOG.plan(provider)), **(given.get("variables") or {}), **(given.get("secrets") or {})}
    settings["base_url"] = f"http://localhost:1/{provider}"
    made = engine.Client(catalog=CATALOG, providers={provider: settings}, transport=httpx.MockTransport(serves), attempts=1)
    made._clock = Hasty()
    return made


@pytest.mark.parametrize(("provider", "case"), jobs())
def test_a_job_of_every_provider_comes_to_its_end(provider: str, case: Case) -> None:
    request = {k: v for k, v in case.example["request"].items() if k != "model"}
    with client_of(provider, case.example) as client:
        answer = client.call(case.operation, f"{provider}/{model_of(CATALOG, provider, case)}", **request)
    told = {**answer.to_dict(), **(answer.choices[0].to_dict() if answer.choices else {})}
    assert not list(subset(told, case.example["gives"], "gives"))


def test_two_jobs_at_once_both_end_and_can_be_cancelled() -> None:
    with client_of("replicate", {}) as client:
        first = client.video.submit("replicate/owner/model", "A wave.")
        second = client.video.submit("replicate/owner/model", "A hill.")
        assert first.wait().outputs and second.wait().outputs
        second.cancel()


def test_a_batch_that_makes_its_datasets_first_comes_to_its_end(tmp_path: Path) -> None:
    with client_of("fireworks", {"given": {"variables": {"account": "acme"}}}) as client:
        done = client.batch(["hi"], model="fireworks/m", mode="remote", out=tmp_path / "o.jsonl")
    assert done.ended and done.answered + done.failed == 1


def test_calls_beside_the_end_of_the_base_url_are_answered() -> None:
    with client_of("vllm", {}) as client:
        assert client.count_tokens("vllm/m", "hi").usage.input_tokens == 5
    with client_of("deepinfra", {}) as client:
        assert [r.index for r in client.rerank("deepinfra/m", "Who won?", ["a", "b", "c"]).outputs] == [1, 2, 0]


def test_addresses_in_replies_lead_to_the_stand_in() -> None:
    seen: list[str] = []

    def watched(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.url.host}:{request.url.port}")
        return answered(request)

    with client_of("fal", {}, watched) as client:
        job = client.video.submit("fal/fal-ai/veo3", "A wave.")
        assert job.record["submit"]["status_url"].startswith("http://localhost:1/fal/")
        assert job.wait().outputs[0].fields["url"].startswith("https://")
    assert len(seen) == 3 and set(seen) == {"localhost:1"}


ONE_PATH = """
name: One Path
base_url: https://one.test
auth: {}
video:
  post: /
  body: {task: make, prompt: "{{ prompt }}"}
  job:
    id: id
    poll: {post: /, body: {task: ask, id: "{{ job.id }}"}}
    state: status
    states: {done: done}
  response: {video: {url: url}}
models: {default: m}
examples:
  - name: a video
    operation: video
    request: {prompt: A wave.}
    replies: [{body: {id: j, status: new}}, {body: {id: j, status: running}}, {body: {id: j, status: done, url: "https://one.test/v"}}]
    gives: {outputs: [{kind: video, url: "https://one.test/v"}]}
"""


def test_one_path_for_submission_and_question_is_told_apart_by_the_body(tmp_path: Path) -> None:
    path = tmp_path / "one-path.yaml"
    path.write_text(ONE_PATH)
    stand_in = StandIn(Catalog([path]))

    def post(**body: Any) -> Any:
        return json.loads(b"".join(stand_in.answer("POST", "/one-path/", json.dumps(body).encode()).pieces))

    assert post(task="make", prompt="A hill.")["status"] == "new"
    assert [post(task="ask", id="j")["status"] for _ in range(3)] == ["running", "done", "done"]
    assert post(task="make", prompt="Another.")["status"] == "new"
    assert post(task="ask", id="j")["status"] == "running"


def test_run_follows_a_video_of_a_stand_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Running() as sim:
        words = [
            "run",
            "video",
            "fal/fal-ai/veo3",
            "A wave.",
            "--param",
            "duration=5",
            "--base-url",
            sim.url("fal"),
            "--key",
            "HOME",
        ]
        code = main(words)
    out, err = capsys.readouterr()
    assert code == 0 and json.loads(out)["url"] == "https://fal.media/files/a.mp4", err
    assert [(e.method, e.path, e.status) for e in sim.requests] == [
        ("POST", "/fal/fal-ai/veo3", 200),
        ("GET", "/fal/fal-ai/veo3/requests/r-1/status", 200),
        ("GET", "/fal/fal-ai/veo3/requests/r-1", 200),
    ]
