"""How entries and runs end: verdicts that are written down, and runs that are cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from qarunner.engine.decide import attempts
from qarunner.engine.decide.interpret import (
    Rejected,
    ask_again,
    cancel_all_request,
    cancel_request,
    poll_request,
    refusal_of,
    retry_after,
)
from qarunner.engine.decide.outcomes import merge
from qarunner.engine.decide.spending import over_allowance
from qarunner.engine.schedule.queue import Task
from qarunner.engine.schedule.rate_limits import LONGEST_CLEANUP_SILENCE_S, RequestKind
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import FAILURES, JobState, Phase, RunState, reason_of
from qarunner.vendors.api import GOOD, Cause, Outcome, Reply, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.flow.context import RunContext
    from qarunner.entry import Entry


# ---------------------------------------------------------------------------------------------------------------------

# Verdicts: an entry is closed once, when its job has come to its end or its time is up.


class EntryCloser:
    """Writes down the verdicts of entries, and new attempts in their place."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._run = context.run
        self.failure: str | None = next(filter(self._fails, self._run.closed), None)
        """The first entry whose end is one that --fail-fast waits for."""

    def _fails(self, entry: str) -> bool:
        policy = self._run.job_of[entry].entries[entry].policy
        return self._run.fail_fast and policy.gating and self._run.closed[entry].verdict in FAILURES

    def close_job(self, state: JobState) -> None:
        """Closes the open entries of a job that has come to its end, or gives them a new attempt."""
        self._revise(state)
        retried: dict[tuple[ev.RetryReason, ...], list[Entry]] = {}
        for entry in self._run.open_entries(state):
            outcome = self._outcome(state, entry)
            if outcome is None:
                continue
            attempt = attempts.next_attempt(self._run, state, entry) if self._may_have_attempts() else None
            if attempt is None:
                self._close(entry, outcome)
            else:
                wanted, why = attempt
                retried.setdefault(why, []).append(wanted)
        if retried and self._context.mode.may_retry:
            self._try_again(state, retried)
        if not self._run.open_entries(state):
            self._context.finish(state)

    def _revise(self, state: JobState) -> None:
        """A run's later word on an entry that is closed takes a pass away, or is a failure; it never brings a pass."""
        for entry in state.job.entries:
            closed = self._run.closed.get(entry) if self._run.job_of[entry] is state else None
            later = None if closed is None else attempts.outcome_so_far(state, entry)
            if closed is None or later is None:
                continue
            is_failure = later.verdict in FAILURES and closed.verdict not in FAILURES
            if is_failure or (closed.verdict in GOOD and later.verdict not in GOOD):
                self._close(entry, later)

    def _may_have_attempts(self) -> bool:
        """True if a new attempt begins, or is a resume's to begin; else the last attempt decides."""
        mode = self._context.mode
        return self._run.ended is None and (mode.may_retry or mode.leaves_open)

    def _try_again(self, state: JobState, wanted: Mapping[tuple[ev.RetryReason, ...], list[Entry]]) -> None:
        """Writes new attempts down before anything of them leaves; a resume finds them as they are."""
        for why, entries in wanted.items():
            jobs = attempts.attempt_jobs(self._run, self._context.queue(state).vendor, state, entries)
            if isinstance(jobs, str):
                self._close_without_attempt(state, entries, jobs)
                continue
            for job, asked in jobs:
                if (full := over_allowance(self._run, job.vendor, asked)) is not None:
                    self._close_without_attempt(state, asked, full)
                    continue
                for entry_id in job.entries:
                    self._context.deadlines.expired.discard(entry_id)
                at, attempt = self._context.clock.wall(), state.attempt + 1
                event = ev.Reattempted(at=at, of=state.job.id, job=job, entries=asked, attempt=attempt, why=why)
                self._context.record(event)
                self._context.startable.append(self._run.jobs[job.id])

    def _close_without_attempt(self, state: JobState, entries: Iterable[Entry], why: str) -> None:
        for entry in entries:
            outcome = self._outcome(state, entry.id) or merge(())
            message = "; ".join(part for part in (outcome.message, f"no new attempt: {why}") if part)
            self._close(entry.id, replace(outcome, message=message))

    def _outcome(self, state: JobState, entry: str) -> Outcome | None:
        """What the job came to for an entry; None while it goes on."""
        match state.phase:
            case Phase.UNCERTAIN:
                return Outcome(verdict=Verdict.UNKNOWN, cause=Cause.UNCERTAIN, message=state.message)
            case Phase.RUNNING if any(run.polled and entry not in run.settled for run in state.runs.values()):
                return None
            case Phase.RUNNING | Phase.DONE if state.runs or state.outcomes is not None:
                outcome = attempts.outcome_so_far(state, entry) or merge(())
                end = self._context.timed_out.get(entry)
                return outcome if end is None else attempts.timed_out(outcome, end)
            case Phase.DONE:
                return Outcome(verdict=Verdict.ERROR, cause=state.cause, message=state.message)
            case _:
                return None

    def close_entries(self, state: JobState, outcome: Outcome) -> None:
        """Ends all open entries of a job at once, for a reason that is the job's."""
        for entry in self._run.open_entries(state):
            self.close_entry(state, entry, outcome)
        self._context.finish(state)

    def close_entry(self, state: JobState, entry: str, outcome: Outcome) -> None:
        """Ends one entry; a result that was paid for stays in the report."""
        self._close(entry, attempts.outcome_so_far(state, entry, outcome) or outcome)

    def _close(self, entry: str, outcome: Outcome) -> None:
        outcome = attempts.merge_attempts([*attempts.previous_outcomes(self._run, entry), outcome])
        self._context.record(ev.EntryClosed(at=self._context.clock.wall(), entry=entry, outcome=outcome))
        self._context.closed.append(entry)
        if self.failure is None and self._fails(entry):
            self.failure = entry

    # --- a job's end --------------------------------------------------------------------------------------------------

    def give_up(self, state: JobState, run: RunState, outcome: Outcome) -> None:
        """Stops asking for one run; the job's other runs go on."""
        job, name = state.job.id, run.remote.id
        at = self._context.clock.wall()
        self._context.record(ev.RunGivenUp(at=at, job=job, run=name, outcome=outcome, so_far=dict(run.latest)))
        self.close_job(state)

    def leave(self, state: JobState, run: RunState, why: str) -> None:
        """Stops asking for a run that goes on although everything was to end."""
        self.give_up(state, run, Outcome(verdict=Verdict.CANCELLED, message=f"{reason_of(self._run)}; {why}"))

    def uncertain(self, state: JobState, message: str) -> None:
        """A create may or may not have made a run: a person decides, or a resume asks with its key."""
        self._context.record(ev.Uncertain(at=self._context.clock.wall(), job=state.job.id, message=message))
        self.close_job(state)

    def create_failed(self, state: JobState, message: str, cause: Cause) -> None:
        """A create has certainly made no run, and does not leave again."""
        self._context.record(
            ev.CreateFailed(at=self._context.clock.wall(), job=state.job.id, message=message, cause=cause)
        )
        self.close_job(state)
        if cause is Cause.CREDENTIAL:
            # The same key will not be better for the next create; each of them could cost a lock-out.
            for task in self._context.queue(state).drop(RequestKind.CREATE):
                self.end_create(task, message, cause)

    def end_create(self, task: Task, message: str, cause: Cause) -> None:
        """Gives a create up. One that may have made a run is uncertain: a new apply would have another key."""
        if task.may_have_created:
            self.uncertain(task.job, message)
        else:
            self.create_failed(task.job, message, cause)


