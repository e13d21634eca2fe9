"""Worlds that once broke a promise, spelled out: a seed stands for another world once the dice are thrown anew."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.emulator.ledger import uuid_of
from qarunner.vendors.api import Reply
from tests.fictional import LOST
from tests.simulation.network import Fate, Kind
from tests.simulation.plans import plan_from
from tests.simulation.process import Command, Orders
from tests.simulation.worlds import EndOfWorldError, World

if TYPE_CHECKING:
    from qarunner.engine.state.run import Run

LOST_BEFORE = Fate(name="lost before", answer=LOST, done=False)
FORBIDDEN = Fate(name="forbidden", answer=Reply(status=403, text="no"), done=False, takes=0.15)
REFUSED = Fate(name="odd", answer=Reply(status=503, text=""), done=False, takes=0.1)
DOWN = Fate(name="down", answer=Reply(status=504, text="down"), takes=0.1)
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


def test_a_create_that_may_have_happened_stays_in_doubt_when_the_credential_is_refused() -> None:
    """Of two creates, the first is passed on before its gateway gives up; the second is refused while it waits."""
    plan = plan_from(
        {"vendor": "certyn", "category_ids": ["process-0"]}, {"vendor": "certyn", "category_ids": ["process-1"]}
    )
    with World.told(plan, {("certyn", Kind.CREATE, 1): DOWN, ("certyn", Kind.CREATE, 2): FORBIDDEN}) as world:
        world.process(APPLY)
        assert verdicts(world.run) == {"e0": "unknown", "e1": "error"}
        world.process(RESUME)
        assert verdicts(world.run) == {"e0": "passed", "e1": "passed"}


def test_a_create_is_not_repeated_when_its_journal_is_gone() -> None:
    """With its key it could be, and its run would be in no journal that a resume finds."""
    plan = plan_from({"vendor": "certyn", "category_ids": ["process-0"]})
    with World.told(plan, {("certyn", Kind.CREATE, 1): REFUSED}) as world:
        with contextlib.suppress(EndOfWorldError):
            world.process(replace(APPLY, gone_at=0.2))
        assert [each.code for each in world.lives] == [8]
        assert not world.market.made()
