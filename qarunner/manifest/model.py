"""The manifest in types: what is said once at the top, and the rows that the matrix expands to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import cast

from msgspec import Struct, field

from qarunner.decode import amount
from qarunner.diagnostics import Path
from qarunner.entry import Gate, Report
from qarunner.manifest.lock import KnownNames
from qarunner.manifest.yaml.reader import Document
from qarunner.regex import regex

# ---------------------------------------------------------------------------------------------------------------------

# Durations as people write them: `200ms`, `30s`, `10m`, `1h30m`.


_DURATION = regex(r"(?:(\d{1,22})h)?(?:(\d{1,22})m(?!s))?(?:(\d{1,22})s)?(?:(\d{1,22})ms)?", re.ASCII)


_FACTORS = (3600.0, 60.0, 1.0, 0.001)


def seconds(text: str) -> float:
    """A duration in seconds. Units stand from the largest to the smallest, each at most once; else ValueError."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"not a duration: {text!r} (write it as 200ms, 30s, 10m or 1h30m)")
    return sum(int(count) * factor for count, factor in zip(match.groups(), _FACTORS, strict=True) if count)


class EnvDeclaration(Struct, frozen=True, kw_only=True):
    """An environment variable that templates can read. Without a default it is required wherever it is used."""

    name: str
    secret: bool = False
    default: str | None = None
    format: str | None = None
    enum: tuple[str, ...] = ()
    pattern: str | None = None
    description: str | None = None

    @property
    def path(self) -> Path:
        """Where the declaration stands."""
        return ("env", self.name)


class Budget(Struct, frozen=True, kw_only=True):
    """How many tests a plan may run, in all and at a vendor, and what it may cost. A limit that is None is not set.

    `count_retries`: the limits hold for retries, too, which begin later.
    """

    max_tests: int | None = None
    max_cost: Decimal | None = None
    per_vendor: Mapping[str, int] = field(default_factory=dict)
    count_retries: bool = False


BASE = "base"
"""Begins the paths of what the base says: the file that the pipeline names with --base."""


class Manifest(Struct, frozen=True, kw_only=True):
    """A manifest that passed the schema. `vars`, `vendors` and `defaults` are plain data and may hold templates."""

    document: Document
    name: str
    env: Mapping[str, EnvDeclaration]
    vars: Mapping[str, object]
    vendors: Mapping[str, Mapping[str, object]]
    defaults: Mapping[str, object]
    gate: Gate
    reports: tuple[Report, ...] = ()
    budget: Budget = Budget()
    templated: bool = True
    """False if the file has no template anywhere, so that no check has to look for one."""
    profile: str | None = None
    """The profile whose vars, defaults and gate lie over those at the top."""
    select: tuple[str, ...] = ()
    """The profile's choice of rows: expressions; at least one has to hold. () chooses all rows."""

    lineage: tuple[str, ...] = ()
    """The profile and those that it extends, its own first."""
    names: KnownNames | None = None
    """The ids behind names; None: names stay as they are written."""

    @property
    def default_layers(self) -> tuple[Path, ...]:
        """The paths of the mappings that `defaults` was merged from, highest priority first."""
        return tuple(path for path in self.layers("defaults") if self.section(path))

    def layers(self, section: str) -> tuple[Path, ...]:
        """Where the parts of a section at the top stand, highest priority first."""
        return (*(("profiles", name, section) for name in self.lineage), (section,), *self.base_layers(section))

    def base_layers(self, section: str) -> tuple[Path, ...]:
        """The part of the base that lies below all; () without a base."""
        return ((BASE, section),) if self.section((BASE, section)) else ()

    @property
    def limits(self) -> Mapping[str, object]:
        """What the base lets a manifest tighten alone."""
        return self.section((BASE, "limits"))

    def limit_of(self, key: str) -> Decimal | None:
        """One of these that is a number."""
        value = self.limits.get(key)
        return None if value is None else amount(value)

    def section(self, path: Path) -> Mapping[str, object]:
        """The mapping at a path of the document; an empty one if it is missing."""
        value = self.document.at(path)
        return value if isinstance(value, dict) else {}


def entry_of(row_id: str) -> str:
    """The id of an entry, in that of one of its rows."""
    return row_id.partition("[")[0].partition("/")[0]


class Row(Struct, frozen=True):
    """One row of the expanded matrix, as plain data under the manifest's own keys.

    `data` may share parts with other rows and with the document: never change it in place.
    `layers` lead to the mappings that it was merged from, highest priority first: variant, entry, the
    profile's defaults, defaults.
    `axes` are the names and values that this row stands for, in the order of its id.
    `named` has the names, under their keys, whose places ids have taken in `data`.
    """

    id: str
    data: dict[str, object]
    layers: tuple[Path, ...]
    path: Path
    variant: str | None = None
    axes: tuple[tuple[str, str | int | float | bool | Mapping[str, object]], ...] = ()
    named: Mapping[str, list[str]] | None = None
    templates: tuple[object, list[tuple[Path, str]]] | None = None
    """Once `templates_of` has looked for them: the data, and its strings with templates, with their paths."""

    @property
    def entry_id(self) -> str:
        """The id as it was written: the same for all variants and axes."""
        return entry_of(self.id)

    @property
    def names(self) -> dict[str, None]:
        """What means the row, and maybe others: an id without its axes or its variant names all of them."""
        return dict.fromkeys((self.id, self.id.partition("[")[0], self.entry_id))

    @property
    def point(self) -> dict[str, str | int | float | bool]:
        """The axes with what stands in the id: of a mapping, its name."""
        return {name: cast("str", value["name"]) if isinstance(value, Mapping) else value for name, value in self.axes}

    @property
    def axis_fields(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The names of the axes, each with the fields that its value has."""
        return tuple((name, tuple(value) if isinstance(value, Mapping) else ()) for name, value in self.axes)

    @property
    def matrix(self) -> dict[str, object]:
        """What templates read as `matrix`."""
        return {"id": self.id, "entry": self.entry_id, "variant": self.variant, **dict(self.axes)}
