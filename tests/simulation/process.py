"""Processes of the real program in virtual time: its own sessions, journal and lock, on a simulated machine."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from qarunner import paths, signals
from qarunner.app.apply.commands import resume, start
from qarunner.app.apply.connect import Surroundings, connect
from qarunner.app.apply.session import RunSettings
from qarunner.app.options import CancelOptions, ResumeOptions
from qarunner.cli.commands.apply import cancel
from qarunner.cli.console import Console
from qarunner.cli.main import error_boundary
from qarunner.cli.result import RunObserver
from qarunner.engine.flow.driver import Options
from qarunner.engine.io import journal
from qarunner.engine.io.transport import Transport
from qarunner.errors import ExitCode
from qarunner.plan.model import Plan
from qarunner.vendors.api import Upload
from tests.simulation.disk import Disk, Loss, LostProcessError, installed
from tests.simulation.network import Network
from tests.simulation.vendors import KEYS
from tests.simulation.wire import PROXY, Telegraph
from tests.worlds import VirtualClock, VirtualPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.engine.decide.interpret import Answer
    from qarunner.engine.io.workers import Sender
    from qarunner.vendors.api import AnyRequest

RUN_ID = "r1"
VARIABLES = {
    "doksi": "DOKSI_API_KEY",
    "docketqa": "DOCKET_API_KEY",
    "testerarmy": "TESTERARMY_API_KEY",
    "certyn": "CERTYN_API_KEY",
}
ENVIRON: Mapping[str, str] = {name: KEYS[vendor][1].split()[-1] for vendor, name in VARIABLES.items()}
MOST_WAITS = 20_000
"""A process that waits more often than this in one life goes round in circles."""


class Command(StrEnum):
    """What a process is started as."""

    APPLY = "apply"
    RESUME = "resume"
    CANCEL = "cancel"


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is told, and what happens to it. Times are seconds from its start.

    `loss`, `lost_at`: the process is lost at a line of its journal, or at a time; `power`: with what was not synced.
    """

    command: Command
    options: Options = msgspec.field(default_factory=Options)
    fail_fast: bool = False
    workers: int = 12
    resubmit: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    signals: tuple[tuple[float, int], ...] = ()
    loss: Loss | None = None
    lost_at: float | None = None
    power: bool = False
    full_at: float | None = None
    gone_at: float | None = None
    meanwhile: tuple[float, Callable[[], None]] | None = None
    """What another process does at a time while this one is at work."""
    environ: Mapping[str, str] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        words = [str(self.command)]
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name not in {"command", "workers", "meanwhile"} and value not in (None, (), False, {}, Options()):
                words.append(f"{name}={value}")
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended; `code` is None of one that was lost. Times are seconds of the world."""

    orders: Orders
    code: int | None
    text: str
    began: float
    ended: float
    signalled: float | None
    gone: float | None
    """When its runs folder was removed, and below when its disk was full."""
    full: float | None
    quiet_s: float
    """The longest time without a word in the log."""
    at_once: bool = False
    """True if it ended itself, without finishing what it was at."""


@dataclass
class _Met:
    """When things happened to a process."""

    signalled: float | None = None
    gone: float | None = None
    full: float | None = None


class Log(io.StringIO):
    """A stream that remembers when it was written to."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.last = self.began = clock.now()
        self.quiet_s = 0.0

    def begin(self) -> None:
        """The process begins now: another one has run in its place until here."""
        self.last = self.began = self._clock.now()

    def write(self, text: str) -> int:
        self.heard()
        return super().write(text)

    def heard(self) -> None:
        self.quiet_s = max(self.quiet_s, self._clock.now() - self.last)
        self.last = self._clock.now()


class Pool(VirtualPool):
    """Answers in virtual time; counts how often it was waited for."""

    waits = 0
    fresh = False

    def start(
        self,
        token: int,
        vendor: str,
        request: AnyRequest,
        *,
        key: str | None,
        fresh: bool,
        limit_s: float | None = None,
    ) -> None:
        self.fresh = fresh
        super().start(token, vendor, request, key=key, fresh=fresh, limit_s=limit_s)

    def wait(self, timeout: float | None) -> list[tuple[int, Answer]]:
        self.waits += 1
        if self.waits > MOST_WAITS:
            raise AssertionError("the engine goes round in circles")
        return super().wait(timeout)


