"""How a run stops: one mode for all that carry it out. Callers ask what it allows, and never compare modes."""

from __future__ import annotations

from msgspec import Struct

END_S = 6.0
"""Seconds for cancels and last looks. GitHub sends SIGTERM 7.5 s after SIGINT, and reports come afterwards."""


class Mode(Struct, frozen=True, kw_only=True):
    """What an apply may still do. A stronger mode is never left for a weaker one.

    `bound` is the seconds until the end, whatever vendors do; with None, `--timeout` alone ends it.
    """

    strength: int
    may_begin: bool = False
    """True if a first create, upload or environment may leave."""
    may_retry: bool = False
    """True if a request may be repeated, and if an entry may get a new attempt."""
    may_clear_doubts: bool = False
    """True if a create that may have made a run is sent again with its key: its reply says what there is to cancel."""
    waits_for_reads: bool = False
    """True if runs are polled until they are over."""
    cancels: bool = True
    """True if runs are cancelled and environments removed, as far as vendors allow it."""
    looks_first: bool = False
    """True if a run gets one last look before it is cancelled."""
    leaves_open: bool = False
    """True if an entry without a verdict stays open for a resume."""
    bound: float | None = None

    def outranks(self, other: Mode) -> bool:
        return self.strength > other.strength


RUNNING = Mode(strength=0, may_begin=True, may_retry=True, may_clear_doubts=True, waits_for_reads=True, cancels=False)
DETACHING = Mode(strength=1, may_begin=True, may_retry=True, may_clear_doubts=True, cancels=False, leaves_open=True)
"""`--detach`: every create is awaited, and no run."""
DEADLINE = Mode(strength=2, looks_first=True, bound=END_S)
"""`--timeout` is up."""
ENDED = Mode(strength=3, may_clear_doubts=True)
"""`--fail-fast` found a failure, or a person said `qarunner cancel`."""
INTERRUPTED = Mode(strength=4, leaves_open=True, bound=END_S)
"""A signal came."""