# ---------------------------------------------------------------------------------------------------------------------

# Cancels: the runs of a job are asked to stop, all at once or each by itself.


CLEANUP_TRIES = 3
"""How often a cancel or a removal is sent at most."""


CLEANUP_PAUSE_S = 1.0


CANCEL_AND_LOOK_S = 10.0
"""Seconds for the cancel of a run whose time was up, and for the read after it."""


GONE = frozenset({404, 409, 410})
"""Replies to a cancel that say that there is nothing to cancel: to ask again would not change it."""


NO_CANCEL = "{vendor} has no call to cancel it: it runs on"


def seconds_to_next_try(context: RunContext, task: Task, answer: Answer) -> float | None:
    """When a cancel or a removal that failed is sent again; None if it is given up, and named."""
    if not ask_again(answer) or task.sends >= CLEANUP_TRIES:
        return None
    named = retry_after(answer, context.clock.wall()) if isinstance(answer, Reply) else None
    longest = LONGEST_CLEANUP_SILENCE_S
    if context.ends_at is not None:
        longest = min(longest, context.ends_at - context.clock.now())
    if named is None or named <= longest:
        return max(CLEANUP_PAUSE_S, named or 0.0)
    # In the last seconds it is tried all the same: what is not cancelled runs on.
    return None if context.mode.bound is None else CLEANUP_PAUSE_S


