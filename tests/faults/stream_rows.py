"""Rows of streams, of sizes, and of callers who go away."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.faults.row import Answer, row
from tests.faults.server import Exchange
from tests.faults.whole_rows import slow_headers
from tests.faults.wires import MESSAGE, PART, PIECES, SSE, TEXT, TOLD, WIRES

ODD = "a\u2028b\u0085c\u2029d"  # ends no line in an event stream

# --- streams: all of it legal -----------------------------------------------------------------------------------------


@row("s_split_utf8", "stream", "ok", text=TOLD)
async def every_byte(x: Exchange) -> None:
    data = b"".join(x.wire.stream("the tool's result is told, streamed"))
    await x.stream(data[i : i + 1] for i in range(len(data)))


def respelt(change: Callable[[bytes], bytes]) -> Answer:
    async def answer(x: Exchange) -> None:
        await x.stream([change(piece) for piece in x.wire.stream()])

    return answer


def several_lines(piece: bytes) -> bytes:
    """The JSON of an event over several data lines."""
    head, _, data = piece.rpartition(b"data: ")
    if not data.startswith(b"{"):
        return piece
    lines = json.dumps(json.loads(data), ensure_ascii=False, indent=1).encode().split(b"\n")
    return head + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


row("s_crlf", "stream", "ok", wires=SSE)(respelt(lambda p: p.replace(b"\n", b"\r\n")))
row("s_cr", "stream", "ok", wires=SSE)(respelt(lambda p: p.replace(b"\n", b"\r")))
row("s_no_space", "stream", "ok", wires=SSE)(respelt(lambda p: p.replace(b"data: ", b"data:").replace(b"event: ", b"event:")))
row("s_multi_data", "stream", "ok", wires=SSE)(respelt(several_lines))
row("s_comments", "stream", "ok", wires=SSE)(respelt(lambda p: b": ping\n\n" + p))
row("s_id_retry", "stream", "ok", wires=SSE)(respelt(lambda p: b"retry: 3000\n\nid: 7\n" + p))


@row("s_bom", "stream", "ok", wires=SSE)
async def byte_order_mark(x: Exchange) -> None:
    await x.stream([b"\xef\xbb\xbf", *x.wire.stream()])


@row("s_unknown_event", "stream", "ok")
async def unknown_event(x: Exchange) -> None:
    first, *rest = x.wire.stream()
    if x.wire.framing == "eventstream":
        news = x.wire.encoded([{"event": "brandNewThing", "data": {"x": [1]}}])
    else:
        news = [b'event: brand_new_thing\ndata: {"type": "brand_new_thing", "x": [1]}\n\n']
    await x.stream([first, *news, *rest])


@row("s_line_separator", "stream", "ok", text=TEXT.replace(PIECES[1], ODD))
async def line_separator(x: Exchange) -> None:
    await x.stream(x.wire.respelled(PIECES[1], ODD))


@row("s_finish_no_done", "stream", "ok", wires=("openai",))
async def no_done(x: Exchange) -> None:
    await x.stream(x.wire.stream()[:-1])


@row("s_json_instead", "stream", "ok")
async def whole_instead(x: Exchange) -> None:
    await x.reply(200, x.wire.whole())


@row("s_good_then_silence", "stream", "ok", cap=5)
async def no_end_of_bytes(x: Exchange) -> None:
    await x.stream(x.wire.stream(), end=False)
    await x.hold()


# --- streams that fail ------------------------------------------------------------------------------------------------


def broken(id: str, kinds: str = "stream_interrupted", **more: Any) -> Callable[[Answer], Answer]:
    """A stream that fails after its second text."""
    return row(id, "stream", "error", kinds, partial=PART, **more)


@broken("s_cut_clean")
async def cut_clean(x: Exchange) -> None:
    await x.stream(x.wire.beginning())


@broken("s_cut_fin")
async def cut_fin(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    x.finish()


@broken("s_cut_rst")
async def cut_rst(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    await x.pause(0.1)
    x.reset()


@broken("s_cut_fin_slow_reader", cap=8, options={"reader pauses": 0.3})
async def cut_fin_unread(x: Exchange) -> None:
    """The connection ends while the caller is busy with the first text: the second has arrived and must not be lost."""
    *before, last = x.wire.beginning()
    await x.stream(before, end=False)
    await x.pause(0.1)
    await x.chunk(last)
    x.finish()


@broken("s_cut_rst_slow_reader", cap=8, options={"reader pauses": 0.3}, ways=("aiohttp", "httpcore"))
async def cut_rst_unread(x: Exchange) -> None:
    *before, last = x.wire.beginning()
    await x.stream(before, end=False)
    await x.pause(0.1)
    await x.chunk(last)
    await x.pause(0.05)
    x.reset()


@broken("s_cut_mid_event")
async def cut_inside(x: Exchange) -> None:
    before, after = x.wire.around()
    await x.stream([*before, after[0][: len(after[0]) // 2]])


@broken("s_malformed_event", "protocol")
async def malformed(x: Exchange) -> None:
    before, after = x.wire.around()
    if x.wire.framing == "eventstream":
        bad = bytes([*after[0][:-1], after[0][-1] ^ 1])  # a checksum that does not fit
    else:
        bad = b'data: {"id": "c1", "choices": [{"ind\n\n'
    await x.stream([*before, bad, *after])


@broken("s_error_native", "overloaded", told="UPSTREAM-MSG")
async def failing(x: Exchange) -> None:
    await x.stream([*x.wire.beginning(), x.wire.failing(MESSAGE)])


@broken("s_error_openai_style", "overloaded server", told="UPSTREAM-MSG", wires=SSE)
async def failing_openai(x: Exchange) -> None:
    await x.stream([*x.wire.beginning(), WIRES["openai"].failing(MESSAGE)])


@broken("s_error_anthropic_style", "overloaded server", told="UPSTREAM-MSG", wires=SSE)
async def failing_anthropic(x: Exchange) -> None:
    await x.stream([*x.wire.beginning(), WIRES["anthropic"].failing(MESSAGE)])


@broken("s_stall", "timeout", cap=8)
async def stall(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    await x.hold()


@broken("s_ping_forever", "timeout", cap=8)
async def pings(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    quiet = {"anthropic": b'event: ping\ndata: {"type": "ping"}\n\n'}.get(x.wire.name, b": ping\n\n")
    if x.wire.framing == "eventstream":
        quiet = x.wire.encoded([{"event": "ping", "data": {}}])[0]
    while True:
        await x.pause(0.1)
        await x.chunk(quiet)


@broken("s_trickle", "timeout", cap=8)
async def trickle(x: Exchange) -> None:
    before, after = x.wire.around()
    await x.stream(before, end=False)
    for byte in after[0]:
        await x.pause(0.3)
        await x.chunk(bytes([byte]))


@row("s_empty", "stream", "error", "stream_interrupted protocol", seen=(1, 3))
async def no_event(x: Exchange) -> None:
    await x.stream([])


@row("s_rst_before_first", "stream", "ok", seen=(2, 2))
async def reset_before_first(x: Exchange) -> None:
    if x.number > 1:
        return await x.good()
    await x.begin()
    await x.pause(0.1)
    x.reset()


@row("s_error_first", "stream", "ok", seen=(2, 2))
async def error_first(x: Exchange) -> None:
    await x.stream([x.wire.failing(MESSAGE)] if x.number == 1 else x.wire.stream())


@row("s_stall_before_first", "stream", "error", "timeout", seen=(1, 3))
async def stall_first(x: Exchange) -> None:
    await x.begin()
    await x.hold()


# --- tool calls -------------------------------------------------------------------------------------------------------

WEATHER = "the weather is asked of a tool, streamed"


@row("s_tools", "tools", "ok")
async def tools(x: Exchange) -> None:
    await x.stream(x.wire.stream(WEATHER))


@row("s_tools_cut", "tools", "error", "stream_interrupted", wires=("openai", "anthropic", "bedrock"), seen=(1, 3))
async def tools_cut(x: Exchange) -> None:
    frames = x.wire.frames(WEATHER)
    at = next(i for i, frame in enumerate(frames) if "Rome" in json.dumps(frame))
    await x.stream(x.wire.encoded(frames)[:at])


@row("s_tools_dup_index", "tools", "ok", wires=("openai",), options={"calls": 2})
async def tools_one_index(x: Exchange) -> None:
    frames = x.wire.frames(WEATHER)
    second = json.loads(json.dumps(frames[:-1]).replace("call_rome", "call_again"))
    await x.stream(x.wire.encoded([*frames[:-1], *second, frames[-1]]))


# --- size -------------------------------------------------------------------------------------------------------------


@cache
def bomb(mib: int = 300) -> bytes:
    """300 KB of gzip that become 300 MB. The compressed blocks stand alone, so one is made and repeated."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = squeeze.compress(b'{"id":"') + squeeze.flush(zlib.Z_FULL_FLUSH)
    return start + (squeeze.compress(b" " * (1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)) * mib


@row("u_gzip_bomb", "whole", "error", "limit", cap=15, alone=True)
async def gzip_bomb(x: Exchange) -> None:
    await x.reply(200, bomb(), headers=[("Content-Encoding", "gzip")])


@row("s_gzip_bomb", "stream", "error", "limit", cap=15, alone=True)
async def gzip_bomb_stream(x: Exchange) -> None:
    data = bomb()
    await x.head(200, x.wire.content_type, [("Content-Encoding", "gzip"), ("Content-Length", len(data))])
    await x.send(data)


@row("s_giant_line", "stream", "error", "limit", cap=15, alone=True, partial=PART)
async def giant_line(x: Exchange) -> None:
    start = b"\x03\x00\x00\x00\x00\x00\x00\x00" + zlib.crc32(b"\x03" + b"\x00" * 7).to_bytes(4, "big")
    await x.stream([*x.wire.beginning(), start if x.wire.framing == "eventstream" else b'data: {"id": "'], end=False)
    for _ in range(800):
        await x.chunk(b"a" * 65536)
    await x.end()


@row("s_giant_event", "stream", "error", "limit", cap=15, alone=True, partial=PART, wires=SSE)
async def giant_event(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    for _ in range(1000):
        await x.chunk((b"data: " + b"a" * 500 + b"\n") * 100)
    await x.end()


@row("u_deep_json", "whole", "error", "limit protocol", seen=(1, 2), alone=True)
async def deep(x: Exchange) -> None:
    await x.reply(200, b'{"id":"c1","choices":' + b"[" * 100000 + b"]" * 100000 + b"}")


@row("s_deep_json", "stream", "error", "limit protocol", alone=True, partial=PART, wires=SSE)
async def deep_event(x: Exchange) -> None:
    await x.stream([*x.wire.beginning(), b"data: " + b"[" * 100000 + b"]" * 100000 + b"\n\n"])


@row("u_giant_headers", "whole", "error", "limit", seen=(1, 1))
async def giant_headers(x: Exchange) -> None:
    await x.reply(200, x.wire.whole(), headers=[(f"X-H{i}", "a" * 1000) for i in range(1000)])


@broken("s_error_echo", "overloaded", plain=True)
async def echo_stream(x: Exchange) -> None:
    await x.stream([*x.wire.beginning(), x.wire.failing(f"denied for key {x.case.key}")])


# --- going away -------------------------------------------------------------------------------------------------------


@row("s_close_early", "close", "ok", cap=5)
@row("s_dropped", "drop", "ok", cap=5)
@row("s_closed_elsewhere", "elsewhere", "ok", cap=5, ways=("sync",))
@row("s_task_cancelled", "cancel", "ok", cap=5, ways=("aiohttp", "httpcore"))
async def endless(x: Exchange) -> None:
    await x.stream(x.wire.beginning(), end=False)
    while True:
        await x.pause(0.1)
        await x.chunk(x.wire.ticking())


row("s_closed_in_silence", "elsewhere", "ok", cap=5, ways=("sync",), options={"limits": {"idle": 8.0}})(stall)
row("s_cancelled_in_silence", "cancel", "ok", cap=5, ways=("aiohttp", "httpcore"), options={"limits": {"idle": 8.0}})(stall)
row("u_task_cancelled", "cancel_whole", "ok", cap=5, ways=("aiohttp", "httpcore"))(slow_headers)
