"""What is written down is on disk before anything leaves, and one wait for the disk stands for a pass of the loop."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from qarunner.engine.state import events as ev
from qarunner.errors import JournalLost
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import Story, VirtualPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.decide.interpret import Answer
    from qarunner.plan.model import Plan

RUNS = 96


class Careful(VirtualPool):
    """Lets nothing out, and waits for nothing, while something is not on disk."""

    unsynced: Callable[[], list[ev.Event]]
    waits = 0

    def start(self, *words: Any, **options: Any) -> None:  # noqa: ANN401  as they come
        assert not self.unsynced()
        super().start(*words, **options)

    def wait(self, timeout: float | None) -> list[tuple[int, Answer]]:
        assert not self.unsynced()
        self.waits += 1
        return super().wait(timeout)


class Synced(Story):
    """A story that counts how often it waits for its disk. `fails_at`: an event that the disk does not confirm."""

    fails_at: type[ev.Event] | None = None

    def __init__(self, plan: Plan, backend: Backend) -> None:
        self.syncs = 0
        self.unsynced: list[ev.Event] = []
        super().__init__(plan, VENDORS, backend)
        pool = Careful(self.clock, backend)
        pool.unsynced = lambda: self.unsynced
        self.pool = self.engine._pool = pool
        self.sent_at: Counter[float] = Counter()

    def record(self, *events: ev.Event, wait: bool = True) -> None:
        super().record(*events, wait=wait)
        self.unsynced += [event for event in events if not isinstance(event, ev.EXPENDABLE)]
        if wait:
            self.sync()

    def sync(self) -> None:
        if not self.unsynced:
            return
        self.syncs += 1
        fails = self.fails_at is not None and any(isinstance(event, self.fails_at) for event in self.unsynced)
        self.unsynced = []
        if fails:
            raise JournalLost("Input/output error")


def plan(vendor: str, runs: int = RUNS) -> Plan:
    return plan_of(*(entry(f"e{number}", vendor) for number in range(runs)), max_in_flight=runs)


@pytest.mark.parametrize("vendor", ["plain", "keyed"])
def test_nothing_leaves_before_what_was_written_down_is_on_disk(vendor: str) -> None:
    story = Synced(plan(vendor), Backend())
    story.drive()
    assert {str(outcome.verdict) for outcome in story.run.closed.values()} == {"passed"}


def test_all_that_a_pass_writes_down_is_synced_at_once() -> None:
    story = Synced(plan("plain"), Backend())
    story.drive()
    assert isinstance(story.pool, Careful)
    durable = sum(not isinstance(event, ev.EXPENDABLE) for event in story.events)
    assert durable == 1 + 4 * RUNS
    assert story.syncs <= story.pool.waits + 2
    assert story.syncs <= durable / 10


def test_runs_that_the_disk_did_not_confirm_are_cancelled_and_nothing_more_begins() -> None:
    backend = Backend(lasts=1e9)
    story = Synced(plan("keyed", 30), backend)
    story.fails_at = ev.Accepted
    with pytest.raises(JournalLost, match="Input/output error"):
        story.drive()
    assert len(backend.began) == 12
    assert sorted(backend.cancelled) == sorted(backend.began)


def test_creates_that_the_disk_did_not_confirm_do_not_leave() -> None:
    backend = Backend()
    story = Synced(plan("keyed", 30), backend)
    story.fails_at = ev.Submitting
    with pytest.raises(JournalLost, match="Input/output error"):
        story.drive()
    assert not backend.began
