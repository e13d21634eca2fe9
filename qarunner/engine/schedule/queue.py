"""What is still to be sent to each vendor, when the next of it may leave, and who may use a worker."""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

from qarunner.engine.decide.interpret import Answer
from qarunner.engine.schedule.rate_limits import CLEANUP, RateLimiter, RequestKind, Shared
from qarunner.engine.schedule.timing import LatenessEstimate, PollSchedule, RetryState
from qarunner.engine.state.run import JobState, ResourceState, RunState
from qarunner.vendors.api import AnyRequest, Request, Vendor, Verdict

if TYPE_CHECKING:
    from qarunner.plan.model import VendorPlan


# ---------------------------------------------------------------------------------------------------------------------

# What is to be sent, in the order in which it goes: among all that is due, the most urgent first.


Item: TypeAlias = "tuple[float, int, Task]"


FIRST = float("-inf")
"""The urgency of what must not stand behind anything else that is due."""


_BEFORE_READS = (RequestKind.SETUP, RequestKind.UPLOAD, RequestKind.CREATE)
"""A request that begins something moves the end of the whole apply; a read moves the notice of one end alone."""


COMPARED = 48
"""So many of the most urgent tasks are weighed against each other; more would cost time, and change little."""


class Queue:
    """Tasks that become due. Their urgency is a time: the lower it is, the sooner they go."""

    def __init__(self) -> None:
        self._later: list[Item] = []
        self._due: list[Item] = []
        self._held: dict[Task, int] = {}
        self._of_job: dict[str, list[Task]] = {}
        self._order = itertools.count()
        self._noted: list[Item] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def put(self, task: Task, due: float) -> None:
        """Each task stands here once: one that is put in again moves."""
        if task not in self._held:
            self._of_job.setdefault(task.job.job.id, []).append(task)
        self._held[task] = number = next(self._order)
        heapq.heappush(self._later, (due, number, task))

    def next_due_at(self) -> float | None:
        """When the next of the tasks that are not due yet will be."""
        while self._later and self._gone(self._later[0]):
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def first(self, now: float) -> Task | None:
        """The most urgent of the tasks that are due, as it was put in."""
        while (due := self.next_due_at()) is not None and due <= now:
            item = heapq.heappop(self._later)
            _, number, task = item
            bisect.insort(self._due, (due if task.urgency is None else task.urgency, number, task))
            if self._noted is not None:
                self._noted.append(item)
        while self._due and self._gone(self._due[0]):
            del self._due[0]
        return self._due[0][2] if self._due else None

    def due(self, now: float, *, ahead_s: float = 0.0) -> list[Task]:
        """The tasks that are due, the most urgent first, and then those that will be soon; empty if no task is due."""
        if self.first(now) is None:
            return []
        self._due = [item for item in self._due if not self._gone(item)]
        soon = [item for item in self._later if item[0] <= now + ahead_s and not self._gone(item)] if ahead_s else []
        return [item[2] for item in (*self._due, *soon)]

    def note_due(self, *, on: bool) -> None:
        """From here on it is noted what becomes due, or not any more."""
        self._noted = [] if on else None

    def newly_due(self, now: float) -> list[Task]:
        """The tasks that are due and became so since the last call: to look at all again would cost more each time."""
        self.first(now)
        noted, self._noted = self._noted or (), []
        return [item[2] for item in noted if not self._gone(item)]

    def most_late(self, now: float) -> Task | None:
        """Of the most urgent tasks that are due, the one whose answer is probably the latest by now."""
        first = self.first(now)
        if first is None or first.urgency == FIRST:
            return first
        held = [item[2] for item in self._due[:COMPARED] if not self._gone(item)]
        return max(held, key=lambda task: task.late_s(now))

    def remove(self, task: Task) -> None:
        if self._held.pop(task, None) is None:
            return
        name = task.job.job.id
        self._of_job[name].remove(task)
        if not self._of_job[name]:
            del self._of_job[name]
        index = next((index for index, item in enumerate(self._due[:COMPARED]) if item[2] is task), None)
        if index is not None:
            del self._due[index]

    def of(self, job: JobState) -> list[Task]:
        return list(self._of_job.get(job.job.id, ()))

    def tasks(self) -> list[Task]:
        """All tasks, in the order in which they came."""
        return sorted(self._held, key=self._held.__getitem__)

    def clear(self) -> list[Task]:
        """Empties the queue and returns what was in it, in the order in which it came."""
        tasks = self.tasks()
        self._later.clear()
        self._due.clear()
        self._held.clear()
        self._of_job.clear()
        return tasks

    def _gone(self, item: Item) -> bool:
        """Whether a task was removed, or stands elsewhere by now."""
        return self._held.get(item[2]) != item[1]


