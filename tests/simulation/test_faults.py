"""Hundreds of runs at a vendor that is down, overrun or loses its answers: it costs time, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.state import events as ev
from qarunner.vendors.api import Reply
from tests.amount import FULL
from tests.fictional import LOST, UNREACHED, VENDORS, Backend, entry, plan_of
from tests.simulation.certyn import Limits, Simulation, Workload
from tests.worlds import EPOCH, Story

if TYPE_CHECKING:
    from collections.abc import Callable

    from qarunner.engine.decide.interpret import Answer
    from qarunner.vendors.api import Request
    from tests.simulation.certyn import Fault

DOWN = Reply(status=503, text="down for maintenance")
RUNS = 200 if FULL else 60


def between(begin: float, end: float, answer: Answer) -> Fault:
    return lambda _, now: answer if begin <= now < end else None


def simulated(fault: Fault | None) -> Simulation:
    simulation = Simulation(Workload.of(RUNS), fault=fault)
    told = simulation.run()
    verdicts = Counter(str(outcome.verdict) for outcome in simulation.story.run.closed.values())
    assert verdicts == {"passed": RUNS}
    assert len(simulation.vendor.made) == RUNS
    assert told.refused == 0
    return simulation


@pytest.fixture(scope="module")
def smooth() -> float:
    """Seconds that the same runs take if nothing goes wrong."""
    return simulated(None).story.clock.seconds


@pytest.mark.parametrize("answer", [DOWN, UNREACHED, Reply(status=200, text="<html>")], ids=["503", "refused", "html"])
def test_ten_minutes_without_the_vendor_cost_ten_minutes(answer: Answer, smooth: float) -> None:
    if isinstance(answer, Reply) and answer.ok:
        # An answer that nobody understands is looked at five times, not for minutes: half a minute of them.
        simulation, length = simulated(between(400.0, 430.0, answer)), 30.0
    else:
        simulation, length = simulated(between(300.0, 900.0, answer)), 600.0
    assert simulation.story.clock.seconds < smooth + length + 60


def test_the_retries_of_an_outage_do_not_come_in_step() -> None:
    simulation = Simulation(Workload.of(RUNS), fault=between(300.0, 900.0, DOWN))
    chance = random.Random(1)  # noqa: S311  a simulation
    simulation.jitter = chance.random
    simulation.run()
    waits = [event.wait_s for event in simulation.story.events if isinstance(event, ev.Retrying)]
    assert len(set(waits)) > len(waits) // 2
    assert max(waits) <= 30.0


@pytest.mark.parametrize("form", ["none", "seconds", "date"])
def test_a_storm_of_refusals_is_waited_out_in_silence(form: str, smooth: float) -> None:
    """The tenant's limit is used up by others for three minutes."""
    refusals = Counter[str]()

    def storm(kind: str, now: float) -> Answer | None:
        if not 300.0 <= now < 480.0:
            return None
        refusals[kind] += 1
        date = format_datetime(datetime.fromtimestamp(EPOCH + now + 20.0, UTC), usegmt=True)
        headers = {"none": {}, "seconds": {"retry-after": "20"}, "date": {"retry-after": date}}[form]
        return Reply(status=429, text="slow down", headers=headers)

    simulation = simulated(storm)
    assert simulation.story.clock.seconds < smooth + 180 + 60
    # All of an apply keeps silent after one refusal: a request now and then finds out, not one of each run.
    assert refusals.total() < 40


def test_answers_that_get_lost_make_no_second_run() -> None:
    chance = random.Random(7)  # noqa: S311  a simulation

    def lossy(_kind: str, _now: float) -> Answer | None:
        return LOST if chance.random() < 0.2 else None

    simulation = simulated(lossy)
    repeated = simulation.story.creates()
    assert len(repeated) > RUNS
    assert len({key for _, _, _, key in repeated}) == RUNS


def test_a_run_in_trouble_forgets_it_with_the_first_good_answer() -> None:
    """Outages that are each shorter than all patience, and together longer."""

    def again_and_again(kind: str, now: float) -> Answer | None:
        return DOWN if kind == "reads" and now % 800 < 700 else None

    simulation = Simulation(Workload.of(5, typical_s=4000.0), Limits(), fault=again_and_again)
    simulation.run()
    assert {str(outcome.verdict) for outcome in simulation.story.run.closed.values()} == {"passed"}


def test_one_vendor_that_is_down_does_not_disturb_another() -> None:
    def world_of(down: bool) -> Callable[[str, Request, str | None, float], Answer]:  # noqa: FBT001  a case
        backends = {"keyed": Backend(lasts=100.0), "plain": Backend(lasts=100.0)}

        def world(vendor: str, request: Request, key: str | None, now: float) -> Answer:
            if down and vendor == "keyed" and 5.0 <= now < 600.0:
                return DOWN
            return backends[vendor](vendor, request, key, now)

        return world

    entries = [entry(f"{vendor}-{number}", vendor) for number in range(20) for vendor in ("keyed", "plain")]

    def closed_at(down: bool) -> dict[str, float]:  # noqa: FBT001  a case
        story = Story(plan_of(*entries), VENDORS, world_of(down)).drive()
        assert {str(outcome.verdict) for outcome in story.run.closed.values()} == {"passed"}
        return {name: at for name, at in story.run.closed_at.items() if name.startswith("plain")}

    calm, storm = closed_at(down=False), closed_at(down=True)
    assert max(storm[name] - calm[name] for name in calm) < 1.0
