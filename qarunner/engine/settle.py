"""What follows from each answer: an event on disk first, then the next task in a lane."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, assert_never

from qarunner.engine import events as ev
from qarunner.engine.closing import Closer
from qarunner.engine.lane import Task
from qarunner.engine.machine import (
    Again,
    Fault,
    Lost,
    Made,
    Never,
    after_create,
    after_read,
    idempotency_key,
    poll_request,
)
from qarunner.engine.making import OTHER_BODY, filled
from qarunner.engine.pacing import Kind
from qarunner.engine.patience import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Trouble
from qarunner.engine.resources import Preparer
from qarunner.engine.state import INTERRUPTED, Phase
from qarunner.vendors.api import Cause, Finished, More, Outcome, Reply, Running, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.engine.lane import Lane
    from qarunner.engine.machine import Answer
    from qarunner.engine.state import JobState, Run, RunState
    from qarunner.engine.workers import Clock
    from qarunner.vendors.api import Call

LOST_ANSWER = "qarunner was stopped before the vendor's answer was written down"


class Settler:
    """Settles jobs, one answer at a time. It knows no pool: the loop sends what it puts into the lanes.

    `deadlines` are (monotonic time, entry id), a heap that the loop heeds.
    """

    def __init__(
        self,
        run: Run,
        lanes: Mapping[str, Lane],
        record: Callable[[ev.Event], None],
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._record = record
        self._clock = clock
        self._jitter = jitter
        self._entries = run.plan.entry_map()
        self.deadlines: list[tuple[float, str]] = []
        self.stopping = False
        self._leave = False
        self.closer = Closer(run, lanes, record, clock, self._job_over, self._look)
        self.preparer = Preparer(
            run=run,
            lanes=lanes,
            record=record,
            clock=clock,
            jitter=jitter,
            ready=self._put_create,
            failed=self._no_resource,
            ending=self.closer.cancelling,
        )

    def _job_over(self, state: JobState) -> None:
        self.preparer.job_over(state)

    def stop(self, *, leave: bool) -> None:
        """From here on nothing begins; what is under way is only settled. `leave`: nothing is ended either."""
        self.stopping = self.preparer.stopping = True
        self._leave = self.preparer.leave = leave

    def end(self, state: JobState, now: float) -> None:
        """On an interruption: asks the vendor to stop the job's runs, and removes what was made for it."""
        self.closer.put_cancels(state, now)
        self.preparer.job_over(state)

    def settle(self, task: Task, answer: Answer) -> None:
        if isinstance(answer, Reply) and answer.ok:
            self._lane(task.job).established = True
        match task.kind:
            case Kind.CREATE:
                self._settle_create(task, answer)
            case Kind.READ:
                self._settle_read(task, answer)
            case Kind.CANCEL:
                self.closer.settle_cancel(task, answer)
            case Kind.SETUP | Kind.UPLOAD | Kind.RELEASE:
                self.preparer.settle(task, answer)
            case _:
                assert_never(task.kind)

    # --- where a job begins -------------------------------------------------------------------------------------------

    def begin(self, state: JobState, now: float) -> None:
        """Puts a job's next task into its lane; also where a resume enters."""
        if not self._run.open_entries(state):
            self.closer.cancel_expired(state, now)
            self.preparer.job_over(state)
            return
        lane = self._lane(state)
        match state.phase:
            case Phase.WAITING:
                self._put_create(state)
            case Phase.SUBMITTING if lane.vendor.info.idempotency_header:
                self._put_create(state)
            case Phase.SUBMITTING:
                self.unanswered(state)
            case Phase.RUNNING if any(run.followed for run in state.runs.values()):
                lane.established = True
                self._follow(state, now, first_s=0.0)
            case Phase.RUNNING if any(run.cancelled for run in state.runs.values()):
                self.closer.close_entries(state, Outcome(verdict=Verdict.CANCELLED, message=INTERRUPTED))
            case Phase.RUNNING | Phase.UNCERTAIN | Phase.DONE:
                self.closer.close_job(state)
            case _:
                assert_never(state.phase)

    def unanswered(self, state: JobState) -> None:
        """A create left, and nobody will read its answer: a resume asks with its key, or a person decides."""
        if state.phase is Phase.SUBMITTING:
            self.uncertain(state, LOST_ANSWER)

    def _follow(self, state: JobState, now: float, *, first_s: float) -> None:
        """Polls the job's runs and watches its entries' time."""
        lane = self._lane(state)
        lane.busy_jobs.add(state.job.id)
        accepted_at = max(run.accepted_at for run in state.runs.values())
        age = max(0.0, self._clock.wall() - accepted_at)
        for entry in self._run.open_entries(state):
            heapq.heappush(self.deadlines, (now + self._entries[entry].policy.timeout_s - age, entry))
        for run in state.runs.values():
            if run.followed:
                self._poll(state, run, now + first_s)

    def _poll(self, state: JobState, run: RunState, due: float) -> None:
        """Puts a run's first poll into its lane; an adapter that cannot say how ends its own job alone."""
        lane = self._lane(state)
        request = poll_request(lane.vendor, self._call(state), run.remote)
        if isinstance(request, Never):
            self._refuse(state, run, request)
        else:
            lane.put(Task(kind=Kind.READ, job=state, run=run, request=request, poll=request), due)

    def _look(self, state: JobState, run: RunState) -> None:
        """Asks once more for a run that is over, also while the apply stops: what it says was paid for."""
        lane = self._lane(state)
        request = poll_request(lane.vendor, self._call(state), run.remote)
        if not isinstance(request, Never):
            task = Task(kind=Kind.READ, job=state, run=run, request=request, poll=request, last=True)
            lane.put(task, self._clock.now())

    def _refuse(self, state: JobState, run: RunState, never: Never) -> None:
        refusal = never.refusal
        self.closer.give_up(state, run, Outcome(verdict=Verdict.ERROR, message=refusal.message, cause=refusal.cause))

    def _lane(self, state: JobState) -> Lane:
        return self._lanes[state.job.vendor]

    def _call(self, state: JobState) -> Call:
        return self._run.plan.call(state.job, self._entries)

    def _put_create(self, state: JobState) -> None:
        """The create, once all that it refers to exists; else that is begun first. One that left is sent once more."""
        if not self.preparer.want(state):
            return
        again, request = state.phase is Phase.SUBMITTING, filled(state, self.preparer.values(state))
        if again and request != filled(state, {key: state.sent[each] for key, each in state.job.uses.items()}):
            self.uncertain(state, OTHER_BODY)
            return
        task = Task(kind=Kind.CREATE, job=state, request=request, sends=int(again), maybe=again)
        self._lane(state).put(task, self._clock.now())

    def _no_resource(self, state: JobState, message: str, cause: Cause) -> None:
        """A job gets no resource: its create never leaves, or never again."""
        if state.phase is Phase.SUBMITTING:
            self.uncertain(state, message)
        else:
            self._give_up_create(state, message, cause)

    # --- creates ------------------------------------------------------------------------------------------------------

    def _settle_create(self, task: Task, answer: Answer) -> None:
        state, lane = task.job, self._lane(task.job)
        wall = self._clock.wall()
        meaning = after_create(lane.vendor, self._call(state), answer, sends=task.sends, now=wall)
        match meaning:
            case Made():
                self._record(ev.Accepted(at=wall, job=state.job.id, runs=meaning.runs))
                self._made(state)
            case Again():
                self._create_again(task, meaning)
            case Never():
                self._end_create(task, meaning.refusal.message, meaning.refusal.cause)
            case Lost():
                self.uncertain(state, meaning.message)
            case _:
                assert_never(meaning)

    def _made(self, state: JobState) -> None:
        now = self._clock.now()
        if self.stopping:
            if not self._leave:
                self.closer.put_cancels(state, now)
            return
        if self.closer.closing:
            self.closer.expired.update(self._run.open_entries(state))
        first = 0.0 if self.closer.closing else self._lane(state).interval_s(age_s=0.0, hint_s=None)
        self._follow(state, now, first_s=first)

    def _create_again(self, task: Task, again: Again) -> None:
        state, lane = task.job, self._lane(task.job)
        now, wall = self._clock.now(), self._clock.wall()
        task.trouble.add(again, now)
        task.maybe = task.maybe or again.maybe
        cause = task.trouble.exhausted(again, now, established=lane.established)
        if cause is not None or self.stopping or self.closer.closing:
            self._end_create(task, again.message, Cause.UNAVAILABLE)
            return
        longest = LONGEST_BACKOFF_S if lane.established else FIRST_BACKOFF_S
        wait = task.trouble.backoff(again, self._jitter(), longest=longest)
        if again.held and again.wait_s is not None:
            lane.pacer.hold(now + again.wait_s)
        if lane.vendor.info.idempotency_header:
            self._record(ev.Retrying(at=wall, job=state.job.id, message=again.message, wait_s=wait))
        else:
            self._record(ev.NotSubmitted(at=wall, job=state.job.id, message=again.message, wait_s=wait))
        lane.put(task, now + wait)

    def _end_create(self, task: Task, message: str, cause: Cause) -> None:
        """Gives a create up. One that may have made a run is uncertain: a new apply would have another key."""
        if task.maybe:
            self.uncertain(task.job, message)
        else:
            self._give_up_create(task.job, message, cause)

    def uncertain(self, state: JobState, message: str) -> None:
        self._record(ev.Uncertain(at=self._clock.wall(), job=state.job.id, message=message))
        self.closer.close_job(state)

    def _give_up_create(self, state: JobState, message: str, cause: Cause) -> None:
        self._record(ev.NotSubmitted(at=self._clock.wall(), job=state.job.id, message=message, cause=cause))
        self.closer.close_job(state)
        if cause is Cause.CREDENTIAL:
            # The same key will not be better for the next create; each of them could cost a lock-out.
            for task in self._lane(state).drop(Kind.CREATE):
                self._give_up_create(task.job, message, cause)

    # --- reads --------------------------------------------------------------------------------------------------------

    def _settle_read(self, task: Task, answer: Answer) -> None:
        lane, run = self._lane(task.job), task.run
        assert run is not None  # noqa: S101  a read has a run
        if task.best_effort and isinstance(answer, Fault):
            answer = Reply(status=0, text=answer.message)
        answers = [*task.answers, answer]
        wall = self._clock.wall()
        meaning = after_read(
            lane.vendor,
            self._call(task.job),
            run.remote,
            answers,
            polls=task.polls,
            now=wall,
            best_effort=task.best_effort,
        )
        if self.stopping and not (isinstance(meaning, Finished) or (task.last and isinstance(meaning, More))):
            return
        match meaning:
            case Running():
                self._still_running(task, meaning)
            case More():
                task.answers, task.request, task.best_effort = answers, meaning.request, meaning.best_effort
                lane.put(task, self._clock.now())
            case Finished():
                job = task.job.job.id
                self._record(ev.RemoteFinished(at=wall, job=job, run=run.remote.id, outcomes=meaning.outcomes))
                self.closer.close_job(task.job)
            case Again():
                self._read_again(task, meaning)
            case Never():
                self._refuse(task.job, run, meaning)
            case _:
                assert_never(meaning)

    def _still_running(self, task: Task, status: Running) -> None:
        run = task.run
        assert run is not None  # noqa: S101  a read has a run
        if (status.note, status.done, status.total) != (run.note, run.done, run.total):
            self._record(
                ev.Polled(
                    at=self._clock.wall(),
                    job=task.job.job.id,
                    run=run.remote.id,
                    note=status.note,
                    done=status.done,
                    total=status.total,
                )
            )
        task.polls += 1
        task.trouble = Trouble()
        self._poll_later(task, hint_s=status.wait_s)

    def _poll_later(self, task: Task, *, hint_s: float | None) -> None:
        lane, now = self._lane(task.job), self._clock.now()
        if self.closer.time_is_up(task, now) or not self._run.open_entries(task.job):
            return
        age = self._clock.wall() - (task.run.accepted_at if task.run else 0.0)
        self._restart_poll(task, now + lane.interval_s(age_s=age, hint_s=hint_s))

    def _restart_poll(self, task: Task, due: float) -> None:
        task.request, task.answers, task.best_effort = task.poll or task.request, [], False
        self._lane(task.job).put(task, due)

    def _read_again(self, task: Task, again: Again) -> None:
        now, lane, run = self._clock.now(), self._lane(task.job), task.run
        task.trouble.add(again, now)
        if again.held and again.wait_s is not None:
            lane.pacer.hold(now + again.wait_s)
        if self.closer.time_is_up(task, now) or run is None:
            return
        cause = task.trouble.exhausted(again, now, established=True)
        if cause is Cause.UNAVAILABLE:
            self.closer.give_up(task.job, run, Outcome(verdict=Verdict.ERROR, message=again.message, cause=cause))
        elif cause is not None:
            self.closer.give_up(task.job, run, Outcome(verdict=Verdict.UNKNOWN, message=again.message))
        else:
            wait = task.trouble.backoff(again, self._jitter())
            if again.unreadable:
                # Not a vendor in need of rest but an answer to be looked at again: at the pace of polls.
                wait = max(wait, lane.interval_s(age_s=0.0, hint_s=None))
            message, at = again.message, self._clock.wall()
            self._record(ev.Retrying(at=at, job=task.job.job.id, run=run.remote.id, message=message, wait_s=wait))
            self._restart_poll(task, now + wait)

    def submitting(self, lane: Lane, task: Task) -> str | None:
        """Writes down that a create leaves; the key depends on nothing that a resume does not know."""
        state = task.job
        attempt = max(1, state.attempt)
        key = None
        if lane.vendor.info.idempotency_header:
            key = idempotency_key(self._run.run_id, state.job.id, attempt)
        lane.busy_jobs.add(state.job.id)
        if state.phase is not Phase.SUBMITTING:
            self._record(ev.Submitting(at=self._clock.wall(), job=state.job.id, attempt=attempt, key=key))
        return key
