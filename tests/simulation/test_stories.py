"""Worlds that once broke a promise, spelled out: a seed stands for another world once the dice are thrown anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.emulator.ledger import uuid_of
from tests.fictional import LOST
from tests.simulation.network import Fate, Kind
from tests.simulation.plans import plan_from
from tests.simulation.process import Command, Orders
from tests.simulation.worlds import World

if TYPE_CHECKING:
    from qarunner.engine.state.run import Run

LOST_BEFORE = Fate(name="lost before", answer=LOST, done=False)
APPLY, RESUME = Orders(command=Command.APPLY), Orders(command=Command.RESUME)
UUID = uuid_of("test", 1)


def verdicts(run: Run | None) -> dict[str, str]:
    return {} if run is None else {name: str(outcome.verdict) for name, outcome in run.closed.items()}


def test_a_decision_opens_entries_at_a_vendor_that_nothing_else_was_left_at() -> None:
    plan = plan_from(
        {"vendor": "docketqa", "test_ids": ["10"]},
        {"vendor": "testerarmy", "test_ids": [UUID], "needs": ["e0"]},
    )
    with World.told(plan, {("docketqa", Kind.CREATE, 1): LOST_BEFORE}) as world:
        world.process(APPLY)
        assert verdicts(world.run) == {"e0": "unknown", "e1": "skipped"}
        ended = world.process(Orders(command=Command.RESUME, resubmit=("docketqa-1",)))
        assert verdicts(world.run) == {"e0": "passed", "e1": "passed"}
        assert ended.code == 0
