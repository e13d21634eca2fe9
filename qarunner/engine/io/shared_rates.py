"""What applies side by side have sent with one credential: a small file with a lock, which never holds anybody up.

Times in the file are seconds since the epoch: processes, and machines that share a folder, have no other clock.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

import msgspec

from qarunner.engine.decide.interpret import LONGEST_READ_SILENCE_S
from qarunner.engine.io.journal import held_once, open_shared
from qarunner.engine.schedule.rate_limits import MARGIN, READS, RequestKind, counted_as, rates_of
from qarunner.paths import open_own, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qarunner.engine.io.workers import Clock
    from qarunner.plan.model import VendorPlan


SALT = "salt"


LARGEST_RATE = 2000
"""A rate of more requests than this in its window is no limit that anybody meets, and would make a large file."""


BUSY_S = 0.005


STUCK_S = 2.0
"""A lock that is held for so long is not honoured any more: its holder hangs."""


LONGEST_HOLD_S = 900.0


SKEW_S = 2.0
"""So far apart the clocks of machines that share a folder may be; what is later still was not sent yet."""


LARGEST_FILE = 1024 * 1024


SALT_LENGTH = 32


class RateLog(msgspec.Struct, kw_only=True):
    """What was sent lately, by what it counts as; `held` is until when the vendor asked for silence, at `held_at`."""

    sent: dict[str, list[float]] = {}
    held: float = 0.0
    held_at: float | None = None

    def silent_until(self, kind: RequestKind) -> float:
        """A run is read again after a while, whichever process was asked for silence."""
        if kind in READS and self.held_at is not None:
            return min(self.held, self.held_at + LONGEST_READ_SILENCE_S)
        return self.held


class SharedRateLimit:
    """One credential's requests, counted over all processes that use this file. `warn` is called at most once."""

    def __init__(self, path: Path, plan: VendorPlan, clock: Clock, warn: Callable[[str], None]) -> None:
        self._path = path
        self._clock = clock
        self._warn = warn
        self._rates = {name: rate for name, rate in rates_of(plan).items() if rate.count <= LARGEST_RATE}
        self._fd: int | None = None
        self._busy_since: float | None = None
        self._off = False

    def claim(self, kind: RequestKind, now: float, *, silent: bool = True) -> float:
        """Counts a request that is to leave now; else says when to ask again, in the time of `now`.

        `silent`: whether a silence that the vendor asked for is kept.
        """
        names = [name for name in counted_as(kind) if name in self._rates]
        if self._off or not names:
            return now
        try:
            with self._locked() as fd:
                if fd is None:
                    return self._busy(now)
                self._busy_since = None
                return now + self._claim(fd, names, self._clock.wall(), kind if silent else None)
        except OSError as error:
            self._give_up(error.strerror or str(error))
            return now

    def _claim(self, fd: int, names: list[str], wall: float, kept_by: RequestKind | None) -> float:
        kept = self._read(fd, wall)
        ready = 0.0 if kept_by is None else kept.silent_until(kept_by)
        for name in names:
            rate, sent = self._rates[name], kept.sent.get(name, [])
            if len(sent) >= rate.count:
                ready = max(ready, sent[-rate.count] + rate.per_s * MARGIN)
        if ready > wall:
            return ready - wall
        for name in names:
            kept.sent.setdefault(name, []).append(wall)
        _write(fd, kept)
        return 0.0

    def hold(self, seconds: float) -> None:
        """The vendor asked for silence: whoever shares the credential keeps it too."""
        if self._off or not self._rates:
            return
        with contextlib.suppress(OSError), self._locked() as fd:
            if fd is not None:
                wall = self._clock.wall()
                kept = self._read(fd, wall)
                kept.held, kept.held_at = max(kept.held, wall + min(seconds, LONGEST_HOLD_S)), wall
                _write(fd, kept)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int | None]:
        """The file, or None while another process has it."""
        if self._fd is None:
            self._fd = open_shared(self._path)
        with held_once(self._fd) as mine:
            yield self._fd if mine else None

    def _busy(self, now: float) -> float:
        if self._busy_since is None:
            self._busy_since = now
        if now - self._busy_since < STUCK_S:
            return now + BUSY_S
        self._give_up("another process does not let go of it")
        return now

    def _give_up(self, why: str) -> None:
        self._off = True
        self._warn(f"{self._path}: {why}")

    def _read(self, fd: int, wall: float) -> RateLog:
        """What is known; whatever is torn, or is of a time to come, is not."""
        os.lseek(fd, 0, os.SEEK_SET)
        data = os.read(fd, LARGEST_FILE)
        try:
            kept = msgspec.json.decode(data, type=RateLog) if data else RateLog()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            kept = RateLog()
        for name, rate in self._rates.items():
            begin = wall - rate.per_s * MARGIN
            kept.sent[name] = sorted(at for at in kept.sent.get(name, ()) if begin < at <= wall + SKEW_S)
        if kept.held > wall + LONGEST_HOLD_S:
            kept.held = 0.0
        return kept


def _write(fd: int, kept: RateLog) -> None:
    data = msgspec.json.encode(kept)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, data)
    os.ftruncate(fd, len(data))


def credential_salt(folder: Path) -> bytes:
    """The folder's own salt; whoever comes first makes it. OSError if that cannot be done."""
    path = folder / SALT
    with contextlib.suppress(FileNotFoundError):
        salt = read_regular(path)
        if len(salt) == SALT_LENGTH:
            return salt
    # Written whole beside it and then named: a reader never sees half a salt, and a salt is never replaced.
    new = path.with_name(f".{SALT}.{secrets.token_hex(8)}")
    with os.fdopen(open_own(new, os.O_WRONLY | os.O_EXCL), "wb") as file:
        file.write(secrets.token_bytes(SALT_LENGTH))
    try:
        path.hardlink_to(new)
    except FileExistsError:
        pass
    except OSError:
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return read_regular(path)
