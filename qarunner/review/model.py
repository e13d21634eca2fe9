"""Two matrices side by side: what a row, a setting and their changes are."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property

from msgspec import Struct, field

from qarunner.decode import Json
from qarunner.diagnostics import Place
from qarunner.manifest.model import Manifest, Row
from qarunner.manifest.templates.evaluate import Evaluated
from qarunner.plan.capabilities import GENERAL_SETTINGS
from qarunner.plan.model import Cost
from qarunner.review.fields import Fields
from qarunner.vendors.api import Vendor


class Side(Struct, frozen=True, kw_only=True, dict=True):
    """One of the two matrices. `vendors` are the adapters that its rows name, `evaluated` has the values of the rows.

    `copied_to` begins the names of its files where they are a copy in another folder; it is cut from what is shown.
    """

    manifest: Manifest
    rows: tuple[Row, ...]
    evaluated: Evaluated
    vendors: Mapping[str, Vendor]
    copied_to: str = ""

    @cached_property
    def values(self) -> Mapping[str, Row]:
        """The evaluated rows by id."""
        return {row.id: row for row in self.evaluated.rows}

    @property
    def lock(self) -> str:
        """The name of the file that has the ids behind names."""
        names = self.manifest.names
        return names.file.removeprefix(self.copied_to) if names is not None else ""

    @property
    def all_settings(self) -> Mapping[str, Mapping[str, object]]:
        """The settings of all vendors, with what is known of their values."""
        return {**self.manifest.vendors, **self.evaluated.vendors}

    def settings(self, vendor: str) -> Mapping[str, object]:
        """What this vendor's requests are made with besides the row."""
        written = self.all_settings.get(vendor, {})
        return {key: value for key, value in written.items() if key not in GENERAL_SETTINGS}

    def credential(self, vendor: str) -> str:
        """The variable that holds this vendor's key."""
        named = self.manifest.vendors.get(vendor, {}).get("api_key_env")
        return str(named) if named else self.vendors[vendor].info.key_env


class Line(Struct, frozen=True, kw_only=True):
    """A row for reviewers, as it was written and with its values.

    `listed`: its tests are named one by one; a category counts as its estimate, or as one.
    """

    id: str
    entry: str
    variant: str | None
    axes: Mapping[str, str | int | float | bool]
    vendor: str | None
    platform: str | None
    tests: int
    listed: bool
    origin: Place
    row: Row
    value: Row
    fields: Fields
    cause: str = ""


class Field(Struct, frozen=True, kw_only=True):
    """A value that differs; None is one that is not there. `where` is the entry or variant that was edited.

    Two equal values are a template that reads something else now.
    """

    path: str
    before: Json
    after: Json
    cause: str
    where: str | None = None


class Change(Struct, frozen=True, kw_only=True):
    """A row that both matrices have. `was` is its earlier id, where that differs."""

    before: Line
    after: Line
    fields: tuple[Field, ...]

    @property
    def was(self) -> str | None:
        return None if self.before.id == self.after.id else self.before.id


class Setting(Struct, frozen=True, kw_only=True):
    """A value at the manifest's top that differs."""

    path: str
    before: Json
    after: Json


class Size(Struct, frozen=True, kw_only=True):
    """What a matrix costs: tests, and create calls by vendor."""

    rows: int = 0
    tests: int = 0
    at_least: bool = False
    """Whether only the vendors know how many tests some rows are."""
    runs: Mapping[str, int] = field(default_factory=dict)
    cost: Cost | None = None
    """In money; None where no vendor has a price."""

    @property
    def all_runs(self) -> int:
        return sum(self.runs.values())


class Month(Struct, frozen=True, kw_only=True):
    """What a change costs a month, if the matrix runs as often as in the last 30 days: `runs` times."""

    runs: int
    tests: int
    money: Decimal | None
    """None where the costs of both sides cannot be compared."""
    currency: str


class Difference(Struct, frozen=True, kw_only=True):
    """Rows in the order of their files. `before` of a matrix that did not exist is of size 0."""

    added: tuple[Line, ...]
    removed: tuple[Line, ...]
    changed: tuple[Change, ...]
    settings: tuple[Setting, ...]
    before: Size
    after: Size

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.settings)
