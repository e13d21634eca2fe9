"""Creates: when they may leave, what is written down before, and what their replies mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from qarunner.engine.decide.interpret import (
    OTHER_BODY,
    Ambiguous,
    Created,
    CreatedNothing,
    Rejected,
    Retry,
    after_create,
    idempotency_key,
    with_key_name,
    with_resource_values,
)
from qarunner.engine.schedule.queue import Task, VendorQueue
from qarunner.engine.schedule.rate_limits import RequestKind
from qarunner.engine.schedule.timing import FIRST_BACKOFF_S, LONGEST_BACKOFF_S
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import JobState, Phase, Run
from qarunner.vendors.api import GOOD, Cause, Outcome, Verdict

if TYPE_CHECKING:
    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.flow.closing import EntryCloser
    from qarunner.engine.flow.context import RunContext
    from qarunner.engine.flow.resources import ResourceHandler


# ---------------------------------------------------------------------------------------------------------------------

# Creates: each is on disk before it leaves, and sent again only where that cannot make a second run.


GOOD_REPLY_S = 60.0
"""A vendor whose last good reply came so soon after an entry's first request has failed all the time."""


class CreateHandler:
    """Sends creates and settles their answers."""

    def __init__(self, context: RunContext, closer: EntryCloser, resources: ResourceHandler) -> None:
        self._context = context
        self._closer = closer
        self._resources = resources
        self._started: set[str] = set()

    def start(self, state: JobState) -> None:
        """Puts the create into its queue once all that it refers to exists; else begins that.

        If the create was already sent, it is sent again with the same key.
        """
        if state.job.id in self._started or not self._resources.want(state):
            return
        self._started.add(state.job.id)
        sent_before, request = (
            state.phase is Phase.SUBMITTING,
            with_resource_values(state, self._resources.values(state)),
        )
        if sent_before and request != with_resource_values(
            state, {key: state.sent[name] for key, name in state.job.uses.items()}
        ):
            self._closer.uncertain(state, OTHER_BODY)
            return
        task = Task(
            kind=RequestKind.CREATE,
            job=state,
            request=request,
            sends=int(sent_before),
            may_have_created=sent_before,
        )
        self._context.queue(state).put(task, self._context.clock.now())

    def settle(self, task: Task, answer: Answer) -> None:
        state, queue = task.job, self._context.queue(task.job)
        wall = self._context.clock.wall()
        meaning = after_create(queue.vendor, self._context.run.call(state), answer, now=wall)
        match meaning:
            case Created():
                self._context.record(ev.Accepted(at=wall, job=state.job.id, runs=meaning.runs))
                self._context.created.append(state)
            case CreatedNothing():
                self._context.record(ev.CreateMadeNothing(at=wall, job=state.job.id, outcomes=meaning.outcomes))
                self._closer.close_job(state)
            case Retry():
                self._retry(task, meaning)
            case Rejected():
                self._closer.end_create(task, with_key_name(meaning.refusal, queue.key_name), meaning.refusal.cause)
            case Ambiguous():
                self._closer.uncertain(state, meaning.message)
            case _:
                assert_never(meaning)

    def _retry(self, task: Task, again: Retry) -> None:
        state, queue = task.job, self._context.queue(task.job)
        now, wall = self._context.clock.now(), self._context.clock.wall()
        task.retries.add(again, now)
        task.may_have_created = task.may_have_created or again.maybe
        longest = LONGEST_BACKOFF_S if queue.established else FIRST_BACKOFF_S
        wait = task.retries.backoff(again, self._context.jitter(), longest=longest)
        if again.held:
            wait = queue.limiter.hold(wait, now, named=again.wait_s is not None)
        if not self._may_retry(task) or self._is_exhausted(task, again, now, wait):
            self._closer.end_create(task, again.message, Cause.UNAVAILABLE)
            return
        if again.held:
            self._start_clocks_of_held(queue)
        if queue.vendor.info.idempotency_header:
            self._context.record(ev.Retrying(at=wall, job=state.job.id, message=again.message, wait_s=wait))
        else:
            self._context.record(ev.CreateFailed(at=wall, job=state.job.id, message=again.message, wait_s=wait))
        queue.put(task, now + wait)

    def _is_exhausted(self, task: Task, again: Retry, now: float, wait: float) -> bool:
        """True if there is no time, or no patience, for another try."""
        ends_at = self._context.deadlines.end_of(task.job.job.id)
        if ends_at is not None and now + wait >= ends_at:
            return True
        queue = self._context.queue(task.job)
        return (
            task.retries.exhausted(again, now, established=queue.established, failing_since=queue.failing_since)
            is not None
        )

    def _start_clocks_of_held(self, queue: VendorQueue) -> None:
        """Counts the time of the creates that would have left but for the vendor's silence: they wait to be taken."""
        for waiting in queue.creates.tasks()[: queue.has_room_for()]:
            self._context.start_clock(waiting.job)

    def overdue(self, state: JobState) -> Outcome | None:
        """What entries have that waited in vain for a create to be taken; None if no create waits."""
        if not self._context.queue(state).creates.of(state):
            return None
        message = f"not taken in time: {_refusal(state)}"
        return Outcome(verdict=Verdict.ERROR, cause=Cause.UNAVAILABLE, message=message)

    def end_overdue(self, state: JobState) -> bool:
        """Ends a job whose create was not taken in time; false if no create waits."""
        queue = self._context.queue(state)
        creates = queue.creates.of(state)
        if not creates:
            return False
        [task] = creates
        queue.remove(task)
        refusal = _refusal(state)
        self._closer.end_create(task, f"not taken in time: {refusal}", Cause.UNAVAILABLE)
        self._end_held(queue, state, refusal)
        return True

    def _end_held(self, queue: VendorQueue, state: JobState, refusal: str) -> None:
        """Where a vendor has given no good reply in all that time, the creates behind have nothing to wait for."""
        began = self._context.deadlines.began(state.job.id)
        if began is None or queue.answered_at > began + GOOD_REPLY_S:
            return
        for task in queue.drop(RequestKind.CREATE):
            self._closer.end_create(task, f"the vendor took nothing for too long: {refusal}", Cause.UNAVAILABLE)

    def _may_retry(self, task: Task) -> bool:
        mode = self._context.mode
        return mode.may_retry or (mode.may_clear_doubts and task.may_have_created)

    def unanswered(self, state: JobState) -> None:
        """A create left, and its answer will not be read: a resume asks with its key, or a person decides."""
        if state.phase is Phase.SUBMITTING:
            self._closer.uncertain(state, ev.ANSWER_LOST)

    def submitting(self, state: JobState) -> ev.Submitting:
        """What is written down before a create leaves. Its key depends on nothing that a resume does not know."""
        key = None
        if self._context.queue(state).vendor.info.idempotency_header:
            key = idempotency_key(self._context.run.identity, state.job.id, state.attempt)
        # A repetition is written down as well: the journal may be gone, and what it makes would be in no journal.
        return ev.Submitting(at=self._context.clock.wall(), job=state.job.id, attempt=state.attempt, key=key)


