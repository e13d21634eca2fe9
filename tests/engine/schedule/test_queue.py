"""Which of the tasks of one vendor goes next: nothing waits for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from qarunner.engine.schedule.queue import FIRST, Queue, Shares, Task, VendorQueue
from qarunner.engine.schedule.rate_limits import RequestKind
from qarunner.engine.schedule.timing import PollSchedule
from qarunner.engine.state.run import Run
from qarunner.plan.model import Rate, VendorPlan
from qarunner.vendors.api import Request
from tests.fictional import PLAIN, entry, plan_of

if TYPE_CHECKING:
    from qarunner.engine.state.run import JobState

ASK = Request(method="GET", path="/")


def jobs(count: int) -> list[JobState]:
    return list(Run.of(plan_of(*(entry(f"e{number}", "plain") for number in range(count)))).jobs.values())


def vendor_queue(*, of_all: Rate | None = None, max_in_flight: int = 100) -> VendorQueue:
    plan = VendorPlan(key_env="K", every_s=10, max_s=30, max_in_flight=max_in_flight, all=of_all)
    return VendorQueue(PLAIN, plan, PollSchedule(every_s=10, max_s=30, hint_s=None), Shares(12))


def test_creates_and_reads_that_share_a_rate_take_turns() -> None:
    shared = vendor_queue(of_all=Rate(count=10))
    for kind in (RequestKind.CREATE, RequestKind.READ):
        for job in jobs(50):
            shared.put(Task(kind=kind, job=job, request=ASK), 0.0)
    now, sent = 0.0, list[RequestKind]()
    while len(sent) < 60:
        due = shared.due_at(now)
        assert due is not None
        now = due
        task = shared.take(now)
        assert task is not None
        sent.append(task.kind)
        shared.give_back()
    assert sent[:40].count(RequestKind.CREATE) == sent[:40].count(RequestKind.READ) == 20


def test_what_ends_something_goes_before_everything_else() -> None:
    line = vendor_queue()
    for kind in (RequestKind.CREATE, RequestKind.READ, RequestKind.CANCEL):
        line.put(Task(kind=kind, job=jobs(1)[0], request=ASK), 0.0)
    first = line.take(0.0)
    assert first is not None
    assert first.kind is RequestKind.CANCEL


def test_a_create_that_is_repeated_does_not_wait_for_its_own_place() -> None:
    """With one place, the next job waits for the first, and the first must not stand behind the next."""
    line, (first, second) = vendor_queue(max_in_flight=1), jobs(2)
    again, other = (Task(kind=RequestKind.CREATE, job=job, request=ASK) for job in (first, second))
    line.put(again, 0.0)
    line.put(other, 0.0)
    assert line.take(0.0) is again
    line.busy_jobs.add(first.job.id)
    line.put(again, 5.0)
    assert line.take(1.0) is None
    assert line.due_at(1.0) == 5.0
    assert line.take(5.0) is again
    assert line.due_at(5.0) is None
    line.busy_jobs.clear()
    assert line.take(5.0) is other


@given(st.lists(st.tuples(st.floats(0, 100), st.none() | st.floats(-10, 100)), max_size=30))
def test_of_what_is_due_the_most_urgent_goes_first(given_tasks: list[tuple[float, float | None]]) -> None:
    queue, job = Queue(), jobs(1)[0]
    for due, urgency in given_tasks:
        queue.put(Task(kind=RequestKind.READ, job=job, request=ASK, urgency=urgency), due)
    waiting = [due if urgency is None else urgency for due, urgency in given_tasks if due <= 50]
    taken = []
    while (task := queue.first(50.0)) is not None:
        queue.remove(task)
        taken.append(task.urgency)
    assert len(taken) == len(waiting)
    assert [each for each in taken if each is not None] == sorted(each for each in taken if each is not None)
    assert len(queue) == len(given_tasks) - len(waiting)


def test_a_task_that_is_put_in_again_moves() -> None:
    queue, job = Queue(), jobs(1)[0]
    task, other = (Task(kind=RequestKind.READ, job=job, request=ASK) for _ in range(2))
    queue.put(task, 1.0)
    queue.put(other, 2.0)
    assert queue.first(3.0) is task
    task.urgency = FIRST
    queue.put(task, 10.0)
    assert queue.first(3.0) is other
    assert queue.first(10.0) is task
    assert len(queue) == 2
    assert set(queue.of(job)) == {task, other}
    queue.remove(task)
    assert queue.clear() == [other]


def test_what_becomes_due_is_named_once_and_only_while_it_is_due() -> None:
    queue = Queue()
    tasks = [Task(kind=RequestKind.READ, job=job, request=ASK) for job in jobs(5)]
    for number, task in enumerate(tasks):
        queue.put(task, float(number))
    queue.first(0.0)
    queue.note_due(on=True)
    assert queue.newly_due(2.0) == tasks[1:3]
    assert queue.newly_due(2.0) == []
    assert queue.first(4.0) is tasks[0]
    queue.remove(tasks[3])
    queue.put(tasks[4], 9.0)
    assert queue.newly_due(4.0) == []
    assert queue.newly_due(9.0) == [tasks[4]]
    queue.put(tasks[0], 9.0)
    queue.note_due(on=False)
    queue.first(9.0)
    assert queue.newly_due(9.0) == []
