"""Worlds by chance: a plan, its vendors, what goes wrong, and the processes that live through it, all from one seed."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from qarunner.emulator.scenario import Scenario
from qarunner.engine.io.journal import JOURNAL, PLAN, read
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import Run, fold
from qarunner.errors import ExitCode, UserError
from qarunner.plan.model import Plan, to_json
from qarunner.report.summary import summarise
from tests.simulation import chances, plans, promises
from tests.simulation.chances import Mishap
from tests.simulation.disk import flip_a_bit
from tests.simulation.network import Fate, Kind, Network, Spell, Weather
from tests.simulation.plans import VENDORS
from tests.simulation.process import Command, Ended, Machine, Orders
from tests.simulation.promises import BrokenPromiseError, Evidence, demand
from tests.simulation.switches import on
from tests.simulation.vendors import Market, by_create
from tests.worlds import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable


SEEDS_A_SHAPE = 16
"""So many worlds share a plan."""
WIRED = 8
"""One world of so many goes through the program's transport, which costs more than all the rest."""
IDLE = 0.85
"""So seldom is a run gone on with of which all is known."""
MOST_CALM = 4
"""How many calm resumes may be needed until all is known."""
MEMORY = Path("/dev/shm")  # noqa: S108  made fresh, with a name by chance


class EndOfWorldError(Exception):
    """Nothing more can happen: the run's folder is gone for good."""


