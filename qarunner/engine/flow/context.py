"""What all that carries a run out shares: the run, the queues, the journal, the clock and the mode."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct, field

from qarunner.engine.io.workers import Clock
from qarunner.engine.schedule.queue import Task, VendorQueue
from qarunner.engine.state import events as ev
from qarunner.engine.state.mode import RUNNING, Mode
from qarunner.engine.state.run import JobState, Run, advance
from qarunner.errors import JournalLost
from qarunner.vendors.api import Outcome


class Deadlines:
    """When the time of each entry is up. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, str]] = []
        self._ends: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self.expired: set[str] = set()
        """Entries whose time is up: their run gets one last look."""

    def start(self, job: str, timeouts: Mapping[str, float], now: float) -> None:
        """The first request for a job leaves: the time of its entries is counted, whatever they wait for."""
        if job in self._began:
            return
        self._began[job] = now
        for entry, timeout_s in timeouts.items():
            self.set(now + timeout_s, entry, job)

    def set(self, at: float, entry: str, job: str) -> None:
        self._ends[job] = max(at, self._ends.get(job, at))
        heapq.heappush(self._heap, (at, entry, job))

    def began(self, job: str) -> float | None:
        """When the time of a job's entries began in this process."""
        return self._began.get(job)

    def end_of(self, job: str) -> float | None:
        """When the last of a job's entries has no time left; None if their time has not begun."""
        return self._ends.get(job)

    def next_at(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[tuple[str, str]]:
        """The entries whose time is up by now, each with the job that it was set for."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            _, entry, job = heapq.heappop(self._heap)
            due.append((entry, job))
        return due


class Write(Protocol):
    def __call__(self, *events: ev.Event, wait: bool) -> None:
        """Writes events down and applies them to the run; JournalLost, and nothing applied, if it cannot.

        `wait`: returns when they are on disk, and all that was written before.
        """
        ...


class RunContext(Struct, kw_only=True):
    """`sync` waits until what was written down is on disk; JournalLost if that cannot be.

    `ends_at` is the monotonic time at which the engine stops, whatever comes.
    """

    run: Run
    queues: Mapping[str, VendorQueue]
    write: Write
    sync: Callable[[], None]
    clock: Clock
    jitter: Callable[[], float]
    """Uniform in 0…1."""
    mode: Mode = RUNNING
    ends_at: float | None = None
    detach_on_interrupt: bool = False
    """True if an interruption leaves the runs to a resume (`--on-interrupt detach`)."""
    lost: JournalLost | None = None
    """Why nothing can be written down any more."""
    deadlines: Deadlines = field(default_factory=Deadlines)
    flying: dict[int, Task] = field(default_factory=dict)
    """Requests without an answer, by the number that the pool knows them by."""
    cancels: Counter[str] = field(default_factory=Counter)
    """Cancels that are due or without an answer, by job."""
    timed_out: dict[str, Outcome] = field(default_factory=dict)
    """Entries whose time was up, and whose runs are being cancelled: what their tests without a result end with."""
    closed: deque[str] = field(default_factory=deque)
    """Entries that got their verdict; others may wait for them."""
    created: deque[JobState] = field(default_factory=deque)
    """Jobs whose create was accepted."""
    startable: deque[JobState] = field(default_factory=deque)
    """Jobs to look at again: a new attempt, or one whose resource is there."""
    done: deque[JobState] = field(default_factory=deque)
    """Jobs that nothing waits for any more; what was made for them may go."""

    def record(self, *events: ev.Event) -> bool:
        """Writes events down before anybody acts on them: all, or not one.

        They are on disk before anything leaves, and before the next wait; those before a request at once.
        Once the journal is lost, the run still notes what happens, so that the screen shows it; but what is about to
        leave must not: false then.
        """
        is_beginning = isinstance(events[0], ev.BEFORE_A_REQUEST)
        if self._succeeds(lambda: self.write(*events, wait=is_beginning)):
            return True
        if not is_beginning:
            for event in events:
                advance(self.run, event)
        return False

    def settle(self) -> None:
        """Waits until all that was recorded is on disk: one wait stands for a whole pass of the loop."""
        self._succeeds(self.sync)

    def _succeeds(self, write: Callable[[], None]) -> bool:
        if self.lost is None:
            try:
                write()
            except JournalLost as error:
                self.lost = error
        return self.lost is None

    def queue(self, state: JobState) -> VendorQueue:
        return self.queues[state.job.vendor]

    @property
    def may_cancel(self) -> bool:
        """False if the runs are a resume's."""
        return not (self.detach_on_interrupt and self.mode.cancels and self.mode.leaves_open)

    def start_clock(self, state: JobState) -> None:
        """A request leaves without which the job's entries get no verdict."""
        timeouts = {entry: state.entries[entry].policy.timeout_s for entry in self.run.open_entries(state)}
        self.deadlines.start(state.job.id, timeouts, self.clock.now())

    def finish(self, state: JobState) -> None:
        """A job has come to its end: nothing waits for it, and another one may take its place."""
        self.queue(state).busy_jobs.discard(state.job.id)
        self.done.append(state)
