"""Worlds that once broke a promise, spelled out: a seed stands for another world once the dice are thrown anew."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from qarunner.emulator.world import uuid_of
from qarunner.engine.flow.driver import Options
from qarunner.vendors.api import Reply
from tests.fictional import LOST
from tests.simulation.network import Fate, Kind
from tests.simulation.plans import plan_from
from tests.simulation.process import Command, Orders
from tests.simulation.worlds import EndOfWorldError, World

if TYPE_CHECKING:
    from qarunner.decode import Json
    from qarunner.engine.state.run import Run

LOST_BEFORE = Fate(name="lost before", answer=LOST, done=False)
LOST_LATE = Fate(name="lost late", answer=LOST, takes=20.0)
FORBIDDEN = Fate(name="forbidden", answer=Reply(status=403, text="no"), done=False, takes=0.15)
REFUSED = Fate(name="odd", answer=Reply(status=503, text=""), done=False, takes=0.1)
DOWN = Fate(name="down", answer=Reply(status=504, text="down"), takes=0.1)
HTML = Fate(name="garbled", answer=Reply(status=200, text="<html>one moment</html>"), takes=0.1)
CI = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_RUN_ATTEMPT": "2"}
APPLY, RESUME = Orders(command=Command.APPLY), Orders(command=Command.RESUME)
UUID = uuid_of("test", 1)
WEB: dict[str, Json] = {"web_url": "https://shop.example"}


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


def test_what_could_not_be_read_is_asked_for_again_by_a_resume() -> None:
    """A gateway's page stood in the way of every poll, for as long as there was patience."""
    plan = plan_from({"vendor": "doksi", "platform": "web", "target": WEB, "test_ids": ["t0a"]})
    with World.told(plan, {("doksi", Kind.READ, number): HTML for number in range(1, 30)}) as world:
        assert world.process(APPLY).code == 8
        assert verdicts(world.run) == {"e0": "unknown"}
        world.network.calm = True
        assert world.process(RESUME).code == 0
        assert verdicts(world.run) == {"e0": "passed"}
        assert len(world.market.made()) == 1


@pytest.mark.parametrize("fates", [{}, {("doksi", Kind.CREATE, 2): LOST_LATE}], ids=["it passes", "it is lost again"])
def test_the_second_of_two_people_who_decide_from_one_page_is_refused(fates: dict[tuple[str, Kind, int], Fate]) -> None:
    """Both have read that the create is in doubt; one of them sends it again while the other waits for the lock.

    A create that is in doubt once more was sent after the page that the other one has read.
    """
    plan = plan_from({"vendor": "doksi", "platform": "web", "target": WEB, "test_ids": ["t0a"]})
    again = Orders(command=Command.RESUME, resubmit=("doksi-1",))
    with World.told(plan, {("doksi", Kind.CREATE, 1): LOST_BEFORE, **fates}) as world:
        assert world.process(APPLY).code == 8
        world.machine.inside = lambda: world.process(again)
        second = world.process(again)
        assert [life.code for life in world.lives] == [8, 8 if fates else 0, 2]
        assert "another process went on with it just now" in second.text
        assert len(world.market.made()) == 1


def test_a_job_that_is_repeated_with_a_restored_folder_pays_for_nothing_that_waited() -> None:
    """The folder is of the detached apply: what a first resume began after it is not written there."""
    plan = plan_from(
        {"vendor": "certyn", "category_ids": ["process-0"]},
        {"vendor": "doksi", "platform": "web", "target": WEB, "test_ids": ["t1a"], "needs": ["e0"]},
    )
    with World.told(plan, {}) as world:
        world.process(replace(APPLY, options=Options(detach=True)))
        kept = world.machine.folder.with_name("kept")
        shutil.copytree(world.machine.folder, kept)
        assert world.process(RESUME).code == 0
        shutil.rmtree(world.machine.folder)
        kept.rename(world.machine.folder)
        repeated = world.machine.run(replace(RESUME, environ=CI))
        assert repeated.code == 8, repeated.text
        assert len(world.market.made()) == 2
