"""Polls: when each run is read, and what the replies mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from qarunner.engine.decide.interpret import Again, Never, after_read, asked_with, poll_request
from qarunner.engine.schedule.queue import FIRST, Task
from qarunner.engine.schedule.rate_limits import MARGIN
from qarunner.engine.schedule.timing import RetryState
from qarunner.engine.state import events as ev
from qarunner.vendors.api import Cause, Finished, More, Outcome, Refusal, Reply, Running, Verdict
from qarunner.vendors.types import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.flow.closing import CancelHandler, EntryCloser
    from qarunner.engine.flow.context import RunContext
    from qarunner.engine.schedule.timing import DurationHistory
    from qarunner.engine.state.run import JobState, RunState


ASK_ONCE_S = 5.0
"""What an answer may take beyond the rates, of a run that is asked for again after a while."""


class PollHandler:
    """Reads runs until they are over. `jitter` is uniform in 0…1; `history` learns how long runs take."""

    def __init__(
        self,
        context: RunContext,
        closer: EntryCloser,
        cancels: CancelHandler,
        history: DurationHistory,
        jitter: Callable[[], float],
    ) -> None:
        self._context = context
        self._run = context.run
        self._closer = closer
        self._cancels = cancels
        self._history = history
        self._jitter = jitter

    # --- where polls begin --------------------------------------------------------------------------------------------

    def follow(self, state: JobState, now: float, *, at_once: bool = False) -> None:
        """Polls the job's runs and watches its entries' time."""
        self._context.queue(state).busy_jobs.add(state.job.id)
        accepted_at = max(run.accepted_at for run in state.runs.values())
        age = max(0.0, self._context.clock.wall() - accepted_at)
        # Of a run that nobody has asked for a while, something may be known: each is asked once before its time is up.
        once = self._once_s(state.job.vendor) if at_once else 0.0
        for entry in self._run.open_entries(state):
            left = state.entries[entry].policy.timeout_s - age
            self._context.deadlines.set(now + max(left, once), entry, state.job.id)
        for run in state.runs.values():
            if run.followed:
                self._poll(state, run, now, at_once=at_once)

    def look(self, state: JobState, now: float) -> None:
        """Reads the job's runs now, whatever their age."""
        for run in state.runs.values():
            if run.followed:
                self._poll(state, run, now, at_once=True)

    def _once_s(self, vendor: str) -> float:
        """How long the rates make it take to ask for every run of a vendor once."""
        plan = self._run.plan.vendors[vendor]
        states = [state for state in self._run.jobs.values() if state.job.vendor == vendor]
        runs = sum(run.followed for state in states for run in state.runs.values())
        rates = [rate for rate in (plan.reads, plan.all) if rate is not None]
        return ASK_ONCE_S + max((MARGIN * runs * rate.per_s / rate.count for rate in rates), default=0.0)

    def _poll(self, state: JobState, run: RunState, now: float, *, at_once: bool) -> None:
        """Puts a run's first poll into its queue; an adapter that cannot say how ends its own job alone."""
        queue = self._context.queue(state)
        request = poll_request(queue.vendor, self._context.call(state), run.remote)
        if isinstance(request, Never):
            self._refuse(state, run, request)
        else:
            task = Task.poll_of(state, run, request)
            due = self._due_at(task, now)
            queue.put(task, now if at_once else due)

    def _due_at(self, task: Task, now: float, *, hint_s: float | None = None) -> float:
        """When a run is asked next; notes in its task how urgent that is."""
        poll = self._context.queue(task.job).schedule.next_poll(
            self._history.expected(task.job),
            born=now - self._age_s(task),
            running_at=task.seen_running_at,
            now=now,
            hint_s=hint_s,
        )
        task.urgency, task.lateness = poll.urgency, poll.lateness
        return poll.due

    def _age_s(self, task: Task) -> float:
        """By the wall clock, since another process may have begun the run."""
        return max(0.0, self._context.clock.wall() - _run_of(task).accepted_at)

    # --- replies ------------------------------------------------------------------------------------------------------

    def settle(self, task: Task, answer: Answer) -> None:
        run, wall = _run_of(task), self._context.clock.wall()
        if task.best_effort and isinstance(answer, Fault):
            answer = Reply(status=0, text=answer.message)
        answers = [*task.answers, answer]
        queue = self._context.queue(task.job)
        meaning = after_read(
            queue.vendor,
            self._context.call(task.job),
            run.remote,
            answers,
            polls=task.polls,
            now=wall,
            key_worked=queue.key_worked,
            best_effort=task.best_effort,
        )
        if not self._is_wanted(task, meaning):
            return
        match meaning:
            case Running():
                self._still_running(task, meaning)
            case More():
                task.answers, task.request, task.best_effort = answers, meaning.request, meaning.best_effort
                task.urgency = FIRST
                queue.put(task, self._context.clock.now())
            case Finished():
                self._learn(task)
                self._context.record(
                    ev.RemoteFinished(at=wall, job=task.job.job.id, run=run.remote.id, outcomes=meaning.outcomes)
                )
                self._closer.close_job(task.job)
            case Again():
                self._retry(task, meaning)
            case Never():
                self._refuse(task.job, run, meaning)
            case _:
                assert_never(meaning)

    def _is_wanted(self, task: Task, meaning: Running | More | Finished | Again | Never) -> bool:
        """True if a reply can still change something. While runs are cancelled, the replies to cancels decide."""
        mode = self._context.mode
        if mode.looks_first or not mode.cancels:
            return True
        return isinstance(meaning, Finished) or (task.is_last_look and isinstance(meaning, (More, Running)))

    def _learn(self, task: Task) -> None:
        """A run was found to be over: it ended somewhere between its last two answers."""
        found = self._age_s(task)
        known = 0.0 if task.seen_running_at is None else found - (self._context.clock.now() - task.seen_running_at)
        self._history.ended(task.job, known_s=max(0.0, known), found_s=found)

    def _still_running(self, task: Task, status: Running) -> None:
        run, mode = _run_of(task), self._context.mode
        if run.over or (status.note, status.done, status.total) != (run.note, run.done, run.total):
            self._context.record(
                ev.Polled(
                    at=self._context.clock.wall(),
                    job=task.job.job.id,
                    run=run.remote.id,
                    note=status.note,
                    done=status.done,
                    total=status.total,
                )
            )
        if self._run.ended is not None:
            self._closer.leave(task.job, run, f"its cancel was no good: it is {status.note!r}")
        if mode.cancels and not mode.looks_first:
            return
        task.polls += 1
        task.seen_running_at = task.polled_at
        task.retries = RetryState()
        now = self._context.clock.now()
        if not self._cancels.stop_if_late(task, now) and self._run.open_entries(task.job):
            self._poll_again(task, self._due_at(task, now, hint_s=status.wait_s))

    def _poll_again(self, task: Task, due: float) -> None:
        task.request, task.answers, task.best_effort = task.poll or task.request, [], False
        self._context.queue(task.job).put(task, due)

    def _retry(self, task: Task, again: Again) -> None:
        now, queue, run = self._context.clock.now(), self._context.queue(task.job), _run_of(task)
        task.retries.add(again, now)
        wait, cause = task.retries.backoff(again, self._jitter()), task.retries.exhausted(again, now, established=True)
        if again.held and cause is None:
            wait = queue.limiter.hold(wait, now, named=again.wait_s is not None)
        if self._cancels.stop_if_late(task, now):
            return
        if cause is Cause.UNAVAILABLE:
            self._closer.give_up(task.job, run, Outcome(verdict=Verdict.ERROR, message=again.message, cause=cause))
        elif cause is not None and again.cause is not None:
            self._refuse(task.job, run, Never(refusal=Refusal(message=again.message, cause=again.cause)))
        elif cause is not None:
            self._closer.give_up(task.job, run, Outcome(verdict=Verdict.UNKNOWN, message=again.message))
        else:
            if again.unreadable:
                # Not a vendor in need of rest but an answer to be looked at again: at the pace of polls.
                wait = max(wait, queue.schedule.shortest_s)
            message, at = again.message, self._context.clock.wall()
            self._context.record(
                ev.Retrying(at=at, job=task.job.job.id, run=run.remote.id, message=message, wait_s=wait)
            )
            self._poll_again(task, now + wait)

    def _refuse(self, state: JobState, run: RunState, never: Never) -> None:
        refusal = never.refusal
        message = asked_with(refusal, self._context.queue(state).key_env)
        self._closer.give_up(state, run, Outcome(verdict=Verdict.ERROR, message=message, cause=refusal.cause))


def _run_of(task: Task) -> RunState:
    assert task.run is not None  # noqa: S101  a read has a run
    return task.run
