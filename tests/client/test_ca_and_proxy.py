"""Two settings of a provider against real sockets: a certificate authority of one's own, and a proxy."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

import engine
from engine.errors import ConfigError, TlsError

ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        data = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


class Proxy(BaseHTTPRequestHandler):
    """Makes tunnels, and knows to where."""

    tunnels: ClassVar[list[str]] = []

    def do_CONNECT(self) -> None:
        self.tunnels.append(self.path)
        host, _, port = self.path.partition(":")
        with socket.create_connection((host, int(port))) as far:
            self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            near = self.connection
            while ready := select.select([near, far], [], [], 10)[0]:
                for side in ready:
                    data = side.recv(65536)
                    if not data:
                        return
                    (far if side is near else near).sendall(data)

    def log_message(self, format: str, *args: Any) -> None:
        return


def authority(folder: Path) -> tuple[Path, Path, Path]:
    """(CA, certificate of localhost that it signed, its key) as PEM files."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def name(text: str) -> Any:
        return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])

    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def certificate(subject: str, public: Any, *extensions: Any) -> Any:
        made = x509.CertificateBuilder(name("own authority"), name(subject), public, x509.random_serial_number())
        made = made.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=3))
        for extension in extensions:
            made = made.add_extension(extension, critical=False)
        return made.sign(ca_key, hashes.SHA256())

    ca = certificate("own authority", ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=None))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    paths = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(ca.public_bytes(pem))
    paths[1].write_bytes(certificate("localhost", key.public_key(), names).public_bytes(pem))
    paths[2].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


def running(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Settings that reach a service whose certificate hangs on an authority of its own."""
    ca, certificate, key = authority(tmp_path_factory.mktemp("ca"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = running(Service, context)
    yield {"base_url": f"https://localhost:{server.server_address[1]}/v1", "api_key": "k", "ca_file": str(ca)}
    server.shutdown()
    server.server_close()


def asked(way: str, settings: dict[str, Any]) -> str:
    options: dict[str, Any] = {"providers": {"openai-compatible": settings}, "max_retries": 0}
    if way == "blocking":
        with engine.Client(**options) as client:
            return str(client.chat("openai-compatible/m", "hello").text)

    async def call() -> str:
        async with engine.AsyncClient(**options) as client:
            return str((await client.chat("openai-compatible/m", "hello")).text)

    return asyncio.run(call())


@pytest.mark.parametrize("way", ["blocking", "async"])
def test_an_authority_of_ones_own_is_trusted_where_it_is_named(way: str, private: dict[str, Any], tmp_path: Path) -> None:
    assert asked(way, private) == "hi"
    with pytest.raises(TlsError):
        asked(way, {k: v for k, v in private.items() if k != "ca_file"})
    with pytest.raises(ConfigError, match="CA file"):
        asked(way, {**private, "ca_file": str(tmp_path / "none.pem")})


@pytest.mark.parametrize("way", ["blocking", "async"])
def test_a_proxy_sees_where_to_and_nothing_else(way: str, private: dict[str, Any]) -> None:
    proxy = running(Proxy)
    Proxy.tunnels.clear()
    try:
        assert asked(way, {**private, "proxy": f"http://127.0.0.1:{proxy.server_address[1]}"}) == "hi"
    finally:
        proxy.shutdown()
        proxy.server_close()
    assert Proxy.tunnels == [private["base_url"].removeprefix("https://").removesuffix("/v1")]
