"""Which vendors a run has still business with: only their credentials are needed to go on with it, or to cancel it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.engine.decide import attempts
from qarunner.engine.decide.interpret import ask_again, cancel_all_request, cancel_request, refusal_of
from qarunner.engine.decide.outcomes import merge
from qarunner.engine.schedule.queue import Task
from qarunner.engine.schedule.rate_limits import Kind
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Making, Phase, reason_of
from qarunner.vendors.api import Cause, Outcome, Reply, ResourceKind, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.flow.polls import Settler
    from qarunner.engine.io.workers import Clock
    from qarunner.engine.schedule.queue import Lane
    from qarunner.engine.state.run import JobState, Run, RunState
    from qarunner.entry import Entry
    from qarunner.vendors.api import Call, Vendor


# ---------------------------------------------------------------------------------------------------------------------

# How entries and runs end: verdicts written down, time that is up, cancels, and what is removed afterwards.


CANCEL_TRIES = 3


_FAILURES = frozenset({Verdict.FAILED, Verdict.BLOCKED})


OVER = frozenset({404, 409, 410})
"""Answers to a cancel that say that there is nothing to cancel: asking again would not change it."""


class Closer:
    """Ends what has to end. `job_over` is told of a job of which no entry is open any more, `again` of a new attempt.

    `look` asks for what a run that is over says. `expired` are the entries whose time is up; `closing`: the time of the
    whole apply is; `stopping`: an interruption leaves open what only a new attempt could close. `news` are entries that
    were closed, for whoever waits for them. `ended` is why everything ends; `failure` the entry that --fail-fast waits
    for, and `refused` are answers to cancels that were none.
    """

    def __init__(
        self,
        run: Run,
        lanes: Mapping[str, Lane],
        record: Callable[[ev.Event], None],
        clock: Clock,
        job_over: Callable[[JobState], None],
        look: Callable[[JobState, RunState], None],
        again: Callable[[JobState], None],
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._record = record
        self._clock = clock
        self._job_over = job_over
        self._look = look
        self._again = again
        self.expired: set[str] = set()
        self.closing = False
        self._cancels: Counter[str] = Counter()
        self.stopping = False
        self.ended: str | None = None
        self.failure: str | None = next(filter(self._fails, run.closed), None)
        self.refused: dict[str, Answer] = {}
        self.news: deque[str] = deque()

    @property
    def final(self) -> bool:
        """Whether nothing begins any more, not even a new attempt."""
        return self.closing or self.ended is not None

    def _fails(self, entry: str) -> bool:
        """Whether an entry's end is one that --fail-fast waits for."""
        policy = self._run.job_of[entry].entries[entry].policy
        return self._run.fail_fast and policy.gating and self._run.closed[entry].verdict in _FAILURES

    def _lane(self, state: JobState) -> Lane:
        return self._lanes[state.job.vendor]

    def _call(self, state: JobState) -> Call:
        return self._run.call(state)

    def close_job(self, state: JobState) -> None:
        """Closes the open entries of a job that has come to its end, or gives them a new attempt."""
        tried_again: dict[tuple[ev.Why, ...], list[Entry]] = {}
        for entry in self._run.open_entries(state):
            outcome = self._final(state, entry)
            found = attempts.again(self._run, state, entry) if outcome is not None and not self.final else None
            if found is not None:
                wanted, why = found
                tried_again.setdefault(why, []).append(wanted)
            elif outcome is not None:
                self._close(entry, outcome)
        if tried_again and not self.stopping:
            self._try_again(state, tried_again)
        if not self._run.open_entries(state):
            self._over(state)

    def _try_again(self, state: JobState, wanted: Mapping[tuple[ev.Why, ...], list[Entry]]) -> None:
        """Writes new attempts down before anything of them leaves; a resume finds them as they are."""
        for why, entries in wanted.items():
            jobs = attempts.attempt_jobs(self._run, self._lane(state).vendor, state, entries)
            if isinstance(jobs, str):
                for entry in entries:
                    outcome = self._final(state, entry.id) or merge(())
                    told = "; ".join(part for part in (outcome.message, f"no new attempt: {jobs}") if part)
                    self._close(entry.id, replace(outcome, message=told))
                continue
            for job, own in jobs:
                self.expired.difference_update(job.entries)
                at, attempt = self._clock.wall(), state.attempt + 1
                event = ev.Reattempted(at=at, of=state.job.id, job=job, entries=own, attempt=attempt, why=why)
                self._record(event)
                self._again(self._run.jobs[job.id])

    def _over(self, state: JobState) -> None:
        self._lane(state).busy_jobs.discard(state.job.id)
        self._job_over(state)

    def _final(self, state: JobState, entry: str) -> Outcome | None:
        match state.phase:
            case Phase.UNCERTAIN:
                return Outcome(verdict=Verdict.UNKNOWN, cause=Cause.UNCERTAIN, message=state.message)
            case Phase.RUNNING if any(run.followed for run in state.runs.values()):
                return None
            case Phase.RUNNING | Phase.DONE if state.runs or state.outcomes is not None:
                return attempts.told(state, entry) or merge(())
            case Phase.DONE:
                return Outcome(verdict=Verdict.ERROR, cause=state.cause, message=state.message)
            case _:
                return None

    def give_up(self, state: JobState, run: RunState, outcome: Outcome) -> None:
        """Stops asking for one run; the job's other runs go on."""
        job, name = state.job.id, run.remote.id
        self._record(ev.RunGivenUp(at=self._clock.wall(), job=job, run=name, outcome=outcome))
        self.close_job(state)

    def leave(self, state: JobState, run: RunState, why: str) -> None:
        """Stops asking for a run that goes on although everything was to end."""
        self.give_up(state, run, Outcome(verdict=Verdict.CANCELLED, message=f"{self.ended}; {why}"))

    def close_entries(self, state: JobState, outcome: Outcome) -> None:
        """Ends all of a job's entries at once, for a reason that is the job's."""
        for entry in self._run.open_entries(state):
            self._close(entry, attempts.told(state, entry, outcome) or outcome)
        self._over(state)

    def _close(self, entry: str, outcome: Outcome) -> None:
        outcome = attempts.combine([*attempts.earlier(self._run, entry), outcome])
        self._record(ev.EntryClosed(at=self._clock.wall(), entry=entry, outcome=outcome))
        self.news.append(entry)
        if self.failure is None and self._fails(entry):
            self.failure = entry

    def time_is_up(self, task: Task, now: float) -> bool:
        """Closes the entries whose time is up; true if the run is not asked again."""
        state = task.job
        late = [entry for entry in self._run.open_entries(state) if entry in self.expired]
        for entry in late:
            limit = state.entries[entry].policy.timeout_s
            run = task.run
            note = (run.trouble or run.note) if run else ""
            message = (
                f"still {note!r} when the apply's time was up"
                if self.closing
                else f"no verdict within {limit:g} s" + (f", still {note!r}" if note else "")
            )
            late_one = Outcome(verdict=Verdict.TIMED_OUT, message=message, raw_status=run.word if run else None)
            self._close(entry, attempts.told(state, entry, late_one) or late_one)
        if self._run.open_entries(state):
            return False
        if late:
            self.put_cancels(state, now)
            self._over(state)
        return True

    def cancel_expired(self, state: JobState, now: float) -> None:
        """On a resume: the cancel of a timed out run may not have left."""
        closed = [self._run.closed.get(entry) for entry in state.job.entries]
        if any(outcome is not None and outcome.verdict is Verdict.TIMED_OUT for outcome in closed):
            self.put_cancels(state, now)

    # --- cancelling ---------------------------------------------------------------------------------------------------

    def put_cancels(self, state: JobState, now: float) -> None:
        """Asks the vendor to stop the job's runs, where it can be asked: all at once, or each by itself."""
        live = [run for run in state.runs.values() if run.live]
        remotes = [run.remote for run in live]
        request = cancel_all_request(self._lane(state).vendor, self._call(state), remotes) if live else None
        if request is None:
            self._cancel_each(state, live, now)
        else:
            self._put(Task(kind=Kind.CANCEL, job=state, request=request), now)

    def _cancel_each(self, state: JobState, runs: Iterable[RunState], now: float) -> None:
        for run in runs:
            request = cancel_request(self._lane(state).vendor, self._call(state), run.remote)
            if request is not None:
                self._put(Task(kind=Kind.CANCEL, job=state, run=run, request=request), now)

    def _put(self, task: Task, due: float) -> None:
        self._cancels[task.job.job.id] += 1
        self._lane(task.job).put(task, due)

    def cancelling(self, state: JobState) -> bool:
        """Whether the vendor has still to answer a cancel of the job's."""
        return self._cancels[state.job.id] > 0

    def settle_cancel(self, task: Task, answer: Answer) -> None:
        """Takes the answer to a cancel; what it tells of runs is written down once it is the last one."""
        state, now = task.job, self._clock.now()
        done = isinstance(answer, Reply) and answer.ok
        over = isinstance(answer, Reply) and answer.status in OVER
        if not done and not over and ask_again(answer) and task.sends < CANCEL_TRIES:
            self._lane(state).put(task, now + 1.0)
            return
        self._cancels[state.job.id] -= 1
        if task.run is not None:
            message = None if done or over else self._words(state, answer)
            if message is not None:
                self.refused[task.run.remote.id] = answer
            self._stopped(state, task.run, message=message, over=over, sure=False)
        else:
            live = [run for run in state.runs.values() if run.live]
            if not done:
                self._cancel_each(state, live, now)
                return
            for run in live:  # some may have been over before
                self._stopped(state, run, message=None, over=True, sure=True)
        self._after_cancel(state)

    def _words(self, state: JobState, answer: Answer) -> str:
        return refusal_of(self._lane(state).vendor, answer).message if isinstance(answer, Reply) else answer.message

    def _stopped(self, state: JobState, run: RunState, *, message: str | None, over: bool, sure: bool) -> None:
        at, job, name = self._clock.wall(), state.job.id, run.remote.id
        self._record(ev.RunCancelled(at=at, job=job, run=name, message=message, over=over))
        if over and run.followed and (self._run.open_entries(state) or not sure):
            # What was paid for and is over has a result; what is only said to be over may say itself that it runs.
            self._look(state, run)

    def _after_cancel(self, state: JobState) -> None:
        if not any(run.followed for run in state.runs.values()):
            self.close_job(state)
        elif not self.cancelling(state):
            self._leave_refused(state)
            self._job_over(state)

    def _leave_refused(self, state: JobState) -> None:
        """When everything is to end: a vendor that will not cancel a run, or has no call for it, is not asked again."""
        if self.ended is None or self.stopping:
            return
        for run in [run for run in state.runs.values() if run.followed and not run.over]:
            answer = self.refused.get(run.remote.id)
            words = "it cannot be cancelled" if answer is None else f"it could not be: {self._words(state, answer)}"
            self.leave(state, run, f"{words}; it runs on")


