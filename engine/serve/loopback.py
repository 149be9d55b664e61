"""The simulator on a real socket: HTTP/1.1 on 127.0.0.1, one thread per connection."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from engine.serve.simulate import Reply, Simulator

if TYPE_CHECKING:
    from engine.catalog import Catalog

BODY_LIMIT = 20 * 1024 * 1024  # bytes of a request body


class Loopback:
    """A running simulator. Use as a context manager; `url(provider)` is the base URL of a stand-in."""

    def __init__(self, catalog: Catalog, port: int = 0) -> None:
        self.simulator = Simulator(catalog)
        self.server = _Server(("127.0.0.1", port), _handler(self.simulator))
        self.port = int(self.server.server_address[1])

    def url(self, provider: str) -> str:
        """Base URL to hand to a client: `providers={"groq": {"base_url": sim.url("groq"), "api_key": "any"}}`."""
        return f"http://127.0.0.1:{self.port}/{provider}"

    def __enter__(self) -> Loopback:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    def run(self) -> None:
        """Serve until interrupted."""
        try:
            self.server.serve_forever()
        finally:
            self.server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell; anything else is told in one line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"llmkit sim: {type(error).__name__}: {error}", file=sys.stderr)


def _handler(simulator: Simulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "llmkit-sim"
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            given = self.headers.get("content-length") or "0"
            if not given.isdecimal() or self.headers.get("transfer-encoding"):
                return self._refuse(411, b"the length of the body is not given")
            if len(given) > 12 or int(given) > BODY_LIMIT:
                return self._refuse(413, b"the body is too large")
            origin = f"http://{self.headers.get('host') or 'localhost'}"
            self._write(simulator.answer(self.command, self.path, self.rfile.read(int(given)), origin))

        def _refuse(self, status: int, reason: bytes) -> None:
            self.close_connection = True
            self._write(Reply(status, {"content-type": "text/plain", "connection": "close"}, [reason]))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def _write(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.streamed:
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for piece in reply.pieces:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            else:
                body = b"".join(reply.pieces)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not logged: they may hold prompts (RELIABILITY G10)."""

    return Handler
