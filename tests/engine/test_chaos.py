"""Random plans in a random world, with processes that are lost or interrupted at random: what is promised holds."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from qarunner.engine.flow.driver import Options
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Phase
from qarunner.entry import Retries
from qarunner.report import json as jsondoc
from qarunner.report import junit
from qarunner.report.summary import summarise
from qarunner.vendors.api import GOOD, Reply
from tests.fictional import LOST, UNREACHED
from tests.telling import TELLING, World, asks, entry, telling_plan
from tests.worlds import Story, VirtualClock

if TYPE_CHECKING:
    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.state.run import Run
    from qarunner.entry import Entry
    from qarunner.vendors.api import Request

LIVES = 8
SEEDS = 12
"""Rounds of one test; thousands were run when this was written."""


class Chaos(World):
    """A quarter of all requests goes wrong, in one way or another, until it is calm."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(lasts=dice.choice([5.0, 25.0, 70.0]))
        self.dice = dice
        self.calm = False
        words, weights = ("passed", "failed", "infra", "blocked", "unknown"), (6, 3, 2, 1, 0.5)
        self.results = {f"t{n}{c}": tuple(dice.choices(words, weights, k=3)) for n in range(10) for c in "ab"}

    def __call__(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        fate = 1.0 if self.calm else self.dice.random()
        if fate < 0.05:
            return UNREACHED
        if fate < 0.10:
            return LOST
        if fate < 0.14:
            super().__call__(vendor, request, key, now)
            return LOST
        if fate < 0.18:
            return Reply(status=503, text="down")
        if fate < 0.22:
            return Reply(status=429, text="slow down", headers={"retry-after": "3"})
        return super().__call__(vendor, request, key, now)


class KilledError(BaseException):
    """The process is gone: nothing that it would have caught or written happens."""


class Mortal(Story):
    """A story whose process is lost at a line of the journal: before it is on disk, or after."""

    dies_at = -1
    written = False

    def record(self, event: ev.Event) -> None:
        self.dies_at -= 1
        if self.dies_at == 0 and not self.written:
            raise KilledError
        super().record(event)
        if self.dies_at == 0:
            raise KilledError


def entries(dice: random.Random) -> list[Entry]:
    rows: list[Entry] = []
    for number in range(dice.randint(1, 6)):
        needs = tuple(dice.sample([row.id for row in rows], k=min(len(rows), dice.choice([0, 0, 0, 1, 2]))))
        # The part before the slash shares a create: entries that need the same alone.
        row = entry(
            f"{'+'.join(needs).replace('/', '.')}-g{dice.randint(0, 3)}/{number}",
            dice.choice(["plain", "keyed"]),
            retries=Retries(failed=dice.randint(0, 2), infra=dice.randint(0, 1)),
            needs=needs,
            timeout_s=dice.choice([60, 3600]),
            allow_failure=dice.random() < 0.2,
            selection=asks(*(f"t{dice.randint(0, 9)}{letter}" for letter in "ab")),
        )
        rows.append(row)
    return rows


def lived(seed: int) -> tuple[Run, Chaos]:
    """A run through all of its lives; the last one is calm, and comes to the end."""
    dice = random.Random(seed)  # noqa: S311  a test's dice
    plan = telling_plan(*entries(dice), max_in_flight=dice.choice([1, 2, 100]))
    world, clock, fail_fast = Chaos(dice), VirtualClock(), dice.random() < 0.3
    story = Mortal(plan, TELLING, world, clock=clock, fail_fast=fail_fast)
    events: list[ev.Event] = []
    for left in reversed(range(LIVES)):
        world.calm = left == 0
        options = Options(
            timeout_s=dice.choice([None, None, None, 40, 300]) if left else None,
            detach=left > 0 and dice.random() < 0.2,
            detach_on_interrupt=dice.random() < 0.5,
        )
        story = Mortal(
            plan, TELLING, world, before=events, resumed=bool(events), clock=clock, options=options, fail_fast=fail_fast
        )
        if left and dice.random() < 0.6:
            story.dies_at, story.written = dice.randint(1, 25), dice.random() < 0.5
        elif left and dice.random() < 0.3:
            story.pool.at.append((clock.now() + dice.random() * 60, lambda story=story: story.engine.interrupt(2)))  # type: ignore[misc]
        elif left and dice.random() < 0.05 and story.run.ended is None:
            story.record(ev.Ended(at=clock.wall(), reason=ev.Reason.CANCELLED))
        with contextlib.suppress(KilledError):
            story.drive()
        events = story.events
        clock.seconds += dice.choice([0, 1, 100, 5000])
        summary = summarise(story.run)
        jsondoc.render(summary)
        junit.render(summary)
    return story.run, world


def check(seed: int) -> None:
    run, world = lived(seed)
    assert run.complete
    # Never paid twice: a run for each create that was meant, and an attempt for each that was allowed.
    assert len(world.paid) <= len(run.jobs)
    paid = Counter(each for tests in world.paid for each in tests)
    for row in run.plan.entries:
        attempts, retries = run.attempts[row.id], row.policy.retries
        assert len(attempts) <= 1 + retries.failed + retries.infra
        assert all(number <= len(attempts) for each, number in paid.items() if each.startswith(f"{row.id} "))
    # Never orphaned: a run that nobody knows belongs to a create of which it is said that it may have made one.
    known = {name for state in run.jobs.values() for name in state.runs}
    doubted = [state.job.id for state in run.jobs.values() if state.phase is Phase.UNCERTAIN]
    assert len(world.runs.keys() - known) <= len(doubted)
    # Never green by accident: the last word on each test was a pass, and so it was for what the entry needs.
    for row in run.plan.entries:
        if run.closed[row.id].verdict in GOOD:
            assert all(run.closed[need].verdict in GOOD for need in row.needs)
            for test in row.selection.ids if row.selection else ():
                runs = [told for name, (_, told) in world.runs.items() if name in known]
                words = [told[row.id][test] for told in runs if test in told.get(row.id, ())]
                assert words[-1] == "passed"


@pytest.mark.parametrize("part", range(8))
def test_what_is_promised_holds_whatever_happens(part: int) -> None:
    for seed in range(part * SEEDS, (part + 1) * SEEDS):
        try:
            check(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
