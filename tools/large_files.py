#!/usr/bin/env python3
"""Files go out and come in at a bounded cost of memory, whatever their size (a file of 2 GB: at most 64 MB).

    tools/large_files.py [--megabytes 2048] [--only WORD]

Each case is a process of its own that sends a file (inside a form, as a bare body) or writes one (as it comes, packed, the sound of
an answer) over loopback, by one of the transports. What it takes beyond a first call of a few bytes is the peak of its resident
memory, as the kernel counts it. Both sides take the SHA-256 of what arrived. Exit code 0 only if every case is right and within.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

ALLOWED = 64  # MB of memory one file may cost
PIECE = 1 << 18
WAYS = ("sync", "aiohttp", "httpcore")
WHATS = ("form", "body", "download", "packed", "speech")
SPEC = {
    "large": {
        "name": "Large",
        "base_url": {"env": "LARGE_URL"},
        "upload_file": {
            "post": "/files",
            "multipart": {"file": "{{ file }}", "purpose": "batch"},
            "response": {"file": {"id": "id"}},
        },
        "transcription": {"post": "/audio", "binary": "{{ audio.bytes }}", "response": {"text": "text"}},
        "download_file": {"get": "/files/{{ id }}", "reply": "binary", "response": {"content": {"data": "body"}}},
        "speech": {"post": "/speech", "body": {"text": "{{ text }}"}, "reply": "binary", "response": {"audio": {"data": "body"}}},
    }
}


@lru_cache(16)
def piece(number: int) -> bytes:
    """A piece of the content: no two are the same, and each packs about fifty to one."""
    return random.Random(number).randbytes(PIECE // 64) * 64


def content(pieces: int) -> Iterator[bytes]:
    return map(piece, range(pieces))


class Server(BaseHTTPRequestHandler):
    """Takes and gives files without holding them. The path begins with the number of pieces that are given."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        if self.path.endswith("/speech"):
            self.rfile.read(left)
            return self.do_GET()
        if self.headers["Content-Type"].startswith("multipart/"):  # the file is the form's first field
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.rfile.read(1)
            left -= len(head)
            edge = b"\r\n" + head.partition(b"\r\n")[0]
        else:
            edge = b""
        held = b""
        while left:
            data = self.rfile.read(min(PIECE, left))
            if not data:
                return None
            left -= len(data)
            held += data
            digest.update(held[:-1024])
            held = held[-1024:]
        digest.update(held.partition(edge)[0] if edge else held)
        body = json.dumps({"id": digest.hexdigest(), "text": digest.hexdigest()}).encode()
        self.answer(len(body))
        self.wfile.write(body)
        return None

    def do_GET(self) -> None:
        pieces = int(self.path.split("/")[1])
        if not self.path.endswith("/packed"):
            self.answer(pieces * PIECE)
            for data in content(pieces):
                self.wfile.write(data)
            return
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Connection", "close")
        self.end_headers()
        packer = zlib.compressobj(1, wbits=31)
        for data in content(pieces):
            self.wfile.write(packer.compress(data))
        self.wfile.write(packer.flush())

    def answer(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if self.command == "POST" else "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        return None


def peak() -> int:
    """The most resident memory this program ever had, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not say how much memory a process takes")


def case(way: str, what: str, url: str, pieces: int, folder: Path) -> None:
    """One case: prints what it cost and the SHA-256 of what arrived."""
    operation = {"form": "upload_file", "body": "transcription", "speech": "speech"}.get(what, "download_file")
    out = folder / f"{way}-{what}.out"

    def call(client: Any, count: int) -> Any:
        method = getattr(client, operation)
        if operation in ("upload_file", "transcription"):
            return method("large/m", folder / f"{count}.bin")
        return method("large/m", what, out=out)

    def settings(count: int) -> dict[str, Any]:
        return {"catalog": [SPEC], "providers": {"large": {"base_url": f"{url}/{count}"}}, "timeout": 3600}

    async def run() -> Any:
        from engine import AsyncClient
        from engine.call.send.evented import AsyncPooledTransport

        more = {"transport": AsyncPooledTransport()} if way == "httpcore" else {}
        async with AsyncClient(**settings(1), **more) as small, AsyncClient(**settings(pieces), **more) as large:
            await call(small, 1)
            return peak(), await call(large, pieces)

    began = time.monotonic()
    if way == "sync":
        from engine import Client

        with Client(**settings(1)) as small, Client(**settings(pieces)) as large:
            call(small, 1)
            before, answer = peak(), call(large, pieces)
    else:
        before, answer = asyncio.run(run())
    cost = peak() - before
    got = answer.text or answer.outputs[0].fields.get("id")
    if not got:
        with out.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        out.unlink()
    print(json.dumps({"cost": cost, "sha256": got, "seconds": time.monotonic() - began}))


def prove(
    megabytes: int, ways: tuple[str, ...] = WAYS, whats: tuple[str, ...] = WHATS, told: Any = print, allowed: int = ALLOWED
) -> bool:
    """Every case in turn; whether all were right and within."""
    pieces, good = megabytes * 4, True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder, digest = Path(name), hashlib.sha256()
        for count in (1, pieces):
            with (folder / f"{count}.bin").open("wb") as file:
                for data in content(count):
                    file.write(data)
        for data in content(pieces):
            digest.update(data)
        for way in ways:
            for what in whats:
                url = f"http://127.0.0.1:{server.server_port}"
                words = [sys.executable, __file__, "--case", way, what, url, str(pieces), name]
                done = subprocess.run(words, capture_output=True, text=True)
                found = json.loads(done.stdout) if done.returncode == 0 else None
                right = found is not None and found["sha256"] == digest.hexdigest() and found["cost"] <= allowed << 20
                good = good and right
                if found is None:
                    told(f"{way:9}{what:9} failed: {done.stderr.strip()[-600:]}")
                else:
                    same = "same bytes" if found["sha256"] == digest.hexdigest() else "OTHER BYTES"
                    rate = megabytes / found["seconds"]
                    told(f"{way:9}{what:9} {found['cost'] / (1 << 20):6.1f} MB for {megabytes} MB, {same}, {rate:5.0f} MB/s")
    server.shutdown()
    server.server_close()
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--only", default="", help="a way or a case")
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        way, what, url, pieces, folder = arguments.case
        case(way, what, url, int(pieces), Path(folder))
        return 0
    ways = tuple(w for w in WAYS if w == arguments.only) or WAYS
    whats = tuple(w for w in WHATS if w == arguments.only) or WHATS
    return 0 if prove(arguments.megabytes, ways, whats) else 1


if __name__ == "__main__":
    sys.exit(main())
