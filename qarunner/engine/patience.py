"""How long a request that fails is tried again, and how far apart the tries are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.vendors.api import Cause

if TYPE_CHECKING:
    from qarunner.engine.machine import Again

FIRST_CONTACT_S = 20.0
"""A vendor that never answered in this apply is given up soon: nothing is at stake, and a wrong URL is likely."""
LONG_S = 900.0
"""A vendor that did answer is waited for: a run that was paid for is worth a quarter of an hour."""
UNREADABLE = 5
"""How many answers in a row may be beyond understanding."""
BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
FIRST_BACKOFF_S = 5.0
"""The longest wait at a first contact, where little patience is to be spent on waiting."""


@dataclass(slots=True, kw_only=True)
class Trouble:
    """Failures in a row of one request; a good reply starts a new one."""

    since: float | None = None
    count: int = 0
    unreadable: int = 0

    def add(self, again: Again, now: float) -> None:
        self.since = now if self.since is None else self.since
        self.count += 1
        self.unreadable += again.unreadable

    def exhausted(self, again: Again, now: float, *, established: bool) -> Cause | None:
        """Why to give up, if it is time: no sense in the answers, or no answer for too long."""
        if self.unreadable >= UNREADABLE:
            return Cause.REFUSED
        # An answer that names its own wait is a contact, and a wait beyond our patience needs no waiting.
        patience = LONG_S if established or again.held else FIRST_CONTACT_S
        elapsed = now - (now if self.since is None else self.since)
        return Cause.UNAVAILABLE if elapsed + (again.wait_s or 0.0) > patience else None

    def backoff(self, again: Again, jitter: float, *, longest: float = LONGEST_BACKOFF_S) -> float:
        """Seconds until the next try: the vendor's word, or full jitter growing to 30 s; `jitter` is uniform in 0…1."""
        ceiling = min(longest, BACKOFF_S * 2.0 ** min(self.count, 10))
        own = max(0.1, ceiling * jitter)
        return own if again.wait_s is None else again.wait_s + min(own, 1.0)
