"""The plan: every create call that an apply will make, with what is needed to read its result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from qarunner.decode import Json
from qarunner.diagnostics import Place
from qarunner.entry import Entry, Gate, Report
from qarunner.errors import UserError
from qarunner.vendors.api import Call, Metadata, Request, Resource

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

VERSION = 1


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """At most `count` requests in any `per_s` seconds."""

    count: int
    per_s: float = 60.0


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor takes for each test, and for each run: one create call."""

    currency: str
    per_test: Decimal = Decimal(0)
    per_run: Decimal = Decimal(0)

    def of(self, runs: int, tests: int) -> Decimal:
        return runs * self.per_run + tests * self.per_test


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a plan costs, as it stands and with all retries.

    `at_least`: only the vendors know how many tests some entries have.
    """

    planned: Decimal
    up_to: Decimal
    currency: str
    at_least: bool = False


class Allowance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run may use with its retries, where the budget counts them. A limit that is None is not set."""

    max_tests: int | None = None
    max_cost: Decimal | None = None
    per_vendor: Mapping[str, int] = {}


class VendorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How one vendor is talked to. Intervals are seconds; a rate that is None is not limited."""

    key_env: str
    every_s: float
    max_s: float
    max_in_flight: int
    reads: Rate | None = None
    creates: Rate | None = None
    all: Rate | None = None
    settings: Mapping[str, Json] = {}
    price: Price | UnsetType = UNSET
    """Not written down where there is no price."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One create call, for one entry or for several. `uses` are resources by the adapter's key for them."""

    id: str
    vendor: str
    entries: tuple[str, ...]
    request: Request
    uses: Mapping[str, str] = {}


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan was made from, besides what stands in it, so that an apply can tell whether it still holds.

    Paths begin at the repository's root. `files` and `variables` are digests; secrets are left out, as a digest of a
    short one would tell it. `choices` are the words of the command line that chose the rows.
    """

    manifest: str
    files: Mapping[str, str]
    variables: Mapping[str, str]
    endpoints: Mapping[str, str]
    choices: Mapping[str, Json] = {}


class Sharding(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a matrix a plan is: `1/4`. Parts of one whole have the same `partition`.

    `min_tests` have to finish in this part; the manifest's are asked of all parts together.
    """

    shard: str
    count: int
    partition: str
    min_tests: int


class NotPlanned(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the manifest that was chosen and does not run."""

    id: str
    reason: str
    origin: Place


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs and entries stand in the manifest's order. `secrets` are the names that a sender has to know."""

    version: int
    tool: str
    name: str
    manifest: str
    digest: str
    gate: Gate
    metadata: Metadata
    secrets: tuple[str, ...]
    vendors: Mapping[str, VendorPlan]
    jobs: tuple[Job, ...]
    entries: tuple[Entry, ...]
    git: Mapping[str, str | None] = {}
    ci: Mapping[str, str | None] = {}
    resources: tuple[Resource, ...] = ()
    notices: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()
    rehearsal: bool = False
    """Whatever becomes of the run's journal, it never goes on at a real vendor."""
    sources: Sources | None = None
    not_planned: tuple[NotPlanned, ...] = ()
    shard: str | None = None
    """`1/4` for the first of four parts of the matrix."""
    partition: str | None = None
    """The same in all shards that split the matrix in the same way."""
    shard_min_tests: int | None = None
    """How many tests have to finish in this shard alone; the gate's are asked of all together."""
    names: Mapping[str, Mapping[str, str]] = {}
    """By vendor, the names behind ids that came from the lock: for people alone."""
    cost: Cost | UnsetType = UNSET
    """Not written down where no vendor has a price."""
    allowance: Allowance | UnsetType = UNSET

    @property
    def min_tests(self) -> int:
        """The gate's, or in a shard what one alone has to finish."""
        return self.gate.min_tests if self.shard_min_tests is None else self.shard_min_tests

    def entry_map(self) -> dict[str, Entry]:
        return {entry.id: entry for entry in self.entries}

    def material(self) -> Iterator[tuple[str, dict[str, object]]]:
        """What the requests are made of, with the vendor that gets it; entries under the keys of rows."""
        for entry in self.entries:
            target = {} if entry.target is None else {entry.target.kind.value: entry.target.value}
            yield entry.vendor, {**msgspec.to_builtins(entry), "target": target}
        for name, vendor in self.vendors.items():
            yield name, {"settings": msgspec.to_builtins(vendor.settings)}

    def call(self, job: Job, entries: Mapping[str, Entry]) -> Call:
        """What the adapter is asked with when it reads this job's replies."""
        return Call(
            entries=tuple(map(entries.__getitem__, job.entries)),
            settings=self.vendors[job.vendor].settings,
            metadata=self.metadata,
        )


def seal(plan: Plan, **changes: object) -> Plan:
    """The plan with some fields changed, and with its digest, which covers everything else in it."""
    plan = msgspec.structs.replace(plan, digest="", **changes)
    return msgspec.structs.replace(plan, digest=_sum(_in_parts(plan)))


def _in_parts(plan: Plan) -> Iterator[bytes | memoryview]:
    """The plan as `_sorted` encodes it, in parts: the whole text of a large plan would be what takes most memory."""
    before = b"{"
    for name in sorted(plan.__struct_fields__):
        value = getattr(plan, name)
        if value is UNSET:
            continue
        yield b'%s"%s":' % (before, name.encode())
        before = b","
        if isinstance(value, tuple):
            for start in range(0, len(value), _PART):
                yield b"," if start else b"["
                yield memoryview(_sorted.encode(value[start : start + _PART]))[1:-1]
            yield b"]" if value else b"[]"
            continue
        text = _sorted.encode(value)
        if name in {"cost", "allowance", "vendors"}:
            text = _sorted.encode(msgspec.json.decode(text))  # an amount of 0.250 is 0.25 for whoever reads the file
        yield text
    yield b"}"


_PART = 1000
"""Items of a list that are written at once."""


_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="number")


