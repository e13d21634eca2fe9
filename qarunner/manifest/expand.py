"""Manifest → rows: every entry over the defaults, once for each variant and each point of its axes."""

from __future__ import annotations

import math
import unicodedata
from itertools import product
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from qarunner.diagnostics import Diagnostic, in_order
from qarunner.errors import ManifestError
from qarunner.manifest.codes import Code
from qarunner.manifest.model import Row
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.templates.parse import FIELDS, as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from qarunner.diagnostics import Path, Place
    from qarunner.manifest.model import Manifest
    from qarunner.manifest.yaml.reader import Document


# ---------------------------------------------------------------------------------------------------------------------

# One layer of a row laid over another: mappings merge deeply, everything else replaces.


SELECTIONS = frozenset({"test_ids", "category_ids", "tags"})
"""A row has one of them: a layer that names one takes the place of whichever lies below."""


WHOLE = "target"
"""A mapping of exactly one key: two of them cannot merge, so the upper one replaces the lower."""


def overlay(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """One mapping laid over another: mappings merge deeply, everything else replaces."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def overlay_row(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """The same for layers of a row, where of some keys there is one alone."""
    if not SELECTIONS.isdisjoint(over) and not SELECTIONS.isdisjoint(under):
        under = {key: value for key, value in under.items() if key not in SELECTIONS}
    merged = overlay(under, over)
    if WHOLE in over:
        merged[WHOLE] = over[WHOLE]
    return merged


# ---------------------------------------------------------------------------------------------------------------------

# Axes: their cross product in the written order, and what `exclude` takes out of it.


Value: TypeAlias = "str | int | float | bool"


Axes: TypeAlias = "Mapping[str, Sequence[Value]]"


Exclusion: TypeAlias = "Mapping[str, Value]"
"""A partial match: every axis that it names, and `variant`, has to be as it says."""


MOST_ROWS = 100_000


MOST_VALUES = 5_000_000
"""In all rows together: 50 in each of the most rows."""


MOST_LOOKUPS = 10_000_000
"""Of rows among the exclusions of one entry."""


RESERVED = frozenset(FIELDS["matrix"])
"""What templates read as matrix.NAME already."""


class Point(NamedTuple):
    """One row's values, and how they stand in its id: `[locale=en,tier=pro]`."""

    values: tuple[tuple[str, Value], ...]
    suffix: str


def spelled(value: Value) -> str:
    """A value as ids have it. Values are compared as they are spelled: 1 and "1" are the same in an id."""
    return unicodedata.normalize("NFC", as_text(value))


def size(axes: Axes | None) -> int:
    """How many rows there are before anything is excluded."""
    return math.prod(len(values) for values in axes.values()) if axes else 1


def points(axes: Axes, excluded: Sequence[Exclusion], variant: str | None) -> Iterator[Point]:
    """The cross product, the last axis fastest, without what is excluded."""
    left_out = _groups(tuple(axes), excluded, variant)
    columns = [[(f"{name}={spelled(value)}", (name, value)) for value in values] for name, values in axes.items()]
    for cells in product(*columns):
        words = tuple(cell[0] for cell in cells)
        if not any(chosen(words) in found for chosen, found in left_out):
            yield Point(tuple(cell[1] for cell in cells), f"[{','.join(words)}]")


def lookups(axes: Axes, excluded: Sequence[Exclusion], variant: str | None) -> int:
    """How often a row is looked up among exclusions, for all rows of these axes."""
    return size(axes) * len(_groups(tuple(axes), excluded, variant))


def _groups(
    names: Sequence[str], excluded: Sequence[Exclusion], variant: str | None
) -> list[tuple[Callable[[tuple[str, ...]], object], Container[object]]]:
    """Exclusions by the axes that they name: a row is looked up once for each such group, however many there are.

    Each group is how a row's words are chosen, and which of them are left out.
    """
    found = _sets(names, excluded, variant)
    # One word is chosen as such, several as a tuple; without an axis all rows are meant.
    return [
        (itemgetter(*indexes), {words[0] for words in group} if len(indexes) == 1 else group)
        if indexes
        else (lambda _: (), group)
        for indexes, group in found.items()
    ]


def _sets(
    names: Sequence[str], excluded: Sequence[Exclusion], variant: str | None
) -> dict[tuple[int, ...], set[tuple[str, ...]]]:
    found: dict[tuple[int, ...], set[tuple[str, ...]]] = {}
    for each in excluded:
        named = {name: value for name, value in each.items() if name != "variant"}
        if ("variant" in each and str(each["variant"]) != variant) or not named.keys() <= set(names):
            continue
        indexes = tuple(index for index, name in enumerate(names) if name in named)
        words = tuple(f"{names[index]}={spelled(named[names[index]])}" for index in indexes)
        found.setdefault(indexes, set()).add(words)
    return found


def expand_sound(manifest: Manifest, sound: Iterable[int]) -> tuple[Row, ...]:
    """The rows of some entries alone, of a manifest that has problems elsewhere."""
    matrix = cast("list[dict[str, object]]", manifest.document.data.get("matrix") or [])
    return tuple(row for index in sorted(sound) for row in _rows(manifest, index, matrix[index]))


def expand(manifest: Manifest) -> tuple[Row, ...]:
    """All rows in the file's order. ManifestError: an id stands twice, or there is nothing to run."""
    problems = duplicates(manifest.document)
    if problems:
        raise ManifestError(problems)
    matrix = cast("list[dict[str, object]]", manifest.document.data.get("matrix") or [])
    rows = [row for index, entry in enumerate(matrix) for row in _rows(manifest, index, entry)]
    if not rows:
        raise ManifestError([_nothing(manifest.document)])
    return tuple(rows)


def _rows(manifest: Manifest, index: int, entry: dict[str, object]) -> Iterator[Row]:
    path: Path = ("matrix", index)
    layers = (path, *manifest.default_layers)
    merged = overlay_row(manifest.defaults, entry) if manifest.defaults else entry
    variants = cast("dict[str, dict[str, object] | None] | None", entry.get("variants"))
    if not variants:
        yield from _points(merged, cast("str", entry["id"]), layers, path, None)
        return
    common = {key: value for key, value in merged.items() if key != "variants"}
    for name, variant in variants.items():
        data = overlay_row(common, variant or {})
        data["id"] = row_id = f"{entry['id']}/{name}"
        yield from _points(data, row_id, ((*path, "variants", name), *layers), path, name)


def _points(
    data: dict[str, object], row_id: str, layers: tuple[Path, ...], path: Path, variant: str | None
) -> Iterator[Row]:
    """An entry or a variant, once for each point of its axes."""
    if "axes" not in data and "exclude" not in data:
        yield Row(row_id, data, layers, path, variant)
        return
    common = {key: value for key, value in data.items() if key not in {"axes", "exclude"}}
    axes = cast("Axes", data.get("axes") or {})
    for values, suffix in points(axes, cast("list[Exclusion]", data.get("exclude") or []), variant):
        own_id = row_id + suffix if values else row_id
        yield Row(own_id, {**common, "id": own_id}, layers, path, variant, values)


def one_of_each(rows: Iterable[Row]) -> tuple[Row, ...]:
    """One row of each entry and variant: the others have another id and other values of their axes, and nothing else.

    What an unrendered row says is looked at once, however many rows its axes make.
    """
    return tuple({(row.path, row.variant): row for row in reversed(tuple(rows))}.values())[::-1]


class Few:
    """Counts problems of rows. Where axes make many rows of an entry, the first of them say what is wrong with all."""

    MOST = 20

    def __init__(self) -> None:
        self._told: dict[tuple[Path, str | None], int] = {}

    def room_for(self, row: Row) -> bool:
        """True if another problem of the row's entry or variant is worth telling."""
        key = (row.path, row.variant)
        self._told[key] = self._told.get(key, 0) + 1
        return self._told[key] <= self.MOST


def duplicates(document: Document) -> tuple[Diagnostic, ...]:
    """Entries with an id that an earlier one has. Takes data of any shape, as the schema may not have passed."""
    matrix = document.data.get("matrix")
    if not isinstance(matrix, list):
        return ()
    first: dict[object, int] = {}
    found: list[Diagnostic] = []
    for index, entry in enumerate(matrix):
        entry_id = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(entry_id, str) and first.setdefault(entry_id, index) != index:
            found.append(_duplicate(document, entry_id, first[entry_id], index))
    return tuple(found)


def _duplicate(document: Document, entry_id: str, first: int, second: int) -> Diagnostic:
    earlier = document.locate(("matrix", first, "id"))
    place = document.locate(("matrix", second, "id"))
    where = f"line {earlier.line}" if earlier.file == place.file else str(earlier)
    return Diagnostic(
        code=Code.DUPLICATE_ID,
        message=f"the id {entry_id!r} is already used in {where}",
        place=place,
        hint="ids are what reports and --select go by: give each entry its own, or make them variants of one",
        source=document.source_line(place),
        related=((earlier, f"{entry_id!r} stands here first"),),
    )


def _nothing(document: Document) -> Diagnostic:
    place = document.locate(("matrix",), key=True)
    return Diagnostic(
        code=Code.NOTHING_TO_RUN,
        message="the matrix is empty: there is nothing to run",
        place=place,
        hint="add an entry with an id and a selection of tests",
        source=document.source_line(place),
    )


# --- places -----------------------------------------------------------------------------------------------------------


def locate(manifest: Manifest, row: Row, path: Path, *, key: bool = False) -> Place:
    """Where a value of a merged row was really written: in its variant, its entry or the defaults.

    For `()` that is the row's own line: the variant's key, or the start of the entry.
    """
    if not path:
        return manifest.document.locate(row.layers[0], key=row.variant is not None)
    return manifest.document.locate((*_layer(manifest.document.data, row.layers, path), *path), key=key)


def deciding_layer(manifest: Manifest, row: Row, path: Path) -> Path:
    """Which of the row's layers a value of it comes from: that of its variant, its entry, a profile or the defaults."""
    return _layer(manifest.document.data, row.layers, path)


def _layer(data: Mapping[str, object], layers: Sequence[Path], path: Path) -> Path:
    """The layer that decides a path; for one that does not exist, the layer with the longest part of it."""
    alive = [(layer, _at(data, layer)) for layer in layers]
    best = layers[0]
    for step in path:
        found = [(layer, child) for layer, value in alive if (child := _child(value, step)) is not _ABSENT]
        if not found:
            break
        best = found[0][0]
        # Below a mapping that is merged only mappings go on, down to the first layer that replaces everything.
        depth = next((n for n, (_, value) in enumerate(found) if not isinstance(value, dict)), len(found))
        alive = found[: 1 if path[:1] == (WHOLE,) else max(depth, 1)]
    return best


_ABSENT = object()


def _child(value: object, step: str | int) -> object:
    if isinstance(value, dict):
        return value.get(step, _ABSENT)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return _ABSENT


def _at(data: object, path: Path) -> object:
    for step in path:
        data = _child(data, step)
    return data


class Section:
    """A section at the top as a Locator: its paths are those of the data that was merged from the profile's and it."""

    __slots__ = ("_layers", "_manifest")

    def __init__(self, manifest: Manifest, name: str) -> None:
        self._manifest = manifest
        self._layers = manifest.layers(name)

    def locate(self, path: Path, *, key: bool = False) -> Place:
        document = self._manifest.document
        return document.locate((*_layer(document.data, self._layers, path), *path), key=key)

    def source_line(self, place: Place) -> str | None:
        return self._manifest.document.source_line(place)


class Placed:
    """A row as a Locator: its paths are those of the merged data."""

    __slots__ = ("_manifest", "_row")

    def __init__(self, manifest: Manifest, row: Row) -> None:
        self._manifest = manifest
        self._row = row

    def locate(self, path: Path, *, key: bool = False) -> Place:
        return locate(self._manifest, self._row, path, key=key)

    def source_line(self, place: Place) -> str | None:
        return self._manifest.document.source_line(place)


# --- the rules for a whole row ----------------------------------------------------------------------------------------


def check_rows(manifest: Manifest, rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    """What the schema says of merged rows, such as that each has one selection; templates are still allowed.

    The same problem in several variants of an entry is told once.
    """
    found = [problem for row in one_of_each(rows) for problem in row_problems(manifest, row, row.data)]
    return in_order(found)


def row_problems(
    manifest: Manifest, row: Row, data: Mapping[str, object], *, templates: bool = True
) -> Iterator[Diagnostic]:
    """The schema's complaints about a row's data, each where the value was written.

    Without `templates`, braces are text like any other: so are rendered rows to be checked.
    """
    for fault in schema.faults(data, part="row", templates=templates):
        place = locate(manifest, row, fault.path, key=fault.key)
        yield Diagnostic(
            code=fault.code,
            message=fault.message,
            place=place,
            hint=fault.hint,
            source=manifest.document.source_line(place),
        )
