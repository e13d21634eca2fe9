"""The journal cannot be written any more: nothing begins, and what is under way is awaited and cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase
from qarunner.errors import ExitCode, JournalLost
from tests.engine.flow.test_resources import BUILD, ENVIRONMENT, VENDOR, Store, using
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.plan.model import Plan
    from qarunner.vendors.api import Request, Vendor


class Full(Story):
    """A disk that is full from an event on: the `nth` of its kind is not written, nor is anything with or after it."""

    full_at: tuple[type[ev.Event], int]
    full = False

    def record(self, *events: ev.Event, wait: bool = True) -> None:
        kind, nth = self.full_at
        self.full = self.full or sum(isinstance(event, kind) for event in (*self.events, *events)) >= nth
        if self.full:
            raise JournalLost("no space left on device")
        super().record(*events, wait=wait)


def full(
    plan: Plan,
    at: tuple[type[ev.Event], int],
    backend: Backend,
    *,
    options: Options | None = None,
    vendors: Mapping[str, Vendor] = VENDORS,
    takes: float = 0.05,
    path: str = "/runs",
) -> Full:
    """`takes`: seconds until requests to `path` are answered, but for the create of the entry `quick`."""

    def latency(_vendor: str, request: Request) -> float:
        return takes if request.path == path and request.body != {"tests": ["quick"]} else 0.05

    Full.full_at = at
    story = Full(plan, vendors, backend, options=options, latency=latency)
    with pytest.raises(JournalLost) as caught:
        story.drive()
    assert caught.value.code is ExitCode.NO_VERDICT
    return story


def five(vendor: str) -> Plan:
    return plan_of(*(entry(f"e{number}", vendor) for number in range(5)), max_in_flight=5)


@pytest.mark.parametrize("options", [None, Options(detach=True), Options(detach_on_interrupt=True)])
def test_creates_under_way_are_awaited_and_their_runs_cancelled(options: Options | None) -> None:
    backend = Backend(lasts=1e9)
    story = full(five("keyed"), (ev.Accepted, 2), backend, options=options, takes=2.0)
    assert len(backend.began) == 5
    assert sorted(name for state in story.run.jobs.values() for name in state.runs) == sorted(backend.began)
    assert sorted(backend.cancelled) == sorted(backend.began)
    assert not list(story.run.active_runs())
    assert len([event for event in story.events if isinstance(event, ev.Accepted)]) == 1
    assert story.clock.now() < 9


def test_what_cannot_be_cancelled_is_known_and_named() -> None:
    backend = Backend(lasts=1e9)
    story = full(five("plain"), (ev.Accepted, 1), backend, takes=2.0)
    assert {run.remote.id for _, run in story.run.active_runs()} == set(backend.began)


def test_a_create_that_is_not_answered_in_time_is_in_doubt() -> None:
    plan = plan_of(*(entry(name, "plain") for name in ("a", "b", "c", "d", "quick")), max_in_flight=5)
    story = full(plan, (ev.Accepted, 1), Backend(lasts=1e9), takes=90.0)
    phases = [state.phase for state in story.run.jobs.values()]
    assert phases == [*[Phase.UNCERTAIN] * 4, Phase.RUNNING]
    assert story.clock.now() == pytest.approx(6.05)


@pytest.mark.parametrize("nth", [1, 3])
def test_creates_that_are_not_all_written_down_do_not_leave(nth: int) -> None:
    backend = Backend()
    story = full(five("keyed"), (ev.Submitting, nth), backend)
    assert not backend.began
    assert {state.phase for state in story.run.jobs.values()} == {Phase.WAITING}
    assert story.clock.now() < 1


def test_nothing_begins_that_waits_for_another_entry_or_attempt() -> None:
    backend = Backend()
    plan = plan_of(entry("a", "keyed"), entry("b", "plain"), entry("c", "keyed", needs=("a",)))
    story = full(plan, (ev.EntryClosed, 1), backend)
    assert len(backend.began) == 2
    assert "c" not in story.run.closed


def test_an_environment_that_is_not_written_down_is_not_made() -> None:
    store = Store()
    plan = using(plan_of(entry("a", "keyed")), ENVIRONMENT, "key")
    full(plan, (ev.ResourceAsked, 1), store, vendors=VENDOR)
    assert not store.made


def test_an_environment_that_was_made_is_removed() -> None:
    store = Store()
    plan = using(plan_of(entry("a", "keyed")), ENVIRONMENT, "key")
    full(plan, (ev.ResourceReady, 1), store, vendors=VENDOR)
    assert store.removed == store.made
    assert not store.began


def test_an_upload_is_not_awaited() -> None:
    plan = using(plan_of(entry("a", "plain"), entry("b", "keyed")), BUILD, "target")
    story = full(plan, (ev.Preparing, 1), Store(), vendors=VENDOR, takes=90.0, path="https://files.test/upload")
    assert story.clock.now() < 1