_sorted = msgspec.json.Encoder(order="sorted", decimal_format="number")


def _sum(parts: Iterable[bytes | memoryview]) -> str:
    import hashlib  # noqa: PLC0415  OpenSSL takes a while to load, and no check of a manifest needs it

    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def to_json(plan: Plan) -> bytes:
    """The same plan gives the same bytes."""
    return msgspec.json.format(_encoder.encode(plan), indent=2) + b"\n"


def checked_json(data: bytes, *, path: Path) -> dict[str, object]:
    """A plan of any version as plain data. UserError if it is torn, or altered."""
    read = _decoded(data, dict[str, object], path)
    _check_digest(read, path)
    return read


def _check_digest(read: Mapping[str, object], path: Path) -> None:
    """Over the data as it stands in the file: a field that a later version adds must not look like a change."""
    if _sum([_sorted.encode({**read, "digest": ""})]) != read.get("digest"):
        raise UserError(f"{path}: was changed after qarunner wrote it", hint="make the plan again")


def from_json(data: bytes, *, path: Path) -> Plan:
    """Reads a plan back. UserError if it is torn, foreign, altered, or of another version."""
    read = _decoded(data, dict[str, object], path)
    version, tool = read.get("version"), read.get("tool")
    if version != VERSION:
        writer = f"qarunner {tool}, which wrote it" if isinstance(tool, str) else "the qarunner that wrote it"
        message = f"{path}: a plan of version {version!r}; this qarunner reads version {VERSION}"
        raise UserError(message, hint=f"use {writer}")
    plan = _decoded(data, Plan, path)
    _check_digest(read, path)
    if missing := _missing(plan):
        raise UserError(f"{path}: not a plan of qarunner: it names {missing}, which it does not have")
    return plan


def _decoded(data: bytes, kind: type[T], path: Path) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise UserError(f"{path}: not a plan of qarunner: {error}") from error


def _missing(plan: Plan) -> str | None:
    """A vendor, entry or resource that a plan of other hands names and lacks."""
    entries, resources = {entry.id for entry in plan.entries}, {resource.id for resource in plan.resources}
    for job in plan.jobs:
        if lost := {*job.entries} - entries or {*job.uses.values()} - resources:
            return min(lost)
    owners = (plan.jobs, plan.entries, plan.resources)
    named = {part.vendor for parts in owners for part in parts}
    return min(named - {*plan.vendors}, default=None)
