"""The modes in which a whole run stops: a signal, `--timeout`, `--fail-fast`, or a person's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qarunner.engine.decide.interpret import cancel_request
from qarunner.engine.schedule.queue import FIRST, Task
from qarunner.engine.schedule.rate_limits import RequestKind
from qarunner.engine.state import events as ev
from qarunner.engine.state.mode import DEADLINE, END_S, ENDED, INTERRUPTED, Mode
from qarunner.engine.state.run import JobState, Phase, ResourceStatus, Run, RunState, reason_of
from qarunner.vendors.api import Cause, Outcome, ResourceKind, Vendor, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qarunner.engine.flow.closing import CancelHandler, EntryCloser
    from qarunner.engine.flow.context import RunContext
    from qarunner.engine.flow.creates import CreateHandler
    from qarunner.engine.flow.polls import PollHandler
    from qarunner.engine.flow.resources import ResourceHandler


AFTERWARDS_S = 60.0
"""Seconds for cancels and removals once every entry has its verdict, and for vendors that answer nothing when a run is
cancelled for good. What is not ended by then is named."""


LAST_LOOK_S = 5.0
"""A last look that the rates would hold up longer than this is not taken."""


BEGINNINGS = (RequestKind.CREATE, RequestKind.SETUP, RequestKind.UPLOAD)


_NOT_BEGUN_IN_TIME = Outcome(verdict=Verdict.TIMED_OUT, message="the apply's time was up before it could begin")


_NOT_BEGUN = {ev.Reason.FAIL_FAST: Verdict.SKIPPED, ev.Reason.CANCELLED: Verdict.CANCELLED}


class Shutdown:
    """Changes the mode, and does what each mode asks for. `timeout_s` is that of the whole apply."""

    def __init__(
        self,
        context: RunContext,
        *,
        closer: EntryCloser,
        cancels: CancelHandler,
        creates: CreateHandler,
        polls: PollHandler,
        resources: ResourceHandler,
        timeout_s: float | None,
    ) -> None:
        self._context = context
        self._run = context.run
        self._closer = closer
        self._cancels = cancels
        self._creates = creates
        self._polls = polls
        self._resources = resources
        self._times_out_at = None if timeout_s is None else context.clock.now() + timeout_s
        self._signal: int | None = None

    def interrupt(self, signal: int) -> None:
        """Asks for an end; safe in a signal handler."""
        self._signal = signal

    @property
    def must_stop(self) -> bool:
        """True if the journal was lost, and what runs is not cancelled yet."""
        return self._context.lost is not None and INTERRUPTED.outranks(self._context.mode)

    def next_at(self) -> float | None:
        """The next time at which something ends; None if there is none."""
        if self.must_stop:
            return self._context.clock.now()
        times = [self._times_out_at, self._context.ends_at, self._silent_until()]
        if self._heeds_deadlines():
            times.append(self._context.deadlines.next_at())
        return min((at for at in times if at is not None), default=None)

    def heed(self, now: float) -> None:
        """Looks whether something has to end: a signal came, or time is up."""
        if self.must_stop:
            # No resume will find these runs: whatever --on-interrupt says, what can be cancelled is.
            self._context.detach_on_interrupt = False
            self._stop(now)
        elif self._signal is not None and INTERRUPTED.outranks(self._context.mode):
            self._stop(now, ev.Interrupted(at=self._context.clock.wall(), signal=self._signal))
        if self._times_out_at is not None and now >= self._times_out_at:
            self._times_out_at = None
            if DEADLINE.outranks(self._context.mode):
                self._time_out(now)
            else:
                self._set_end(now + END_S)
        if self._heeds_deadlines():
            self._heed_deadlines(now)
        if self._run.complete and self._context.ends_at is None:
            self._set_end(now + AFTERWARDS_S)
        if (until := self._silent_until()) is not None and now >= until:
            self._set_end(now)

    def _silent_until(self) -> float | None:
        """When cancels for good are not waited for any longer, as no vendor answers; None while one of them may.

        A create under way has a limit of its own: its answer alone tells what there is to cancel.
        """
        context = self._context
        if not context.mode.cancels or context.mode.bound is not None or context.ends_at is not None:
            return None
        flying = {task.job.job.vendor for task in context.flying.values()}
        since = [queue.silent_since for name, queue in context.queues.items() if name in flying or queue.pending()]
        if any(task.kind is RequestKind.CREATE for task in context.flying.values()) or not since or None in since:
            return None
        return max(at for at in since if at is not None) + AFTERWARDS_S

    def _enter(self, mode: Mode, now: float) -> None:
        self._context.mode = mode
        if mode.bound is not None:
            self._set_end(now + mode.bound)

    def _set_end(self, at: float) -> None:
        """No later than that; an earlier end stays."""
        if self._context.ends_at is not None:
            at = min(at, self._context.ends_at)
        self._context.ends_at = at
        for queue in self._context.queues.values():
            queue.limiter.stop_waiting_at(at)

    def _drop(self, *kinds: RequestKind) -> list[Task]:
        return [task for queue in self._context.queues.values() for task in queue.drop(*kinds)]

    def _give_up_doubts(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            if task.may_have_created:
                self._closer.uncertain(task.job, task.job.message or ev.ANSWER_LOST)

    # --- a signal -----------------------------------------------------------------------------------------------------

    def _stop(self, now: float, event: ev.Interrupted | None = None) -> None:
        self._enter(INTERRUPTED, now)
        if event is not None:
            self._context.record(event)
        self._polls.end_details()
        self._give_up_doubts(self._drop(*BEGINNINGS, RequestKind.READ))
        if self._context.may_cancel:
            for state in self._run.jobs.values():
                if not self._context.cancels[state.job.id]:  # one is under way already
                    self._cancels.put(state, now)
                self._context.done.append(state)

    # --- time is up ---------------------------------------------------------------------------------------------------

    def _heeds_deadlines(self) -> bool:
        mode = self._context.mode
        return mode.looks_first or not mode.cancels

    def _heed_deadlines(self, now: float) -> None:
        running, looked = [], []
        for entry, job in self._context.deadlines.pop_due(now):
            state = self._run.job_of[entry]
            if entry in self._run.closed or state.job.id != job:
                continue
            if state.phase is Phase.DONE:  # it waits for details alone
                self._closer.close_job(state)
            elif state.phase is not Phase.RUNNING:
                self._context.deadlines.expired.add(entry)
                self._end_unstarted(state)
            elif entry in self._context.deadlines.expired:
                looked.append(entry)
            else:
                running.append(entry)
        self._expire(running, now)
        self._end_looks(looked, now)

    def _end_unstarted(self, state: JobState) -> None:
        """Ends entries whose create was not taken in time. One that is under way has a limit of its own."""
        if any(task.kind is RequestKind.CREATE and task.job is state for task in self._context.flying.values()):
            return
        still_open = self._run.open_entries(state)
        expired = [entry for entry in still_open if entry in self._context.deadlines.expired]
        if expired == still_open and self._creates.end_overdue(state):
            return
        outcome = self._creates.overdue(state) or self._resources.overdue(state) or _NOT_BEGUN_IN_TIME
        if expired == still_open:
            self._closer.close_entries(state, outcome)
            return
        for entry in expired:
            self._closer.close_entry(state, entry, outcome)

    def _expire(self, entries: list[str], now: float) -> None:
        """Takes a last look at runs whose entries' time is up, unless the rates would hold it up."""
        deadlines, bound = self._context.deadlines, self._context.mode.bound
        look_s = LAST_LOOK_S if bound is None else bound / 3  # the rest is for cancels
        deadlines.expired.update(entries)
        for job in dict.fromkeys(self._run.job_of[entry].job.id for entry in entries):
            state = self._run.jobs[job]
            queue = self._context.queue(state)
            held_up = queue.limiter.ready_at(RequestKind.READ, now, is_last=True) > now + look_s
            for task in queue.reads.of(state):
                if task.details_end_at is not None:
                    continue
                queue.remove(task)
                task.urgency, task.breaks_silence = FIRST, True
                if not (held_up and self._cancels.stop_if_late(task, now)):
                    queue.put(task, now)
        for entry in entries:
            deadlines.set(now + look_s, entry, self._run.job_of[entry].job.id)

    def _end_looks(self, entries: list[str], now: float) -> None:
        """Ends last looks that got no answer: a vendor that hangs does not hold an entry beyond its time."""
        jobs = set[str]()
        for state in {self._run.job_of[entry].job.id: self._run.job_of[entry] for entry in entries}.values():
            if self._cancels.is_ending(state):
                self._cancels.end_late(state, now)
            else:
                jobs.add(state.job.id)
        hung = [
            task
            for task in self._context.flying.values()
            if task.kind is RequestKind.READ and task.job.job.id in jobs and task.details_end_at is None
        ]
        for job in jobs:
            queue = self._context.queue(self._run.jobs[job])
            for task in queue.reads.of(self._run.jobs[job]):
                if task.details_end_at is None:
                    queue.remove(task)
                    hung.append(task)
        for task in hung:
            self._cancels.stop_if_late(task, now, hung=True)

    def _time_out(self, now: float) -> None:
        """The whole apply's time is up: nothing new begins, and what runs gets a last look."""
        self._enter(DEADLINE, now)
        self._polls.end_details()
        creates = {task.job.job.id: task for task in self._drop(*BEGINNINGS) if task.kind is RequestKind.CREATE}
        for state in list(self._run.jobs.values()):
            create = creates.get(state.job.id)
            if create is not None and (state.message is not None or create.may_have_created):
                message = f"the apply's time was up: {state.message or ev.ANSWER_LOST}"
                self._closer.end_create(create, message, Cause.UNAVAILABLE)
            elif state.phase is Phase.WAITING:
                self._closer.close_entries(state, self._resources.overdue(state) or _NOT_BEGUN_IN_TIME)
        running = [state for state in self._run.jobs.values() if state.phase is Phase.RUNNING]
        self._expire([entry for state in running for entry in self._run.open_entries(state)], now)

    # --- a failure under --fail-fast, or a person's word --------------------------------------------------------------

    def heed_failure(self) -> None:
        """Ends the run after its first gating failure, if it was started with --fail-fast."""
        entry = self._closer.failure
        if entry is None or self._run.ended is not None or not self._context.mode.may_begin:
            return
        self._context.record(ev.RunStopped(at=self._context.clock.wall(), reason=ev.Reason.FAIL_FAST, entry=entry))
        now = self._context.clock.now()
        unsure = [task for task in self._drop(*BEGINNINGS) if task.may_have_created]
        self._end_all(now)
        for task in unsure:  # only its answer can tell whether there is something to cancel
            self._context.queue(task.job).put(task, now)

    def resume_ended(self) -> None:
        """Where a process enters that finds the run ended."""
        self._end_all(self._context.clock.now())
        for state in list(self._run.jobs.values()):
            if state.phase is Phase.SUBMITTING:
                self._clear_doubt(state)
            elif not self._run.open_entries(state):
                self._context.done.append(state)

    def _clear_doubt(self, state: JobState) -> None:
        """Finds out about a create whose answer was lost, where a key makes that safe and its run can be cancelled."""
        info = self._context.queue(state).vendor.info
        there = all(resource.phase is ResourceStatus.READY for resource in self._resources.of(state))
        if state.key is not None and info.capabilities.cancel and there:
            self._creates.start(state)
        else:
            self._creates.unanswered(state)

    def _end_all(self, now: float) -> None:
        """Ends every job; of those under way, the answers to their cancels close the entries."""
        self._enter(ENDED, now)
        self._polls.end_details()
        self._drop(RequestKind.READ)
        for state in list(self._run.jobs.values()):
            self._end_job(state, now)

    def _end_job(self, state: JobState, now: float) -> None:
        match state.phase:
            case Phase.WAITING if self._run.ended is not None:
                verdict = _NOT_BEGUN[self._run.ended.reason]
                message = f"never begun: {reason_of(self._run)}"
                self._closer.close_entries(state, Outcome(verdict=verdict, message=message))
            case Phase.RUNNING:
                self._cancels.end(state, now)
            case Phase.DONE | Phase.UNCERTAIN:
                self._closer.close_job(state)
            case _:  # its answer is still to come
                pass

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def on_created(self, state: JobState, now: float) -> None:
        """A create was accepted: its runs are polled, looked at once, or cancelled at once."""
        mode = self._context.mode
        if not mode.cancels:
            self._polls.follow(state, now)
            late = [entry for entry in self._run.open_entries(state) if entry in self._context.deadlines.expired]
            self._expire(late, now)
        elif mode.looks_first:
            self._polls.look(state, now)
            self._expire(self._run.open_entries(state), now)
        elif not mode.leaves_open:
            self._cancels.end(state, now)
        elif self._context.may_cancel:
            self._cancels.put(state, now)

    def sweep(self) -> None:
        """Closes what is open still when no answer is waited for any more."""
        for task in self._context.flying.values():
            if task.kind is RequestKind.CREATE:
                self._creates.unanswered(task.job)
        mode = self._context.mode
        if not mode.cancels or mode.leaves_open:
            return
        self._give_up_doubts(self._drop(RequestKind.CREATE))
        for state in list(self._run.jobs.values()):
            if self._run.open_entries(state) and state.phase is not Phase.SUBMITTING:
                self._closer.close_entries(state, self._unfinished())

    def _unfinished(self) -> Outcome:
        if self._run.ended is not None:
            return Outcome(verdict=Verdict.CANCELLED, message=reason_of(self._run))
        return Outcome(verdict=Verdict.TIMED_OUT, message="no verdict when the apply's time was up")


