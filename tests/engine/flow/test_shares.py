"""Whatever one vendor does, the others are read and cancelled as if it were not there, and ends wait for no worker."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.flow.driver import Options
from qarunner.vendors.api import Verdict
from tests.fictional import VENDORS, Backend, entry, plan_of
from tests.worlds import Story

if TYPE_CHECKING:
    from qarunner.vendors.api import Request

HANGS_S = 60.0


def hanging(vendor: str, method: str = "GET", *, other: float = 0.05, number: int = 60, **more: object) -> Story:
    """Many runs at a vendor that gives no answer, and some at another one, at which all is well."""

    def latency(name: str, request: Request) -> float:
        return HANGS_S if name == vendor and request.method == method else other

    healthy = "plain" if vendor == "keyed" else "keyed"
    entries = [entry(f"hung-{each}", vendor) for each in range(number)]
    entries += [entry(f"well-{each}", healthy) for each in range(8)]
    plan = plan_of(*entries)
    return Story(plan, VENDORS, Backend(), latency=latency, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("vendor", ["plain", "keyed"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_vendor_that_hangs_holds_up_no_other(vendor: str, method: str) -> None:
    story = hanging(vendor, method, options=Options(timeout_s=70))
    story.drive()
    alone = Story(plan_of(*(entry(f"well-{each}", "plain") for each in range(8))), VENDORS, Backend()).drive()
    slowest = max(at - alone.run.started_at for at in alone.run.closed_at.values())
    well = {name: at - story.run.started_at for name, at in story.run.closed_at.items() if name.startswith("well")}
    assert {story.run.closed[name].verdict for name in well} == {Verdict.PASSED}
    assert max(well.values()) < slowest + 1.0
    assert story.clock.now() <= 76


@pytest.mark.parametrize("vendor", ["plain", "keyed"])
def test_an_interruption_cancels_what_can_be_cancelled_whoever_hangs(vendor: str) -> None:
    story = hanging(vendor)
    story.pool.at.append((20.0, lambda: story.engine.interrupt(2)))
    story.drive()
    backend = story.pool._world
    assert isinstance(backend, Backend)
    assert len(backend.cancelled) == (60 if vendor == "keyed" else 8)
    assert story.clock.now() <= 26


def test_reads_that_hang_take_no_worker_from_the_cancels_of_their_own_vendor() -> None:
    """Forty cancels of half a second each: one worker alone would need twenty seconds."""
    story = hanging("keyed", other=0.5, number=40)
    story.pool.at.append((20.0, lambda: story.engine.interrupt(2)))
    story.drive()
    backend = story.pool._world
    assert isinstance(backend, Backend)
    assert len(backend.cancelled) == 40


def test_creates_that_hang_leave_a_worker_to_the_cancels_of_their_own_vendor() -> None:
    """Their answers are awaited, since each may tell of a run that was paid for."""
    story = hanging("keyed", number=30)
    creates = itertools.count()
    story.pool._latency = lambda vendor, request: (
        HANGS_S if (vendor, request.path) == ("keyed", "/runs") and next(creates) >= 8 else 0.05
    )
    story.pool.at.append((5.0, lambda: story.engine.interrupt(2)))
    story.drive()
    backend = story.pool._world
    assert isinstance(backend, Backend)
    assert len(backend.cancelled) == 8


def test_cancels_that_hang_leave_the_others_theirs() -> None:
    story = hanging("keyed", number=30)
    latency = story.pool._latency
    assert callable(latency)
    story.pool._latency = lambda vendor, request: (
        1e6 if request.path.endswith("-1/cancel") else latency(vendor, request)
    )
    story.pool.at.append((20.0, lambda: story.engine.interrupt(2)))
    story.drive()
    assert story.clock.now() == pytest.approx(26.0)


def test_reads_that_hang_when_the_time_is_up_leave_time_for_cancels() -> None:
    story = hanging("keyed", options=Options(timeout_s=20), number=30)
    story.drive()
    backend = story.pool._world
    assert isinstance(backend, Backend)
    assert len(backend.cancelled) == 30
    assert story.clock.now() < 26
