"""What one vendor is still to be sent, and when the next of it may leave."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qarunner.engine.machine import Answer
from qarunner.engine.pacing import Kind, Pacer, Watch
from qarunner.engine.patience import Trouble
from qarunner.engine.queues import FIRST, Queue
from qarunner.engine.resource_state import ResourceState
from qarunner.engine.state import JobState, RunState
from qarunner.vendors.api import Request

if TYPE_CHECKING:
    from qarunner.engine.pacing import Rhythm, Shared
    from qarunner.plan.model import VendorPlan
    from qarunner.vendors.api import Vendor


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    """A request that is due or under way. `poll` begins a poll; `answers` are those that it got so far.

    A task for a resource stands under the first job that uses it.
    """

    kind: Kind
    job: JobState
    request: Request
    run: RunState | None = None
    resource: ResourceState | None = None
    poll: Request | None = None
    answers: list[Answer] = field(default_factory=list)
    trouble: Trouble = field(default_factory=Trouble)
    sends: int = 0
    polls: int = 0
    best_effort: bool = False
    last: bool = False
    """Of a read: the look at a run that is over, which also an interruption waits for."""
    asked_at: float | None = None
    """When its newest poll left, and below when the newest that found the run going on did."""
    known_at: float | None = None
    watch: Watch | None = None
    urgency: float | None = None
    """Of tasks that are due, the lowest goes first; None: by when it became due."""
    maybe: bool = False
    """Of a create: whether one of its sends may have made a run."""

    @classmethod
    def poll_of(cls, state: JobState, run: RunState, request: Request, *, last: bool = False) -> Task:
        urgency = FIRST if last else None
        return cls(kind=Kind.READ, job=state, run=run, request=request, poll=request, last=last, urgency=urgency)

    def late_s(self, now: float) -> float:
        """For how long its answer has been wanted, as far as can be told."""
        if self.watch is not None:
            return self.watch.late_s(now)
        return 0.0 if self.urgency is None else now - self.urgency


_ENDING = (Kind.CANCEL, Kind.RELEASE)


class Lane:
    """The queues of one vendor: what ends something goes before what begins something.

    All other kinds take turns, so that none of them waits for ever where they share a rate.
    """

    def __init__(self, vendor: Vendor, plan: VendorPlan, rhythm: Rhythm, shared: Shared | None = None) -> None:
        self.vendor = vendor
        self.key_env = plan.key_env
        self.rhythm = rhythm
        self.pacer = Pacer(plan, shared)
        self.established = False
        self.busy_jobs: set[str] = set()
        self._max_in_flight = plan.max_in_flight
        self._queues = {kind: Queue() for kind in Kind}
        self._turns = [kind for kind in Kind if kind not in _ENDING]

    def put(self, task: Task, due: float) -> None:
        if task.kind is Kind.CREATE and task.job.job.id in self.busy_jobs:
            # It holds its place among those in flight already: behind one that waits for a place, both would wait.
            task.urgency = FIRST
        self._queues[task.kind].put(task, due)

    def drop(self, *kinds: Kind) -> list[Task]:
        """Empties queues and returns what was in them."""
        return [task for kind in kinds for task in self._queues[kind].clear()]

    def pending(self, *kinds: Kind) -> bool:
        return any(self._queues[kind] for kind in kinds or Kind)

    def reads_of(self, job: JobState) -> list[Task]:
        return self._queues[Kind.READ].of(job.job.id)

    def due_at(self, now: float) -> float | None:
        """The earliest time at which something may leave; None if only an answer can bring more."""
        times = [
            max(now, due, self.pacer.ready_at(kind, now))
            for kind, queue in self._queues.items()
            if queue and (due := self._opens_at(kind, queue, now)) is not None
        ]
        return min((at for at in times if at < math.inf), default=None)

    def _opens_at(self, kind: Kind, queue: Queue, now: float) -> float | None:
        first = queue.first(now)
        return queue.next_due_at() if first is None or self._full(kind, first) else now

    def _full(self, kind: Kind, task: Task) -> bool:
        if kind is not Kind.CREATE or len(self.busy_jobs) < self._max_in_flight:
            return False
        return task.job.job.id not in self.busy_jobs

    def take(self, now: float) -> Task | None:
        """The next task that may leave now, accounted for."""
        for kind in (*_ENDING, *self._turns):
            queue = self._queues[kind]
            if not queue or self.pacer.ready_at(kind, now) > now:
                continue
            task = queue.most_late(now) if kind is Kind.READ else queue.first(now)
            if task is not None and not self._full(kind, task) and self.pacer.claim(kind, now):
                queue.remove(task)
                self._account(kind, task, now)
                return task
        return None

    def _account(self, kind: Kind, task: Task, now: float) -> None:
        if kind is Kind.READ and not task.answers:
            task.asked_at = now
        if kind in self._turns:
            self._turns.remove(kind)
            self._turns.append(kind)

    def remove(self, task: Task) -> None:
        self._queues[task.kind].remove(task)
