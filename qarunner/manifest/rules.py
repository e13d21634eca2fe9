"""What holds in a row beyond the schema: axes, needs, conditions, timeouts, retries and quarantines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

from qarunner.decode import as_mapping
from qarunner.diagnostics import Severity, choose, closest, in_order, problem
from qarunner.entry import BY_NAME, EXPANDING_KEYS, Policy, Quarantine, Retries, SelectionKind
from qarunner.errors import ManifestError
from qarunner.known import holds_template
from qarunner.manifest.base import check_days
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import (
    MOST_LOOKUPS,
    MOST_ROWS,
    MOST_ROWS_OF_PROFILES,
    MOST_VALUES,
    RESERVED,
    Axes,
    Exclusion,
    Few,
    Inclusion,
    RowLocator,
    SectionLocator,
    combined,
    lookups,
    one_of_each,
    overlay,
    points,
    size,
    spelled,
    value_named,
)
from qarunner.manifest.model import BASE, seconds
from qarunner.manifest.schema.urls import out_of_reach
from qarunner.manifest.select import id_matcher, wildcard
from qarunner.manifest.templates.evaluate import answers
from qarunner.manifest.templates.expression import ROOTS, Steps, TemplateError, as_text
from qarunner.manifest.templates.parse import parse
from qarunner.manifest.templates.scope import IN_ROWS, Scope, templates_in, templates_of
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping

    from qarunner.diagnostics import Diagnostic, Path
    from qarunner.manifest.expand import Point, Value
    from qarunner.manifest.model import Manifest, Row
    from qarunner.manifest.templates.env import Values
    from qarunner.manifest.templates.evaluate import Evaluated
    from qarunner.manifest.yaml.reader import Document


# ---------------------------------------------------------------------------------------------------------------------

# What no schema can say of `axes` and `exclude`: before one row is built, each problem at its line.


_NUMBER = re.compile(r"[-+.0-9][-+.0-9a-zA-Z]*")


_EXPANDED = EXPANDING_KEYS.keys()
"""Keys that make rows, and do not stand in rows."""


class RowProblem(NamedTuple):
    """A problem, and the entry that cannot be expanded because of it; None: none can."""

    entry: int | None
    problem: Diagnostic


def check_axes(document: Document, sound: Iterable[int]) -> tuple[RowProblem, ...]:
    """Looks at the entries of a document that the schema has nothing against."""
    matrix = cast("list[dict[str, object]]", document.data.get("matrix") or [])
    faults: list[RowProblem] = []
    sizes: list[_Size] = []
    for index in sorted(sound):
        entry, path = matrix[index], ("matrix", index)
        if _EXPANDED.isdisjoint(entry):
            sizes.append(_Size(1, 0, path))
            continue
        grid = _Grid(document, path, entry)
        faults += [RowProblem(index, problem) for problem in grid.problems()]
        sizes.append(_Size(grid.size(), grid.values(), path))
    return (*faults, *_too_large(document, sizes))


class _Size(NamedTuple):
    """How many rows an entry makes, and how many values there are in all of them, without those of the defaults."""

    rows: int
    values: int
    path: Path


def _too_large(document: Document, sizes: list[_Size]) -> Iterator[RowProblem]:
    rows = sum(part.rows for part in sizes)
    if rows > MOST_ROWS:
        largest = max(sizes, key=lambda each: each.rows)
        share = f", {largest.rows:,} of them from this entry" if len(sizes) > 1 else ""
        message = f"the matrix would have {rows:,} rows{share}; at most {MOST_ROWS:,} are taken"
        hint = "each row is a run at a vendor: leave out axes or values, or split the manifest"
        where = (*largest.path, "axes") if largest.rows > 1 else ("matrix",)
        yield RowProblem(None, problem(document, where, message, code=Code.TOO_MANY_ROWS, hint=hint, key=True))
        return
    profiles = as_mapping(document.data.get("profiles")).values()
    seen = rows * (1 + len(profiles))
    if seen > MOST_ROWS_OF_PROFILES:
        message = f"{rows:,} rows would be checked with each of {len(profiles)} profiles: {seen:,} rows"
        hint = f"at most {MOST_ROWS_OF_PROFILES:,} are checked: leave out profiles or axes, or split the manifest"
        yield RowProblem(None, problem(document, ("profiles",), message, code=Code.TOO_MUCH_WORK, hint=hint, key=True))
        return
    defaults = [document.data.get("defaults"), *(as_mapping(part).get("defaults") for part in profiles)]
    values = sum(part.values for part in sizes) + rows * max(map(_values, defaults))
    if values > MOST_VALUES:
        widest = max(sizes, key=lambda each: (each.values, each.rows))
        message = f"the rows of the matrix would hold {values:,} values; at most {MOST_VALUES:,} are taken"
        hint = "name a category instead of many tests, or leave out axes"
        yield RowProblem(None, problem(document, widest.path, message, code=Code.TOO_MUCH_WORK, hint=hint))


def _values(data: object) -> int:
    """How many values data holds, with those that stand in several places each time."""
    children = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + sum(map(_values, children))


@dataclass(frozen=True)
class _Variant:
    """An entry's axes and exclusions, with those of one variant over them. `name` is None without variants."""

    name: str | None
    axes: Axes
    exclude: list[Exclusion]
    own_exclude: bool
    include: list[Inclusion]

    def points(self) -> Iterator[Point]:
        return points(self.axes, self.exclude, self.name, self.include)

    def size(self) -> int:
        return size(self.axes, self.include)

    def takes_out(self, exclusion: Exclusion) -> bool:
        """True if an exclusion takes a row out. In a full product, one that names existing values does."""
        return all(
            (name == "variant" and str(value) == self.name) or spelled(value) in self.words.get(name, ())
            for name, value in exclusion.items()
        )

    @cached_property
    def product(self) -> frozenset[str]:
        """What the ids of the rows that the axes make end in."""
        return (
            frozenset(point.suffix for point in points(self.axes, self.exclude, self.name))
            if self.axes
            else frozenset()
        )

    @cached_property
    def words(self) -> Mapping[str, frozenset[str]]:
        """The values of each axis, as ids have them."""
        return {name: frozenset(map(spelled, values)) for name, values in self.axes.items()}