# ---------------------------------------------------------------------------------------------------------------------

# The end of a whole run before its own: after a failure under --fail-fast, or at a person's word.
#
# Nothing begins any more, what can be cancelled is, and every entry is closed with the reason.


NO_CANCEL = "{vendor} has no call to cancel it: it runs on"


_NOT_BEGUN = {ev.Reason.FAIL_FAST: Verdict.SKIPPED, ev.Reason.CANCELLED: Verdict.CANCELLED}


class Ending:
    """Ends a run. It knows no pool: the loop sends what it puts into the lanes."""

    def __init__(
        self, run: Run, lanes: Mapping[str, Lane], settler: Settler, record: Callable[[ev.Event], None], clock: Clock
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._settler = settler
        self._closer = settler.closer
        settler.end_made = self._end_running
        self._record = record
        self._clock = clock

    def heed(self) -> None:
        """Ends the run after its first gating failure, if it was ordered so."""
        culprit = self._closer.failure
        if culprit is None or self._run.ended is not None or self._closer.stopping or self._closer.closing:
            return
        self._record(ev.Ended(at=self._clock.wall(), reason=ev.Reason.FAIL_FAST, entry=culprit))
        now = self._clock.now()
        unsure = [task for lane in self._lanes.values() for task in lane.drop(*_BEGINNINGS) if task.maybe]
        self.end(now)
        for task in unsure:  # only its answer can tell whether there is something to cancel
            self._lanes[task.job.job.vendor].put(task, now)

    def resume(self) -> None:
        """Where a process enters that finds the run ended."""
        now = self._clock.now()
        self.end(now)
        for state in list(self._run.jobs.values()):
            if state.phase is Phase.SUBMITTING:
                self._ask(state)
            elif not self._run.open_entries(state):
                self._settler.preparer.job_over(state)

    def _ask(self, state: JobState) -> None:
        """Finds out about a create whose answer was lost, where a key makes that safe and its run can be cancelled."""
        info = self._lanes[state.job.vendor].vendor.info
        there = all(resource.phase is Making.READY for resource in self._settler.preparer.of(state))
        if state.key is not None and info.capabilities.cancel and there:
            self._settler.creator.put(state)
        else:
            self._settler.creator.unanswered(state)

    def end(self, now: float) -> None:
        """Ends every job; of those under way, the answers to their cancels close the entries."""
        self._closer.ended = reason_of(self._run)
        for lane in self._lanes.values():
            lane.drop(Kind.READ)
        for state in list(self._run.jobs.values()):
            self.end_job(state, now)

    def end_job(self, state: JobState, now: float) -> None:
        match state.phase:
            case Phase.WAITING if self._run.ended is not None:
                verdict = _NOT_BEGUN[self._run.ended.reason]
                self._closer.close_entries(
                    state, Outcome(verdict=verdict, message=f"never begun: {self._closer.ended}")
                )
            case Phase.RUNNING:
                self._end_running(state, now)
            case Phase.DONE | Phase.UNCERTAIN:
                self._closer.close_job(state)
            case _:  # its answer is still to come
                pass

    def _end_running(self, state: JobState, now: float) -> None:
        self._closer.put_cancels(state, now)
        if not self._closer.cancelling(state):
            for run in [run for run in state.runs.values() if run.followed]:
                self._closer.leave(state, run, NO_CANCEL.format(vendor=state.job.vendor))
            self._closer.close_job(state)

    def sweep(self) -> None:
        """Closes what is open still when nothing more will come."""
        if self._closer.ended is None or self._closer.stopping:
            return
        for state in list(self._run.jobs.values()):
            if self._run.open_entries(state) and state.phase is not Phase.SUBMITTING:
                self._closer.close_entries(state, Outcome(verdict=Verdict.CANCELLED, message=self._closer.ended))


_BEGINNINGS = (Kind.CREATE, Kind.SETUP, Kind.UPLOAD)


def to_resume(run: Run, vendors: Mapping[str, Vendor]) -> set[str]:
    """The vendors that a resume talks to; none, if all that is left is to report."""
    found = {run.job_of[entry].job.vendor for entry in run.job_of if entry not in run.closed}
    late = {entry for entry, outcome in run.closed.items() if outcome.verdict is Verdict.TIMED_OUT}
    for state, _ in cancellable(run, vendors):
        if run.ended is not None or late.intersection(state.job.entries):
            found.add(state.job.vendor)
    return found | _with_environments(run)


def to_cancel(run: Run, vendors: Mapping[str, Vendor]) -> set[str]:
    """The vendors that a cancel talks to; none, if nothing runs that could be cancelled."""
    found = {state.job.vendor for state, _ in cancellable(run, vendors)}
    found |= {state.job.vendor for state in run.jobs.values() if _in_doubt(state)}
    return found | _with_environments(run)


def cancellable(run: Run, vendors: Mapping[str, Vendor]) -> Iterator[tuple[JobState, RunState]]:
    """Runs that may go on at a vendor which has a call to stop them."""
    for state, remote in run.live_runs():
        if cancel_request(vendors[state.job.vendor], run.call(state), remote.remote) is not None:
            yield state, remote


def _in_doubt(state: JobState) -> bool:
    return state.key is not None and state.phase in {Phase.SUBMITTING, Phase.UNCERTAIN}


def _with_environments(run: Run) -> set[str]:
    """Vendors of environments that are, or may be, there."""
    return {
        state.resource.vendor
        for state in run.resources.values()
        if state.resource.kind is ResourceKind.ENVIRONMENT and state.there
    }
