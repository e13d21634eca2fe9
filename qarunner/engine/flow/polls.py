"""What follows from each answer: an event on disk first, then the next task in a lane."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, assert_never

from qarunner.engine.decide.interpret import TOO_MANY, Again, Never, after_read, asked_with, poll_request
from qarunner.engine.flow.creates import Creator, Order
from qarunner.engine.flow.resources import Preparer
from qarunner.engine.flow.shutdown import Closer
from qarunner.engine.schedule.queue import FIRST, Task
from qarunner.engine.schedule.rate_limits import MARGIN, Kind
from qarunner.engine.schedule.timing import Rounds, Trouble
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import INTERRUPTED, Phase
from qarunner.vendors.api import Cause, Finished, More, Outcome, Refusal, Reply, Running, Verdict
from qarunner.vendors.types import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.workers import Clock
    from qarunner.engine.schedule.queue import Lane
    from qarunner.engine.schedule.timing import Habits
    from qarunner.engine.state.run import JobState, Run, RunState
    from qarunner.vendors.api import Call


ASK_ONCE_S = 5.0
"""What an answer may take beyond the rates, of a run that is asked for again after a while."""


class Settler:
    """Settles jobs, one answer at a time. It knows no pool: the loop sends what it puts into the lanes.

    `end_made` ends a job whose create was answered after the end of the run. `deadlines` are (monotonic time, entry id,
    job id), a heap that the loop heeds: each attempt has a time of its own.
    """

    end_made: Callable[[JobState, float], None]

    def __init__(
        self,
        run: Run,
        lanes: Mapping[str, Lane],
        record: Callable[[ev.Event], None],
        clock: Clock,
        jitter: Callable[[], float],
        habits: Habits,
    ) -> None:
        self._rounds = Rounds(lanes, habits, clock)
        self._run = run
        self._lanes = lanes
        self._record = record
        self._clock = clock
        self._jitter = jitter
        self.deadlines: list[tuple[float, str, str]] = []
        self.stopping = False
        self._leave = False
        self.closer = Closer(run, lanes, record, clock, self._job_over, self._look, self._begin_attempt)
        self.creator = Creator(
            run=run, lanes=lanes, record=record, clock=clock, jitter=jitter, closer=self.closer, made=self._made
        )
        self.order = Order(run, self.closer, self.creator.put)
        self.preparer = Preparer(
            run=run,
            lanes=lanes,
            record=record,
            clock=clock,
            jitter=jitter,
            ready=self._resources_ready,
            failed=self.creator.no_resource,
            ending=self.closer.cancelling,
        )
        self.creator.preparer = self.preparer

    def _job_over(self, state: JobState) -> None:
        self.preparer.job_over(state)

    def stop(self, *, leave: bool) -> None:
        """From here on nothing begins; what is under way is only settled. `leave`: nothing is ended either."""
        self.stopping = self.preparer.stopping = self.closer.stopping = True
        self._leave = self.preparer.leave = leave

    def end(self, state: JobState, now: float) -> None:
        """On an interruption: asks the vendor to stop the job's runs, and removes what was made for it."""
        self.closer.put_cancels(state, now)
        self.preparer.job_over(state)

    def settle(self, task: Task, answer: Answer) -> None:
        lane = self._lane(task.job)
        if task.kind is not Kind.UPLOAD:
            lane.pacer.heard(refused=isinstance(answer, Reply) and answer.status == TOO_MANY)
        is_ok = isinstance(answer, Reply) and answer.ok
        lane.established = lane.established or is_ok
        lane.key_worked = lane.key_worked or (is_ok and task.kind is not Kind.UPLOAD)  # a store is shown no key
        match task.kind:
            case Kind.CREATE:
                self.creator.settle(task, answer)
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
                self.order.admit(state)
            case Phase.SUBMITTING if lane.vendor.info.idempotency_header:
                self.creator.put(state)
            case Phase.SUBMITTING:
                self.creator.unanswered(state)
            case Phase.RUNNING if any(run.followed for run in state.runs.values()):
                lane.established = True
                self._follow(state, now, at_once=True)
            case Phase.RUNNING if any(run.cancelled for run in state.runs.values()):
                self.closer.close_entries(state, Outcome(verdict=Verdict.CANCELLED, message=INTERRUPTED))
            case Phase.RUNNING | Phase.UNCERTAIN | Phase.DONE:
                self.closer.close_job(state)
            case _:
                assert_never(state.phase)

    def _resources_ready(self, state: JobState) -> None:
        if state.phase is Phase.SUBMITTING or self.order.admitted(state):
            self.creator.put(state)

    def _begin_attempt(self, state: JobState) -> None:
        self.begin(state, self._clock.now())

    def _follow(self, state: JobState, now: float, *, at_once: bool) -> None:
        """Polls the job's runs and watches its entries' time."""
        lane = self._lane(state)
        lane.busy_jobs.add(state.job.id)
        accepted_at = max(run.accepted_at for run in state.runs.values())
        age = max(0.0, self._clock.wall() - accepted_at)
        # Of a run that nobody has asked for a while, something may be known: each is asked once before its time is up.
        once = self._once_s(state.job.vendor) if at_once and not self.closer.closing else 0.0
        for entry in self._run.open_entries(state):
            left = state.entries[entry].policy.timeout_s - age
            heapq.heappush(self.deadlines, (now + max(left, once), entry, state.job.id))
        for run in state.runs.values():
            if run.followed:
                self._poll(state, run, now, at_once=at_once)

    def _once_s(self, vendor: str) -> float:
        """How long the rates make it take to ask for every run of a vendor once."""
        plan = self._run.plan.vendors[vendor]
        states = [state for state in self._run.jobs.values() if state.job.vendor == vendor]
        runs = sum(run.followed for state in states for run in state.runs.values())
        rates = [rate for rate in (plan.reads, plan.all) if rate is not None]
        return ASK_ONCE_S + max((MARGIN * runs * rate.per_s / rate.count for rate in rates), default=0.0)

    def _poll(self, state: JobState, run: RunState, now: float, *, at_once: bool) -> None:
        """Puts a run's first poll into its lane; an adapter that cannot say how ends its own job alone."""
        lane = self._lane(state)
        request = poll_request(lane.vendor, self._call(state), run.remote)
        if isinstance(request, Never):
            self._refuse(state, run, request)
        else:
            task = Task.poll_of(state, run, request)
            due = self._rounds.due_at(task, now)
            lane.put(task, now if at_once else due)

    def _look(self, state: JobState, run: RunState) -> None:
        """Asks once more for a run that is over, also while the apply stops: what it says was paid for."""
        request = poll_request(self._lane(state).vendor, self._call(state), run.remote)
        if not isinstance(request, Never):
            self._lane(state).put(Task.poll_of(state, run, request, last=True), self._clock.now())

    def _refuse(self, state: JobState, run: RunState, never: Never) -> None:
        refusal = never.refusal
        message = asked_with(refusal, self._lane(state).key_env)
        self.closer.give_up(state, run, Outcome(verdict=Verdict.ERROR, message=message, cause=refusal.cause))

    def _lane(self, state: JobState) -> Lane:
        return self._lanes[state.job.vendor]

    def _call(self, state: JobState) -> Call:
        return self._run.call(state)

    def _made(self, state: JobState) -> None:
        now = self._clock.now()
        if self.stopping:
            if not self._leave:
                self.closer.put_cancels(state, now)
            return
        if self.closer.ended is not None:
            self.end_made(state, now)
            return
        if self.closer.closing:
            self.closer.expired.update(self._run.open_entries(state))
        self._follow(state, now, at_once=self.closer.closing)

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
            key_worked=lane.key_worked,
            best_effort=task.best_effort,
        )
        quiet = self.stopping or self.closer.ended is not None
        if quiet and not (isinstance(meaning, Finished) or (task.last and isinstance(meaning, (More, Running)))):
            return
        match meaning:
            case Running():
                self._still_running(task, meaning)
            case More():
                task.answers, task.request, task.best_effort = answers, meaning.request, meaning.best_effort
                task.urgency = FIRST
                lane.put(task, self._clock.now())
            case Finished():
                job = task.job.job.id
                self._rounds.ended(task)
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
        if run.over or (status.note, status.done, status.total) != (run.note, run.done, run.total):
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
        if self.closer.ended is not None:
            self.closer.leave(task.job, run, f"its cancel was no good: it is {status.note!r}")
        if self.stopping or self.closer.ended is not None:
            return
        task.polls += 1
        task.known_at = task.asked_at
        task.trouble = Trouble()
        now = self._clock.now()
        if not self.closer.time_is_up(task, now) and self._run.open_entries(task.job):
            self._restart_poll(task, self._rounds.due_at(task, now, hint_s=status.wait_s))

    def _restart_poll(self, task: Task, due: float) -> None:
        task.request, task.answers, task.best_effort = task.poll or task.request, [], False
        self._lane(task.job).put(task, due)

    def _read_again(self, task: Task, again: Again) -> None:
        now, lane, run = self._clock.now(), self._lane(task.job), task.run
        task.trouble.add(again, now)
        wait, cause = task.trouble.backoff(again, self._jitter()), task.trouble.exhausted(again, now, established=True)
        if again.held and cause is None:
            wait = lane.pacer.hold(wait, now, named=again.wait_s is not None)
        if self.closer.time_is_up(task, now) or run is None:
            return
        if cause is Cause.UNAVAILABLE:
            self.closer.give_up(task.job, run, Outcome(verdict=Verdict.ERROR, message=again.message, cause=cause))
        elif cause is not None and again.cause is not None:
            self._refuse(task.job, run, Never(refusal=Refusal(message=again.message, cause=again.cause)))
        elif cause is not None:
            self.closer.give_up(task.job, run, Outcome(verdict=Verdict.UNKNOWN, message=again.message))
        else:
            if again.unreadable:
                # Not a vendor in need of rest but an answer to be looked at again: at the pace of polls.
                wait = max(wait, lane.rhythm.shortest_s)
            message, at = again.message, self._clock.wall()
            self._record(ev.Retrying(at=at, job=task.job.job.id, run=run.remote.id, message=message, wait_s=wait))
            self._restart_poll(task, now + wait)
