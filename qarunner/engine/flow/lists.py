"""One read for many runs, where a vendor lists them: a list saves reads, and never makes a verdict better.

What a list shows doubtfully, or does not show, is read by itself. A verdict is taken from a list only after the same
verdict of another run was confirmed by its own read; a list that was wrong, or is always behind, is not asked again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from msgspec import Struct, field

from qarunner.engine.decide.interpret import Answer, after_refused_list, listed_runs
from qarunner.engine.schedule.queue import FIRST, Task, VendorQueue
from qarunner.engine.schedule.rate_limits import RequestKind
from qarunner.vendors.api import FINISHED, RemoteRun, Reply, Request, Verdict

if TYPE_CHECKING:
    from qarunner.engine.flow.context import RunContext
    from qarunner.engine.state.run import JobState


LEAST_DUE = 3
"""For fewer runs that are due, a list is not worth its pages."""


GUESSED_PAGE = 50
"""So many runs may be on a page, before a list was read."""


MOST_PAGES = 200
"""A list that does not end by then never does."""


PATIENCE_S = 60.0
"""A read that waits for a list goes by itself after so long."""


LONGEST_TRUST_S = 300.0
"""However often a list says that a run goes on, it is read by itself after about so long."""


PAUSE_S = 30.0
"""A list that said too little is read again after this long, then after twice of it, and so on."""


MOST_STALE = 3
"""A list that shows so many runs going on which their own reads find over is behind, and not worth reading."""


class Listing(Struct, frozen=True, kw_only=True):
    """What a list said, as of the time at which it was asked for.

    `unlisted` are reads that waited for it in vain; `probes` are sent all the same, to see whether the list is behind.
    """

    at: float
    replies: Mapping[Task, Reply]
    unlisted: tuple[Task, ...] = ()
    probes: AbstractSet[Task] = frozenset()


class VendorList(Struct, kw_only=True):
    """What is known of one vendor's list. `confirmed` are the verdicts of ends that runs' own reads have confirmed."""

    asked: Task | None = None
    """The list's next page, if one is being read."""
    asked_at: float = 0.0
    runs: dict[str, RemoteRun] = field(default_factory=dict)
    """The runs that it was asked for, by their ids."""
    replies: list[Reply] = field(default_factory=list)
    pages: int = 0
    """Of the newest list; 0 before the first."""
    rests_until: float = float("-inf")
    is_worth_waiting: bool = False
    """True if what is due while it rests is left to it: of many pages, it rests for longer than a run."""
    failures: int = 0
    stale: int = 0
    confirmed: set[Verdict] = field(default_factory=set)
    is_off: bool = False

    def cost(self, runs: int) -> int:
        return self.pages or math.ceil(runs / GUESSED_PAGE)

    def rest(self, now: float) -> None:
        self.rests_until = now + PAUSE_S * 2.0 ** min(self.failures, 6)
        self.failures += 1