_READS = frozenset({"GET", "HEAD"})


class Task(Struct, kw_only=True, eq=False):
    """A request that is due or under way. A task for a resource stands under the first job that uses it.

    `poll` is the first request of a poll; `answers` are those to it and to what followed it.
    """

    kind: RequestKind
    job: JobState
    request: AnyRequest
    run: RunState | None = None
    resource: ResourceState | None = None
    poll: Request | None = None
    answers: list[Answer] = field(default_factory=list)
    retries: RetryState = field(default_factory=RetryState)
    sends: int = 0
    polls: int = 0
    best_effort: bool = False
    limit_s: float | None = None
    """Seconds after which its reply is not waited for any more; None: as long as the transport does."""
    details_end_at: float | None = None
    """Of a read for optional details of a run that is over: the time at which they are given up."""
    is_last_look: bool = False
    """True of a read of a run that is over; an interruption waits for it, too."""
    breaks_silence: bool = False
    """True of a read that is the last one of its run: a vendor's silence does not hold it up for long."""
    polled_at: float | None = None
    """Time of the last poll."""
    seen_running_at: float | None = None
    """Time of the last poll that found the run still running."""
    not_before: float = float("-inf")
    """Time before which the vendor does not want to be asked again."""
    waits_for_its_time: bool = False
    """True of a read that is put off until the run may have ended; false of one that repeats or follows another."""
    read_alone_at: float = float("-inf")
    """Of a read: when its run was asked by itself, or made."""
    is_held: bool = False
    """True of a read that waits for a list."""
    is_alone: bool = False
    """True of a read that waits for no list: one said nothing of its run, or nothing that is believed."""
    listed: Mapping[str, Verdict] | None = None
    """What a list says of its run, to be compared with its own reply: verdicts by entry; empty: the run goes on."""
    lateness: LatenessEstimate | None = None
    urgency: float | None = None
    """A time. Of the tasks that are due, the lowest goes first; None: the time at which it became due."""
    may_have_created: bool = False
    """True of a create if one of its sends may have made a run."""

    @classmethod
    def poll_of(cls, state: JobState, run: RunState, request: Request, *, is_last_look: bool = False) -> Task:
        urgency = FIRST if is_last_look else None
        return cls(
            kind=RequestKind.READ,
            job=state,
            run=run,
            request=request,
            poll=request,
            is_last_look=is_last_look,
            breaks_silence=is_last_look,
            urgency=urgency,
        )

    @property
    def is_sent_once(self) -> bool:
        """True of a request that makes a part of a resource, and whose lost reply is no reason to send it again."""
        return self.kind is RequestKind.SETUP and self.best_effort and self.request.method not in _READS

    def late_s(self, now: float) -> float:
        """For how long its answer has been wanted, as far as is known."""
        if self.lateness is not None:
            return self.lateness.late_s(now)
        return 0.0 if self.urgency is None else now - self.urgency


# ---------------------------------------------------------------------------------------------------------------------

# Who may use a worker: a vendor that hangs fills its own share, and no other vendor notices.


