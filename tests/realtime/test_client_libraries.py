"""Official client libraries hold live sessions with the stand-in, unmodified: the wires are theirs, not only ours."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.testing import Simulator

pytest.importorskip("websockets")
PYTHON = os.environ.get("LLMKIT_SDK_PYTHON")
SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "sdks" / "sessions.py"
SAID = "Good morning."
#: what each library makes of the stand-in's words in its own types
EXPECTED = {
    "openai": {"words": SAID, "sound": True, "usage": 20, "first": "SessionCreatedEvent"},
    "google": {"words": SAID, "sound": True, "usage": 20, "first": True},
    "deepgram listen": {"words": SAID, "last": "ListenV1Metadata"},
    "deepgram flux": {"words": SAID, "first": "ListenV2Connected"},
    "deepgram speak": {"sound": True, "last": "SpeakV1Flushed"},
    "deepgram agent": {"words": SAID, "sound": True, "first": ["Welcome", "SettingsApplied"]},
    "elevenlabs": {"words": SAID, "sound": True, "id": "conv_1"},
    "assemblyai": {"words": SAID, "id": "s1", "seconds": 2},
    "cartesia listen": {"words": SAID, "last": "STTManualFinalizeFlushDoneResponse"},
    "soniox": {"words": SAID, "processed": 900},
}
ALWAYS = {"openai", "google"}  # installed wherever there are client libraries at all


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine and its key, made now."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return cert, secret


@contextmanager
def secured(port: int, cert: Path, key: Path) -> Iterator[str]:
    """The server on a port behind TLS: its origin."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, to: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except OSError:
            pass
        for end in (source, to):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
                outside = context.wrap_socket(plain, server_side=True)
            except OSError:
                return
            inside = socket.create_connection(("127.0.0.1", port))
            for pair in ((outside, inside), (inside, outside)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"https://localhost:{listener.getsockname()[1]}"
    finally:
        listener.close()


@pytest.mark.skipif(not PYTHON, reason="LLMKIT_SDK_PYTHON names no Python with the client libraries")
def test_every_library_holds_a_session(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with Simulator(script=[{"say": SAID}]) as sim, secured(sim.port, cert, key) as safe:
        environment = {**os.environ, "SECURE_ORIGIN": safe, "SSL_CERT_FILE": str(cert)}
        command = [str(PYTHON), str(SCRIPT), sim.origin]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.stdout, done.stderr[-500:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() >= ALWAYS
    assert found == {name: EXPECTED[name] for name in found}
