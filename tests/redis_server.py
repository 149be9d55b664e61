"""A Redis of a test's own: started on a free port of this machine, and killed, paused or emptied at will."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

BINARY = shutil.which("redis-server")
#: for tests that need a real server: `@needs_redis`
needs_redis = pytest.mark.skipif(BINARY is None, reason="there is no redis-server on this machine")


class RedisServer:
    """`with RedisServer(folder) as server: server.url`. Keeps nothing on disk, so that one who was killed comes back empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *stop: object) -> None:
        if self._process is not None:
            self.resume()
            self.kill()

    def start(self) -> None:
        """Run it, and wait until it answers."""
        assert BINARY is not None
        said = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self._process = subprocess.Popen([BINARY, *said], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends = time.monotonic() + 10
        while time.monotonic() < ends:
            try:
                if self.command("PING") == b"+PONG\r\n":
                    return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")

    def kill(self) -> None:
        """End it at once, without a word to its clients; all it knew is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Stop it where it stands: connections stay open, nobody is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)

    def empty(self) -> None:
        """Throw away all it knows; it goes on running."""
        assert self.command("FLUSHALL") == b"+OK\r\n"

    def command(self, *words: str) -> bytes:
        """The first bytes of the answer to a command, as they are on the wire."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            told = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in map(str.encode, words))
            connection.sendall(b"*%d\r\n%b" % (len(words), told))
            return connection.recv(65536)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
