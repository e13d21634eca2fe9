"""What the four vendors share: one time, one ledger, one storage, one address."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zipfile
from collections.abc import AsyncIterable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count
from random import Random
from tempfile import SpooledTemporaryFile
from typing import Annotated, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from qarunner.emulator.messages import Refused
from qarunner.emulator.strict import seconds_of, text

# ---------------------------------------------------------------------------------------------------------------------

# Makes ids of the shapes that vendors use, and names for people.


T = TypeVar("T")


class Ids:
    """Fresh ids. They follow from the seed and from the number of the request that asks for them."""

    def __init__(self, seed: str | None = None) -> None:
        self._seed = seed or secrets.token_hex(16)
        self._random = Random(self._seed)  # noqa: S311 (names, not secrets: the storage takes any credential for a leak)

    def begin(self, request: int) -> None:
        """From now on ids are those of this request."""
        self._random.seed(f"{self._seed}:{request}")

    def short(self, length: int = 12) -> str:
        """Letters and digits, such as `k3n2mPq9Rxyz`."""
        return "".join(self._random.choices(string.ascii_letters + string.digits, k=length))

    def lower(self, prefix: str, length: int = 6) -> str:
        """A prefix with lower-case letters and digits, such as `bin_abc123`."""
        return prefix + "".join(self._random.choices(string.ascii_lowercase + string.digits, k=length))

    def uuid(self) -> str:
        """A fresh UUID."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def numbers(self) -> Iterator[int]:
        """Whole numbers that grow, from one that no other emulator is likely to begin with."""
        return count(10_000 + self._random.randrange(900_000))


def uuid_of(*parts: object) -> str:
    """The same UUID for the same parts, every time."""
    return str(uuid5(NAMESPACE_URL, "qarunner-emulator:" + "/".join(map(str, parts))))


def readable(identifier: str) -> str:
    """A plausible name for an id: `checkout-flow` becomes `Checkout Flow`, a UUID `Test 1b4e28ba`."""
    try:
        return f"Test {str(UUID(identifier))[:8]}"
    except ValueError:
        words = re.split(r"[\s_.\-/]+", identifier)
        return " ".join(word[:1].upper() + word[1:] for word in words if word) or identifier


def shuffled(items: Sequence[T], salt: str) -> list[T]:
    """The items in another order, the same one every time; two or more are never in their own order."""
    indexes = list(range(len(items)))
    Random(f"{salt}{len(items)}").shuffle(indexes)  # noqa: S311 (an order, not a secret)
    if indexes == sorted(indexes):
        indexes.reverse()
    return [items[index] for index in indexes]


# ---------------------------------------------------------------------------------------------------------------------

# Says how far a run has come, from nothing but the injected clock.


Clock = Callable[[], float]
"""Seconds that only ever grow, such as `time.monotonic`."""


HANG = "hang"
"""The outcome of a run that never ends by itself."""


class Phase(StrEnum):
    """How far a run has come."""

    QUEUED = "queued"
    RUNNING = "running"
    OVER = "over"


class Timed(Struct, frozen=True, kw_only=True):
    """How long something takes, and what it is called; times are seconds of the emulation, from its creation."""

    outcome: str
    duration: Annotated[float, seconds_of] = 3.0
    queued: Annotated[float, seconds_of] = 0.5
    name: Annotated[str | None, text] = None


class Course(Timed, frozen=True, kw_only=True):
    """How one run of one test goes."""

    outcome: str = "passed"
    word: Annotated[str | None, text] = None
    message: Annotated[str | None, text] = None

    def ending(self, outcome: str) -> Course:
        """The same course with another outcome."""
        return replace(self, outcome=outcome)

    def lasted(self, elapsed: float) -> float:
        """The seconds that the run has taken so far, or took in all."""
        return min(self.duration, elapsed) if self.phase(elapsed) is Phase.OVER else elapsed

    def phase(self, elapsed: float) -> Phase:
        """The phase at a time since the creation."""
        if elapsed < min(self.queued, self.duration):
            return Phase.QUEUED
        return Phase.RUNNING if self.outcome == HANG or elapsed < self.duration else Phase.OVER


class Timeline:
    """The emulation's time: the injected clock, `speed` times as fast."""

    def __init__(self, clock: Clock, speed: float, began: datetime | None = None) -> None:
        self._clock = clock
        self._origin = clock()
        self._began = began or datetime.now(UTC)
        self.speed = speed

    def real(self) -> float:
        """Seconds of the injected clock since the start; rate limits count these."""
        return self._clock() - self._origin

    def now(self) -> float:
        """Seconds of the emulation since the start; runs advance by these."""
        return self.real() * self.speed

    def stamp(self, moment: float) -> str:
        """A moment of the emulation as an ISO 8601 text in UTC."""
        at = self._began + timedelta(seconds=moment)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Received(Struct, kw_only=True):
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