class _Grid:
    """The rows of one entry, as they would be."""

    def __init__(self, document: Document, path: Path, entry: Mapping[str, object]) -> None:
        self._document = document
        self._path = path
        self._entry = entry
        self._overlays = cast("dict[str, dict[str, object] | None]", entry.get("variants") or {})
        self._variants = [_variant(entry, name, body) for name, body in self._overlays.items()] or [
            _variant(entry, None, None)
        ]
        self._included: set[tuple[str | None, str]] = set()

    def size(self) -> int:
        return sum(variant.size() for variant in self._variants)

    def values(self) -> int:
        """How many values there are in all rows together."""
        bodies = [self._overlays.get(str(variant.name)) or {} for variant in self._variants]
        plain, *others = ({key: body[key] for key in body.keys() - _EXPANDED} for body in (self._entry, *bodies))
        sizes = [variant.size() for variant in self._variants]
        return sum(rows * (_values(plain) + _values(other)) for rows, other in zip(sizes, others, strict=True))

    def problems(self) -> Iterator[Diagnostic]:
        """Those of the axes alone, where there are some: what is excluded from them would only repeat it."""
        of_axes = [problem for path, axes in self._axes() for problem in self._of_axes(path, axes)]
        yield from of_axes
        if of_axes or self.size() > MOST_ROWS:
            return
        looked_up = sum(lookups(variant.axes, variant.exclude, variant.name) for variant in self._variants)
        if looked_up > MOST_LOOKUPS:
            yield self._too_many_lookups(looked_up)
            return
        yield from self._of_exclusions()
        invalid = list(self._of_inclusions())
        yield from invalid or self._nothing_left()

    def _too_many_lookups(self, number: int) -> Diagnostic:
        message = f"exclude: to look for these in all rows takes {number:,} steps; at most {MOST_LOOKUPS:,} are made"
        hint = "exclude by fewer combinations of axes, or include the rows that are meant"
        where = (*self._path, "exclude")
        return problem(self._document, where, message, code=Code.TOO_MUCH_WORK, hint=hint, key=True)

    def _axes(self) -> Iterator[tuple[Path, Axes]]:
        """Axes as they were written, in the entry and in its variants."""
        layers = [((), self._entry), *((("variants", name), body or {}) for name, body in self._overlays.items())]
        for path, layer in layers:
            if "axes" in layer:
                yield (*self._path, *path, "axes"), cast("Axes", layer["axes"])

    def _of_axes(self, path: Path, axes: Axes) -> Iterator[Diagnostic]:
        for name, values in axes.items():
            if name in RESERVED:
                message = f"an axis cannot be called {name!r}: matrix.{name} is the row's own"
                hint = "give it another name"
                yield problem(self._document, (*path, name), message, code=Code.AXIS, hint=hint, key=True)
            if unequal := _unequal(values):
                index, message = unequal
                hint = "give all values of an axis the same fields, `name` among them"
                where = (*path, name, index)
                yield problem(self._document, where, f"{name}: {message}", code=Code.AXIS, hint=hint)
                continue
            first: dict[str, int] = {}
            for index, value in enumerate(values):
                text = spelled(value)
                if first.setdefault(text, index) != index:
                    message = f"{name}: {text!r} stands here twice, and both rows would have the same id"
                    yield problem(self._document, (*path, name, index), message, code=Code.AXIS, hint="remove one")
                elif reason := self._invalid_value((*path, name, index), value, text):
                    message = f"{name}: {reason}"
                    yield problem(self._document, (*path, name, index), message, code=Code.AXIS, hint="quote it")

    def _invalid_value(self, path: Path, value: object, text: str) -> str | None:
        """Why a value would look different in ids from what its author expects."""
        if not text.isprintable():
            return f"{text!r} has a character that is invisible in an id"
        if isinstance(value, dict):
            path, value = (*path, "name"), value["name"]
        if isinstance(value, (str, bool)):
            return None
        place = self._document.locate(path)
        written = _NUMBER.match((self._document.source_line(place) or "")[place.column - 1 :])
        if written is None or written[0] == text:  # an alias has another text
            return None
        return f"{written[0]} is the number {text}, and ids would have that"

    # --- exclude ------------------------------------------------------------------------------------------------------

    def _of_exclusions(self) -> Iterator[Diagnostic]:
        inherited = _Variants([item for item in self._variants if not item.own_exclude])
        if "exclude" in self._entry:
            path, exclude = (*self._path, "exclude"), cast("list[Exclusion]", self._entry["exclude"])
            for index, item in enumerate(exclude):
                yield from self._of_exclusion((*path, index), item, inherited)
        for variant in self._variants:
            if variant.own_exclude:
                alone = _Variants([variant])
                for index, item in enumerate(variant.exclude):
                    path = (*self._path, "variants", str(variant.name), "exclude", index)
                    yield from self._of_exclusion(path, item, alone)

    def _of_exclusion(self, path: Path, exclusion: Exclusion, variants: _Variants) -> Iterator[Diagnostic]:
        if any(variant.takes_out(exclusion) for variant in variants.members):
            return
        has_problem = False
        for name, value in exclusion.items():
            for message, hint, key in variants.unknown(name, spelled(value)):
                has_problem = True
                yield problem(self._document, (*path, name), message, code=Code.EXCLUDE, hint=hint, key=key)
        if not has_problem:
            message = "exclude: no row has all of these values"
            yield problem(self._document, path, message, code=Code.EXCLUDE, hint="remove it, or change a value")

    # --- include ------------------------------------------------------------------------------------------------------

    def _of_inclusions(self) -> Iterator[Diagnostic]:
        layers = [((), self._entry), *((("variants", name), body or {}) for name, body in self._overlays.items())]
        named = {item.name: item for item in self._variants}
        for path, layer in layers:
            if "include" not in layer:
                continue
            # Looked for only where a layer includes: there may be thousands of variants.
            variants = [named[str(path[-1])]] if path else self._inheriting("include")
            for index, item in enumerate(cast("list[Inclusion]", layer.get("include") or [])):
                where = (*self._path, *path, "include", index)
                chosen = [variant for variant in variants if "variant" not in item or item["variant"] == variant.name]
                yield from self._of_inclusion(where, item, chosen)

    def _inheriting(self, key: str) -> list[_Variant]:
        return [variant for variant in self._variants if key not in (self._overlays.get(str(variant.name)) or {})]

    def _of_inclusion(self, path: Path, combination: Inclusion, variants: list[_Variant]) -> Iterator[Diagnostic]:
        """What speaks against a combination, for the first variant that it does not fit."""
        if not variants:
            known = tuple(self._overlays)
            message = f"include: there is no variant {combination.get('variant')!r} that takes it"
            hint = choose(str(combination.get("variant")), known) if known else "remove it: the entry has no variants"
            yield problem(self._document, (*path, "variant"), message, code=Code.COMBINATION, hint=hint)
        for variant in variants:
            problems = list(self._misfits(path, combination, variant))
            if problems:
                yield from problems
                return

    def _misfits(self, path: Path, combination: Inclusion, variant: _Variant) -> Iterator[Diagnostic]:
        names = tuple(variant.axes) or tuple(name for name in variant.include[0] if name != "variant")
        missing = [name for name in names if name not in combination]
        unknown = [name for name in combination if name not in names and name != "variant"]
        invalid = [
            name for name in combination.keys() & set(names) if self._odd_value(variant, name, combination[name])
        ]
        for name in unknown:
            message = f"include: there is no axis {name!r}"
            hint = choose(name, (*names, "variant"))
            yield problem(self._document, (*path, name), message, code=Code.COMBINATION, hint=hint, key=True)
        if missing:
            message = f"include: a combination names every axis, and this one has no {', '.join(missing)}"
            hint = f"write {', '.join(f'{name}: …' for name in missing)}"
            yield problem(self._document, path, message, code=Code.COMBINATION, hint=hint)
        for name in invalid:
            fields = next(iter(variant.axes[name]))
            text = ", ".join(f"{key}: …" for key in fields) if isinstance(fields, dict) else "a single value"
            message = f"include: {name} is not as the other values of the axis are"
            hint = f"name one of them, or write {text}"
            yield problem(self._document, (*path, name), message, code=Code.COMBINATION, hint=hint)
        if not (unknown or missing or invalid):
            yield from self._repeated(path, combination, variant)

    def _odd_value(self, variant: _Variant, name: str, value: Value) -> bool:
        values = variant.axes.get(name, ())
        return bool(values) and _unequal([*values[:1], value_named(values, value)]) is not None

    def _repeated(self, path: Path, combination: Inclusion, variant: _Variant) -> Iterator[Diagnostic]:
        """A combination that makes a row which is there already."""
        suffix = combined(variant.axes, combination).suffix
        row = (variant.name, suffix)
        if suffix in variant.product or row in self._included:
            message = f"include: there is a row {suffix} already, and both would have the same id"
            yield problem(self._document, path, message, code=Code.COMBINATION, hint="remove it, or change a value")
        self._included.add(row)

    def _nothing_left(self) -> Iterator[Diagnostic]:
        """An entry without any row left, or a variant whose own `exclude` leaves no row."""
        empty = [variant for variant in self._variants if not _first(variant)]
        emptied = [
            (("variants", str(variant.name)), f"variant {variant.name!r}") for variant in empty if variant.own_exclude
        ]
        whole = len(empty) == len(self._variants) and "exclude" in self._entry
        for path, what in [((), repr(self._entry["id"]))] if whole else emptied:
            message, hint = f"exclude leaves no row of {what}", "exclude less, or remove it"
            where = (*self._path, *path, "exclude")
            yield problem(self._document, where, message, code=Code.NOTHING_LEFT, hint=hint, key=True)


