"""What a world's dice decide before it begins: how tests go, what goes wrong at vendors, and what processes meet."""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import TYPE_CHECKING

from qarunner.emulator.scenario import (
    CertynSection,
    DocketqaSection,
    DoksiSection,
    Group,
    Known,
    Process,
    Scenario,
    TesterarmySection,
)
from qarunner.emulator.world import Course
from qarunner.engine.flow.driver import Options
from tests.simulation import plans
from tests.simulation.disk import Loss, When
from tests.simulation.network import Spell, Weather
from tests.simulation.process import Command, Orders
from tests.simulation.switches import on
from tests.simulation.wire import Telegraph, Wire

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from qarunner.plan.model import Plan
    from tests.simulation.network import Network


class Mishap(StrEnum):
    """What happens to a run's folder, or between two people."""

    FULL = "full"
    """The disk is full from a moment on."""
    GONE = "gone"
    """The runs folder is removed while an apply goes on."""
    FLIPPED = "flipped"
    """One bit of the journal is another one."""
    FOREIGN_PLAN = "foreign plan"
    """The plan in the folder is that of another run."""
    EMPTIED = "emptied"
    """The journal is not there, or has nothing in it."""
    TWO_AT_ONCE = "two at once"
    """A resume while another process is at work."""
    TWO_DECIDE = "two decide"
    """Two people decide what is in doubt, from the same page."""
    RESTORED = "restored"
    """A job is repeated with the folder as the detached apply left it."""


def scenario(dice: random.Random, plan: Plan) -> Scenario:
    """How long each test takes, and how its runs end, one after the other."""
    numbers = {name: [n for n, entry in enumerate(plan.entries) if entry.vendor == name] for name in plans.VENDORS}

    def course(*words: str) -> tuple[Course, ...]:
        weights = (6, *(1.5 for _ in words[1:]))
        duration = dice.choice([0.5, 5.0, 12.0, 30.0, 70.0])
        return tuple(
            Course(outcome=word, duration=duration, queued=dice.choice([0.1, 2.0]))
            for word in dice.choices(words, weights, k=dice.choice([1, 2, 3]))
        )

    def process() -> tuple[Process, ...]:
        return tuple(
            Process(
                total=dice.choice([1, 2, 3]),
                failed=int(each.outcome == "failed"),
                blocked=int(each.outcome == "blocked"),
                outcome="cancelled" if each.outcome == "cancelled" else "completed",
                duration=each.duration,
                queued=each.queued,
            )
            for each in course("completed", "failed", "blocked", "cancelled")
        )

    doksi = {test: course("passed", "failed") for n in numbers["doksi"] for test in plans.tests_of("doksi", n)}
    docketqa = {
        test: course("passed", "failed", "stopped", "error")
        for n in numbers["docketqa"]
        for test in plans.tests_of("docketqa", n)
    }
    testerarmy = {
        test: course("passed", "failed", "infra", "cancelled", "never")
        for n in numbers["testerarmy"]
        for test in plans.tests_of("testerarmy", n)
    }
    return Scenario(
        doksi=DoksiSection(tests=Known(default=Course(), named=doksi)),
        docketqa=DocketqaSection(
            tests=Known(default=Course(), named=docketqa),
            suites={str(n + 1): Group(tests=tuple(map(str, plans.suite(n)))) for n in numbers["docketqa"]},
        ),
        testerarmy=TesterarmySection(
            tests=Known(default=Course(), named=testerarmy),
            groups={plans.group(n): Group(tests=plans.members(n)) for n in numbers["testerarmy"]},
            sequential=dice.random() < 0.2,
        ),
        certyn=CertynSection(
            processes=Known(default=Process(), named={f"process-{n}": process() for n in numbers["certyn"]}),
            invisible_polls=dice.choice([0, 0, 0, 0, 1, 2]),
        ),
    )


def weather(dice: random.Random, vendors: Sequence[str]) -> list[Weather]:
    """What goes wrong at vendors: often nothing, now and then two things at once."""
    found = []
    for vendor in vendors:
        for _ in range(dice.choice([0, 0, 1, 1, 2])):
            spell = dice.choice([*Spell, Spell.LYING, Spell.GARBLED])
            begin = dice.choice([0.0, 0.0, dice.uniform(0, 60)])
            lasts = dice.choice([5.0, 40.0, 200.0, 1e9])
            chance = dice.choice([0.1, 0.3, 1.0])
            if spell in {Spell.HUNG, Spell.HUNG_READS} and dice.random() < 0.5:
                # Not from the beginning: what hangs needs runs to ask for.
                begin, lasts, chance = dice.uniform(0.5, 15), 200.0, 1.0
            if on(spell):
                found.append(Weather(vendor=vendor, spell=spell, begin=begin, end=begin + lasts, chance=chance))
    return found


def telegraph(dice: random.Random, network: Network) -> Telegraph:
    """A wire that breaks now and then, with a proxy or without."""
    wire = Wire(network, proxied=dice.random() < 0.5)
    return Telegraph(wire, dice, chance=dice.choice([0.05, 0.15, 0.4]))


def mishap(dice: random.Random) -> Mishap | None:
    """The one mishap of a world; most have none."""
    if dice.random() < 0.6:
        return None
    found = dice.choice(list(Mishap))
    return found if on(found) else None


def orders(dice: random.Random, command: Command, resubmit: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> Orders:
    """How a process is started, and what it meets."""
    options = Options(
        poll_interval_s=dice.choice([None, None, None, 5, 30]),
        timeout_s=dice.choice([None, None, None, 15, 60, 300]),
        detach=dice.random() < 0.12,
        detach_on_interrupt=dice.random() < 0.35,
    )
    end = dice.random()
    signals: tuple[tuple[float, int], ...] = ()
    loss, lost_at = None, None
    if end < 0.3:
        loss = Loss(line=dice.randint(1, 25), when=dice.choice(list(When)))
    elif end < 0.4:
        lost_at = dice.uniform(0, 80)
    elif end < 0.6:
        first = dice.choice([dice.uniform(0, 2), dice.uniform(0, 80)])
        signals = ((first, dice.choice([signal.SIGINT, signal.SIGTERM])),)
        if dice.random() < 0.15:
            signals += ((first + dice.uniform(1, 6), signal.SIGTERM),)
    return Orders(
        command=command,
        options=options,
        fail_fast=command is Command.APPLY and dice.random() < 0.2,
        # In a large plan they are scarce; here they have to be few for that.
        workers=dice.choice([2, 3, 12]),
        resubmit=resubmit,
        drop=drop,
        signals=signals,
        loss=loss,
        lost_at=lost_at,
        power=(loss is not None or lost_at is not None) and dice.random() < 0.3,
    )
