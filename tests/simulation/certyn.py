"""A simulated Certyn that keeps its documented limits in every window, and many runs of it under the real engine.

Whoever sends too much is refused with 429, and counted. The peer is the vendor's documented shell loop, one a run.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from qarunner.diagnostics import Place
from qarunner.engine.decide.interpret import Answer
from qarunner.engine.schedule.timing import DurationHistory, names_of
from qarunner.engine.state import events as ev
from qarunner.entry import Entry, Gate, Policy, Selection, SelectionKind
from qarunner.plan.compile import vendor_plan
from qarunner.plan.model import VERSION, Job, Plan, seal
from qarunner.vendors.api import Call, Metadata, Reply
from qarunner.vendors.certyn.adapter import Certyn
from tests.fictional import LOST
from tests.worlds import EPOCH, Story

if TYPE_CHECKING:
    from qarunner.decode import Json
    from qarunner.vendors.api import Request, Vendor

BETWEEN, WITHIN = 0.3, 0.18
"""Standard deviations of the logarithm of durations: from entry to entry, and from run to run. Together: 0.35."""
LATENCY_S = 0.2
EARLIER_RUNS = 6
MANY = 1_000_000
WINDOW_S = 60.0


Fault: TypeAlias = Callable[[str, float], Answer | None]
"""What comes instead of an answer, if anything does: by `reads` or `creates`, and the time."""


Listed: TypeAlias = Callable[[list[dict[str, "Json"]], float], list[dict[str, "Json"]]]
"""What a list says in place of the truth: by all items, and the time."""


PAGE = 50


@dataclass(frozen=True)
class Limits:
    """Requests in any minute; the defaults are Certyn's."""

    reads: int = 60
    creates: int = 20
    all: int = 100


READS_ALONE = Limits(creates=MANY, all=MANY)
"""What many runs meet that were all started before, by a detached apply or by other means."""


class Meter:
    """Whether a request more fits into the last minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: deque[float] = deque()

    def fits(self, now: float) -> bool:
        while self._taken and self._taken[0] <= now - WINDOW_S:
            self._taken.popleft()
        return len(self._taken) < self._limit

    def take(self, now: float) -> None:
        self._taken.append(now)


class SimulatedCertyn:
    """Answers as Certyn does. `durations` are seconds by the entry's process; `fault` may answer in its place.

    A `LOST` of a fault is an answer that got lost: what was asked for is done. `listed`: what is shown of the list
    of runs, None: there is no list. `tests` of a run end one after the other. Runs of the processes in `failing` fail.
    """

    adapter: ClassVar[Vendor] = Certyn()
    settings: ClassVar[Mapping[str, Json]] = {"project": "shop", "details": False}

    @staticmethod
    def entry(number: int) -> Entry:
        return entry(number)

    def __init__(
        self,
        durations: dict[str, float],
        limits: Limits,
        *,
        hint_s: float | None = 10.0,
        fault: Fault | None = None,
        listed: Listed | None = None,
        tests: int = 1,
        failing: frozenset[str] = frozenset(),
    ) -> None:
        self.durations = durations
        self.listed = listed
        self.tests = tests
        self.failing = failing
        self.lists = 0
        self.hint_s = hint_s
        self.fault = fault
        self.made: dict[str, float] = {}
        self.process: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.asked: dict[str, list[float]] = {}
        self.reads = self.refused = 0
        self._meters = {"reads": Meter(limits.reads), "creates": Meter(limits.creates), "all": Meter(limits.all)}

    def __call__(self, vendor: str, request: Request, key: str | None, now: float) -> Answer:
        del vendor
        kind = "reads" if request.method == "GET" else "creates"
        self.reads += kind == "reads"
        mine = (self._meters[kind], self._meters["all"])
        if not all(meter.fits(now) for meter in mine):
            self.refused += 1
            return Reply(status=429, text="slow down")
        for meter in mine:
            meter.take(now)
        wrong = self.fault(kind, now) if self.fault is not None else None
        if wrong is not None and wrong is not LOST:
            return wrong
        answer = self._read(request, now) if kind == "reads" else self._create(request, key, now)
        return wrong or answer

    def _create(self, request: Request, key: str | None, now: float) -> Reply:
        body = request.body
        assert isinstance(body, dict)
        process = str(body["processSlug"])
        run = self.keys.setdefault(str(key), f"run-{len(self.made) + 1}")
        self.made.setdefault(run, now)
        self.process[run] = process
        self.asked.setdefault(run, [now])
        return Reply(status=201, text=json.dumps({"runId": run, "testCaseCount": self.tests}))

    def ends(self, run: str) -> float:
        return self.made[run] + self.durations[self.process[run]]

    def _read(self, request: Request, now: float) -> Reply:
        if request.path == "/api/projects/overview":
            return Reply(status=200, text='{"projects": [{"id": "p1", "slug": "shop"}]}')
        if request.path.endswith("/ci-runs"):
            return self._list(request, now)
        run = request.path.rsplit("/", 1)[1]
        self.asked[run].append(now)
        body = self.status(run, now)
        hint: dict[str, Json] = {"retryAfterSeconds": self.hint_s} if self.hint_s and now < self.ends(run) else {}
        return Reply(status=200, text=json.dumps({"runId": run} | body | hint))

    def status(self, run: str, now: float) -> dict[str, Json]:
        """A run's state and counters."""
        length = self.ends(run) - self.made[run]
        done = (
            min(self.tests, int((now - self.made[run]) / length * self.tests)) if now < self.ends(run) else self.tests
        )
        failed = done if self.process[run] in self.failing else 0
        state = "in_progress" if now < self.ends(run) else "completed"
        counts = {"total": self.tests, "passed": done - failed, "failed": failed, "blocked": 0}
        return {"state": state, **counts, "pending": self.tests - done}

    def _list(self, request: Request, now: float) -> Reply:
        self.lists += 1
        if self.listed is None:
            return Reply(status=404, text='{"error": "not found"}')
        query = dict(request.query)
        skip, take = int(query["skip"]), int(query["take"])
        items: list[dict[str, Json]] = [{"runId": run, **self.status(run, now)} for run in reversed(self.made)]
        shown = self.listed(items, now)
        body: dict[str, Json] = {"items": [*shown[skip : skip + take]], "totalCount": len(shown)}
        return Reply(status=200, text=json.dumps(body))


