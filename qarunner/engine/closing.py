"""How entries and runs end: verdicts written down, time that is up, cancels, and what is removed afterwards."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.engine import attempts
from qarunner.engine import events as ev
from qarunner.engine.lane import Task
from qarunner.engine.machine import cancel_all_request, cancel_request, refusal_of
from qarunner.engine.making import ask_again
from qarunner.engine.outcomes import merge
from qarunner.engine.pacing import Kind
from qarunner.engine.state import Phase
from qarunner.vendors.api import Cause, Outcome, Reply, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qarunner.engine.lane import Lane
    from qarunner.engine.machine import Answer
    from qarunner.engine.state import JobState, Run, RunState
    from qarunner.engine.workers import Clock
    from qarunner.entry import Entry
    from qarunner.vendors.api import Call

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
