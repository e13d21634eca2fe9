"""What one vendor is still to be sent, and when the next of it may leave."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qarunner.engine.machine import Answer
from qarunner.engine.pacing import Kind, Pacer
from qarunner.engine.patience import Trouble
from qarunner.engine.resource_state import ResourceState
from qarunner.engine.state import JobState, RunState
from qarunner.vendors.api import Request

if TYPE_CHECKING:
    from qarunner.engine.pacing import Rhythm
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
    maybe: bool = False
    """Of a create: whether one of its sends may have made a run."""


class Lane:
    """The queues of one vendor: what ends something goes before what begins something."""

    def __init__(self, vendor: Vendor, plan: VendorPlan, rhythm: Rhythm) -> None:
        self.vendor = vendor
        self.rhythm = rhythm
        self.pacer = Pacer(plan)
        self.established = False
        self.busy_jobs: set[str] = set()
        self._max_in_flight = plan.max_in_flight
        self._queues: dict[Kind, list[tuple[float, int, Task]]] = {kind: [] for kind in Kind}
        self._order = itertools.count()

    def put(self, task: Task, due: float) -> None:
        heapq.heappush(self._queues[task.kind], (due, next(self._order), task))

    def drop(self, *kinds: Kind) -> list[Task]:
        """Empties queues and returns what was in them."""
        dropped = [task for kind in kinds for _, _, task in sorted(self._queues[kind], key=lambda item: item[:2])]
        for kind in kinds:
            self._queues[kind].clear()
        return dropped

    def pending(self, *kinds: Kind) -> bool:
        return any(self._queues[kind] for kind in kinds or Kind)

    def reads_of(self, job: JobState) -> list[Task]:
        return [task for _, _, task in self._queues[Kind.READ] if task.job is job]

    def due_at(self, now: float) -> float | None:
        """The earliest time at which something may leave; None if only an answer can bring more."""
        times = [max(due, self.pacer.ready_at(kind, now)) for kind, due in self._heads()]
        return min(times, default=None)

    def _heads(self) -> list[tuple[Kind, float]]:
        return [
            (kind, queue[0][0])
            for kind in Kind
            if (queue := self._queues[kind]) and not (kind is Kind.CREATE and self._full(queue[0][2]))
        ]

    def _full(self, task: Task) -> bool:
        return task.job.job.id not in self.busy_jobs and len(self.busy_jobs) >= self._max_in_flight

    def take(self, now: float) -> Task | None:
        """The next task that may leave now, accounted for."""
        for kind, due in self._heads():
            if due <= now and self.pacer.ready_at(kind, now) <= now:
                _, _, task = heapq.heappop(self._queues[kind])
                self.pacer.sent(kind, now)
                return task
        return None

    def remove(self, task: Task) -> None:
        queue = self._queues[task.kind]
        queue[:] = [item for item in queue if item[2] is not task]
        heapq.heapify(queue)

    def interval_s(self, *, age_s: float, hint_s: float | None) -> float:
        """Seconds until a run is asked again, with all the others that wait to be asked."""
        spread = self.pacer.spread_s(len(self._queues[Kind.READ]) + 1)
        return self.rhythm.interval_s(age_s=age_s, hint_s=hint_s, spread_s=spread)