class Made(Struct, frozen=True, kw_only=True):
    """One vendor run; `create` is shared by the runs that one create call made."""

    time: float
    vendor: str
    id: str | int
    create: str | int
    tests: tuple[str | int, ...]


class Upload(Struct, kw_only=True):
    """One presigned upload; `sha256` and `size` come with the bytes, `became` is the build made from it."""

    time: float
    vendor: str
    token: str
    filename: str | None = None
    size: int | None = None
    sha256: str | None = None
    became: str | int | None = None


class Moved(Struct, frozen=True, kw_only=True):
    """An app's pointer to its current build, which moved for everybody."""

    time: float
    vendor: str
    app: int
    build: int


class Environment(Struct, kw_only=True):
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

    def records(self, what: str) -> list[dict[str, object]]:
        """One of the five lists as plain data."""
        entries: list[Received] | list[Made] | list[Upload] | list[Moved] | list[Environment] = getattr(self, what)
        return [to_builtins(entry) for entry in entries]


CREDENTIAL_HEADERS = ("authorization", "x-api-key", "cookie")
IN_MEMORY = 8 << 20


class Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bytes that arrived; `members` are the names inside a zip, None for anything else."""

    size: int
    sha256: str
    members: tuple[str, ...] | None


class Slot(Struct, kw_only=True):
    """One presigned URL."""

    url: str
    signature: str
    content_type: str
    expires: float
    upload: Upload
    stored: Stored | None = None


class Storage:
    """All presigned URLs of all vendors."""

    def __init__(self, root: str, timeline: Timeline, ledger: Ledger, ids: Ids) -> None:
        self._root = root
        self._timeline = timeline
        self._ledger = ledger
        self._ids = ids
        self._slots: dict[tuple[str, str], Slot] = {}

    def open(self, vendor: str, *, content_type: str, valid: float, filename: str | None = None) -> Slot:
        """Makes a URL that takes one file for `valid` seconds."""
        token, signature = self._ids.short(24), self._ids.short(32)
        upload = Upload(time=self._ledger.time(), vendor=vendor, token=token, filename=filename)
        slot = Slot(
            url=f"{self._root}/storage/{vendor}/{token}?signature={signature}",
            signature=signature,
            content_type=content_type,
            expires=self._timeline.now() + valid,
            upload=upload,
        )
        self._slots[vendor, token] = slot
        self._ledger.uploads.append(upload)
        return slot

    def admit(self, vendor: str, token: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Slot:
        """Finds the slot of an upload, or refuses it before its bytes are read."""
        leaked = [name for name in CREDENTIAL_HEADERS if name in headers]
        if leaked:
            raise Refused(400, f"a presigned URL takes no credential, but {', '.join(leaked)} was sent")
        slot = self._slots.get((vendor, token))
        if slot is None:
            raise Refused(404, "no such upload")
        if dict(query) != {"signature": slot.signature}:
            raise Refused(403, "the signature does not match")
        if self._timeline.now() > slot.expires:
            raise Refused(403, "the URL has expired")
        if headers.get("content-type") != slot.content_type:
            raise Refused(403, f"the URL was signed for Content-Type {slot.content_type}")
        return slot

    async def receive(self, slot: Slot, chunks: AsyncIterable[bytes]) -> Stored:
        """Takes the bytes."""
        digest, size = hashlib.sha256(), 0
        with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            async for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            return self.keep(slot, Stored(size=size, sha256=digest.hexdigest(), members=_members(file)))

    def keep(self, slot: Slot, stored: Stored) -> Stored:
        """Says what has arrived; a second upload to the same URL replaces the first."""
        slot.stored = stored
        slot.upload.size, slot.upload.sha256 = stored.size, stored.sha256
        return stored


def _members(file: SpooledTemporaryFile[bytes]) -> tuple[str, ...] | None:
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return tuple(archive.namelist())
    except zipfile.BadZipFile:
        return None


class World(Struct, frozen=True, kw_only=True):
    """The surroundings of a vendor; `root` is the emulator's URL without a slash at its end."""

    root: str
    timeline: Timeline
    ledger: Ledger
    storage: Storage
    ids: Ids

    def page(self, vendor: str, kind: str, identifier: str | int) -> str:
        """The URL of a page for people."""
        return f"{self.root}/pages/{vendor}/{kind}/{identifier}"


def new_world(root: str, timeline: Timeline, ids: Ids) -> World:
    """A world in which nothing has happened yet."""
    ledger = Ledger(timeline)
    storage = Storage(root, timeline, ledger, ids)
    return World(root=root, timeline=timeline, ledger=ledger, storage=storage, ids=ids)
