"""The one loop: it owns all state, decides nothing that the machine can decide, and writes before it acts.

Everything that touches the world is a parameter, so that a simulation runs this same code in virtual time.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.engine.flow.polls import Settler
from qarunner.engine.flow.shutdown import Ending
from qarunner.engine.schedule.queue import FIRST, Lane
from qarunner.engine.schedule.rate_limits import Kind
from qarunner.engine.schedule.timing import Habits, Rhythm
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase
from qarunner.vendors.api import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.workers import Clock, Pool
    from qarunner.engine.schedule.queue import Task
    from qarunner.engine.schedule.rate_limits import Shared
    from qarunner.engine.state.run import Run
    from qarunner.vendors.api import Vendor


INTERRUPT_S = 7.0
"""How long an interrupted apply may take: GitHub follows SIGINT with SIGTERM after 7.5 seconds."""


LAST_LOOK_S = 5.0
"""A last look that the rates would hold up longer than this is not taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says of an apply; durations are seconds."""

    poll_interval_s: float | None = None
    timeout_s: float | None = None
    detach_on_interrupt: bool = False
    detach: bool = False
    """Stop when every create is on disk."""


class Engine:
    """Carries a run to its end, or to an interruption. `record` stores an event before it is acted upon."""

    def __init__(  # noqa: PLR0913  one engine, by name
        self,
        *,
        run: Run,
        vendors: Mapping[str, Vendor],
        record: Callable[[ev.Event], None],
        pool: Pool,
        clock: Clock,
        options: Options,
        jitter: Callable[[], float],
        habits: Habits | None = None,
        shared: Mapping[str, Shared] | None = None,
    ) -> None:
        self._run = run
        self._record = record
        self._pool = pool
        self._clock = clock
        self._options = options
        self._lanes = {
            name: Lane(
                vendors[name],
                plan,
                Rhythm.of(plan, vendors[name].info.pacing, options.poll_interval_s),
                (shared or {}).get(name),
            )
            for name, plan in run.plan.vendors.items()
        }
        self._settler = Settler(run, self._lanes, record, clock, jitter, habits or Habits(run.plan, {}))
        self._ending = Ending(run, self._lanes, self._settler, record, clock)
        self._flying: dict[int, Task] = {}
        self._tokens = 0
        self._ends_at: float | None = None
        self._signal: int | None = None
        self._stops_at: float | None = None
        self._gives_up_at: float | None = None

    # --- the loop -----------------------------------------------------------------------------------------------------

    def drive(self) -> None:
        """Returns when every entry is closed, or when an interruption has done what it could."""
        now = self._clock.now()
        if self._options.timeout_s is not None:
            self._ends_at = now + self._options.timeout_s
        if self._run.ended is not None:
            self._ending.resume()
        else:
            for state in list(self._run.jobs.values()):
                self._settler.begin(state, now)
        self._proceed()
        while not self._over():
            now = self._clock.now()
            self._heed_signal(now)
            self._heed_deadlines(now)
            self._proceed()
            self._dispatch(now)
            if self._over():
                break
            for token, answer in self._pool.wait(self._pause(self._clock.now())):
                self._settler.settle(self._flying.pop(token), answer)
            self._proceed()
        for task in self._flying.values():
            if task.kind is Kind.CREATE:
                self._settler.creator.unanswered(task.job)
        self._ending.sweep()

    def _proceed(self) -> None:
        """What follows from entries that were closed."""
        self._ending.heed()
        self._settler.order.proceed()

    def interrupt(self, signal: int) -> None:
        """Asks the loop to stop; safe in a signal handler."""
        self._signal = signal
        self._pool.wake()

    @property
    def uncancelled(self) -> Mapping[str, Answer]:
        """The answers to cancels that were refused, by the run's id at the vendor."""
        return self._settler.closer.refused

    def _over(self) -> bool:
        if self._detached():
            return True
        if self._stops_at is None:
            if any(lane.pending() for lane in self._lanes.values()):
                return False
            hung = self._gives_up_at is not None and self._clock.now() >= self._gives_up_at
            return hung or not any(self._awaited(task) for task in self._flying.values())
        wanted = any(_matters(task) for task in self._flying.values())
        wanted = wanted or any(lane.pending(Kind.CANCEL, Kind.RELEASE, Kind.READ) for lane in self._lanes.values())
        return not wanted or self._clock.now() >= self._stops_at

    def _detached(self) -> bool:
        """Whether nothing is left to do but to wait for runs, and nobody wants to."""
        if not self._options.detach or self._stops_at is not None or self._settler.closer.final:
            return False
        pending = any(lane.pending(*_NOT_READ) for lane in self._lanes.values())
        return not pending and all(task.kind is Kind.READ for task in self._flying.values())

    def _awaited(self, task: Task) -> bool:
        """Whether an answer can still change anything: a read of a run that nobody follows any more cannot."""
        return task.kind is not Kind.READ or task.last or bool(self._run.open_entries(task.job))

    def _pause(self, now: float) -> float | None:
        """Seconds until something is due; None if only an answer can bring more."""
        if self._stops_at is not None:  # no other time is heeded any more
            times = [self._stops_at]
        else:
            times = [self._settler.deadlines[0][0]] if self._settler.deadlines else []
            times += [self._ends_at] if self._ends_at is not None else []
            times += [self._gives_up_at] if self._gives_up_at is not None and self._gives_up_at > now else []
        if self._pool.free() > 0:
            times += [at for lane in self._lanes.values() if (at := lane.due_at(now)) is not None]
        return max(0.0, min(times) - now) if times else None

    def _dispatch(self, now: float) -> None:
        for lane in self._lanes.values():
            while self._pool.free() > 0 and (task := lane.take(now)) is not None:
                self._send(lane, task)

    def _send(self, lane: Lane, task: Task) -> None:
        key = None
        if task.kind is Kind.CREATE:
            key = self._settler.creator.submitting(lane, task)
        self._tokens += 1
        task.sends += 1
        self._flying[self._tokens] = task
        # A kept connection that the vendor closes just now would lose a create's answer for nothing.
        fresh = (task.kind is Kind.CREATE and key is None) or self._settler.preparer.leaving(task)
        self._pool.start(self._tokens, task.job.job.vendor, task.request, key=key, fresh=fresh)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _heed_deadlines(self, now: float) -> None:
        if self._stops_at is not None:
            return
        if self._ends_at is not None and now >= self._ends_at:
            self._ends_at = None
            self._close_down(now)
        due = []
        while self._settler.deadlines and self._settler.deadlines[0][0] <= now:
            _, entry, job = heapq.heappop(self._settler.deadlines)
            if entry not in self._run.closed and self._run.job_of[entry].job.id == job:
                due.append(entry)
        expired = self._settler.closer.expired
        looked, first = [e for e in due if e in expired], [e for e in due if e not in expired]
        self._expire(first, now)
        self._end_looks(looked, now)

    def _end_looks(self, entries: list[str], now: float) -> None:
        """Ends last looks that got no answer: a vendor that hangs does not hold an entry beyond its time."""
        jobs = {self._run.job_of[entry].job.id for entry in entries}
        hung = [task for task in self._flying.values() if task.kind is Kind.READ and task.job.job.id in jobs]
        for job in jobs:
            lane = self._lanes[self._run.jobs[job].job.vendor]
            for task in lane.reads_of(self._run.jobs[job]):
                lane.remove(task)
                hung.append(task)
        for task in hung:
            self._settler.closer.time_is_up(task, now)

    def _close_down(self, now: float) -> None:
        """The whole apply's time is up: nothing new begins, and what runs gets a last look."""
        self._settler.closer.closing = True
        self._gives_up_at = now + INTERRUPT_S
        dropped = [task for lane in self._lanes.values() for task in lane.drop(Kind.CREATE, Kind.SETUP, Kind.UPLOAD)]
        waiting = [state for state in self._run.jobs.values() if state.phase is Phase.WAITING]
        for task in dropped:
            if task.maybe:
                self._settler.creator.uncertain(task.job, task.job.message or "the vendor's answer was lost")
        for state in [*waiting, *(task.job for task in dropped)]:
            why = f": {state.message}" if state.message else ""
            message = f"the apply's time was up before it could begin{why}"
            self._settler.closer.close_entries(state, Outcome(verdict=Verdict.TIMED_OUT, message=message))
        running = [state for state in self._run.jobs.values() if state.phase is Phase.RUNNING]
        self._expire([entry for state in running for entry in self._run.open_entries(state)], now)

    def _expire(self, entries: list[str], now: float) -> None:
        """Takes a last look at runs whose entries' time is up, unless the rates would hold it up."""
        self._settler.closer.expired.update(entries)
        for job in dict.fromkeys(self._run.job_of[entry].job.id for entry in entries):
            state = self._run.jobs[job]
            lane = self._lanes[state.job.vendor]
            held_up = lane.pacer.ready_at(Kind.READ, now) > now + LAST_LOOK_S
            for task in lane.reads_of(state):
                lane.remove(task)
                task.urgency = FIRST
                if not (held_up and self._settler.closer.time_is_up(task, now)):
                    lane.put(task, now)
        for entry in entries:
            heapq.heappush(self._settler.deadlines, (now + LAST_LOOK_S, entry, self._run.job_of[entry].job.id))

    def _heed_signal(self, now: float) -> None:
        if self._signal is None or self._stops_at is not None:
            return
        self._stops_at = now + INTERRUPT_S
        self._settler.stop(leave=self._options.detach_on_interrupt)
        self._record(ev.Interrupted(at=self._clock.wall(), signal=self._signal))
        for lane in self._lanes.values():
            lane.pacer.end_by(self._stops_at)
            for task in lane.drop(Kind.CREATE, Kind.READ, Kind.SETUP, Kind.UPLOAD):
                if task.maybe:
                    self._settler.creator.uncertain(task.job, task.job.message or "the vendor's answer was lost")
        if not self._options.detach_on_interrupt:
            for state in self._run.jobs.values():
                self._settler.end(state, now)


_NOT_READ = tuple(kind for kind in Kind if kind is not Kind.READ)


def _matters(task: Task) -> bool:
    """Whether an interrupted apply waits for an answer: it may tell of something that has to be ended."""
    return task.last or task.kind not in {Kind.READ, Kind.UPLOAD}
