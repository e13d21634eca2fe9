"""One row of the expanded matrix, as every later stage sees it: frozen, and free of templates and of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qarunner.decode import Json


class Platform(StrEnum):
    WEB = "web"
    ANDROID = "android"
    IOS = "ios"


class TargetKind(StrEnum):
    """What a test is pointed at; an entry names one at most."""

    WEB_URL = "web_url"
    BINARY_URL = "binary_url"
    BINARY = "binary"
    TARGET_ID = "target_id"
    BUNDLE_ID = "bundle_id"
    ENVIRONMENT = "environment"


class SelectionKind(StrEnum):
    """How an entry names its tests; a category is the vendor's own named collection."""

    TEST_IDS = "test_ids"
    CATEGORY_IDS = "category_ids"
    TAGS = "tags"


class Strategy(StrEnum):
    """How a test signs in."""

    NONE = "none"
    GENERATED = "generated"
    SPECIFIC = "specific"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    kind: TargetKind
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    kind: SelectionKind
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """An artifact of type `authentication`, the only type so far."""

    strategy: Strategy
    account_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How many runs more an entry may get: after failed tests, and after a failure of the vendor's infrastructure."""

    failed: int = 0
    infra: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """An entry that does not gate before the day `until` (ISO 8601); from that day on (UTC) it does."""

    reason: str
    owner: str
    until: str

    def __str__(self) -> str:
        return f"in quarantine until {self.until} ({self.owner}: {self.reason})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for an entry's run and verdict. `timeout_s` counts seconds from the create."""

    timeout_s: float
    allow_failure: bool = False
    retries: Retries = Retries()
    quarantine: Quarantine | None = None
    """Set only while it holds: whoever compiles the plan knows the day."""

    @property
    def gating(self) -> bool:
        """Whether the entry's verdict counts for the build."""
        return not self.allow_failure and self.quarantine is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an entry was written; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An expanded, rendered row. Strings may hold secret placeholders."""

    id: str
    vendor: str
    policy: Policy
    origin: Origin
    name: str | None = None
    labels: tuple[str, ...] = ()
    platform: Platform | None = None
    target: Target | None = None
    selection: Selection | None = None
    artifacts: tuple[Authentication, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Ids of expanded entries of the same plan that must pass before this one begins."""
    estimate: int | None = None
    """How many tests a category or tag is expected to run."""
    owner: str | None = None
    """The team or person whose matter it is."""
