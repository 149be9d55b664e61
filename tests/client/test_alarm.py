"""One timer of the loop bounds all exchanges on aiohttp (RELIABILITY R7): whoever was served is left alone, whoever came later
with less time is told sooner."""

from __future__ import annotations

import asyncio
import time

from engine.call.send.aio import _Alarm


def test_one_timer_tells_each_who_waits_at_its_own_time() -> None:
    told: list[tuple[str, float]] = []

    class Waiting:
        def __init__(self, name: str) -> None:
            self.name = name

        def set_exception(self, error: BaseException) -> None:
            assert isinstance(error, TimeoutError)
            told.append((self.name, time.monotonic() - began))

    async def run() -> None:
        alarm = _Alarm(asyncio.get_running_loop())
        served = Waiting("served")
        for waiting, seconds in ((Waiting("late"), 0.12), (served, 0.03), (Waiting("soon"), 0.06), (Waiting("past"), -1.0)):
            alarm.set(waiting, seconds)
        alarm.until.pop(served)
        await asyncio.sleep(0.2)
        assert not alarm.until

    began = time.monotonic()
    asyncio.run(run())
    assert [name for name, _ in told] == ["past", "soon", "late"]
    assert all(at >= due for (_, at), due in zip(told, (0.0, 0.06, 0.12)))
