"""What is to be sent, in the order in which it goes: among all that is due, the most urgent first."""

from __future__ import annotations

import bisect
import heapq
import itertools
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from qarunner.engine.lane import Task

Item: TypeAlias = "tuple[float, int, Task]"

FIRST = float("-inf")
"""The urgency of what must not stand behind anything else that is due."""
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
            _, number, task = heapq.heappop(self._later)
            bisect.insort(self._due, (due if task.urgency is None else task.urgency, number, task))
        while self._due and self._gone(self._due[0]):
            del self._due[0]
        return self._due[0][2] if self._due else None

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

    def of(self, job: str) -> list[Task]:
        return list(self._of_job.get(job, ()))

    def clear(self) -> list[Task]:
        """Empties the queue and returns what was in it, in the order in which it came."""
        tasks = sorted(self._held, key=self._held.__getitem__)
        self._later.clear()
        self._due.clear()
        self._held.clear()
        self._of_job.clear()
        return tasks

    def _gone(self, item: Item) -> bool:
        """Whether a task was removed, or stands elsewhere by now."""
        return self._held.get(item[2]) != item[1]
