"""WebSockets on the connections of the simulator: the library's protocol without its input and output, driven by a thread."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from engine.call.socket import FRAME_BYTES
from engine.errors import ConfigError
from engine.serve.exchange import Pause
from engine.serve.stage import Stage

__all__ = ["converse", "handshake"]

_READ = 64 * 1024


def handshake(path: str, headers: Iterable[tuple[str, str]]) -> tuple[Any, bytes]:
    """(the protocol of an accepted connection, the bytes of the answer to its handshake). ConfigError without the library."""
    try:
        from websockets.server import ServerProtocol
    except ImportError:
        raise ConfigError("sessions need the library websockets: pip install 'llmkit-engine[realtime]'") from None
    given = list(headers)
    protocol = ServerProtocol(max_size=FRAME_BYTES)
    asked = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given), "", ""]
    protocol.receive_data("\r\n".join(asked).encode("latin-1", "replace"))  # the HTTP server has read it already
    (request,) = protocol.events_received()
    response = protocol.accept(request)  # type: ignore[arg-type]
    offered = [value for name, value in given if name.lower() == "sec-websocket-protocol"]
    if offered and response.status_code == 101:
        response.headers["Sec-WebSocket-Protocol"] = offered[0].partition(",")[0].strip()  # a stand-in takes whatever comes first
    protocol.send_response(response)
    return protocol, b"".join(protocol.data_to_send())


def converse(connection: socket.socket, protocol: Any, stage: Stage, stopping: Callable[[], bool]) -> None:
    """Hold a session until either side closes it, or `stopping` says so (looked at once a second)."""
    from websockets.frames import Opcode
    from websockets.protocol import State

    connection.settimeout(1.0)
    _write(connection, protocol, stage.start())
    parts: list[bytes] = []
    kind = Opcode.TEXT
    room = memoryview(bytearray(_READ))  # one for all: memory that shrinks to each message would not be given back
    while protocol.state is State.OPEN and not stopping():
        try:
            size = connection.recv_into(room)
        except TimeoutError:
            continue
        if size:
            protocol.receive_data(bytes(room[:size]))
        else:
            protocol.receive_eof()
        for frame in protocol.events_received():
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                parts, kind = [frame.data], frame.opcode
            elif frame.opcode is Opcode.CONT:
                parts.append(frame.data)
            else:
                continue
            if frame.fin:
                whole = b"".join(map(bytes, parts))
                _write(connection, protocol, stage.hear(whole.decode("utf-8", "replace") if kind is Opcode.TEXT else whole))
                if stage.over and protocol.state is State.OPEN:
                    protocol.send_close(1000)
        _flush(connection, protocol)
        if not size:
            return
    _linger(connection, protocol)


def _write(connection: socket.socket, protocol: Any, messages: Iterator[str | bytes | Pause]) -> None:
    for message in messages:
        if isinstance(message, Pause):
            time.sleep(message.seconds)
            continue
        if isinstance(message, str):
            protocol.send_text(message.encode())
        else:
            protocol.send_binary(message)
        _flush(connection, protocol)


def _flush(connection: socket.socket, protocol: Any) -> None:
    for data in protocol.data_to_send():
        if data:
            connection.sendall(data)


def _linger(connection: socket.socket, protocol: Any) -> None:
    """Read the rest of the closing handshake, so that the other side sees an orderly end."""
    until = time.monotonic() + 2
    try:
        while time.monotonic() < until:
            data = connection.recv(_READ)
            if not data:
                return
            protocol.receive_data(data)
            _flush(connection, protocol)
            if protocol.close_expected():
                return
    except OSError:
        return
