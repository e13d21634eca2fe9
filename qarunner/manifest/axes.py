"""What no schema can say of `axes`, `exclude` and `include`: before one row is built, each problem at its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from msgspec import Struct

from qarunner.decode import as_mapping
from qarunner.diagnostics import Diagnostic, Path, choose, problem
from qarunner.entry import EXPANDING_KEYS
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import (
    MOST_LOOKUPS,
    MOST_ROWS,
    MOST_ROWS_OF_PROFILES,
    MOST_VALUES,
    RESERVED,
    Axes,
    Exclusion,
    Inclusion,
    combined,
    lookups,
    overlay,
    points,
    size,
    spelled,
    value_named,
)
from qarunner.regex import regex

if TYPE_CHECKING:
    from qarunner.manifest.expand import Point, Value
    from qarunner.manifest.yaml.reader import Document


_NUMBER = regex(r"[-+.0-9][-+.0-9a-zA-Z]*")


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
        largest = max(sizes, key=lambda part: part.rows)
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
        widest = max(sizes, key=lambda part: (part.values, part.rows))
        message = f"the rows of the matrix would hold {values:,} values; at most {MOST_VALUES:,} are taken"
        hint = "name a category instead of many tests, or leave out axes"
        yield RowProblem(None, problem(document, widest.path, message, code=Code.TOO_MUCH_WORK, hint=hint))


def _values(data: object) -> int:
    """How many values data holds, with those that stand in several places each time."""
    children = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + sum(map(_values, children))


class _Variant(Struct, frozen=True, dict=True):
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
        made = points(self.axes, self.exclude, self.name) if self.axes else ()
        return frozenset(point.suffix for point in made)

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
        of_axes = [problem for path, axes, _ in self._written("axes") for problem in self._of_axes(path, axes)]
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

    def _written(self, key: str) -> Iterator[tuple[Path, Any, list[_Variant]]]:
        """What the entry and its variants say under a key, with the variants that it holds for."""
        if key in self._entry:
            heirs = [variant for variant in self._variants if key not in (self._overlays.get(str(variant.name)) or {})]
            yield (*self._path, key), self._entry[key], heirs
        for variant in self._variants if self._overlays else ():
            if key in (body := self._overlays[str(variant.name)] or {}):
                yield (*self._path, "variants", str(variant.name), key), body[key], [variant]

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
        for path, exclude, variants in self._written("exclude"):
            several = _Variants(variants)
            for index, item in enumerate(exclude or ()):
                yield from self._of_exclusion((*path, index), item, several)

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
        for path, include, variants in self._written("include"):
            for index, item in enumerate(include or ()):
                chosen = [variant for variant in variants if "variant" not in item or item["variant"] == variant.name]
                yield from self._of_inclusion((*path, index), item, chosen)

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


class _Variants(Struct, frozen=True, dict=True):
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
