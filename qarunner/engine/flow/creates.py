"""Which entries have to pass before a job begins; one of which a need did not pass is skipped, and never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from qarunner.engine.decide.interpret import (
    OTHER_BODY,
    Again,
    Lost,
    Made,
    Never,
    Nothing,
    after_create,
    asked_with,
    filled,
    idempotency_key,
)
from qarunner.engine.schedule.queue import Task
from qarunner.engine.schedule.rate_limits import Kind
from qarunner.engine.schedule.timing import FIRST_BACKOFF_S, LONGEST_BACKOFF_S
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase
from qarunner.vendors.api import GOOD, Cause, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.flow.resources import Preparer
    from qarunner.engine.flow.shutdown import Closer
    from qarunner.engine.io.workers import Clock
    from qarunner.engine.schedule.queue import Lane
    from qarunner.engine.state.run import JobState, Run


# ---------------------------------------------------------------------------------------------------------------------

# Creates: each is on disk before it leaves, and sent again only where that cannot make a second run.


LOST_ANSWER = "qarunner was stopped before the vendor's answer was written down"


class Creator:
    """Sends creates and settles their answers. `made` is told of a job that has runs now."""

    preparer: Preparer

    def __init__(
        self,
        *,
        run: Run,
        lanes: Mapping[str, Lane],
        record: Callable[[ev.Event], None],
        clock: Clock,
        jitter: Callable[[], float],
        closer: Closer,
        made: Callable[[JobState], None],
    ) -> None:
        self._run = run
        self._lanes = lanes
        self._record = record
        self._clock = clock
        self._jitter = jitter
        self._closer = closer
        self._made = made

    def _lane(self, state: JobState) -> Lane:
        return self._lanes[state.job.vendor]

    def put(self, state: JobState) -> None:
        """The create, once all that it refers to exists; else that is begun first. One that left is sent once more."""
        if not self.preparer.want(state):
            return
        again, request = state.phase is Phase.SUBMITTING, filled(state, self.preparer.values(state))
        if again and request != filled(state, {key: state.sent[each] for key, each in state.job.uses.items()}):
            self.uncertain(state, OTHER_BODY)
            return
        task = Task(kind=Kind.CREATE, job=state, request=request, sends=int(again), maybe=again)
        self._lane(state).put(task, self._clock.now())

    def no_resource(self, state: JobState, message: str, cause: Cause) -> None:
        """A job gets no resource: its create never leaves, or never again."""
        if state.phase is Phase.SUBMITTING:
            self.uncertain(state, message)
        else:
            self._give_up_create(state, message, cause)

    def settle(self, task: Task, answer: Answer) -> None:
        state, lane = task.job, self._lane(task.job)
        wall = self._clock.wall()
        meaning = after_create(lane.vendor, self._run.call(state), answer, now=wall)
        match meaning:
            case Made():
                self._record(ev.Accepted(at=wall, job=state.job.id, runs=meaning.runs))
                self._made(state)
            case Nothing():
                self._record(ev.NothingStarted(at=wall, job=state.job.id, outcomes=meaning.outcomes))
                self._closer.close_job(state)
            case Again():
                self._create_again(task, meaning)
            case Never():
                self._end_create(task, asked_with(meaning.refusal, lane.key_env), meaning.refusal.cause)
            case Lost():
                self.uncertain(state, meaning.message)
            case _:
                assert_never(meaning)

    def _create_again(self, task: Task, again: Again) -> None:
        state, lane = task.job, self._lane(task.job)
        now, wall = self._clock.now(), self._clock.wall()
        task.trouble.add(again, now)
        task.maybe = task.maybe or again.maybe
        cause = task.trouble.exhausted(again, now, established=lane.established)
        unwanted = self._closer.ended is not None and not task.maybe
        if cause is not None or unwanted or self._closer.stopping or self._closer.closing:
            self._end_create(task, again.message, Cause.UNAVAILABLE)
            return
        longest = LONGEST_BACKOFF_S if lane.established else FIRST_BACKOFF_S
        wait = task.trouble.backoff(again, self._jitter(), longest=longest)
        if again.held:
            wait = lane.pacer.hold(wait, now, named=again.wait_s is not None)
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
        self._closer.close_job(state)

    def _give_up_create(self, state: JobState, message: str, cause: Cause) -> None:
        self._record(ev.NotSubmitted(at=self._clock.wall(), job=state.job.id, message=message, cause=cause))
        self._closer.close_job(state)
        if cause is Cause.CREDENTIAL:
            # The same key will not be better for the next create; each of them could cost a lock-out.
            for task in self._lane(state).drop(Kind.CREATE):
                self._end_create(task, message, cause)

    def unanswered(self, state: JobState) -> None:
        """A create left, and nobody will read its answer: a resume asks with its key, or a person decides."""
        if state.phase is Phase.SUBMITTING:
            self.uncertain(state, LOST_ANSWER)

    def submitting(self, lane: Lane, task: Task) -> str | None:
        """Writes down that a create leaves; the key depends on nothing that a resume does not know."""
        state = task.job
        key = None
        if lane.vendor.info.idempotency_header:
            key = idempotency_key(self._run.identity, state.job.id, state.attempt)
        lane.busy_jobs.add(state.job.id)
        if state.phase is not Phase.SUBMITTING:
            self._record(ev.Submitting(at=self._clock.wall(), job=state.job.id, attempt=state.attempt, key=key))
        return key


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


def awaited(run: Run, state: JobState) -> list[str]:
    """The needed entries that are not closed yet."""
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
    return Outcome(verdict=Verdict.SKIPPED, message=message, cause=Cause.NEED)


class Order:
    """Lets waiting jobs begin, each once: when all that its entries need has passed, and never if one of it did not."""

    def __init__(self, run: Run, closer: Closer, begin: Callable[[JobState], None]) -> None:
        self._run = run
        self._closer = closer
        self._begin = begin
        self._admitted: set[str] = set()
        self._dependents: dict[str, list[JobState]] = {}
        for state in run.jobs.values():
            for need in needs_of(state):
                self._dependents.setdefault(need, []).append(state)

    def admit(self, state: JobState) -> None:
        """Lets a waiting job begin, or closes its entries, or leaves it waiting."""
        outcome = missed(self._run, state)
        if outcome is not None:
            self._closer.close_entries(state, outcome)
        elif not awaited(self._run, state) and not self.admitted(state):
            self._admitted.add(state.job.id)
            self._begin(state)

    def admitted(self, state: JobState) -> bool:
        return state.job.id in self._admitted

    def proceed(self) -> None:
        """Looks again at the jobs that waited for entries which were closed since."""
        closer = self._closer
        while closer.news:
            for state in self._dependents.get(closer.news.popleft(), ()):
                waits = state.phase is Phase.WAITING and self._run.open_entries(state)
                if waits and not closer.stopping and not closer.final:
                    self.admit(state)
