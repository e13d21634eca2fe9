"""A world in virtual time for the real engine: a clock that jumps, a pool that answers when it is due."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from qarunner.engine.flow.driver import Engine, Options
from qarunner.engine.state import events as ev
from qarunner.engine.state.run import advance, fold
from qarunner.vendors.api import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.schedule.timing import DurationHistory
    from qarunner.engine.state.run import Run
    from qarunner.plan.model import Plan
    from qarunner.vendors.api import Vendor

EPOCH = 1_790_000_000.0


class VirtualClock:
    """Both clocks in one: wall time is the epoch plus what has passed."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return EPOCH + self.seconds


class VirtualPool:
    """Answers each request through `world` after its latency, by moving the clock; remembers what was sent."""

    def __init__(
        self,
        clock: VirtualClock,
        world: Callable[[str, Any, str | None, float], Answer],
        *,
        workers: int = 12,
        latency: float | Callable[[str, Any], float] = 0.05,
    ) -> None:
        self._clock = clock
        self._world = world
        self.share = workers
        self._latency = latency
        self._flying: list[tuple[float, int, int, Answer]] = []
        self._order = itertools.count()
        self.sent: list[tuple[float, str, Any, str | None]] = []
        self.limits: list[float] = []
        """How long some requests may take, in seconds."""
        self.at: list[tuple[float, Callable[[], None]]] = []

    def start(
        self,
        token: int,
        vendor: str,
        request: Any,  # noqa: ANN401  an upload or another request
        *,
        key: str | None,
        fresh: bool,
        limit_s: float | None = None,
    ) -> None:
        del fresh
        now = self._clock.now()
        self.sent.append((now, vendor, request, key))
        self.limits += [] if limit_s is None else [limit_s]
        answer = self._world(vendor, request, key, now)
        latency = self._latency(vendor, request) if callable(self._latency) else self._latency
        if limit_s is not None and latency > limit_s:
            answer, latency = Fault(sent=True, message=f"no answer within {limit_s:.0f} s"), limit_s
        heapq.heappush(self._flying, (now + latency, next(self._order), token, answer))

    def wait(self, timeout: float | None) -> list[tuple[int, Answer]]:
        now = self._clock.now()
        ends = now + timeout if timeout is not None else None
        moments = [when for when, _ in self.at[:1]]
        moments += [self._flying[0][0]] if self._flying else []
        moments += [ends] if ends is not None else []
        assert moments, "the engine waits for nothing, for ever"
        self._clock.seconds = max(now, min(moments))
        while self.at and self.at[0][0] <= self._clock.seconds:
            self.at.pop(0)[1]()
        answers = []
        while self._flying and self._flying[0][0] <= self._clock.seconds:
            _, _, token, answer = heapq.heappop(self._flying)
            answers.append((token, answer))
        return answers

    def wake(self) -> None:
        """Nothing sleeps here."""

    def close(self) -> None:
        """Nothing to close."""


class Story:
    """One run of the engine over a plan, with everything that it wrote down."""

    def __init__(  # noqa: PLR0913  one story, by name
        self,
        plan: Plan,
        vendors: Mapping[str, Vendor],
        world: Callable[[str, Any, str | None, float], Answer],
        *,
        options: Options | None = None,
        before: Iterable[ev.Event] = (),
        resumed: bool = False,
        clock: VirtualClock | None = None,
        jitter: float | Callable[[], float] = 0.5,
        history: DurationHistory | None = None,
        latency: float | Callable[[str, Any], float] = 0.05,
        fail_fast: bool = False,
        observe: Callable[[], None] | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.pool = VirtualPool(self.clock, world, latency=latency)
        self.events: list[ev.Event] = list(before)
        self.run: Run = fold(plan, self.events)
        if not self.events:
            self.record(started(self.clock.wall(), plan, fail_fast=fail_fast))
        if resumed:
            self.record(ev.Resumed(at=self.clock.wall()))
        self.engine = Engine(
            run=self.run,
            vendors=vendors,
            record=self.record,
            sync=self.sync,
            pool=self.pool,
            clock=self.clock,
            options=options or Options(),
            jitter=jitter if callable(jitter) else lambda: jitter,
            history=history,
            observe=observe,
        )

    def record(self, *events: ev.Event, wait: bool = True) -> None:
        del wait
        for event in events:
            self.events.append(event)
            advance(self.run, event)

    def sync(self) -> None:
        """Nothing can be lost here."""

    def drive(self) -> Story:
        self.engine.drive()
        return self

    def creates(self) -> list[tuple[float, str, Any, str | None]]:
        return [sent for sent in self.pool.sent if sent[2].method == "POST" and not sent[2].path.endswith("/cancel")]


def started(at: float, plan: Plan, *, fail_fast: bool = False) -> ev.RunStarted:
    return ev.RunStarted(
        at=at,
        version=ev.VERSION,
        run_id="r1",
        digest=plan.digest,
        tool="test",
        endpoints=dict.fromkeys(plan.vendors, ""),
        fail_fast=fail_fast,
    )
