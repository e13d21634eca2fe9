"""Lists of runs under the real engine: they save reads, and whatever they say makes no verdict better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.amount import FULL, some
from tests.simulation.certyn import READS_ALONE, Simulation, Workload
from tests.simulation.testerarmy import ArmySimulation

if TYPE_CHECKING:
    from qarunner.decode import Json

    Items = list[dict[str, Json]]

RUNS = 60
FAILING = frozenset(f"process-{number}" for number in range(0, RUNS, 7))


def simulate(listed: object, **more: object) -> Simulation:
    simulation = Simulation(Workload.of(RUNS), READS_ALONE, listed=listed, failing=FAILING, **more)  # type: ignore[arg-type]
    told = simulation.run()
    assert told.refused == 0
    verdicts = {name: str(outcome.verdict) for name, outcome in simulation.story.run.closed.items()}
    failed = {f"entry-{process.rsplit('-', 1)[1]}" for process in FAILING}
    assert verdicts == {f"entry-{n}": "failed" if f"entry-{n}" in failed else "passed" for n in range(RUNS)}
    assert len(told.lags) == RUNS
    return simulation


def truth(items: Items, _now: float) -> Items:
    return items


def behind(items: Items, now: float) -> Items:
    """No run ever ends there."""
    del now
    return [{**item, "state": "in_progress", "passed": 0, "failed": 0, "pending": item["total"]} for item in items]


def without_half(items: Items, _now: float) -> Items:
    return items[::2]


def always_passed(items: Items, _now: float) -> Items:
    return [
        {**item, "state": "completed", "passed": item["total"], "failed": 0, "pending": 0, "conclusion": "success"}
        for item in items
    ]


def twice(items: Items, _now: float) -> Items:
    """Each run stands there twice, and once as going on."""
    return [*items, *behind(items, 0.0)]


def odd(items: Items, _now: float) -> Items:
    return [{"odd": 1} for _ in items]


def endless(items: Items, _now: float) -> Items:
    """Pages of other runs, over and over."""
    others: Items = [{"runId": f"other-{number}", "state": "completed"} for number in range(5_000)]
    return [*others, *items]


def test_a_list_saves_reads_and_time() -> None:
    alone, listed = Simulation(Workload.of(RUNS), READS_ALONE, listed=None), simulate(truth)
    without, told = alone.run(), listed._told()
    assert listed.vendor.lists > 0
    assert told.mean < without.mean / 2
    assert told.reads < without.reads * 0.6
    assert alone.vendor.lists <= 1


def test_many_runs_of_a_vendor_that_lists_them_are_noticed_at_once() -> None:
    work = Workload.of(200 if FULL else 100)
    told = Simulation(work, READS_ALONE, listed=truth).run()
    assert told.refused == 0
    assert told.mean < 8
    assert told.reads < 2


@pytest.mark.parametrize("history", some([True, False], 1))
def test_hundreds_of_runs_need_less_than_a_read_each_and_all_that_is_old_is_not_asked_at_once(history: bool) -> None:  # noqa: FBT001  a table's column
    runs = 500 if FULL else 200
    simulation = ArmySimulation(Workload.of(runs), READS_ALONE, history=history)
    told = simulation.run()
    assert (told.refused, len(told.lags)) == (0, runs)
    assert told.mean <= 10
    assert told.p95 <= 20
    assert told.reads <= (1 if FULL else 1.5)  # a list of fewer runs saves fewer reads


@pytest.mark.parametrize("listed", [behind, without_half, always_passed, twice, odd, endless])
def test_a_list_that_is_wrong_changes_no_verdict(listed: object) -> None:
    simulate(listed)


def test_a_list_that_is_not_there_is_asked_for_once() -> None:
    assert simulate(None).vendor.lists == 1
