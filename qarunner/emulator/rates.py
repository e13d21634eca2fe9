"""Counts requests in a sliding minute of the injected clock, which the emulation's speed does not change."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WINDOW = 60.0


class Rates:
    """Several limits per minute; a request counts towards the classes it belongs to, a refused one towards none."""

    def __init__(self, limits: Mapping[str, int], clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._seen: dict[str, deque[float]] = {name: deque() for name in limits}

    def admit(self, classes: Iterable[str]) -> int | None:
        """Counts a request; the whole seconds to wait if it comes too early, else None."""
        now = self._clock()
        seen = [(self._seen[name], self._limits[name]) for name in classes]
        for times, _ in seen:
            while times and times[0] <= now - WINDOW:
                times.popleft()
        waits = [times[-limit] + WINDOW - now for times, limit in seen if len(times) >= limit]
        if waits:
            return max(1, math.ceil(max(waits)))
        for times, _ in seen:
            times.append(now)
        return None