def _variant(entry: Mapping[str, object], name: str | None, body: Mapping[str, object] | None) -> _Variant:
    body = body or {}
    axes = overlay(cast("Axes", entry.get("axes") or {}), cast("Axes", body.get("axes") or {}))
    exclude = cast("list[Exclusion]", body.get("exclude", entry.get("exclude")) or [])
    include = cast("list[Inclusion]", body.get("include", entry.get("include")) or [])
    return _Variant(name, cast("Axes", axes), exclude, "exclude" in body, include)


def _first(variant: _Variant) -> bool:
    return next(variant.points(), None) is not None


def _unequal(values: Sequence[Value]) -> tuple[int, str] | None:
    """The first value that is not as those before it, and why: all are scalars, or mappings with the same fields."""
    first = values[0]
    for index, value in enumerate(values):
        if isinstance(value, dict) != isinstance(first, dict):
            return index, "some values are mappings, and some are not"
        if isinstance(value, dict) and isinstance(first, dict) and value.keys() != first.keys():
            different = sorted(value.keys() ^ first.keys())
            return index, f"the values have different fields: {', '.join(different)}"
    return None


@dataclass(frozen=True)
class _Variants:
    """Variants that have the same `exclude`, and what can be named in it."""

    members: Sequence[_Variant]

    @cached_property
    def _axes(self) -> Mapping[str, Sequence[str]]:
        """Every axis with its values."""
        axes: dict[str, dict[str, None]] = {}
        for variant in self.members:
            for name, values in variant.axes.items():
                axes.setdefault(name, {}).update(dict.fromkeys(map(spelled, values)))
        return {name: tuple(values) for name, values in axes.items()}

    def unknown(self, name: str, text: str) -> Iterator[tuple[str, str, bool]]:
        """What an exclusion names that no row has: message, hint, and True if it is about the key."""
        if name == "variant":
            known = tuple(variant.name for variant in self.members if variant.name is not None)
            if text not in known:
                what = f"there is no variant {text!r}" if known else "the entry has no variants"
                yield f"exclude: {what}", choose(text, known) if known else "remove it", False
        elif name not in self._axes:
            names = (*self._axes, "variant")
            hint = choose(name, names) if self._axes else "the entry has no axes: exclude goes with them"
            yield f"exclude: there is no axis {name!r}", hint, True
        elif text not in self._axes[name]:
            yield f"exclude: {name} has no value {text!r}", choose(text, self._axes[name]), False