def vendors_to_contact(run: Run, vendors: Mapping[str, Vendor], *, for_: Literal["resume", "cancel"]) -> set[str]:
    """The vendors that a resume or a cancel talks to; empty if it has nothing to ask."""
    names = set[str]()
    late = {entry for entry, outcome in run.closed.items() if outcome.verdict is Verdict.TIMED_OUT}
    for state, _ in cancellable(run, vendors):
        if for_ == "cancel" or run.ended is not None or late.intersection(state.job.entries):
            names.add(state.job.vendor)
    if for_ == "resume":
        names |= {run.job_of[entry].job.vendor for entry in run.job_of if entry not in run.closed}
    else:
        names |= {state.job.vendor for state in run.jobs.values() if _is_in_doubt(state)}
    return names | _with_environments(run)


def cancellable(run: Run, vendors: Mapping[str, Vendor]) -> Iterator[tuple[JobState, RunState]]:
    """Runs that may go on at a vendor which has a call to stop them."""
    for state, remote in run.active_runs():
        if cancel_request(vendors[state.job.vendor], run.call(state), remote.remote) is not None:
            yield state, remote


def _is_in_doubt(state: JobState) -> bool:
    return state.key is not None and state.phase in {Phase.SUBMITTING, Phase.UNCERTAIN}


def _with_environments(run: Run) -> set[str]:
    """Vendors of environments that are, or may be, there."""
    return {
        state.resource.vendor
        for state in run.resources.values()
        if state.resource.kind is ResourceKind.ENVIRONMENT and state.exists
    }
