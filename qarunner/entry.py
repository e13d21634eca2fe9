"""One row of the expanded matrix, as every later stage sees it: frozen, and free of templates and of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct, field

from qarunner.decode import Json
from qarunner.diagnostics import Place


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

    @property
    def is_url(self) -> bool:
        """True if a secret may stand in it where its host may have that secret."""
        return self in {TargetKind.WEB_URL, TargetKind.BINARY_URL}

    @property
    def is_file(self) -> bool:
        """True if it is a local build, which has to be uploaded first."""
        return self is TargetKind.BINARY


class SelectionKind(StrEnum):
    """How an entry names its tests; a category is the vendor's own named collection."""

    TEST_IDS = "test_ids"
    CATEGORY_IDS = "category_ids"
    TAGS = "tags"


class NameKind(StrEnum):
    """What a manifest can call by its name at the vendor; a lock has the ids."""

    TESTS = "tests"
    CATEGORIES = "categories"
    ENVIRONMENTS = "environments"


BY_NAME: Mapping[str, SelectionKind] = {
    NameKind.TESTS: SelectionKind.TEST_IDS,
    NameKind.CATEGORIES: SelectionKind.CATEGORY_IDS,
}
"""Keys of an entry that hold names, or globs of names, each with the key that it becomes."""


class Strategy(StrEnum):
    """How a test signs in."""

    NONE = "none"
    GENERATED = "generated"
    SPECIFIC = "specific"


class Target(Struct, frozen=True, kw_only=True):
    kind: TargetKind
    value: str


class Selection(Struct, frozen=True, kw_only=True):
    kind: SelectionKind
    ids: tuple[str, ...]


class Authentication(Struct, frozen=True, kw_only=True):
    """An artifact of type `authentication`, the only type so far."""

    strategy: Strategy
    account_id: str | None = None


class Retries(Struct, frozen=True, kw_only=True):
    """How many runs more an entry may get: after failed tests, and after a failure of the vendor's infrastructure."""

    failed: int = 0
    infra: int = 1


class Quarantine(Struct, frozen=True, kw_only=True):
    """An entry that does not gate before the day `until` (ISO 8601); from that day on (UTC) it does."""

    reason: str
    owner: str
    until: str

    def __str__(self) -> str:
        return f"in quarantine until {self.until} ({self.owner}: {self.reason})"


class Policy(Struct, frozen=True, kw_only=True):
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


OnSkipped: TypeAlias = Literal["pass", "fail"]


class Gate(Struct, frozen=True, kw_only=True):
    """What has to hold besides that no test failed. A limit that is None is not set."""

    min_tests: int = 1
    on_skipped: OnSkipped | None = None
    max_quarantined: int | None = None


class Report(Struct, frozen=True, kw_only=True):
    """A report that every apply writes. `path` leads from the manifest's folder to a file inside it."""

    format: str
    path: str


class EntryKey(NamedTuple):
    """A key that entries, variants, defaults and rows share. `schema`: the definition of its value.

    `text`: only text can stand there, so that the number 3 of an axis is the text 3. `adds`: a list, which a layer
    replaces or appends to. `whole`: the list can be the value of an expression.
    """

    schema: str
    text: bool = False
    adds: bool = False
    whole: bool = False


ENTRY_KEYS: Mapping[str, EntryKey] = {
    "name": EntryKey("name", text=True),
    "description": EntryKey("description", text=True),
    "labels": EntryKey("labels", text=True, adds=True, whole=True),
    "owner": EntryKey("owner", text=True),
    "vendor": EntryKey("vendor"),
    "platform": EntryKey("platform", text=True),
    "target": EntryKey("target", text=True),
    "test_ids": EntryKey("testIds", text=True, adds=True, whole=True),
    "category_ids": EntryKey("categoryIds", text=True, adds=True, whole=True),
    "tags": EntryKey("tags", text=True, adds=True, whole=True),
    "tests": EntryKey("testNames", text=True, adds=True, whole=True),
    "categories": EntryKey("categoryNames", text=True, adds=True, whole=True),
    "artifacts": EntryKey("artifacts", text=True, adds=True),
    "options": EntryKey("options"),
    "timeout": EntryKey("timeout"),
    "allow_failure": EntryKey("allowFailure"),
    "retries": EntryKey("retries"),
    "quarantine": EntryKey("quarantine"),
    "estimate": EntryKey("estimate"),
    "needs": EntryKey("needs", adds=True),
    "if": EntryKey("condition"),
    "paths": EntryKey("paths", adds=True),
}
"""`make schema` writes them into the schema; `manifest/load.py` makes an Entry of their values."""


EXPANDING_KEYS: Mapping[str, str] = {
    "variants": "variants",
    "axes": "axes",
    "exclude": "exclude",
    "include": "combinations",
}
"""Keys that make rows and do not stand in rows, with the definitions of their values; a variant has no variants."""


class Entry(Struct, frozen=True, kw_only=True):
    """An expanded, rendered row. Strings may hold secret placeholders."""

    id: str
    vendor: str
    policy: Policy
    origin: Place
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