class Shares:
    """A share of the workers for each vendor, and one worker more for each that is kept for cancels and removals."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._busy: Counter[str] = Counter()

    def has_room(self, vendor: str, kind: RequestKind) -> bool:
        """True if a request of this kind may leave now."""
        return self._busy[vendor] < (self._size + 1 if kind in CLEANUP else self._size)

    def take(self, vendor: str) -> None:
        self._busy[vendor] += 1

    def give_back(self, vendor: str) -> None:
        """A reply came, or it is no longer waited for."""
        self._busy[vendor] -= 1


_CLEANUP_FIRST = (RequestKind.CANCEL, RequestKind.RELEASE)


class VendorQueue:
    """All that one vendor is to be sent: what ends something goes before what begins something.

    Reads go last. Where kinds share a rate, or what a silence lets through, they take turns: no kind waits for ever.
    """

    def __init__(
        self,
        vendor: Vendor,
        plan: VendorPlan,
        schedule: PollSchedule,
        shares: Shares,
        shared: Shared | None = None,
        *,
        key_name: str | None = None,
    ) -> None:
        self.vendor = vendor
        self.key_name = key_name or plan.key_env
        """What messages call the vendor's key."""
        self.schedule = schedule
        self.limiter = RateLimiter(plan, shared)
        self.established = False
        self.failing_since: float | None = None
        """Time of the first failure since the vendor's last good reply, or since it last asked for silence."""
        self.answered_at = float("-inf")
        """Time of the vendor's last good reply."""
        self.silent_since: float | None = None
        """Since when requests wait for an answer and not one came; None if nothing is asked."""
        self.key_worked = False
        self.busy_jobs: set[str] = set()
        self._shares = shares
        self._max_in_flight = plan.max_in_flight
        self._queues = {kind: Queue() for kind in RequestKind}
        self.reads, self.creates = self._queues[RequestKind.READ], self._queues[RequestKind.CREATE]
        self._turns = [*_BEFORE_READS, RequestKind.LIST, RequestKind.READ]

    def put(self, task: Task, due: float) -> None:
        if task.kind is RequestKind.CREATE and task.job.job.id in self.busy_jobs:
            # It holds its place among those in flight already: behind one that waits for a place, both would wait.
            task.urgency = FIRST
        self._queues[task.kind].put(task, due)

    def drop(self, *kinds: RequestKind) -> list[Task]:
        """Empties queues and returns what was in them."""
        return [task for kind in kinds for task in self._queues[kind].clear()]

    def pending(self, *kinds: RequestKind) -> bool:
        return any(self._queues[kind] for kind in kinds or RequestKind)

    def due_at(self, now: float) -> float | None:
        """The earliest time at which something may leave; None if only a reply can bring more."""
        times = [
            max(now, due, self._ready_at(kind, queue, now))
            for kind, queue in self._queues.items()
            if queue and self._has_worker(kind) and (due := self._opens_at(kind, queue, now)) is not None
        ]
        return min((at for at in times if at < math.inf), default=None)

    def _has_worker(self, kind: RequestKind) -> bool:
        return self._shares.has_room(self.vendor.info.name, kind)

    def _ready_at(self, kind: RequestKind, queue: Queue, now: float) -> float:
        first = queue.first(now)
        return self.limiter.ready_at(kind, now, is_last=first is not None and first.breaks_silence)

    def _opens_at(self, kind: RequestKind, queue: Queue, now: float) -> float | None:
        first = queue.first(now)
        return queue.next_due_at() if first is None or self._is_full(kind, first) else now

    def _is_full(self, kind: RequestKind, task: Task) -> bool:
        if kind is not RequestKind.CREATE or len(self.busy_jobs) < self._max_in_flight:
            return False
        return task.job.job.id not in self.busy_jobs

    def take(self, now: float) -> Task | None:
        """The next task that may leave now, with a worker and counted in the rates."""
        for kind in (*_CLEANUP_FIRST, *self._turns):
            queue = self._queues[kind]
            if not queue or not self._has_worker(kind) or self._ready_at(kind, queue, now) > now:
                continue
            paced = kind is RequestKind.READ and self.limiter.paces(kind)
            task = queue.most_late(now) if paced else queue.first(now)
            if task is None or self._is_full(kind, task):
                continue
            if self.limiter.try_take(kind, now, is_last=task.breaks_silence):
                queue.remove(task)
                self._account(kind, task, now)
                return task
        return None

    def _account(self, kind: RequestKind, task: Task, now: float) -> None:
        self._shares.take(self.vendor.info.name)
        if kind is RequestKind.CREATE:
            self.busy_jobs.add(task.job.job.id)
        if kind in {RequestKind.READ, RequestKind.LIST} and not task.answers:
            task.polled_at = now
            task.read_alone_at = now
        # Kinds take turns at what they share: reads would wait for ever behind the creates of a long run, and behind
        # one that is refused again and again.
        if kind in self._turns and self.limiter.is_shared:
            self._turns.remove(kind)
            self._turns.append(kind)

    def has_room_for(self) -> int:
        """How many more creates may be in flight."""
        return max(0, self._max_in_flight - len(self.busy_jobs))

    def give_back(self) -> None:
        """The worker of a task that was taken is free, or is not counted any more."""
        self._shares.give_back(self.vendor.info.name)

    def remove(self, task: Task) -> None:
        self._queues[task.kind].remove(task)
