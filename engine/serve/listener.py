"""A simulator on a real socket: HTTP/1.1 on 127.0.0.1, one thread per connection."""

from __future__ import annotations

import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

from engine.serve.exchange import Act, Answer, Chunk, Exchange, Pause
from engine.serve.faults import written
from engine.serve.simulator import Simulator

BODY_LIMIT = 64 * 1024 * 1024  # bytes of a request body
HOLD = 600.0  # seconds a silent connection is kept at most


class Listener:
    """A running simulator; use as a context manager."""

    def __init__(self, simulator: Simulator, port: int = 0) -> None:
        self.simulator = simulator
        self.server = _Server(("127.0.0.1", port), _handler(simulator))
        self.port = int(self.server.server_address[1])
        simulator.origin = f"http://localhost:{self.port}"

    @property
    def origin(self) -> str:
        """http://127.0.0.1:port"""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Listener:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def run(self) -> None:
        """Serve until interrupted."""
        try:
            self.server.serve_forever()
        finally:
            self.server.stopping.set()
            self.server.server_close()


class _Gone(OSError):
    """The client went away, or the listener stops."""


class _Cut(OSError):
    """The connection ends here on purpose."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, *arguments: Any) -> None:
        self.stopping = threading.Event()
        super().__init__(*arguments)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell; anything else is told in one line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"llmkit sim: {type(error).__name__}: {error}", file=sys.stderr)


def _handler(simulator: Simulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "llmkit-sim"
        sys_version = ""
        disable_nagle_algorithm = True
        server: _Server

        def _handle(self) -> None:
            if self.headers.get("upgrade", "").lower() == "websocket":
                return self._converse()
            try:
                body = self._body()
            except ValueError as error:
                self.close_connection = True
                status, reason = error.args
                return self._write(written(status, reason.encode(), "text/plain", connection="close"), None)
            exchange, answer = simulator.answer(self.command, self.path, dict(self.headers.items()), body)
            exchange.status = answer.status
            try:
                self._write(answer, exchange)
            except OSError as end:
                exchange.finished = False
                exchange.gone = not isinstance(end, _Cut) and not self.server.stopping.is_set()
                raise

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _handle

        def _converse(self) -> None:
            """A session in place of an answer; the connection ends with it."""
            from engine.serve.socket import converse, handshake

            self.close_connection = True
            exchange, answer, stage = simulator.session(self.path, dict(self.headers.items()))
            exchange.status = answer.status
            if stage is None:
                return self._write(answer, exchange)
            protocol, opening = handshake(self.path, self.headers.items())
            self.connection.sendall(opening)
            converse(self.connection, protocol, stage, self.server.stopping.is_set)
            exchange.finished = True

        def _body(self) -> bytes:
            """The body of the request. Raises ValueError(status, reason)."""
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                return b"".join(self._chunks())
            given = self.headers.get("content-length") or "0"
            if not given.isdecimal() or self.headers.get("transfer-encoding"):
                raise ValueError(411, "the length of the body is not given")
            if len(given) > 12 or int(given) > BODY_LIMIT:
                raise ValueError(413, "the body is too large")
            return self.rfile.read(int(given))

        def _chunks(self) -> Iterator[bytes]:
            left = BODY_LIMIT
            while True:
                try:
                    size = int(self.rfile.readline(100).split(b";")[0], 16)
                except ValueError:
                    raise ValueError(400, "a chunk has no size") from None
                left -= size
                if size < 0 or left < 0:
                    raise ValueError(413, "the body is too large")
                data = self.rfile.read(size)
                while self.rfile.readline(8192) not in (b"\r\n", b"\n", b"") and not size:
                    pass  # trailers
                if not size:
                    return
                yield data

        def _write(self, answer: Answer, exchange: Exchange | None) -> None:
            if answer.instead is not None:
                self._act(answer.instead)
            if not answer.streamed and answer.length is None:
                data = b"".join(self._pieces(answer))
                self._head(answer, len(data))
                self._last(exchange, data)
                return
            started = False
            for data in self._pieces(answer):
                if not started:
                    self._head(answer, answer.length)
                    started = True
                if data:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if answer.streamed else data)
            if not started:
                self._head(answer, answer.length)
            self._last(exchange, b"0\r\n\r\n" if answer.streamed else b"")

        def _last(self, exchange: Exchange | None, data: bytes) -> None:
            """The last bytes. Whoever has read them finds the exchange finished."""
            if exchange is not None:
                exchange.finished = True
            self.wfile.write(data)

        def _pieces(self, answer: Answer) -> Iterator[bytes]:
            """The bytes, in their time; ends with _Cut where the connection does."""
            for item in answer.body:
                if isinstance(item, Chunk):
                    yield item.data
                elif isinstance(item, Pause):
                    self._wait(item.seconds)
                else:
                    self._act(item)

        def _head(self, answer: Answer, length: int | None) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header(*(("transfer-encoding", "chunked") if answer.streamed else ("content-length", str(length or 0))))
            self.end_headers()

        def _wait(self, seconds: float) -> None:
            """Let time pass. Raises _Gone as soon as nobody waits for the answer any more."""
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                if self.server.stopping.is_set():
                    raise _Gone
                ready, _, _ = select.select([self.connection], [], [], min(left, 0.25))
                if ready:
                    if not self.connection.recv(1, socket.MSG_PEEK):
                        raise _Gone
                    time.sleep(min(left, 0.25))  # the client's next request waits already

        def _act(self, act: Act) -> NoReturn:
            if act is Act.HOLD:
                self._wait(HOLD)
            elif act is Act.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.rfile.close()  # holds the socket open
                self.connection.close()
            raise _Cut

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not logged: they may hold prompts (RELIABILITY G10)."""

    return Handler