@dataclass(frozen=True)
class Workload:
    """Durations, and those of earlier runs of the same entries; the same for the same seed."""

    medians: tuple[float, ...]
    durations: tuple[float, ...]
    earlier: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, runs: int, *, seed: int = 1, typical_s: float = 240.0, longest_s: float = math.inf) -> Workload:
        chance = random.Random(seed)  # noqa: S311  a simulation
        middle = tuple(typical_s * math.exp(chance.gauss(0.0, BETWEEN)) for _ in range(runs))

        def one(median: float) -> float:
            return min(median * math.exp(chance.gauss(0.0, WITHIN)), longest_s)

        return cls(
            medians=middle,
            durations=tuple(one(median) for median in middle),
            earlier=tuple(tuple(one(median) for _ in range(EARLIER_RUNS)) for median in middle),
        )


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a simulation reports. `lags` are seconds from a run's end to its verdict; `unasked_s` the longest gap."""

    lags: tuple[float, ...]
    reads: float
    refused: int
    unasked_s: float
    seconds: float

    @property
    def mean(self) -> float:
        return fmean(self.lags)

    @property
    def p95(self) -> float:
        return sorted(self.lags)[math.ceil(0.95 * len(self.lags)) - 1]

    def __str__(self) -> str:
        return (
            f"lag {self.mean:6.1f} / {self.p95:6.1f} s, {self.reads:5.1f} reads a run, {self.refused:6} refused, "
            f"longest gap {self.unasked_s:4.0f} s"
        )


@dataclass
class Simulation:
    """Many runs under the engine. `history`: whether it knows how long earlier runs of the same entries took."""

    work: Workload
    limits: Limits = field(default_factory=Limits)
    history: bool = True
    hint_s: float | None = 10.0
    fault: Fault | None = None
    jitter: Callable[[], float] = lambda: 0.5
    listed: Listed | None = None
    tests: int = 1
    failing: frozenset[str] = frozenset()
    simulated: ClassVar[type[SimulatedCertyn]] = SimulatedCertyn

    def run(self) -> Told:
        entries = tuple(self.simulated.entry(number) for number in range(len(self.work.durations)))
        names = [one(each) for each in entries]
        self.vendor = self.simulated(
            dict(zip(names, self.work.durations, strict=True)),
            self.limits,
            hint_s=self.hint_s,
            fault=self.fault,
            listed=self.listed,
            tests=self.tests,
            failing=self.failing,
        )
        adapter = self.simulated.adapter
        plan = plan_of(entries, self.limits, adapter, self.simulated.settings)
        earlier = {names_of(each)[0]: known for each, known in zip(entries, self.work.earlier, strict=True)}
        durations = DurationHistory(plan, earlier if self.history else {})
        self.story = Story(
            plan,
            {adapter.info.name: adapter},
            self.vendor,
            history=durations,
            latency=LATENCY_S,
            jitter=self.jitter,
        ).drive()
        return self._told()

    def _told(self) -> Told:
        found = {
            event.run: event.at - EPOCH for event in self.story.events if isinstance(event, ev.RunFinishedRemotely)
        }
        gaps = (b - a for asked in self.vendor.asked.values() for a, b in itertools.pairwise(asked))
        return Told(
            lags=tuple(at - self.vendor.ends(run) for run, at in found.items()),
            reads=self.vendor.reads / len(self.work.durations),
            refused=self.vendor.refused,
            unasked_s=max(gaps, default=0.0),
            seconds=self.story.clock.seconds,
        )