class CancelHandler:
    """Cancels runs. `refused`: replies to cancel requests that the vendor rejected, by run id."""

    def __init__(self, context: RunContext, closer: EntryCloser) -> None:
        self._context = context
        self._closer = closer
        self._run = context.run
        self.refused: dict[str, Answer] = {}
        self._accepted: set[str] = set()
        """Runs whose cancel the vendor has accepted."""
        self._ends_at: dict[str, float] = {}
        """Jobs whose time was up, and whose runs are cancelled and read once more: until when that is awaited."""

    def put(self, state: JobState, now: float) -> None:
        """Asks the vendor to stop the job's runs, where it can be asked: all at once, or each by itself."""
        live = [run for run in state.runs.values() if run.active]
        remotes = [run.remote for run in live]
        vendor = self._context.queue(state).vendor
        request = cancel_all_request(vendor, self._run.call(state), remotes) if live else None
        if request is None:
            self._put_each(state, live, now)
        else:
            self._put(Task(kind=RequestKind.CANCEL, job=state, request=request), now)

    def _put_each(self, state: JobState, runs: Iterable[RunState], now: float) -> None:
        for run in runs:
            request = cancel_request(self._context.queue(state).vendor, self._run.call(state), run.remote)
            if request is not None:
                self._put(Task(kind=RequestKind.CANCEL, job=state, run=run, request=request), now)

    def _put(self, task: Task, due: float) -> None:
        self._context.cancels[task.job.job.id] += 1
        self._context.queue(task.job).put(task, due)

    def end(self, state: JobState, now: float) -> None:
        """Cancels a job's runs for good. Runs that cannot be cancelled are left, and their entries closed."""
        self.put(state, now)
        if not self._context.cancels[state.job.id]:
            for run in [run for run in state.runs.values() if run.polled]:
                self._closer.leave(state, run, NO_CANCEL.format(vendor=state.job.vendor))
            self._closer.close_job(state)

    def put_expired(self, state: JobState, now: float) -> None:
        """On a resume: the cancel of a run that timed out may not have left."""
        closed = [self._run.closed.get(entry) for entry in state.job.entries]
        if any(outcome is not None and outcome.verdict is Verdict.TIMED_OUT for outcome in closed):
            self.put(state, now)

    def stop_if_late(self, task: Task, now: float, *, hung: bool = False) -> bool:
        """Ends the entries whose time is up, and cancels a run that nothing waits for; true if it is not polled.

        Where runs can be cancelled, their entries are closed after that: what ended meanwhile has a result. `hung`: the
        vendor did not answer the last read, and gets no other one.
        """
        state, name = task.job, task.job.job.id
        if name in self._ends_at:
            if task.is_last_look and task.run is not None and task.run.polled:
                self._give_up_late(state, task.run)
            return True
        still_open = self._run.open_entries(state)
        late = {e: self._time_out(task, e) for e in still_open if e in self._context.deadlines.expired}
        if late and len(late) == len(still_open):
            self.put(state, now)
            if self._context.cancels[name] and not hung:
                self._ends_at[name] = now + self._look_s()
                self._context.timed_out |= late
                for entry in late:
                    self._context.deadlines.set(self._ends_at[name], entry, name)
                return True
            self._context.finish(state)
        for entry, outcome in late.items():
            self._closer.close_entry(state, entry, outcome)
        return not self._run.open_entries(state)

    def may_look_again(self, task: Task, at: float) -> bool:
        """Whether a last look without an answer is repeated: the time of a cancel and its look bounds it."""
        return task.is_last_look and at < self._ends_at.get(task.job.job.id, at)

    def _look_s(self) -> float:
        """How many seconds a cancel and the read after it get before their entries are closed without them."""
        bound = self._context.mode.bound
        return CANCEL_AND_LOOK_S if bound is None else bound / 3

    def _time_out(self, task: Task, entry: str) -> Outcome:
        run = task.run
        note = (run.trouble or run.note) if run else ""
        if self._context.mode.looks_first:
            message = f"still {note!r} when the apply's time was up"
        else:
            timeout_s = task.job.entries[entry].policy.timeout_s
            message = f"no verdict within {timeout_s:g} s" + (f", still {note!r}" if note else "")
        return Outcome(verdict=Verdict.TIMED_OUT, message=message, raw_status=run.raw_status if run else None)

    def is_ending(self, state: JobState) -> bool:
        """True if the job's time was up, and its runs are being cancelled."""
        return state.job.id in self._ends_at

    def end_late(self, state: JobState, now: float) -> None:
        """Closes a job whose cancels and last reads took too long."""
        if now < self._ends_at[state.job.id]:
            return
        for run in [run for run in state.runs.values() if run.polled]:
            self._give_up_late(state, run)

    def _give_up_late(self, state: JobState, run: RunState) -> None:
        """A cancel that was accepted is believed, although the run's status lags behind."""
        at, job, name = self._context.clock.wall(), state.job.id, run.remote.id
        if name in self._accepted:
            self._context.record(ev.RunCancelled(at=at, job=job, run=name, so_far=dict(run.latest)))
            self._closer.close_job(state)
        elif ends := [self._context.timed_out[entry] for entry in self._run.open_entries(state)]:
            self._closer.give_up(state, run, ends[0])

    # --- replies ------------------------------------------------------------------------------------------------------

    def settle(self, task: Task, answer: Answer) -> None:
        """Takes the answer to a cancel; what it says of runs is written down once it is the last one."""
        state, now = task.job, self._context.clock.now()
        done = isinstance(answer, Reply) and answer.ok
        over = isinstance(answer, Reply) and answer.status in GONE
        if not done and not over and (wait := seconds_to_next_try(self._context, task, answer)) is not None:
            self._context.queue(state).put(task, now + wait)
            return
        self._context.cancels[state.job.id] -= 1
        if task.run is not None:
            message = None if done or over else self._words(state, answer)
            if message is not None:
                self.refused[task.run.remote.id] = answer
            # A run whose time was up is read once more: its last status alone has its counts.
            is_read = over or (done and self.is_ending(state))
            if done:
                self._accepted.add(task.run.remote.id)
            self._stopped(state, task.run, message=message, over=is_read, sure=False)
            if message is not None and self.is_ending(state) and task.run.polled:
                self._give_up_late(state, task.run)
        else:
            live = [run for run in state.runs.values() if run.active]
            if not done:
                self._put_each(state, live, now)
                return
            self._accepted.update(run.remote.id for run in live)
            for run in live:  # some may have been over before
                self._stopped(state, run, message=None, over=True, sure=True)
        self._after_cancel(state)

    def _words(self, state: JobState, answer: Answer) -> str:
        vendor = self._context.queue(state).vendor
        return refusal_of(vendor, answer).message if isinstance(answer, Reply) else answer.message

    def _stopped(self, state: JobState, run: RunState, *, message: str | None, over: bool, sure: bool) -> None:
        at, job, name = self._context.clock.wall(), state.job.id, run.remote.id
        event = ev.RunCancelled(at=at, job=job, run=name, message=message, over=over, so_far=dict(run.latest))
        self._context.record(event)
        if over and run.polled and (self._run.open_entries(state) or not sure):
            # What was paid for and is over has a result; what is only said to be over may say itself that it runs.
            self._look(state, run)

    def _look(self, state: JobState, run: RunState) -> None:
        """Reads a run that is over once more, also while the apply stops: its result was paid for."""
        queue = self._context.queue(state)
        request = poll_request(queue.vendor, self._run.call(state), run.remote)
        if not isinstance(request, Rejected):
            queue.put(Task.poll_of(state, run, request, is_last_look=True), self._context.clock.now())

    def _after_cancel(self, state: JobState) -> None:
        if not any(run.polled for run in state.runs.values()):
            self._closer.close_job(state)
        elif not self._context.cancels[state.job.id]:
            self._leave_refused(state)
            self._context.done.append(state)

    def _leave_refused(self, state: JobState) -> None:
        """When everything is to end: a vendor that will not cancel a run, or has no call for it, is not asked again."""
        if self._run.ended is None or self._context.mode.leaves_open:
            return
        for run in [run for run in state.runs.values() if run.polled and not run.ended_remotely]:
            answer = self.refused.get(run.remote.id)
            words = "it cannot be cancelled" if answer is None else f"it could not be: {self._words(state, answer)}"
            self._closer.leave(state, run, f"{words}; it runs on")
