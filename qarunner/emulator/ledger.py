"""Remembers what a vendor was asked and what it made, for whoever looks at `/_emulator/…`; never a credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qarunner.emulator.timeline import Timeline


@dataclass(slots=True, kw_only=True)
class Received:
    """One request; `status` is None while it is under way and where the connection was dropped."""

    time: float
    vendor: str
    method: str
    path: str
    query: Mapping[str, str]
    header_names: tuple[str, ...]
    idempotency_key: str | None
    body: object = None
    body_size: int = 0
    status: int | None = None
    dropped: bool = False
    faulty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One vendor run; `create` is shared by the runs that one create call made."""

    time: float
    vendor: str
    id: str | int
    create: str | int
    tests: tuple[str | int, ...]


@dataclass(slots=True, kw_only=True)
class Upload:
    """One presigned upload; `sha256` and `size` come with the bytes, `became` is the build made from it."""

    time: float
    vendor: str
    token: str
    filename: str | None = None
    size: int | None = None
    sha256: str | None = None
    became: str | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """An app's pointer to its current build, which moved for everybody."""

    time: float
    vendor: str
    app: int
    build: int


@dataclass(slots=True, kw_only=True)
class Environment:
    """An environment that was made in a project, and may be deleted again."""

    time: float
    vendor: str
    project: str
    id: str
    key: str
    deleted: bool = False


class Ledger:
    """What happened since the start or the last reset; times are seconds of the injected clock since then."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.requests: list[Received] = []
        self.runs: list[Made] = []
        self.uploads: list[Upload] = []
        self.moves: list[Moved] = []
        self.environments: list[Environment] = []

    def time(self) -> float:
        """Seconds since the start, for the column of that name."""
        return round(self._timeline.real(), 3)

    def ran(self, vendor: str, run: str | int, *, create: str | int, tests: Sequence[str | int]) -> None:
        """Notes a run that a vendor made."""
        self.runs.append(Made(time=self.time(), vendor=vendor, id=run, create=create, tests=tuple(tests)))

    def told(self, what: str) -> list[dict[str, object]]:
        """One of the five lists as plain data."""
        entries: list[Received] | list[Made] | list[Upload] | list[Moved] | list[Environment] = getattr(self, what)
        return [asdict(entry) for entry in entries]