@dataclass(kw_only=True)
class World:
    """A world, and what has happened in it. `name` is that of its seed, or of a test that spells it out."""

    name: str
    plan: Plan
    scenario: Scenario
    dice: random.Random
    weather: Sequence[Weather] = ()
    script: Mapping[tuple[str, Kind, int], Fate] = field(default_factory=dict)
    mishap: Mishap | None = None
    other: Plan | None = None
    """Another run's plan, for the mishap that needs one."""
    wired: bool = False
    lives: list[Ended] = field(default_factory=list)
    run: Run | None = None
    events: list[ev.Event] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        clock = VirtualClock()
        self.market = Market(self.scenario, clock.now, f"ids {self.name}")
        # A run that is not found at first is a spell of its own: how often it is asked for decides how long that takes.
        hidden = VENDORS if self.wired else ["certyn"] if self.scenario.certyn.invisible_polls else []
        self.network = Network(self.market, self.dice, self.weather, script=self.script, ill=frozenset(hidden))
        self._folder = Path(tempfile.mkdtemp(prefix="qarunner-", dir=MEMORY if MEMORY.is_dir() else None))
        self.machine = Machine(self.plan, self.network, self._folder / "runs", self.dice, clock)
        if self.wired:
            self.machine.telegraph = chances.telegraph(self.dice, self.network)

    @classmethod
    def of(cls, seed: int) -> World:
        """The world of a seed."""
        dice = random.Random(f"world {seed}")  # noqa: S311  a simulation's dice
        plan = plans.plan_of(seed // SEEDS_A_SHAPE)
        scenario = chances.scenario(dice, plan)
        wired = on("wire") and seed % WIRED == WIRED - 1
        mishap = chances.mishap(dice)
        weather = [] if wired else chances.weather(dice, tuple(plan.vendors))
        if mishap is Mishap.TWO_DECIDE and not wired:
            vendor = dice.choice(list(plan.vendors))
            weather.append(Weather(vendor=vendor, spell=Spell.LOSSY, begin=0.0, end=20.0, chance=0.7))
        return cls(
            name=f"seed {seed}",
            plan=plan,
            scenario=scenario,
            dice=dice,
            weather=weather,
            mishap=mishap,
            other=_other_plan(dice, seed // SEEDS_A_SHAPE) if mishap is Mishap.FOREIGN_PLAN else None,
            wired=wired,
        )

    @classmethod
    def told(cls, plan: Plan, script: Mapping[tuple[str, Kind, int], Fate], scenario: Scenario | None = None) -> World:
        """A world that a test spells out; in it everything passes, unless it says otherwise."""
        dice = random.Random(1)  # noqa: S311  as above
        return cls(name="told", plan=plan, scenario=scenario or Scenario(), dice=dice, script=script)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the story ----------------------------------------------------------------------------------------------------

    def live(self) -> World:
        """Through all processes to the end; BrokenPromiseError where a promise does not hold."""
        with self, contextlib.suppress(EndOfWorldError):
            self._live()
        return self

    def _live(self) -> None:
        self._first()
        for _ in range(self.dice.choice([0, 0, 1, 1, 2, 3])):
            self._wait()
            self._between()
            if self.run is None or self._settled():
                break
            command = Command.CANCEL if self.dice.random() < 0.12 else Command.RESUME
            self.process(self._met(chances.orders(self.dice, command, *self._decisions())))
        self._wait()
        self._between()
        self._calm()

    def _first(self) -> None:
        orders = chances.orders(self.dice, Command.APPLY)
        if self.mishap is Mishap.RESTORED:
            orders = replace(orders, options=replace(orders.options, detach=True), loss=None, lost_at=None, signals=())
        self.process(self._met(orders))

    def _wait(self) -> None:
        self.machine.clock.seconds += self.dice.choice([0, 0, 1, 15, 100, 5000])

    def _calm(self) -> None:
        """Nothing goes wrong any more, and people decide what is in doubt."""
        self.network.calm = True
        for _ in range(MOST_CALM):
            if self.run is None:
                return
            if self._settled():
                break
            resubmit, drop = self._decisions(always=True)
            self.process(self._decided_twice(Orders(command=Command.RESUME, resubmit=resubmit, drop=drop)))
            self.machine.clock.seconds += 1
        assert self.run is not None
        promises.all_is_known(self.run, self.market)
        promises.environments_are_named(self.run, self.market)

    def _settled(self) -> bool:
        """Whether nothing is left to be found out; now and then somebody resumes all the same."""
        over = self.run is not None and self.run.complete and not self._uncertain()
        return over and not self._unread() and self.dice.random() < IDLE

    def _unread(self) -> bool:
        """Whether a run has no final answer of its vendor."""
        runs = [remote for state in self.run.jobs.values() for remote in state.runs.values()] if self.run else []
        return any(remote.outcomes is None for remote in runs)

    def process(self, orders: Orders) -> Ended:
        """One process, and all that is promised of it."""
        ended = self.machine.run(orders)
        self.lives.append(ended)
        self.text += ended.text
        self._read()
        if ended.gone is not None:
            self._gone(ended, ended.gone)
        promises.check(
            Evidence(
                ended=ended,
                run=self.run,
                events=self.events,
                market=self.market,
                network=self.network,
                text=self.text,
            )
        )
        return ended

    def _read(self) -> None:
        """What a person finds in the run's folder."""
        try:
            events = read(self.machine.folder).events
        except UserError:
            return
        if events:
            self.events = events
            self.run = fold(self.plan, events)

    # --- mishaps ------------------------------------------------------------------------------------------------------

    def _met(self, orders: Orders) -> Orders:
        """A process in the middle of which the world's mishap happens, if it is one of those."""
        at = self.dice.choice([self.dice.uniform(0, 0.4), self.dice.uniform(0, 1), self.dice.uniform(0, 60)])
        alone = replace(orders, loss=None, lost_at=None, signals=())
        if self.mishap is Mishap.FULL and self.dice.random() < 0.5:
            return replace(alone, full_at=at)
        if self.mishap is Mishap.GONE and self.dice.random() < 0.5:
            return replace(alone, gone_at=at)
        if self.mishap is Mishap.TWO_AT_ONCE:
            return replace(orders, meanwhile=(at, lambda: self._refused(Orders(command=Command.RESUME))))
        return self._decided_twice(orders)

    def _decided_twice(self, orders: Orders) -> Orders:
        """Another person decides the same while this process waits for its lock, if that is the world's mishap."""
        if self.mishap is Mishap.TWO_DECIDE and (orders.resubmit or orders.drop):
            own = Orders(command=Command.RESUME, resubmit=orders.resubmit, drop=orders.drop)
            self.machine.inside = lambda: self._nested(own)
        return orders

    def _between(self) -> None:
        """The world's mishap, if it is one that happens while no process is at work."""
        if self.run is None or not (self.machine.folder / JOURNAL).exists():
            return
        if self.mishap is Mishap.FLIPPED:
            self._with_other(JOURNAL, lambda path: flip_a_bit(path, self.dice))
        elif self.mishap is Mishap.FOREIGN_PLAN and self.other is not None:
            other = to_json(self.other)
            self._with_other(PLAN, lambda path: path.write_bytes(other))
        elif self.mishap is Mishap.EMPTIED:
            gone = self.dice.random() < 0.5
            self._with_other(JOURNAL, lambda path: path.unlink() if gone else path.write_bytes(b""))
        elif self.mishap is Mishap.RESTORED:
            self._restored()

    def _with_other(self, name: str, act: Callable[[Path], object]) -> None:
        """A resume of a folder in which one file is not what it was is refused; then it is put right."""
        path = self.machine.folder / name
        before = path.read_bytes()
        act(path)
        self._refused(Orders(command=Command.RESUME))
        path.write_bytes(before)

    def _refused(self, orders: Orders) -> None:
        """A process that has to be refused, before it sends anything."""
        sent = len(self.network.sent)
        ended = self._nested(orders)
        demand(len(self.network.sent) == sent, "a process that should be refused has sent something")
        demand(ended.code == ExitCode.USAGE, f"exit {ended.code} of a process that should be refused: {ended.text}")

    def _nested(self, orders: Orders) -> Ended:
        ended = self.machine.run(orders)
        self.lives.append(ended)
        return ended

    def _gone(self, ended: Ended, at: float) -> None:
        """The runs folder went away at a time: nothing was begun after that, and all that runs was told."""
        late = [truth for truth in self.market.truths() if truth.made_at > at]
        demand(not late, f"{len(late)} runs were made after the journal was gone")
        for truth in self.market.truths():
            if truth.running:
                job = f"{truth.vendor}-"
                is_left_alone = any(dropped.startswith(job) for dropped in ended.orders.drop)
                named = truth.id in ended.text or f"uncertain: {job}" in ended.text or is_left_alone
                demand(named, f"{truth.vendor} run {truth.id} is named nowhere")
                green = ended.code == ExitCode.OK and ended.orders.command is not Command.CANCEL
                demand(not green, f"exit 0 without a journal, and {truth.vendor} run {truth.id} goes on")
        raise EndOfWorldError

    def _restored(self) -> None:
        """The job that follows a detached apply runs twice, the second time with the folder of the first."""
        kept = self._folder / "kept"
        shutil.copytree(self.machine.folder, kept)
        self.process(Orders(command=Command.RESUME))
        shutil.rmtree(self.machine.folder)
        shutil.copytree(kept, self.machine.folder)
        made = len(self.market.made())
        again = Orders(
            command=Command.RESUME, environ={"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_RUN_ATTEMPT": "2"}
        )
        self._nested(again)
        demand(len(self.market.made()) == made, "a repeated job has paid again")
        raise EndOfWorldError

    # --- people -------------------------------------------------------------------------------------------------------

    def _uncertain(self) -> list[str]:
        if self.run is None:
            return []
        summary = summarise(self.run)
        return [job for job in summary.uncertain if job not in summary.repeatable]

    def _decisions(self, *, always: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """A person looks at the vendor and says of each uncertain job whether there is a run of it."""
        if self.run is None or (self.run.ended is not None) or not (always or self.dice.random() < 0.6):
            return (), ()
        resubmit: list[str] = []
        drop: list[str] = []
        for job in self._uncertain():
            (drop if self._has_unknown_run(job) else resubmit).append(job)
        return tuple(resubmit), tuple(drop)

    def _has_unknown_run(self, job: str) -> bool:
        """Whether the vendor has a run of this job's tests that the journal does not know."""
        assert self.run is not None
        state = self.run.jobs[job.partition("@")[0]]
        known = {name for each in self.run.jobs.values() for name in each.runs}
        tests = {test for entry in state.entries.values() for test in plans.own_tests(entry)}
        return any(
            all(truth.id not in known for truth in truths) and tests.intersection(truths[0].tests)
            for truths in by_create(self.market.truths()).values()
            if truths[0].vendor == state.job.vendor
        )

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.plan.entries)} entries at {', '.join(self.plan.vendors)}; {self.mishap}"]
        lines += [f"  {each}" for each in self.network.weather]
        for life in self.lives:
            how = "was lost" if life.code is None else f"exit {life.code}"
            lines.append(f"{life.began:9.2f} {life.orders}")
            lines += [f"  {each}" for each in self.network.sent if life.began <= each.at <= life.ended]
            lines += [f"    | {line}" for line in life.text.splitlines()]
            lines.append(f"{life.ended:9.2f} {how}")
        return "\n".join(lines)


def _other_plan(dice: random.Random, shape: int) -> Plan:
    """Another one than that of a shape: quite another, or nearly the same."""
    return plans.lenient_plan_of(shape) if dice.random() < 0.5 else plans.plan_of(shape + 1)


def live(seed: int) -> World:
    """A seed's world, lived through. The error of one that breaks a promise names the seed."""
    world = World.of(seed)
    try:
        return world.live()
    except BrokenPromiseError as error:
        raise BrokenPromiseError(f"seed {seed}: {error}") from error
