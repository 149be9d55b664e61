#!/usr/bin/env python3
"""Processes that submit jobs are killed at random moments: no job is lost, none is submitted twice (RELIABILITY J1, R4).

    tools/job_kills.py [--kills 200] [--seed N]

A provider in a process of its own counts the jobs it makes; it answers after a random while. For each job a process is forked that
submits it with a client that keeps records, and is killed with SIGKILL somewhere before, in or after the submission. Processes
that come after it read the store and take up what they find, and are killed too. Once with a provider that knows an
idempotency key, and once with one that does not. Exit code 0 only if every count is right.
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
        time.sleep(self.chance.uniform(0, THOUGHT))
        key = self.headers.get("Idempotency-Key")
        with self.lock:
            name = self.keys.get(key) if key else None
            if name is None:
                name = f"job-{len(self.made) + 1}"
                self.made[name] = body["prompt"]
                if key:
                    self.keys[key] = name
        time.sleep(self.chance.uniform(0, THOUGHT))
        self.give({"id": name, "state": "queued"})

    def do_GET(self) -> None:
        if self.path == "/made":
            return self.give(self.made)
        return self.give({"id": self.path.rpartition("/")[2], "state": "done", "url": "https://kills.test/v.mp4"})

    def give(self, document: Any) -> None:
        data = json.dumps(document).encode()
        try:
            self.send_response(200)
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
    return Client(catalog=CATALOG, providers={name: {"base_url": url}}, jobs=store, timeout=20)


def submit(name: str, url: str, store: Path, ready: int, prompt: str) -> None:
    """What an application does that wants one film for each prompt: it asks its records first."""
    with client(name, url, store) as made:
        os.write(ready, b".")
        if not any(row["record"]["request"]["prompt"] == prompt for row in made.jobs.list()):
            made.video.submit(f"{name}/m", prompt)


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
                made.video(f"{name}/m", "film 0")
            times = []
            for count in range(1, 6):
                began = time.monotonic()
                ended(None, submit, name, url, store, f"film {count}")
                times.append(time.monotonic() - began)
            reach = 1.3 * sorted(times)[2]  # the kill falls anywhere in a submission, or shortly after it
            while killed < kills:
                count += 1
                code = ended(chance.uniform(0, reach), submit, name, url, store, f"film {count}")
                killed += code == -signal.SIGKILL
                if code > 0:
                    wrong.append(f"film {count}: the submission failed")
                phases[_phase(name, url, store, f"film {count}")] += 1
                if chance.random() < 0.3 and killed < kills:  # the next one is killed while it takes things up
                    code = ended(chance.uniform(0, reach), recover, name, url, store)
                    killed += code == -signal.SIGKILL
                    if code > 0:
                        wrong.append(f"after film {count}: the recovery failed")
            if ended(None, recover, name, url, store) != 0:
                wrong.append("the last recovery failed")
            accepted = _made(url)
            rows = JobStore(store).list()
            known = {row["id"]: row for row in rows if row["id"]}
            ambiguous = {row["record"]["request"]["prompt"] for row in rows if row["status"] == "ambiguous"}
            lost = [p for id, p in accepted.items() if id not in known and p not in ambiguous]
            twice = [prompt for prompt, times in Counter(accepted.values()).items() if times > 1]
            open_ = [row["key"] for row in rows if row["status"] not in ("done", "ambiguous")]
            invented = [row["key"] for row in rows if row["id"] and row["id"] not in accepted]
            if name == "keyed" and ambiguous:
                wrong.append(f"{len(ambiguous)} ambiguous, though the provider knows a key")
            wrong += [f"{len(found)} {what}" for what, found in
                      (("lost", lost), ("submitted twice", twice), ("still open", open_), ("with an id nobody gave", invented)) if found]  # fmt: skip
            told(
                f"{name:6} {killed} kills, {count} jobs wanted, {len(accepted)} made: {len(lost)} lost, {len(twice)} twice, "
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


def _phase(name: str, url: str, store: Path, prompt: str) -> str:
    """How far a submission had come when its process ended."""
    accepted = prompt in _made(url).values()
    row = next((r for r in JobStore(store).list() if r["record"]["request"]["prompt"] == prompt), None)
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
    results = [trial(name, arguments.kills, arguments.seed) for name in ("keyed", "plain")]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