@dataclass
class Machine:
    """A computer with a clock, a runs folder and a network, on which one process runs after the other."""

    plan: Plan
    network: Network
    runs: Path
    dice: random.Random
    clock: VirtualClock = field(default_factory=VirtualClock)
    telegraph: Telegraph | None = None
    """Where requests go through the program's own transport."""
    inside: Callable[[], object] | None = None
    """Runs once, just before the next process takes its lock."""

    @property
    def folder(self) -> Path:
        return self.runs / RUN_ID

    def run(self, orders: Orders) -> Ended:
        """One process, from its first line to its end."""
        log, began = Log(self.clock), self.clock.now()
        disk = Disk(self.dice, log.write, loss=orders.loss)
        disk.before_lock, self.inside = self._before(log, self.inside), None
        console = Console(out=log, err=log)
        met = _Met()

        def pool(sender: Sender) -> Pool:
            return self._pool(orders, disk, met, sender)

        surroundings = Surroundings(
            clock=self.clock,
            pool=pool,
            jitter=self.dice.random,
            token=lambda size: self.dice.randbytes(size).hex(),
            signals=signals.Signals(),
        )
        code: int | None = None
        with installed(disk, (journal, paths, signals)), _default_signals():
            try:
                code = error_boundary(console, lambda: self._command(orders, console, surroundings), concludes=True)
            except LostProcessError:
                pass
            except AssertionError:  # the world's own
                raise
            except Exception:  # noqa: BLE001  the program's bug: it would say so, and end with 9
                code = int(ExitCode.BUG)
                log.write(f"{traceback.format_exc()}\nqarunner: exit {code}: a bug")
            if orders.power:
                disk.lose_power()
        assert code is None or disk.lines or orders.command is not Command.APPLY, "the disk has seen no journal"
        log.heard()
        return Ended(
            orders=orders,
            code=None if disk.dead else code,
            text=log.getvalue(),
            began=max(began, log.began),
            ended=self.clock.now(),
            signalled=met.signalled,
            gone=met.gone,
            full=met.full,
            quiet_s=log.quiet_s,
            at_once=disk.at_once,
        )

    def _before(self, log: Log, inside: Callable[[], object] | None) -> Callable[[], object] | None:
        """What happens before the process takes its lock; its own time begins afterwards."""
        if inside is None:
            return None

        def happen() -> None:
            inside()
            log.begin()

        return happen

    def _command(self, orders: Orders, console: Console, surroundings: Surroundings) -> int:
        environ = {**ENVIRON, **orders.environ}
        if self.telegraph is not None and self.telegraph.wire.proxied:
            environ["HTTPS_PROXY"] = PROXY
        settings = RunSettings(
            environ=environ,
            runs_dir=self.runs,
            options=orders.options,
            fail_fast=orders.fail_fast,
            surroundings=surroundings,
        )
        if orders.command is Command.APPLY:
            transport = connect(self.plan, environ, {})
            return start(self.plan, transport, settings, RunObserver(console), RUN_ID)
        if orders.command is Command.CANCEL:
            return cancel(console, environ, CancelOptions(run_id=RUN_ID, runs_dir=self.runs), surroundings)
        words = ResumeOptions(run_id=RUN_ID, runs_dir=self.runs, resubmit=orders.resubmit, drop=orders.drop)
        return resume(words, environ, RunObserver(console), surroundings, orders.options)

    def _pool(self, orders: Orders, disk: Disk, met: _Met, sender: Sender) -> Pool:
        def world(vendor: str, request: AnyRequest, key: str | None, now: float) -> Answer:
            # A worker would hide that a session speaks to a vendor that it has no credential for.
            assert isinstance(sender, Transport)
            assert vendor in sender.base_urls, f"the session is not connected to {vendor}"
            if self.telegraph is None or isinstance(request, Upload):
                return self.network(vendor, request, key, now)
            return self.telegraph.send(sender, vendor, request, key, now, fresh=pool.fresh)

        pool = Pool(self.clock, world, workers=orders.workers, latency=lambda _vendor, _request: self.network.took)
        now = self.clock.now()

        def full() -> None:
            met.full = self.clock.now()
            disk.full = True

        def gone() -> None:
            met.gone = self.clock.now()
            shutil.rmtree(self.runs, ignore_errors=True)

        def interrupt(number: int) -> Callable[[], None]:
            def send() -> None:
                met.signalled = self.clock.now() if met.signalled is None else met.signalled
                _deliver(number, disk)

            return send

        moments = [(now + at, interrupt(number)) for at, number in orders.signals]
        moments += [(now + orders.lost_at, disk.die)] if orders.lost_at is not None else []
        moments += [(now + orders.full_at, full)] if orders.full_at is not None else []
        moments += [(now + orders.gone_at, gone)] if orders.gone_at is not None else []
        moments += [(now + orders.meanwhile[0], orders.meanwhile[1])] if orders.meanwhile is not None else []
        pool.at = sorted(moments, key=lambda moment: moment[0])
        return pool


def _deliver(number: int, disk: Disk) -> None:
    """What the system does with a signal: the program's handler, or the process's end."""
    handler = signal.getsignal(number)
    if callable(handler) and handler is not signal.default_int_handler:
        handler(number, None)
    else:
        disk.die()


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Each process begins with the system's own handlers, and takes none of its own along."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
