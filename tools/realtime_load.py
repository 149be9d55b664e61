"""Many live sessions at once: how late an echo comes through the engine and the stand-in, beside bare sockets, and whether
memory grows.

    python tools/realtime_load.py --sessions 64 --seconds 60

Every session sends a piece of sound 25 times a second to the simulator in its echo mode and times its way back. In turns with
them as many bare `websockets` connections do the same with a bare echo server, a sixth of the time, so that both meet the
same noise of the machine; each server has a process of its own. The last line is JSON; the exit code is 0 if the 99th percentile is at most 20 ms later than that of
the bare sockets, and memory grows by no more than 1 MB a minute (each process, fitted from a quarter of the run on).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import struct
import sys
import time
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MODEL = "openai/gpt-realtime"
RATE, PIECE = 24000, 0.04  # samples per second, seconds of sound in a message
LATE, GROWTH = 20.0, 1.0  # ms, MB a minute
ROUNDS, SETTLE = 6, 0.3  # turns of each kind, seconds between them
_PAGE = os.sysconf("SC_PAGE_SIZE")


def piece(number: int, sent: float) -> bytes:
    """Sound that carries its number and the moment it was sent."""
    return struct.pack("<qd", number, sent) + b"\x10\x27" * (int(RATE * PIECE) - 8)


def memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


def slope(samples: list[tuple[float, float]]) -> float:
    """MB a minute: the straight line through the samples behind the first quarter of the run."""
    kept = [s for s in samples if s[0] >= samples[0][0] + (samples[-1][0] - samples[0][0]) / 4]
    at, size = sum(t for t, _ in kept) / len(kept), sum(m for _, m in kept) / len(kept)
    spread = sum((t - at) ** 2 for t, _ in kept)
    return round(60 * sum((t - at) * (m - size) for t, m in kept) / spread, 3) if spread else 0.0


# --- the servers, each in its own process -------------------------------------------------------------------------------


def bare_server(told: Any) -> None:
    """Gives every message straight back."""
    from websockets.asyncio.server import serve

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serve(echo, "127.0.0.1", 0, compression=None) as server:
            told.send(next(iter(server.sockets)).getsockname()[1])
            await asyncio.get_running_loop().create_future()

    asyncio.run(main())


def stand_in(told: Any) -> None:
    """The simulator in its echo mode."""
    from engine.testing import Simulator

    with Simulator(echo=True) as sim:
        told.send(sim.port)
        while True:
            time.sleep(60)


# --- the clients --------------------------------------------------------------------------------------------------------


class Delays:
    """Delays of one kind of connection, in memory that is there from the beginning."""

    def __init__(self, most: int) -> None:
        self.cpu = 0.0  # seconds of this process while they spoke
        self.values = array("d", bytes(8 * most))
        self.sent = self.heard = 0

    def take(self, data: bytes) -> None:
        self.values[self.heard] = time.perf_counter() - struct.unpack_from("<qd", data)[1]
        self.heard += 1

    def told(self) -> dict[str, float]:
        """Percentiles in ms, and the CPU that a piece costs here, there and back, in µs."""
        ordered = sorted(self.values[: self.heard])
        found = {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)] * 1000, 2) for p in (50, 90, 99)}
        return {**found, "cpu_us": round(1e6 * self.cpu / max(1, self.heard), 1)}


async def paced(send: Any, seconds: float, offset: float, delays: Delays) -> None:
    """Send pieces at their times."""
    began, count = time.perf_counter() + offset, 0
    while (due := began + count * PIECE) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await send(piece(count, time.perf_counter()))
        count += 1
    delays.sent += count


async def bare(port: int, rounds: Rounds, offset: float, delays: Delays) -> None:
    """One bare connection, with messages like those of a session."""
    from websockets.asyncio.client import connect

    async with connect(f"ws://127.0.0.1:{port}", compression=None) as connection:

        async def send(data: bytes) -> None:
            await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()}))

        async def hear() -> None:
            async for message in connection:
                delays.take(base64.b64decode(json.loads(message)["audio"]))

        hearing = asyncio.create_task(hear())
        async for seconds in rounds.of("bare", delays, not offset):
            await paced(send, seconds, offset, delays)
        hearing.cancel()


async def session(client: Any, rounds: Rounds, offset: float, delays: Delays) -> None:
    """One session of the engine."""
    async with client.realtime(MODEL) as live:

        async def hear() -> None:
            async for event in live:
                if event.kind == "audio":
                    delays.take(event.data)

        hearing = asyncio.create_task(hear())
        async for seconds in rounds.of("engine", delays, not offset):
            await paced(live.send_audio, seconds, offset, delays)
        hearing.cancel()


class Rounds:
    """Whose turn it is: all connections of a kind speak together, then those of the other kind."""

    def __init__(self, each: int, seconds: float) -> None:
        self.each = each  # connections of a kind
        self.turns = [turn for _ in range(ROUNDS) for turn in (("bare", seconds / ROUNDS / 6), ("engine", seconds / ROUNDS))]
        self.barriers = [asyncio.Barrier(2 * each) for _ in self.turns]

    async def of(self, kind: str, delays: Delays, counts: bool) -> AsyncIterator[float]:
        """The seconds of each turn of a kind; one connection of it `counts` the CPU for all."""
        for (whose, seconds), barrier in zip(self.turns, self.barriers):
            await barrier.wait()
            if whose == kind:
                began = time.process_time()
                yield seconds
                await asyncio.sleep(SETTLE)
                delays.cpu += time.process_time() - began if counts else 0
            else:
                await asyncio.sleep(seconds + SETTLE)


async def watched(pids: list[int], into: list[list[tuple[float, float]]]) -> None:
    """Sample the memory of processes each half second."""
    while True:
        for pid, samples in zip(pids, into):
            samples.append((time.perf_counter(), memory(pid)))
        await asyncio.sleep(0.5)


async def run(ports: tuple[int, int], server: int, sessions: int, seconds: float) -> dict[str, Any]:
    """Both measurements."""
    import engine

    offsets = [n * PIECE / sessions for n in range(sessions)]
    most = int(sessions * (seconds / PIECE + 2 * ROUNDS))
    floor, delays, rounds = Delays(most), Delays(most), Rounds(sessions, seconds)
    settings = {"openai": {"api_key": "any", "base_url": f"http://127.0.0.1:{ports[1]}/openai"}}
    samples: list[list[tuple[float, float]]] = [[], []]
    async with engine.AsyncClient(providers=settings) as client:
        watching = asyncio.create_task(watched([os.getpid(), server], samples))
        talking = [session(client, rounds, offset, delays) for offset in offsets]
        await asyncio.gather(*talking, *(bare(ports[0], rounds, offset, floor) for offset in offsets))
        watching.cancel()
    without, through = floor.told(), delays.told()
    return {
        "sessions": sessions,
        "seconds": seconds,
        "sent": delays.sent,
        "heard": delays.heard,
        "bare_ms": without,
        "engine_ms": through,
        "added_p99_ms": round(through["p99"] - without["p99"], 2),
        "client_mb": round(samples[0][-1][1], 1),
        "client_mb_per_minute": slope(samples[0]),
        "server_mb": round(samples[1][-1][1], 1),
        "server_mb_per_minute": slope(samples[1]),
    }


def measure(sessions: int, seconds: float) -> dict[str, Any]:
    """Start the servers, measure, stop them."""
    made = multiprocessing.get_context("spawn")
    servers, ports = [], []
    for target in (bare_server, stand_in):
        here, there = made.Pipe()
        process = made.Process(target=target, args=(there,), daemon=True)
        process.start()
        servers.append(process)
        ports.append(here.recv())
    try:
        return asyncio.run(run((ports[0], ports[1]), servers[1].pid or 0, sessions, seconds))
    finally:
        for process in servers:
            process.terminate()
            process.join(5)


def fine(found: dict[str, Any]) -> bool:
    """Whether the bars hold."""
    grown = max(found["client_mb_per_minute"], found["server_mb_per_minute"])
    return found["heard"] == found["sent"] and found["added_p99_ms"] <= LATE and grown <= GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    found = measure(given.sessions, given.seconds)
    print(json.dumps({**found, "fine": fine(found)}))
    return 0 if fine(found) else 1


if __name__ == "__main__":
    sys.exit(main())