# ---------------------------------------------------------------------------------------------------------------------

# What has to pass before what: references between rows, checked, and followed to their end.


_SHOWN = 10


MOST_NEEDS = 1_000_000
"""Pairs of a row and one that it needs."""


def references(row: Row) -> list[str]:
    """The ids that a row names under `needs`, with the values of its own axes. What is not known stays as it is."""
    return [_with_axes(need, row) for need in _written_needs(row)]


def _with_axes(reference: str, row: Row) -> str:
    if not holds_template(reference):
        return reference
    context = {**{root: {} for root in ROOTS}, "matrix": row.matrix}
    pieces = parse(reference).pieces
    try:
        return "".join(part if isinstance(part, str) else as_text(part.compute(context, Steps())) for part in pieces)
    except TemplateError:
        return reference


def resolve(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """What each row needs, as ids of rows; rows that need nothing are left out, as are references to nothing."""
    if not any("needs" in row.data for row in rows):
        return {}
    named = _Named(rows)
    # Rows that need the same share one tuple: each of a thousand rows may need each of a thousand others.
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    resolved: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if "needs" in row.data:
            written = tuple(references(row))
            if written not in known:
                known[written] = tuple(dict.fromkeys(need for reference in written for need in named.of(reference)))
            resolved[row.id] = known[written]
    return {row: needs for row, needs in resolved.items() if needs}


class _Named:
    """Rows by every name that means them: `search` and `search/web` both mean `search/web[locale=en]`."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.names: dict[str, list[str]] = {}
        self._ids: list[str] = []
        self._matched: dict[str, list[str]] = {}
        for row in rows:
            self._ids.append(row.id)
            variant = row.id.partition("[")[0]
            for name in dict.fromkeys((row.id, variant, variant.partition("/")[0])):
                self.names.setdefault(name, []).append(row.id)

    def of(self, reference: str) -> list[str]:
        """The ids of rows that a reference means; `*` and `?` match anything, and axes stand in any order."""
        if reference in self.names or _PLAIN.fullmatch(reference):
            return self.names.get(reference, [])
        if reference not in self._matched:
            if "[" in reference:
                means = id_matcher(reference)
                self._matched[reference] = [row_id for row_id in self._ids if means(row_id)]
            else:
                pattern = wildcard(reference)
                matching = (ids for name, ids in self.names.items() if pattern.fullmatch(name))
                self._matched[reference] = list(dict.fromkeys(row_id for ids in matching for row_id in ids))
        return self._matched[reference]


_PLAIN = re.compile(r"[^*?\[]*")


def closure(ids: Iterable[str], needs: Mapping[str, tuple[str, ...]]) -> dict[str, str | None]:
    """These rows and all that they need, near and far; each with the row that needs it, None for those given."""
    reasons: dict[str, str | None] = dict.fromkeys(ids)
    queue = list(reasons)
    for row in queue:
        for need in needs.get(row, ()):
            if need not in reasons:
                reasons[need] = row
                queue.append(need)
    return reasons


# --- what is wrong ----------------------------------------------------------------------------------------------------


def check_needs(manifest: Manifest, rows: Sequence[Row], elsewhere: Collection[str] = ()) -> tuple[Diagnostic, ...]:
    """References to nothing, and rows that wait for themselves.

    `elsewhere` are ids of entries that have no rows here, since something else is wrong with them.
    """
    waiting = [row for row in rows if "needs" in row.data]
    if not waiting:
        return ()
    named = _Named(rows)
    unknown = [
        _no_entry(manifest, row, index, reference, named)
        for row in (*one_of_each(waiting), *(row for row in waiting if any(map(holds_template, _written_needs(row)))))
        for index, reference in enumerate(references(row))
        if not named.of(reference) and reference.partition("[")[0].partition("/")[0] not in elsewhere
        if not holds_template(reference)
    ]
    unknown += _foreign(manifest, one_of_each(waiting))
    pairs = sum(len(named.of(reference)) for row in waiting for reference in references(row))
    if pairs > MOST_NEEDS:
        return (*unknown, _too_many_needs(manifest, waiting, named, pairs))
    return (*unknown, *_cycles(manifest, rows, named))


def _written_needs(row: Row) -> list[str]:
    written = row.data.get("needs")
    return [need for need in written if isinstance(need, str)] if isinstance(written, list) else []


def _foreign(manifest: Manifest, rows: Iterable[Row]) -> Iterator[Diagnostic]:
    """Templates that read something else than the row's own values: which rows wait is known without a variable."""
    for row in rows:
        for index, text in enumerate(_written_needs(row) if isinstance(row.data.get("needs"), list) else ()):
            roots = {reference.root for expression in parse(text).expressions for reference in expression.references}
            if roots - {"matrix"}:
                message = f"needs: only matrix can be read here, and this reads {min(roots - {'matrix'})}"
                hint = "write build[locale={{ matrix.locale }}], or name the entry"
                yield problem(RowLocator(manifest, row), ("needs", index), message, code=Code.UNKNOWN_NEED, hint=hint)


def _too_many_needs(manifest: Manifest, waiting: Iterable[Row], named: _Named, pairs: int) -> Diagnostic:
    row = max(waiting, key=lambda row: sum(len(named.of(reference)) for reference in references(row)))
    message = f"needs: {pairs:,} pairs of rows would wait for each other; at most {MOST_NEEDS:,} are taken"
    hint = "let the rows need one entry, such as a setup, instead of each other's rows"
    return problem(RowLocator(manifest, row), ("needs",), message, code=Code.TOO_MUCH_WORK, hint=hint)


def _no_entry(manifest: Manifest, row: Row, index: int, reference: str, named: _Named) -> Diagnostic:
    near = closest(reference, named.names.keys() - {row.id})
    some = ", ".join(sorted(named.names)[:_SHOWN]) + (", …" if len(named.names) > _SHOWN else "")
    hint = f"did you mean {near!r}?" if near else f"needs names entries or rows of this matrix: {some}"
    message = f"needs: there is no entry {reference!r}"
    return problem(RowLocator(manifest, row), ("needs", index), message, code=Code.UNKNOWN_NEED, hint=hint)


_MOST_CYCLES = 100
"""So many are reported at once: where each of a thousand rows needs each other one, there are far more."""


def _cycles(manifest: Manifest, rows: Sequence[Row], named: _Named) -> Iterator[Diagnostic]:
    by_id = {row.id: row for row in rows}
    for cycle in islice(_circles(resolve(rows)), _MOST_CYCLES):
        row, need = by_id[cycle[0]], cycle[1]
        index = next(n for n, reference in enumerate(references(row)) if need in named.of(reference))
        shown = " → ".join(cycle if len(cycle) <= _SHOWN else [*cycle[: _SHOWN - 1], "…", cycle[-1]])
        alone = row.id == need
        text = f"{row.id} needs itself" if alone else "these wait for each other"
        several = alone and references(row)[index] != row.id
        hint = "name its other rows one by one" if several else "remove it" if alone else "remove one of these needs"
        message = f"needs: {text}: {shown}"
        yield problem(RowLocator(manifest, row), ("needs", index), message, code=Code.NEEDS_CYCLE, hint=hint)


def _circles(needs: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    """Cycles, each beginning with the row whose need closes it, and one for each such row.

    There is at least one of each group that waits for itself.
    """
    state: dict[str, bool] = {}  # True: on the way that is walked; False: done
    closing: set[str] = set()
    for start in needs:
        if start in state:
            continue
        way, rest = [start], [iter(needs[start])]
        state[start] = True
        while way:
            step = next(rest[-1], None)
            if step is None:
                state[way.pop()] = False
                rest.pop()
            elif step not in state:
                state[step] = True
                way.append(step)
                rest.append(iter(needs.get(step, ())))
            elif state[step] and way[-1] not in closing:
                closing.add(way[-1])
                yield [way[-1], *way[way.index(step) :]]


# ---------------------------------------------------------------------------------------------------------------------

# `if`: whether a row is planned at all. No secret may decide it: what a plan leaves out would tell of the secret.


KEY = "if"


_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a row's `if` says of it, and how it was written."""

    holds: bool
    text: str
    absent: str = ""
    """What this build does not have, as the end of a sentence."""


def check_conditions(manifest: Manifest, rows: Sequence[Row], evaluated: Evaluated) -> tuple[Diagnostic, ...]:
    """Conditions that a secret would decide, and known ones that are neither true nor false."""
    scope = Scope(manifest, IN_ROWS) if any(declaration.secret for declaration in manifest.env.values()) else None
    problems = (
        [secret_problem for row in one_of_each(rows) for secret_problem in _secrets(manifest, scope, row)]
        if scope
        else []
    )
    known = [row for row in evaluated.rows if KEY in row.data and (KEY,) not in evaluated.unknown.get(row.id, ())]
    few = Few()
    undecided = [row for row in known if truth(row.data[KEY]) is None and few.room_for(row)]
    secret = {problem.place for problem in problems}  # what it is does not matter then
    neither = [_neither(manifest, row, row.data[KEY]) for row in undecided]
    return in_order([*problems, *(problem for problem in neither if problem.place not in secret)])


def _secrets(manifest: Manifest, scope: Scope, row: Row) -> Iterator[Diagnostic]:
    text = row.data.get(KEY)
    if isinstance(text, str) and holds_template(text):
        for name in scope.secrets(parse(text)):
            message = f"if: {name} is secret, and cannot decide what is planned"
            hint = "everybody who sees the plan would learn it; use a variable that is not secret"
            yield problem(RowLocator(manifest, row), (KEY,), message, code=Code.SECRET_CHANGED, hint=hint)


def conditions(manifest: Manifest, rows: Sequence[Row], values: Values) -> dict[str, Condition]:
    """By id, what holds of the rows that have a condition. ManifestError has all that are neither true nor false."""
    asked = [row for row in rows if KEY in row.data]
    templated = [row for row in asked if isinstance(row.data[KEY], str)]
    known = answers(manifest, [replace(row, data={KEY: row.data[KEY]}) for row in templated], values, KEY)
    by_row: dict[str, Condition] = {}
    problems: list[Diagnostic] = []
    few = Few()
    for row in asked:
        value = known.get(row.id, row.data[KEY])
        holds = truth(value)
        if holds is None:
            problems += [_neither(manifest, row, value)] if few.room_for(row) else []
        else:
            missing = " and ".join(absent_facts(row.data[KEY], values.git))
            absent = f" (this build has no {missing})" if missing else ""
            by_row[row.id] = Condition(holds=holds, text=_written(row.data[KEY]), absent=absent)
    if problems:
        raise ManifestError(in_order(problems))
    return by_row


def truth(value: object) -> bool | None:
    """What a condition says; None where that is neither true nor false."""
    truth = _WORDS.get(value.strip().lower()) if isinstance(value, str) else value
    return truth if isinstance(truth, bool) else None


def _neither(manifest: Manifest, row: Row, value: object) -> Diagnostic:
    message = f"if: expected true or false, got {value!r}"
    hint = "compare it with something: {{ git.branch == 'main' }}"
    return problem(RowLocator(manifest, row), (KEY,), message, code=Code.NO_CONDITION, hint=hint)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def without_condition(row: Row) -> Row:
    """The row, once its condition is known: it is not asked again."""
    return replace(row, data={key: value for key, value in row.data.items() if key != KEY}) if KEY in row.data else row


TIMEOUT_S = 3600.0
"""How long an entry may take from create to verdict where the manifest says nothing."""


SOON = timedelta(days=7)
"""A quarantine that ends within this time gives a warning."""


def policy_of(data: Mapping[str, object], today: date) -> Policy:
    """The policy of a rendered row. A quarantine whose day has come is none."""
    timeout = data.get("timeout")
    return Policy(
        timeout_s=TIMEOUT_S if timeout is None else seconds(str(timeout)),
        allow_failure=data.get("allow_failure") is True,
        retries=_retries(as_mapping(data.get("retries"))),
        quarantine=quarantine_of(data, today),
    )


def _retries(written: Mapping[str, object]) -> Retries:
    usual = Retries()
    return Retries(
        failed=cast("int", written.get("failed", usual.failed)), infra=cast("int", written.get("infra", usual.infra))
    )


def quarantine_of(data: Mapping[str, object], today: date) -> Quarantine | None:
    """A row's quarantine, as long as it holds: `until` is the first day on which it does not."""
    written = as_mapping(data.get("quarantine"))
    until = _day(written.get("until"))
    if until is None or today >= until:
        return None
    return Quarantine(reason=str(written.get("reason")), owner=str(written.get("owner")), until=until.isoformat())


def _day(text: object) -> date | None:
    """The day of the calendar; None for what is no day, such as 2026-02-30."""
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


# --- what there is to say of quarantines ------------------------------------------------------------------------------


class RuleResults(NamedTuple):
    """What is wrong, and what is only worth a look."""

    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]


def check_quarantines(manifest: Manifest, rows: Sequence[Row], today: date) -> RuleResults:
    """Days that do not exist, and more quarantines than the gate allows; as warnings, those that end soon or ended.

    The rows have their quarantines as far as these are known: see `evaluate.with_known`.
    """
    written = [(row, as_mapping(row.data["quarantine"])) for row in rows if "quarantine" in row.data]
    holding = [row for row, _ in written if quarantine_of(row.data, today) is not None]
    # Rows of the same layers and the same day have the same to say.
    rows_by_place = {
        (row.path, row.variant, row.layers, str(quarantine.get("until"))): row for row, quarantine in written
    }
    known = [
        (row, until) for (*_, until), row in rows_by_place.items() if "until" in as_mapping(row.data["quarantine"])
    ]
    errors = [
        _no_day(RowLocator(manifest, row)) for row, until in known if _day(until) is None and not holds_template(until)
    ]
    limit = manifest.gate.max_quarantined
    if limit is not None and len(holding) > limit:
        errors.append(_too_many_quarantined(manifest, holding, limit))
    errors += check_days(manifest, rows, today)
    warnings = [problems for row, until in known for problems in _ending(manifest, row, _day(until), today)]
    return RuleResults(in_order(errors), in_order(warnings))


_UNTIL = ("quarantine", "until")


def _no_day(placed: RowLocator) -> Diagnostic:
    message = "until: there is no such day in the calendar"
    return problem(placed, _UNTIL, message, code=Code.NO_DAY, hint="write it as year-month-day: 2026-12-31")


def _too_many_quarantined(manifest: Manifest, rows: Sequence[Row], limit: int) -> Diagnostic:
    names = [row.id for row in rows[:_SHOWN]] + ([f"{len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else [])
    message = f"{_entries(len(rows))} in quarantine, at most {limit} may be: {', '.join(names)}"
    places = [(row, RowLocator(manifest, row).locate(("quarantine",), key=True)) for row in rows[:_SHOWN]]
    related = tuple((place, f"{row.id} is in quarantine") for row, place in places)
    hint = "put one of them right, or raise max_quarantined"
    path = ("max_quarantined",)
    return replace(
        problem(SectionLocator(manifest, "gate"), path, message, code=Code.QUARANTINED, hint=hint), related=related
    )


def _entries(number: int) -> str:
    return plural(number, "entry is", "entries are")


def _ending(manifest: Manifest, row: Row, until: date | None, today: date) -> Iterator[Diagnostic]:
    if until is None or until > today + SOON:
        return
    left = (until - today).days
    when = f"ends in {plural(left, 'day')}, on {until}" if left > 0 else f"ended on {until}"
    message = f"the quarantine {when}: from then on it gates again"
    hint = "put it right, or review the quarantine and move its day" if left > 0 else "remove it, or move its day"
    yield problem(
        RowLocator(manifest, row), _UNTIL, message, code=Code.QUARANTINE_ENDS, hint=hint, severity=Severity.WARNING
    )


# --- what is paid for without need ------------------------------------------------------------------------------------

_SENT = ("vendor", "platform", "target", *SelectionKind, *BY_NAME, "artifacts", "options")
_APART = ("needs", "if", "paths")
"""Rows that run at another time, or in another build, may well send the same."""


def check_spending(manifest: Manifest, rows: Sequence[Row], evaluated: Evaluated) -> tuple[Diagnostic, ...]:
    """Warnings: axes and values that nothing reads, rows that send the same, and a gate that cannot be passed."""
    idle = list(_unread_axes(manifest, rows))
    equal = _equal_rows(manifest, evaluated, {path for path, _ in idle})
    unread = _unread_values(manifest.document)
    return in_order([*(warning for _, warning in idle), *equal, *_too_few(manifest, evaluated.rows), *unread])


def _unread_values(document: Document) -> Iterator[Diagnostic]:
    """Variables, and values of `vars` at the top and in profiles, that no template of any layer reads."""
    profiles = as_mapping(document.data.get("profiles"))
    sections: list[Path] = [("env",), ("vars",), *(("profiles", name, "vars") for name in profiles)]
    declared = {path: as_mapping(document.at(path)) for path in sections}
    if not any(declared.values()):
        return
    parts = {key: value for key, value in document.data.items() if key != "env"} | {BASE: document.at((BASE,))}
    texts = dict.fromkeys(text for _, text in templates_in(parts))
    read = {
        reference for text in texts for expression in parse(text).expressions for reference in expression.references
    }
    names = {(reference.root, reference.path[0] if reference.path else None) for reference in read}
    for path, values in declared.items():
        root = path[-1]
        for name in values:
            # A part that a computed name chooses can be any.
            if (root, name) not in names and (root, None) not in names:
                yield _unread(document, (*path, name), [known for kind, known in names if kind == root and known])


def _unread(document: Document, path: Path, read: Sequence[str]) -> Diagnostic:
    root, name = str(path[-2]), str(path[-1])
    near = closest(name, sorted(read))
    meant = f"did you mean {near!r}? Otherwise" if near else "read it,"
    message = f"no template reads {root}.{name}: it changes nothing"
    return problem(
        document,
        path,
        message,
        code=Code.UNREAD_VALUE,
        hint=f"{meant} remove it" if near else f"{meant} as {{{{ {root}.{name} }}}}, or remove it",
        key=True,
        severity=Severity.WARNING,
    )


def check_reach(manifest: Manifest, rows: Sequence[Row], at_home: Container[str]) -> tuple[Diagnostic, ...]:
    """Warnings for targets that no vendor can reach. The rows are evaluated; vendors `at_home` run beside them."""
    hint = "give the address under which others reach it, such as that of a preview or a tunnel"
    warnings: dict[tuple[object, ...], Diagnostic] = {}
    for row in rows:
        vendor = row.data.get("vendor")
        urls = [pair for key in ("target", "options") for pair in _urls_in(row.data.get(key), (key,))]
        for path, text in urls if vendor not in at_home else ():
            same = (row.path, row.variant, path)
            if same not in warnings and (host := out_of_reach(text)):
                message = f"{vendor} runs elsewhere, and cannot reach {host}"
                place, code = RowLocator(manifest, row), Code.OUT_OF_REACH
                warnings[same] = problem(place, path, message, code=code, hint=hint, severity=Severity.WARNING)
    return in_order(warnings.values())


def _urls_in(data: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(data, str):
        yield path, data
    for step, child in data.items() if isinstance(data, dict) else ():
        yield from _urls_in(child, (*path, step))


_ASKED = re.compile(r"\bgit\.(branch|repository)\b(?!\s*(?:\||is\b))")
"""What a condition reads of the build and takes for granted: with a filter or a test, it cares for what is missing."""


def absent_facts(text: object, git: Mapping[str, object]) -> list[str]:
    """The facts that a condition asks for, and that this build certainly does not have: they equal nothing."""
    asked = _ASKED.findall(text) if isinstance(text, str) and holds_template(text) else ()
    return [name for name in dict.fromkeys(asked) if git.get(name, "") is None]


def check_facts(manifest: Manifest, rows: Sequence[Row], git: Mapping[str, object]) -> tuple[Diagnostic, ...]:
    """Warnings for conditions, and for policies by expression, that ask for what this build does not have."""
    warnings = []
    for row in one_of_each(rows):
        for key in (KEY, "allow_failure", "quarantine"):
            for name in absent_facts(row.data.get(key), git):
                message = f"{key}: this build has no {name}, so git.{name} equals nothing here"
                hint = f"if it has one, name it: {_NAMED[name]}; if that is meant, write git.{name} | default('')"
                place = RowLocator(manifest, row)
                warnings.append(
                    problem(place, (key,), message, code=Code.NO_FACT, hint=hint, severity=Severity.WARNING)
                )
    return in_order(warnings)


_NAMED = {"branch": "--branch NAME, or QARUNNER_BRANCH", "repository": "a remote called origin"}


def _unread_axes(manifest: Manifest, rows: Sequence[Row]) -> Iterator[tuple[Path, Diagnostic]]:
    values: dict[tuple[Path, str], set[str]] = {}
    read: dict[Path, set[str]] = {}
    first: dict[Path, Row] = {}
    for row in rows:
        if not row.axes:
            continue
        first.setdefault(row.path, row)
        read.setdefault(row.path, set()).update(_axes_read(row))
        for name, value in row.point.items():
            values.setdefault((row.path, name), set()).add(str(value))
    for (path, name), several in values.items():
        if len(several) > 1 and not {name, "id"} & read[path]:
            message = f"axes: no template reads {name!r}, so its {len(several)} values are paid for and send the same"
            hint = f"read it where it matters: {{{{ matrix.{name} }}}}; or remove it"
            place = RowLocator(manifest, first[path])
            warned = problem(
                place, ("axes", name), message, code=Code.UNREAD_AXIS, hint=hint, severity=Severity.WARNING
            )
            yield path, warned


def _axes_read(row: Row) -> Iterator[str]:
    for _, text in templates_of(row):
        for reference in (read for expression in parse(text).expressions for read in expression.references):
            if reference.root == "matrix":
                yield reference.path[0] if reference.path else "id"


def _equal_rows(manifest: Manifest, evaluated: Evaluated, reported: set[Path]) -> Iterator[Diagnostic]:
    """At the first row of an entry that repeats another one. What is known in a build alone may still differ.

    `reported` are the entries that have their warning already.
    """
    first: dict[str, Row] = {}
    for row in evaluated.rows:
        unknown = evaluated.unknown.get(row.id, {})
        if row.path in reported or any(path[0] in _SENT and row.axes for path in unknown):
            continue
        apart = row.point if any(_reads_axes(row.data.get(key)) for key in _APART) else None
        sent = json.dumps([apart, *(row.data.get(key) for key in (*_SENT, *_APART))], sort_keys=True, default=str)
        other = first.setdefault(sent, row)
        if other is not row:
            reported.add(row.path)
            message = f"{row.id} sends the same request as {other.id}, and each is paid for"
            hint = "remove one of them, or let them differ in what is sent"
            yield problem(
                RowLocator(manifest, row), ("id",), message, code=Code.EQUAL_ROWS, hint=hint, severity=Severity.WARNING
            )


def _reads_axes(value: object) -> bool:
    """True for a text that is known later, and then differs from row to row."""
    expressions = parse(value).expressions if isinstance(value, str) and holds_template(value) else ()
    return any(read.root == "matrix" for expression in expressions for read in expression.references)


def _too_few(manifest: Manifest, rows: Sequence[Row]) -> Iterator[Diagnostic]:
    """Only where every row that gates says how many tests it stands for."""
    wanted, whole = manifest.gate.min_tests, 0
    for row in rows:
        if row.data.get("allow_failure") is True:
            continue
        named, estimate = row.data.get("test_ids"), row.data.get("estimate")
        if isinstance(estimate, int):
            whole += estimate
        elif isinstance(named, list):
            whole += len(named)
        else:
            return
    if wanted > whole:
        message = f"gate: min_tests is {wanted}, and {plural(whole, 'test')} can gate: no apply can pass"
        written = any("min_tests" in manifest.section(layer) for layer in manifest.layers("gate"))
        yield problem(
            SectionLocator(manifest, "gate") if written else manifest.document,
            ("min_tests",) if written else ("matrix",),
            message,
            code=Code.TOO_FEW_TESTS,
            hint="lower it, or add what is missing",
            severity=Severity.WARNING,
        )
