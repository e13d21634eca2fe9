"""Everything about a vendor that is data: what it can do, how fast it may be asked, how it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qarunner.cursor import Json
from qarunner.entry import Platform, SelectionKind, TargetKind
from qarunner.vendors.needs import BuildRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The table that the check, `qarunner vendors` and the docs share.

    `targets` maps a platform to the targets that it takes there (None: entries without a platform).
    `instead` maps a manifest word that the vendor cannot take (`test_ids`, `web_url`, `artifacts`, `ios` …) to the
    reason and, where there is one, the way to do it instead.
    """

    targets: Mapping[Platform | None, frozenset[TargetKind]]
    target_required: bool
    selections: frozenset[SelectionKind]
    several_ids: bool = True
    artifacts: bool = False
    cancel: bool = False
    per_test_results: bool = True
    builds: Mapping[Platform, BuildRules] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How often a vendor may be asked. Rates are requests a minute (None: not documented), intervals are seconds."""

    every_s: float
    max_s: float
    reads: int | None = None
    creates: int | None = None
    all: int | None = None
    max_in_flight: int = 16
    hint_s: tuple[float, float] | None = None
    """The bounds within which the vendor's own hint is followed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorInfo:
    """Everything about a vendor that is data. `auth` is the header and its text, with `{key}` for the credential."""

    name: str
    title: str
    docs: str
    base_url: str
    url_env: tuple[str, ...]
    key_env: str
    auth: tuple[str, str]
    capabilities: Capabilities
    pacing: Pacing
    idempotency_header: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)
    """JSON Schema of an entry's `options`, as `properties`."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """JSON Schema of what this vendor adds under `vendors.<name>`, as `properties`."""
    credential_environ: tuple[str, ...] = ()
    """Names of other credentials of this vendor; templates can never read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Entries that cannot stand in one plan: `path` leads to the place in the first, where the problem is shown."""

    entries: tuple[str, ...]
    path: tuple[str | int, ...]
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Something in an entry that this vendor cannot do. `path` leads from the entry to the place."""

    path: tuple[str | int, ...]
    message: str
    hint: str | None = None
