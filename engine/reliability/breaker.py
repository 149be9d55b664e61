"""When a target is left alone for a while: the circuit breaker of RELIABILITY F3. No clock: whoever asks says what time it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["CLOSED", "HALF", "OPEN", "Breaker"]

CLOSED, OPEN, HALF = "closed", "open", "half_open"
WINDOW = 30  # seconds that are looked back on
LEAST = 10  # finished attempts in the window before their share of failures says anything
ROW = 5  # failures in a row that open it whatever the window says
FIRST, LONGEST = 30.0, 300.0  # seconds it stays open at first, and at most
WINS = 2  # successes that close it


class Breaker:
    """Counts what attempts came to. Not locked: its owner is (engine.reliability.health).

    Attempts are counted by whole seconds, so the window is 29 to 30 s long.
    """

    __slots__ = ("_bad", "_ok", "_seconds", "_uniform", "openings", "probes", "row", "until", "wins")

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._ok = [0] * WINDOW
        self._bad = [0] * WINDOW
        self._seconds = [-1] * WINDOW
        self.row = 0  # failures in a row
        self.openings = 0  # in a row, without closing in between
        self.until = 0.0  # when it lets a probe through; 0 while it is closed
        self.probes = 0  # attempts let through that have not ended
        self.wins = 0

    def state(self, now: float) -> str:
        """closed, open or half_open."""
        return CLOSED if not self.until else OPEN if now < self.until else HALF

    def succeeded(self, now: float) -> None:
        """An attempt ended with an answer, or with an error that only a working server gives."""
        self.row = 0
        if self.until:
            self.wins += 1
            if self.wins >= WINS:
                self._close()
            return
        second = int(now)  # `_count`, without the call: it is done for every answer
        place = second % WINDOW
        if self._seconds[place] == second:
            self._ok[place] += 1
        else:
            self._count(self._ok, now)

    def failed(self, now: float) -> None:
        """An attempt ended with a failure of a kind that counts (RELIABILITY E2)."""
        self.row += 1
        if self.until:
            if now >= self.until or self.probes:
                self._open(now)
            return
        self._count(self._bad, now)
        ok, bad = self.counted(now)
        if self.row >= ROW or (ok + bad >= LEAST and bad * 2 >= ok + bad):
            self._open(now)

    def counted(self, now: float) -> tuple[int, int]:
        """(successes, failures) in the window."""
        since = int(now) - WINDOW
        held = [i for i in range(WINDOW) if self._seconds[i] > since]
        return sum(self._ok[i] for i in held), sum(self._bad[i] for i in held)

    def _count(self, counts: list[int], now: float) -> None:
        second = int(now)
        place = second % WINDOW
        if self._seconds[place] != second:
            self._seconds[place] = second
            self._ok[place] = self._bad[place] = 0
        counts[place] += 1

    def _open(self, now: float) -> None:
        self.openings += 1
        self.wins = 0
        seconds = min(LONGEST, FIRST * 2.0 ** min(self.openings - 1, 8))
        self.until = now + min(LONGEST, self._uniform(0.9 * seconds, 1.1 * seconds))

    def _close(self) -> None:
        self.openings = self.wins = self.row = 0
        self.until = 0.0
        self._seconds = [-1] * WINDOW
