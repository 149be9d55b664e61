#!/usr/bin/env python3
"""Processes that submit jobs are killed at random moments: no job is lost, none is submitted twice (RELIABILITY J1, R4).

    tools/job_kills.py [--kills 200] [--seed N]

A provider in a process of its own counts the jobs it makes; it answers after a random while. For each job a process is forked that
submits it with a client that keeps records, and is killed with SIGKILL somewhere before, in or after the submission. Processes
that come after it read the store and take up what they find, and are killed too. Once with a provider that knows an
idempotency key, once with one that does not, and once with each wire of the catalog whose key stands in the request itself: a
task that Runware was told of before is refused, and so is the name of a job of Amazon Transcribe; a token that Amazon Bedrock
was told of before names the same film. Exit code 0 only if every count is right.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine import Client, errors  # noqa: E402
from engine.catalog import Catalog  # noqa: E402
from engine.jobstore import JobStore  # noqa: E402

JOB = {
    "post": "/jobs",
    "body": {"prompt": "{{ prompt }}"},
    "job": {"id": "id", "poll": {"get": "/jobs/{{ job.id }}"}, "state": "state", "states": {"done": "done"}, "every": 0.01},
    "response": {"video": {"url": "url"}},
}
SPEC = {
    "keyed": {
        "name": "Keyed",
        "base_url": {"env": "KILLS_URL"},
        "video": {**JOB, "replay": "keyed", "idempotency_key": "Idempotency-Key"},
    },
    "plain": {"name": "Plain", "base_url": {"env": "KILLS_URL"}, "video": JOB},
    # as the catalog has them, but for the pauses between two questions
    "quick-runware": {"name": "Runware", "extends": "runware", "video": {"job": {"every": 0.01}}},
    "quick-bedrock": {"name": "Bedrock", "extends": "amazon-bedrock", "video": {"job": {"every": 0.01}}},
    "quick-transcribe": {"name": "Transcribe", "extends": "aws-transcribe", "transcription": {"job": {"every": 0.01}}},
}
#: provider -> what it is asked for, about which film, and its settings beside the address
ASKED: dict[str, tuple[str, Callable[[str], dict[str, Any]], dict[str, str]]] = {
    "keyed": ("video", lambda film: {"prompt": film}, {}),
    "plain": ("video", lambda film: {"prompt": film}, {}),
    "quick-runware": ("video", lambda film: {"prompt": film}, {"api_key": "k"}),
    "quick-bedrock": ("video", lambda film: {"prompt": film}, {"bearer": "k", "video_bucket": "s3://films"}),
    "quick-transcribe": (
        "transcription",
        lambda film: {"audio": f"s3://films/{film}"},
        {"access_key": "AKID", "secret_key": "s" * 40},
    ),
}
THOUGHT = 0.004  # seconds at most before and after the provider makes a job


class Provider(BaseHTTPRequestHandler):
    """Makes jobs: one for each key, or one for each request without."""

    protocol_version = "HTTP/1.1"
    keys: dict[str, str] = {}
    made: dict[str, str] = {}  # id -> prompt
    lock = threading.Lock()
    chance = random.Random(7)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if isinstance(body, list):
            return self.task(body[0])
        if "x-amz-target" in self.headers:
            return self.transcription(self.headers["x-amz-target"].partition(".")[2], body)
        if self.path == "/async-invoke":
            film = body["modelInput"]["textToVideoParams"]["text"]
            return self.give({"invocationArn": self.job(body["clientRequestToken"], film)[0]})
        name, _ = self.job(self.headers.get("Idempotency-Key"), body["prompt"])
        self.give({"id": name, "state": "queued"})

    def job(self, key: str | None, film: str, name: str | None = None) -> tuple[str, bool]:
        """The job of a key, whether it is new; it is made somewhere in the time this takes."""
        time.sleep(self.chance.uniform(0, THOUGHT))
        with self.lock:
            known = self.keys.get(key) if key else None
            found = known or name or f"job-{len(self.made) + 1}"
            if known is None:
                self.made[found] = film
                if key:
                    self.keys[key] = found
        time.sleep(self.chance.uniform(0, THOUGHT))
        return found, known is None

    def task(self, task: dict[str, Any]) -> None:
        told = {"taskType": "videoInference", "taskUUID": task["taskUUID"]}
        if task["taskType"] == "getResponse":
            return self.give({"data": [{**told, "status": "success", "videoURL": "https://kills.test/v.mp4", "cost": 0.1}]})
        if self.job(task["taskUUID"], task["positivePrompt"], task["taskUUID"])[1]:
            return self.give({"data": [told]})
        self.give({"data": [], "errors": [{"code": "conflictTaskUUID", "message": "in use", "taskUUID": task["taskUUID"]}]}, 400)

    def transcription(self, action: str, body: dict[str, Any]) -> None:
        name = body["TranscriptionJobName"]
        told: dict[str, Any] = {"TranscriptionJobName": name, "TranscriptionJobStatus": "IN_PROGRESS"}
        if action == "GetTranscriptionJob":
            where = {"TranscriptFileUri": f"http://{self.headers['Host']}/transcript"}
            told.update(TranscriptionJobStatus="COMPLETED", Transcript=where)
        elif not self.job(name, body["Media"]["MediaFileUri"].rpartition("/")[2], name)[1]:
            return self.give({"__type": "ConflictException", "Message": "The requested job name already exists."}, 400)
        self.give({"TranscriptionJob": told})

    def do_GET(self) -> None:
        if self.path == "/made":
            return self.give(self.made)
        if self.path == "/transcript":
            return self.give({"results": {"transcripts": [{"transcript": "The end."}]}})
        if self.path.startswith("/async-invoke/"):
            return self.give({"status": "Completed", "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://films/f"}}})
        return self.give({"id": self.path.rpartition("/")[2], "state": "done", "url": "https://kills.test/v.mp4"})

    def give(self, document: Any, status: int = 200) -> None:
        data = json.dumps(document).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # whoever asked is dead

    def log_message(self, *given: Any) -> None:
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return None  # whoever asked is dead


def provider() -> tuple[int, str]:
    """A provider in a process of its own: its number and its address."""
    reading, writing = os.pipe()
    number = os.fork()
    if number == 0:
        server = Server(("127.0.0.1", 0), Provider)
        os.write(writing, str(server.server_port).encode())
        server.serve_forever()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return number, f"http://127.0.0.1:{pipe.read(5)}"


CATALOG = Catalog([SPEC])  # compiled before anything is forked


def client(name: str, url: str, store: Path) -> Client:
    return Client(catalog=CATALOG, providers={name: {"base_url": url, **ASKED[name][2]}}, jobs=store, timeout=20)


def film_of(row: dict[str, Any]) -> str:
    """The film a record is about."""
    request = row["record"]["request"]
    return str(request["prompt"] if "prompt" in request else request["audio"]["url"].rpartition("/")[2])


def submit(name: str, url: str, store: Path, ready: int, film: str) -> None:
    """What an application does that wants each film once: it asks its records first."""
    operation, fields, _ = ASKED[name]
    with client(name, url, store) as made:
        os.write(ready, b".")
        if not any(film_of(row) == film for row in made.jobs.list()):
            getattr(made, operation).submit(f"{name}/m", **fields(film))


def recover(name: str, url: str, store: Path, ready: int) -> None:
    """What it does when it starts: whatever is not over is taken up."""
    with client(name, url, store) as made:
        os.write(ready, b".")
        for row in made.jobs.list("claimed", "submitted"):
            made.job(row["key"]).wait()


def ended(after: float | None, work: Any, *given: Any) -> int:
    """The exit code of a process that does this work and is killed so many seconds after it is ready, or left alone."""
    reading, ready = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(reading)
        try:
            work(*given[:3], ready, *given[3:])
        except errors.Error as error:
            print(f"unexpected: {error}", file=sys.stderr)
            os._exit(1)
        except BaseException as error:
            print(f"unexpected: {error!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(ready)
    with os.fdopen(reading, "rb") as pipe:
        pipe.read(1)
        if after is not None:
            time.sleep(after)
            os.kill(number, signal.SIGKILL)
    _, status = os.waitpid(number, 0)
    return os.waitstatus_to_exitcode(status)


def trial(name: str, kills: int, seed: int, told: Any = print) -> bool:
    """So many kills with one of the providers; whether every count is right."""
    chance = random.Random(seed)
    number, url = provider()
    phases: Counter[str] = Counter()
    wrong: list[str] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            store, killed, count = Path(folder) / "jobs.sqlite", 0, 0
            with client(name, url, store) as made:  # what a process loads when it first submits is loaded here
                getattr(made, ASKED[name][0])(f"{name}/m", **ASKED[name][1]("film-0"))
            times = []
            for count in range(1, 6):
                began = time.monotonic()
                ended(None, submit, name, url, store, f"film-{count}")
                times.append(time.monotonic() - began)
            reach = 1.3 * sorted(times)[2]  # the kill falls anywhere in a submission, or shortly after it
            while killed < kills:
                count += 1
                code = ended(chance.uniform(0, reach), submit, name, url, store, f"film-{count}")
                killed += code == -signal.SIGKILL
                if code > 0:
                    wrong.append(f"film-{count}: the submission failed")
                phases[_phase(name, url, store, f"film-{count}")] += 1
                if chance.random() < 0.3 and killed < kills:  # the next one is killed while it takes things up
                    code = ended(chance.uniform(0, reach), recover, name, url, store)
                    killed += code == -signal.SIGKILL
                    if code > 0:
                        wrong.append(f"after film-{count}: the recovery failed")
            if ended(None, recover, name, url, store) != 0:
                wrong.append("the last recovery failed")
            accepted = _made(url)
            rows = JobStore(store).list()
            known = {row["id"]: row for row in rows if row["id"]}
            ambiguous = {film_of(row) for row in rows if row["status"] == "ambiguous"}
            lost = [film for id, film in accepted.items() if id not in known and film not in ambiguous]
            twice = [film for film, times in Counter(accepted.values()).items() if times > 1]
            open_ = [row["key"] for row in rows if row["status"] not in ("done", "ambiguous")]
            invented = [row["key"] for row in rows if row["id"] and row["id"] not in accepted]
            if name != "plain" and ambiguous:
                wrong.append(f"{len(ambiguous)} ambiguous, though the provider knows a key")
            wrong += [f"{len(found)} {what}" for what, found in
                      (("lost", lost), ("submitted twice", twice), ("still open", open_), ("with an id nobody gave", invented)) if found]  # fmt: skip
            told(
                f"{name:16} {killed} kills, {count} jobs wanted, {len(accepted)} made: {len(lost)} lost, {len(twice)} twice, "
                f"{len(ambiguous)} ambiguous; killed {', '.join(f'{what} {n}' for what, n in phases.most_common())}"
            )
            for line in wrong:
                told(f"       WRONG: {line}")
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
    return not wrong


def _made(url: str) -> dict[str, str]:
    from urllib.request import urlopen

    with urlopen(f"{url}/made") as reply:
        found: dict[str, str] = json.load(reply)
        return found


def _phase(name: str, url: str, store: Path, film: str) -> str:
    """How far a submission had come when its process ended."""
    accepted = film in _made(url).values()
    row = next((r for r in JobStore(store).list() if film_of(r) == film), None)
    if row is None:
        return "before the claim" if not accepted else "UNCLAIMED"
    if row["id"]:
        return "after the record"
    return "between answer and record" if accepted else "before it was made"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    results = [trial(name, arguments.kills, arguments.seed) for name in ASKED]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