def _refusal(state: JobState) -> str:
    return state.message or "the vendor takes nothing at the moment"


# ---------------------------------------------------------------------------------------------------------------------

# Which entries have to pass before a job begins. A job whose needs did not pass is skipped, and never sent.


_WHICH = {
    Verdict.FAILED: "failed",
    Verdict.BLOCKED: "was blocked",
    Verdict.SKIPPED: "was skipped",
    Verdict.ERROR: "ended in an error",
    Verdict.TIMED_OUT: "timed out",
    Verdict.CANCELLED: "was cancelled",
    Verdict.UNKNOWN: "has no verdict",
}


def needs_of(state: JobState) -> list[str]:
    """The entries that must pass before the job begins, each once."""
    return list(dict.fromkeys(need for entry in state.entries.values() for need in entry.needs))


def open_needs(run: Run, state: JobState) -> list[str]:
    """The needed entries that have no verdict yet."""
    return [need for need in needs_of(state) if need not in run.closed]


def missed(run: Run, state: JobState) -> Outcome | None:
    """Why the job never begins, if an entry that it needs did not pass."""
    for need in needs_of(state):
        if need not in run.job_of:
            return _skipped(f"needs {need}, which is not a part of this plan")
        outcome = run.closed.get(need)
        if outcome is not None and outcome.verdict not in GOOD:
            return _skipped(f"needs {need}, which {_WHICH[outcome.verdict]}")
    return None


def _skipped(message: str) -> Outcome:
    return Outcome(verdict=Verdict.SKIPPED, message=message, cause=Cause.DEPENDENCY)


class Dependencies:
    """Lets waiting jobs begin when all that their entries need has passed, and skips them if something did not."""

    def __init__(self, context: RunContext, closer: EntryCloser, creates: CreateHandler) -> None:
        self._context = context
        self._run = context.run
        self._closer = closer
        self._creates = creates
        self._dependents: dict[str, list[JobState]] = {}
        for state in context.run.jobs.values():
            for need in needs_of(state):
                self._dependents.setdefault(need, []).append(state)

    def start_if_ready(self, state: JobState) -> None:
        """Starts a waiting job, or skips its entries, or leaves it waiting."""
        outcome = missed(self._run, state)
        if outcome is not None:
            self._closer.close_entries(state, outcome)
        elif state.phase is Phase.SUBMITTING or not open_needs(self._run, state):
            self._creates.start(state)

    def start_waiting(self) -> None:
        """Looks again at the jobs that waited for entries which were closed since."""
        closed = self._context.closed
        while closed:
            for state in self._dependents.get(closed.popleft(), ()):
                waits = state.phase is Phase.WAITING and self._run.open_entries(state)
                if waits and self._context.mode.may_begin:
                    self.start_if_ready(state)
