#!/usr/bin/env python3
"""Every reliability proof in full, with its score.

    tools/faults.py [shared] [table] [proofs] [kills] [bounds] [caches] [--shared DIR] [--calls N] [--sequences N] [--rounds N] [--outages N] [--verbose]

shared   the independent fault matrix (../shared/bench/faults) over our adapter, on both async transports
table    our own fault table: sync and async clients on four wires, and the careless client that must fail it
proofs   retry storm, deadline
kills    streams that are killed in five ways, and what is left of them a second later; cancellation at any moment
bounds   rate limits and budgets with 200 callers; budgets in a Redis that is killed, paused and emptied
caches   look-ups across tenants in every store; a Redis that is killed, paused and emptied; the losers of hedged calls
Without a word: all of them. Exit code 0 only if everything holds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.cache.lookups import look_ups  # noqa: E402
from tests.cache.lookups import outages as cache_outages  # noqa: E402
from tests.cache.stores import opened  # noqa: E402
from tests.faults import shared_judge  # noqa: E402
from tests.faults.bounds import nearly_spent, rated  # noqa: E402
from tests.faults.deadlines import deadlines  # noqa: E402
from tests.faults.judge import UNSAFE, WAYS, judge, plan  # noqa: E402
from tests.faults.kills import KILLS, cancelled_anywhere, kills  # noqa: E402
from tests.faults.outages import outages  # noqa: E402
from tests.faults.storm import storm, storm_on_loopback  # noqa: E402
from tests.faults.table import BY_ID, TABLE  # noqa: E402
from tests.faults.wires import WIRES  # noqa: E402
from tests.redis_server import BINARY  # noqa: E402
from tests.routing.losers import losers  # noqa: E402

PARTS = ("shared", "table", "proofs", "kills", "bounds", "caches")


def shared_matrix(harness: Path, verbose: bool) -> bool:
    if not harness.exists():
        print(f"shared matrix: not beside this checkout ({harness}), skipped")
        return True
    scores = shared_judge.run(harness, told=print if verbose else lambda line: None)
    for score in scores:
        print(f"shared matrix  {score}")
        for fault, bad, kind, message in score.wrong:
            print(f"    {fault}: {', '.join(bad)} {kind} {message}")
    return not any(score.wrong for score in scores)


def own_table(verbose: bool) -> bool:
    verdicts = judge(plan(), lambda verdict: print(verdict) if verbose or verdict.complaints else None)
    for wire in WIRES:
        for way in WAYS:
            mine = [v for v in verdicts if (v.wire, v.way) == (wire, way)]
            right = sum(not v.complaints for v in mine)
            unsafe = sum(bool(UNSAFE & set(v.complaints)) for v in mine)
            print(f"own table      {way:9} {wire:10} {right:3}/{len(mine)} correct, {unsafe} unsafe")
    rows = [row for row in TABLE if row.mode in ("whole", "stream", "close") and "openai" in row.wires and not row.alone]
    careless = judge([(row, "openai", "careless") for row in rows])
    wrong = sum(bool(v.complaints) for v in careless)
    print(f"own table      the careless client: {len(careless) - wrong}/{len(careless)} correct, seen through {wrong} times")
    return not any(v.complaints for v in verdicts) and wrong > len(careless) / 2


def many_calls(calls: int, sequences: int) -> bool:
    fine = []
    for way in WAYS:
        for kind in ("connection", "timeout", "server", "overloaded", "rate_limit", "protocol"):
            requests, _ = storm(calls, way, kind)
            fine.append(_told(requests <= calls * 1.02, f"retry storm    {way:9} {kind:12} {calls} calls, {requests} requests"))
        for id in ("u_503_always", "u_reset_always"):
            requests = storm_on_loopback(calls, way, BY_ID[id].answer)
            fine.append(_told(requests <= calls * 1.02, f"retry storm    {way:9} {id:14} {calls} calls, {requests} requests"))
    late = deadlines(sequences)
    held = not late.too_late and not late.foreign
    what = f"{len(late.calls)} fault sequences, the latest {1000 * late.worst:.0f} ms after its deadline"
    fine.append(_told(held, f"deadline       {what}; {late.kinds}", late.too_late + late.foreign))
    return all(fine)


def killed(rounds: int) -> bool:
    fine = []
    # Each looks at the files and tasks of its own process, and has a core for itself: a second is a second.
    with ProcessPoolExecutor(min(len(WAYS), os.cpu_count() or 1), get_context("spawn")) as pool:
        for way, left in zip(WAYS, pool.map(partial(kills, streams=256, rounds=rounds), WAYS)):
            what = f"killed streams {way:9} 256 x {len(KILLS)} ways x {left.rounds} rounds = {left.streams} streams, all gone after"
            fine.append(_told(not left.found, f"{what} {left.worst:.2f} s at most", left.found))
    for way in WAYS[1:]:
        left = cancelled_anywhere(way, 2000)
        fine.append(_told(not left.found, f"cancellation   {way:9} at {left.streams} moments", left.found))
    return all(fine)


def bounds(rounds: int) -> bool:
    fine = []
    for way in ("sync", "async"):
        made = rated(way, callers=200, amount=50, seconds=5)
        what = f"rate limit     {way:9} 200 callers at 50 in 5 s: {made.early} early, {100 * made.used:.1f} % of the rate used"
        fine.append(_told(not made.early and made.used >= 0.95, what))
        spent = nearly_spent(way)
        what = f"budget         {way:9} 200 callers: {spent.answered} answered, {spent.spent} of {spent.budget} USD spent"
        fine.append(_told(spent.spent <= spent.budget and not spent.reserved and spent.refused > 0, what))
    if BINARY is None:
        print("shared budget  there is no redis-server on this machine, skipped")
        return all(fine)
    with tempfile.TemporaryDirectory() as folder:
        seen = outages(rounds, Path(folder))
    what = f"shared budget  {rounds} outages of Redis, {seen.calls} calls: {len(seen.failed)} failed, overspent by {100 * seen.worst:.2f} %"
    fine.append(_told(not seen.failed and seen.worst <= 0.01, what, seen.failed))
    return all(fine)


def caches(calls: int, rounds: int) -> bool:
    fine = []
    stores = ("memory", "sqlite", *(["redis"] if BINARY is not None else []))
    for name in stores:
        with tempfile.TemporaryDirectory() as folder, opened(name, Path(folder)) as store:
            found = look_ups(store, calls, name)
        what = f"tenants        {name:9} {calls} look-ups by 100 tenants: {found.hits} hits, {found.crossed} of another's answer"
        fine.append(_told(not found.crossed and found.hits > calls / 2, what))
    if BINARY is None:
        print("shared cache   there is no redis-server on this machine, skipped")
    else:
        with tempfile.TemporaryDirectory() as folder:
            seen = cache_outages(rounds, Path(folder))
        what = f"shared cache   {rounds} outages of Redis, {seen.calls} calls: {sum(seen.failed.values())} failed, slowest {seen.slowest:.2f} s"
        fine.append(_told(not seen.failed and seen.hits > 0, what, seen.failed))
    lost = losers(200)
    what = f"hedges         sync      {lost.calls} calls, {lost.hedged} losers: {lost.open} connections, {lost.in_flight} calls and {lost.reserved} of money"
    what += f" left after {lost.seconds:.2f} s"
    fine.append(_told(lost.answered == lost.calls and not (lost.open or lost.in_flight or lost.reserved), what))
    return all(fine)


def _told(held: bool, text: str, details: Any = ()) -> bool:
    print(f"{text}: {'holds' if held else 'BROKEN'}", flush=True)
    for detail in list(details)[:10]:
        print(f"    {detail}")
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--calls", type=int, default=10_000, help="of a retry storm, and look-ups of a cache")
    parser.add_argument("--sequences", type=int, default=1_000, help="random fault sequences under a deadline")
    parser.add_argument("--rounds", type=int, default=100, help="of killing 256 streams in each way")
    parser.add_argument("--outages", type=int, default=20, help="of a Redis that budgets or answers are kept in")
    parser.add_argument("--verbose", action="store_true", help="a line for each case")
    given = parser.parse_args()
    if unknown := set(given.what) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    what, start = given.what or PARTS, time.monotonic()
    fine = [
        *([shared_matrix(given.shared / "bench" / "faults", given.verbose)] if "shared" in what else []),
        *([own_table(given.verbose)] if "table" in what else []),
        *([many_calls(given.calls, given.sequences)] if "proofs" in what else []),
        *([killed(given.rounds)] if "kills" in what else []),
        *([bounds(given.outages)] if "bounds" in what else []),
        *([caches(given.calls, given.outages)] if "caches" in what else []),
    ]
    print(f"{'all held' if all(fine) else 'something is broken'} after {time.monotonic() - start:.0f} s")
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