class Lists:
    """Reads lists where enough runs of a vendor are due. They are the same for all of a vendor's settings."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._lists = {name: VendorList() for name in context.queues}

    def gather(self, queue: VendorQueue, now: float) -> None:
        """Begins to read a vendor's list in place of the reads that are due; they wait for it."""
        vendor = self._lists[queue.vendor.info.name]
        if vendor.is_off:
            return
        if not self._context.mode.waits_for_reads:
            queue.drop(RequestKind.LIST)
            queue.reads.note_due(on=False)
            vendor.is_off = True
            return
        if vendor.asked is not None:
            due = _holdable(queue.reads.newly_due(now))
        elif now < vendor.rests_until:
            for task in _holdable(queue.reads.due(now)) if vendor.is_worth_waiting else ():
                queue.put(task, vendor.rests_until)
            return
        elif len(queue.reads) < LEAST_DUE:
            return
        else:
            # This list can also answer for what is due before a list could be read again.
            due = _holdable(queue.reads.due(now, ahead_s=queue.schedule.shortest_s))
            if not self._begin(queue, vendor, due, now):
                return
        for task in due:
            if _id(task) in vendor.runs:
                task.is_held = True
                queue.put(task, now + PATIENCE_S)

    def _begin(self, queue: VendorQueue, vendor: VendorList, due: list[Task], now: float) -> bool:
        if len(due) < LEAST_DUE or len(due) <= vendor.cost(len(queue.reads)):
            return False
        reads = filter(_is_plain, queue.reads.tasks())
        vendor.runs = {_id(task): task.run.remote for task in reads if task.run is not None}
        vendor.replies, vendor.asked_at = [], now
        request = self._next(queue, vendor)
        if not isinstance(request, Request):
            vendor.is_off = True
            return False
        queue.reads.note_due(on=True)
        self._ask(queue, vendor, due[0].job, request)
        return True

    def _ask(self, queue: VendorQueue, vendor: VendorList, job: JobState, request: Request) -> None:
        vendor.asked = Task(kind=RequestKind.LIST, job=job, request=request, urgency=FIRST)
        queue.put(vendor.asked, self._context.clock.now())

    def _next(self, queue: VendorQueue, vendor: VendorList) -> Request | Mapping[str, Reply] | None:
        settings = self._context.run.plan.vendors[queue.vendor.info.name].settings
        return listed_runs(queue.vendor, settings, list(vendor.runs.values()), vendor.replies)

    def settle(self, task: Task, answer: Answer) -> Listing | None:
        """What the list tells; None while more of its pages are read."""
        queue, now = self._context.queue(task.job), self._context.clock.now()
        vendor = self._lists[queue.vendor.info.name]
        if task is not vendor.asked:
            return None
        if not isinstance(answer, Reply) or not answer.ok:
            self._refused(queue, vendor, answer, now)
            return self._end(queue, vendor, {})
        if not vendor.replies and task.polled_at is not None:
            vendor.asked_at = task.polled_at
        vendor.replies.append(answer)
        step = self._next(queue, vendor)
        if isinstance(step, Request) and step != task.request and len(vendor.replies) < MOST_PAGES:
            self._ask(queue, vendor, task.job, step)
            return None
        vendor.is_off = step is None or isinstance(step, Request)
        return self._end(queue, vendor, {} if step is None or isinstance(step, Request) else step)

    def _refused(self, queue: VendorQueue, vendor: VendorList, answer: Answer, now: float) -> None:
        again = after_refused_list(queue.vendor, answer, now=self._context.clock.wall())
        if again is None:
            vendor.is_off = True
            return
        if again.held:
            queue.limiter.hold(again.wait_s or 0.0, now, named=again.wait_s is not None)
        vendor.rest(now)

    def _end(self, queue: VendorQueue, vendor: VendorList, replies: Mapping[str, Reply]) -> Listing:
        now = self._context.clock.now()
        waiting = [task for task in _holdable(queue.reads.tasks()) if _id(task) in vendor.runs]
        listed = {task: replies[_id(task)] for task in waiting if _id(task) in replies}
        if vendor.replies:
            vendor.pages = len(vendor.replies)
            if sum(task.is_held for task in listed) * 2 <= vendor.pages:
                vendor.rest(now)
            else:
                vendor.failures = 0
        unlisted = tuple(task for task in waiting if task.is_held and task not in listed)
        for task in waiting:
            task.is_held = False
        queue.reads.note_due(on=False)
        vendor.asked, vendor.runs, vendor.replies = None, {}, []
        pause_s = queue.schedule.list_pause_s(vendor.pages)
        vendor.is_worth_waiting = vendor.failures == 0 and pause_s > queue.schedule.shortest_s
        vendor.rests_until = max(vendor.rests_until, vendor.asked_at + pause_s)
        # As many as the list had pages: were all that are old asked at once, none would be noticed meanwhile.
        oldest = sorted(listed, key=lambda task: task.read_alone_at)[: max(1, vendor.pages)]
        probes = {task for task in oldest if now - task.read_alone_at >= LONGEST_TRUST_S}
        if len(listed) > 1:
            probes.add(oldest[0])
        return Listing(at=vendor.asked_at, replies=listed, unlisted=unlisted, probes=probes)

    # --- what a run's own read says of the list -----------------------------------------------------------------------

    def believes(self, task: Task, verdicts: Mapping[str, Verdict]) -> bool:
        confirmed = self._lists[task.job.job.vendor].confirmed
        return bool(verdicts) and confirmed.issuperset(verdicts.values())

    def compare(self, task: Task, verdicts: Mapping[str, Verdict] | None) -> None:
        """Compares a list with what a run's own read said after it: its verdicts, or None if it goes on."""
        vendor, listed, task.listed = self._lists[task.job.job.vendor], task.listed, None
        if listed is None:
            return
        if listed == verdicts:
            vendor.confirmed.update(FINISHED.intersection(listed.values()))
        elif listed:  # the list was wrong about an end
            vendor.is_off = True
        elif verdicts is None:
            vendor.stale = 0
        else:
            vendor.stale += 1
            vendor.is_off = vendor.is_off or vendor.stale >= MOST_STALE


def _holdable(tasks: list[Task]) -> list[Task]:
    """The reads that a list can stand for."""
    return [task for task in tasks if _is_plain(task) and not task.is_alone]


def _id(task: Task) -> str:
    return "" if task.run is None else task.run.remote.id


def _is_plain(task: Task) -> bool:
    """True of a poll that nothing has come of yet."""
    is_first = not task.answers and not task.is_last_look and task.retries.count == 0
    return is_first and task.run is not None and task.run.polled