def entry(number: int) -> Entry:
    return Entry(
        id=f"entry-{number}",
        vendor="certyn",
        policy=Policy(timeout_s=86_400),
        origin=Place(file="qa-matrix.yml", line=number + 1, column=1),
        selection=Selection(kind=SelectionKind.CATEGORY_IDS, ids=(f"process-{number}",)),
    )


def one(each: Entry) -> str:
    assert each.selection is not None
    return each.selection.ids[0]


def plan_of(
    entries: tuple[Entry, ...],
    limits: Limits,
    adapter: Vendor = SimulatedCertyn.adapter,
    settings: Mapping[str, Json] = SimulatedCertyn.settings,
) -> Plan:
    name = adapter.info.name
    rate: dict[str, Json] = {
        "reads": f"{limits.reads}/min",
        "creates": f"{limits.creates}/min",
        "all": f"{limits.all}/min",
    }
    own: dict[str, Json] = {**settings, "rate": rate, "max_in_flight": MANY}
    vendor = vendor_plan(adapter.info, own)
    jobs = (
        Job(
            id=f"{name}-{number}",
            vendor=name,
            entries=(each.id,),
            request=adapter.submit(Call(entries=(each,), settings=vendor.settings)),
        )
        for number, each in enumerate(entries, 1)
    )
    return seal(
        Plan(
            version=VERSION,
            tool="test",
            name="simulation",
            manifest="qa-matrix.yml",
            digest="",
            gate=Gate(),
            metadata=Metadata(),
            secrets=(),
            vendors={name: vendor},
            jobs=tuple(jobs),
            entries=entries,
        )
    )


def starts(runs: int, limits: Limits) -> list[float]:
    """When the runs begin if creates are paced by the limit."""
    return [number // limits.creates * WINDOW_S for number in range(runs)]


def loops(work: Workload, limits: Limits | None = None) -> Told:
    """The documented shell loop, one for each run: sleep ten seconds, ask, and again, whatever came."""
    limits = limits or Limits()
    every_s, chance = 10.0, random.Random(1)  # noqa: S311  a simulation
    begins = [start + chance.uniform(0, 0.5) for start in starts(len(work.durations), limits)]
    ends = [begin + duration for begin, duration in zip(begins, work.durations, strict=True)]
    turns = [(begin + every_s, run) for run, begin in enumerate(begins)]
    heapq.heapify(turns)
    meter, lags, reads, refused, now = Meter(limits.reads), list[float](), 0, 0, 0.0
    answered, gap = list(begins), 0.0
    while turns:
        now, run = heapq.heappop(turns)
        reads += 1
        again = True
        if meter.fits(now):
            meter.take(now)
            gap, answered[run] = max(gap, now - answered[run]), now
            again = now < ends[run]
            if not again:
                lags.append(now + LATENCY_S - ends[run])
        else:
            refused += 1
        if again:
            heapq.heappush(turns, (now + LATENCY_S + every_s, run))
    return Told(lags=tuple(lags), reads=reads / len(ends), refused=refused, unasked_s=gap, seconds=now)


def clairvoyant(work: Workload, limits: Limits | None = None) -> Told:
    """Who knows every end asks each run once, as soon as the limit lets him."""
    limits = limits or Limits()
    begins = starts(len(work.durations), limits)
    ends = sorted(begin + duration for begin, duration in zip(begins, work.durations, strict=True))
    taken: deque[float] = deque(maxlen=limits.reads)
    lags, now = [], 0.0
    for end in ends:
        now = max(now, end, taken[0] + WINDOW_S if len(taken) == limits.reads else 0.0)
        taken.append(now)
        lags.append(now + LATENCY_S - end)
    return Told(lags=tuple(lags), reads=1.0, refused=0, unasked_s=0.0, seconds=now)
