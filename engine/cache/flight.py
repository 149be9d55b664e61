"""One of many equal questions is asked, the others wait for its answer (RELIABILITY C3). Threads and event loops alike."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Flight", "Flights", "Place"]

PATIENCE = 1.0  # seconds that a stream's consumer may leave it standing before those who wait go on alone


class Place:
    """One caller who waits. `wake` is set by engine.routing.steps.Turn and called once, from any thread."""

    __slots__ = ("granted", "outcome", "told", "wake")

    def __init__(self) -> None:
        self.granted = False
        self.outcome = ""
        self.told: tuple[bytes, str] | None = None  # the answer, and where it is from
        self.wake: Callable[[], None] | None = None


class Flight:
    """A question under way. Of a stream `idle` is since when its consumer has not asked for more of what arrived; None while
    nobody waits for him."""

    __slots__ = ("idle", "places", "stream")

    def __init__(self, stream: bool) -> None:
        self.stream = stream
        self.places: list[Place] = []
        self.idle: float | None = None

    def patience(self, now: float) -> float:
        """Seconds to wait before looking again; 0 where nobody knows when this goes on, because its consumer does not read."""
        if not self.stream:
            return float("inf")
        return PATIENCE if self.idle is None else max(0.0, self.idle + PATIENCE - now)


class Flights:
    """The questions under way in one process, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}

    def join(self, key: str, stream: bool) -> tuple[Flight, Place | None]:
        """The flight of a key, and a place in it; no place for the caller who has to lead."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = Flight(stream)
                return flight, None
            place = Place()
            flight.places.append(place)
            return flight, place

    def leave(self, flight: Flight, place: Place) -> None:
        """A caller waits no longer."""
        with self._lock:
            if place in flight.places:
                flight.places.remove(place)

    def land(self, key: str, flight: Flight, outcome: str, told: tuple[bytes, str] | None = None) -> None:
        """The leader is done: `told` an answer, `failed` (everybody asks for himself), or `left` (somebody else leads). Only
        the first time has effect."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
            places, flight.places = flight.places, []
        for place in places:
            place.outcome, place.told = outcome, told
            place.granted = True
            if place.wake is not None:
                place.wake()

    def __len__(self) -> int:
        return len(self._flights)
