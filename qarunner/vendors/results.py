"""What a vendor's answers mean: runs, verdicts and the tests behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from qarunner.cursor import Json
from qarunner.vendors.wire import Request


class Verdict(StrEnum):
    """What became of a test, an entry or a run. Only `passed` and `flaky` let a build through."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"
    FLAKY = "flaky"
    SKIPPED = "skipped"
    ERROR = "error"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


GOOD = frozenset({Verdict.PASSED, Verdict.FLAKY})
FINISHED = frozenset({Verdict.PASSED, Verdict.FLAKY, Verdict.FAILED, Verdict.BLOCKED})
"""Verdicts of tests that ran to an end: what `gate.min_tests` counts."""


class Cause(StrEnum):
    """Why there is no ordinary verdict; decides the exit code."""

    REFUSED = "refused"
    CREDENTIAL = "credential"
    ALLOWANCE = "allowance"
    UNCERTAIN = "uncertain"
    UNAVAILABLE = "unavailable"
    INFRA = "infra"
    """The vendor's page calls this failure its own infrastructure's: worth a new attempt."""
    BUG = "bug"
    NEED = "need"
    """qarunner skipped the entry: one that it needs did not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """A run at a vendor. `memo` is what the adapter wants to be told again when it reads the run's status."""

    id: str
    url: str | None = None
    memo: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    title: str
    verdict: Verdict
    message: str | None = None
    screenshot_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test's result. `raw_status` is the vendor's own word; durations are seconds."""

    id: str
    verdict: Verdict
    name: str | None = None
    raw_status: str | None = None
    duration_s: float | None = None
    url: str | None = None
    message: str | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one entry. `counts` stands in for cases where the vendor tells numbers alone."""

    verdict: Verdict
    cases: tuple[Case, ...] = ()
    counts: Mapping[Verdict, int] = field(default_factory=dict)
    message: str | None = None
    url: str | None = None
    raw_status: str | None = None
    duration_s: float | None = None
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Not over yet. `wait_s` is the vendor's hint in seconds, `note` its own word, `done` of `total` tests are over."""

    note: str
    wait_s: float | None = None
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Send this as well, and ask again with one reply more.

    `best_effort`: the verdict does not depend on it. Whatever goes wrong with it is handed over as a reply (without
    an answer: status 0), and nothing is repeated.
    """

    request: Request
    best_effort: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The run is over. An entry of the call that has no outcome here becomes `unknown`."""

    outcomes: Mapping[str, Outcome]


Status: TypeAlias = "Running | More | Finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A vendor's error answer in words. `cause` says what it means for the exit code."""

    message: str
    cause: Cause = Cause.REFUSED


Accepted: TypeAlias = "tuple[RemoteRun, ...] | Finished | Refusal"
"""What a 2xx answer to a create comes to: runs to ask for, the end of it at once, or no run at all."""
