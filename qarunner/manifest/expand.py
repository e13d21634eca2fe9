"""Manifest → rows: every entry over the defaults, once for each variant and each point of its axes."""

from __future__ import annotations

import math
import unicodedata
from itertools import product
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from qarunner.decode import as_mapping
from qarunner.diagnostics import Diagnostic, Path, Place, in_order, problem
from qarunner.entry import BY_NAME, ENTRY_KEYS, EXPANDING_KEYS, SelectionKind
from qarunner.errors import ManifestError
from qarunner.manifest.codes import WRONG_TYPE, Code
from qarunner.manifest.model import BASE, Manifest, Row
from qarunner.manifest.schema import validate as schema
from qarunner.manifest.templates.expression import FIELDS, as_text
from qarunner.manifest.yaml.reader import ABSENT, Document, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence


# ---------------------------------------------------------------------------------------------------------------------

# One layer of a row laid over another: mappings merge deeply, everything else replaces. `null` takes away what lies
# below, and `{append: […]}` adds to a list.


SELECTIONS = frozenset({*map(str, SelectionKind), *BY_NAME})
"""A row has one of them: a layer that names one takes the place of whichever lies below."""


WHOLE = "target"
"""A mapping of exactly one key: two of them cannot merge, so the upper one replaces the lower."""


LISTS = frozenset(name for name, key in ENTRY_KEYS.items() if key.adds)
"""Keys of a row that hold a list."""


APPEND = "append"


def appended(value: object) -> list[object] | None:
    """What `{append: […]}` adds; None for every other value."""
    more = value.get(APPEND) if isinstance(value, dict) and len(value) == 1 else None
    return more if isinstance(more, list) else None


def _additions(layer: Mapping[str, object]) -> list[tuple[str, list[object]]]:
    """What is to be added to lists, by key."""
    mappings = [key for key, value in layer.items() if type(value) is dict and key in LISTS]
    return [(key, more) for key in mappings if (more := appended(layer[key])) is not None]


def overlay(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """One mapping laid over another. Where nothing lies below and nothing is taken away, it is that mapping itself."""
    if not under and not _takes_away(over):
        return cast("dict[str, object]", over)
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(below, dict):
            merged[key] = overlay(below, value)
        elif isinstance(below, list) and (more := appended(value)) is not None:
            merged[key] = [*below, *more]
        else:
            # There is nothing below that a `null` in it could take away.
            merged[key] = overlay({}, value) if isinstance(value, dict) else value
    return merged


def _takes_away(over: Mapping[str, object]) -> bool:
    """True if a `null` stands in a mapping, or in one inside of it."""
    for value in over.values():  # noqa: SIM110  a generator for each mapping takes twice as long
        if value is None or (type(value) is dict and _takes_away(value)):
            return True
    return False


def overlay_row(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """The same for layers of a row, where of some keys there is one alone."""
    chosen = [key for key in over if key in SELECTIONS and over[key] is not None]
    if chosen and not SELECTIONS.isdisjoint(under):
        under = {key: value for key, value in under.items() if key not in SELECTIONS or key in chosen}
    merged = overlay(under, over)
    if over.get(WHOLE) is not None and merged[WHOLE] is not over[WHOLE]:
        merged[WHOLE] = over[WHOLE]
    for key, more in _additions(over):
        if key not in under:
            merged = {**merged, key: more}
    return merged


# ---------------------------------------------------------------------------------------------------------------------

# Axes: their cross product in the written order, what `exclude` takes out of it, and what `include` adds.


Value: TypeAlias = "str | int | float | bool | Mapping[str, object]"
"""A scalar, or a mapping that its `name` stands for."""


Axes: TypeAlias = "Mapping[str, Sequence[Value]]"


Exclusion: TypeAlias = "Mapping[str, Value]"
"""A partial match: every axis that it names, and `variant`, has to be as it says."""


Inclusion: TypeAlias = "Mapping[str, Value]"
"""A combination of all axes; with `variant`, for rows of that variant alone."""


MOST_ROWS = 100_000


MOST_ROWS_OF_PROFILES = 500_000
"""Those of the matrix itself, and once more for each profile."""


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
    return unicodedata.normalize("NFC", as_text(value["name"] if isinstance(value, dict) else value))


def size(axes: Axes | None, included: Sequence[Inclusion] = ()) -> int:
    """How many rows there are before anything is excluded."""
    return (math.prod(len(values) for values in axes.values()) if axes else not included) + len(included)


def points(
    axes: Axes, excluded: Sequence[Exclusion], variant: str | None, included: Sequence[Inclusion] = ()
) -> Iterator[Point]:
    """The cross product, the last axis fastest, without what is excluded; then what is included."""
    if axes or not included:
        yield from _product(axes, excluded, variant)
    for inclusion in included:
        if str(inclusion.get("variant", variant)) == str(variant):
            yield combined(axes, inclusion)


def combined(axes: Axes, combination: Inclusion) -> Point:
    """A combination in the order of the axes. A mapping among their values can be named."""
    names = axes or {name: () for name in combination if name != "variant"}
    values = tuple((name, value_named(axes.get(name, ()), combination[name])) for name in names)
    return Point(values, f"[{','.join(f'{name}={spelled(value)}' for name, value in values)}]")


def value_named(values: Sequence[Value], value: Value) -> Value:
    """The value of an axis that a combination means; a new one is taken as it stands."""
    if isinstance(value, dict):
        return value
    return next(
        (candidate for candidate in values if isinstance(candidate, dict) and spelled(candidate) == spelled(value)),
        value,
    )


def _product(axes: Axes, excluded: Sequence[Exclusion], variant: str | None) -> Iterator[Point]:
    left_out = _groups(tuple(axes), excluded, variant)
    columns = [[(f"{name}={spelled(value)}", (name, value)) for value in values] for name, values in axes.items()]
    for cells in product(*columns):
        words = tuple(cell[0] for cell in cells)
        if not any(chosen(words) in sets for chosen, sets in left_out):
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
    sets = _sets(names, excluded, variant)
    # One word is chosen as such, several as a tuple; without an axis all rows are meant.
    return [
        (itemgetter(*indexes), {words[0] for words in group} if len(indexes) == 1 else group)
        if indexes
        else (lambda _: (), group)
        for indexes, group in sets.items()
    ]


def _sets(
    names: Sequence[str], excluded: Sequence[Exclusion], variant: str | None
) -> dict[tuple[int, ...], set[tuple[str, ...]]]:
    sets: dict[tuple[int, ...], set[tuple[str, ...]]] = {}
    for exclusion in excluded:
        named = {name: value for name, value in exclusion.items() if name != "variant"}
        if ("variant" in exclusion and str(exclusion["variant"]) != variant) or not named.keys() <= set(names):
            continue
        indexes = tuple(index for index, name in enumerate(names) if name in named)
        words = tuple(f"{names[index]}={spelled(named[names[index]])}" for index in indexes)
        sets.setdefault(indexes, set()).add(words)
    return sets


def expand_sound(manifest: Manifest, sound: Iterable[int]) -> tuple[Row, ...]:
    """The rows of some entries alone, of a manifest that has problems elsewhere."""
    matrix = cast("list[dict[str, object]]", manifest.document.data.get("matrix") or [])
    layers = _Layers(manifest)
    return tuple(row for index in sorted(sound) for row in _rows(layers, index, matrix[index]))


def expand(manifest: Manifest) -> tuple[Row, ...]:
    """All rows in the file's order. ManifestError: an id stands twice, or there is nothing to run."""
    problems = duplicates(manifest.document)
    if problems:
        raise ManifestError(problems)
    matrix = cast("list[dict[str, object]]", manifest.document.data.get("matrix") or [])
    layers = _Layers(manifest)
    rows = [row for index, entry in enumerate(matrix) for row in _rows(layers, index, entry)]
    if not rows:
        raise ManifestError([_nothing(manifest.document)])
    return tuple(rows)


class _Layer(NamedTuple):
    """A part of rows: the path to where it was written, and what it says."""

    path: Path
    data: Mapping[str, object]


def _overlaid(layers: Iterable[_Layer]) -> Mapping[str, object]:
    """Layers as one; the last layer lies over all others."""
    data: Mapping[str, object] = {}
    for layer in layers:
        data = overlay_row(data, layer.data)
    return data


class _Layers:
    """The layers of a manifest's rows, lowest first. What many rows have in common is merged once."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._below = [_Layer(path, manifest.section(path)) for path in reversed(manifest.default_layers)]
        self._merged: dict[object, tuple[Mapping[str, object], tuple[Path, ...]]] = {}
        self._changes = [
            (row_id, _Layer((*path, row_id), as_mapping(change)))
            for path in reversed(manifest.layers("entries"))
            if path[0] == "profiles"
            for row_id, change in manifest.section(path).items()
        ]

    def of(self, layers: Sequence[_Layer]) -> tuple[dict[str, object], tuple[Path, ...]]:
        """The data of a row, and the paths of its layers, highest first. `layers` are those above the defaults."""
        vendor = next(
            (layer.data["vendor"] for layer in reversed(layers) if layer.data.get("vendor") is not None), None
        )
        data, paths = self._defaults(vendor if isinstance(vendor, str) else None)
        for layer in layers:
            paths = (layer.path, *paths)
            data = overlay_row(data, layer.data)
        return cast("dict[str, object]", data), paths

    def _defaults(self, vendor: str | None) -> tuple[Mapping[str, object], tuple[Path, ...]]:
        """What lies below an entry that names this vendor, or leaves it to the defaults."""
        if vendor not in self._merged:
            whole = _overlaid(self._below)
            of_vendor = self._of_vendor(str(whole.get("vendor") if vendor is None else vendor))
            # All of the base lies below all of the manifest.
            layers = sorted([*self._below, *of_vendor], key=lambda layer: layer.path[0] != BASE)
            data = _overlaid(layers)
            self._merged[vendor] = data, tuple(layer.path for layer in reversed(layers))
        return self._merged[vendor]

    def _of_vendor(self, vendor: str) -> Iterator[_Layer]:
        for section in reversed(self._manifest.layers("vendors")):
            path = (*section, vendor, "defaults")
            if data := self._manifest.section(path):
                yield _Layer(path, data)

    def changes(self, *names: str) -> list[_Layer]:
        """What the profile changes in a row of these names."""
        return [layer for row_id, layer in self._changes if row_id in names] if self._changes else []


def _rows(layers: _Layers, index: int, entry: dict[str, object]) -> Iterator[Row]:
    path: Path = ("matrix", index)
    entry_id = cast("str", entry["id"])
    variants = cast("dict[str, dict[str, object] | None] | None", entry.get("variants"))
    common = _Layer(path, {key: value for key, value in entry.items() if key != "variants"} if variants else entry)
    if not variants:
        yield from _points([common], (entry_id,), layers, path, None)
        return
    for name, variant in variants.items():
        both = [common, _Layer((*path, "variants", name), variant or {})]
        yield from _points(both, (entry_id, f"{entry_id}/{name}"), layers, path, name)


_CROSSING = EXPANDING_KEYS.keys() - {"variants"}
"""What makes rows of an entry, and is no part of one."""


def _points(
    layers_of_row: list[_Layer], names: tuple[str, ...], layers: _Layers, path: Path, variant: str | None
) -> Iterator[Row]:
    """An entry or a variant, once for each point of its axes."""
    row_id = names[-1]
    data, paths = layers.of([*layers_of_row, *layers.changes(*names)])
    axes = cast("Axes", data.get("axes") or {})
    excluded = cast("list[Exclusion]", data.get("exclude") or [])
    included = cast("list[Inclusion]", data.get("include") or [])
    if data["id"] != row_id or not _CROSSING.isdisjoint(data):
        data = {key: value for key, value in data.items() if key not in _CROSSING} | {"id": row_id}
    if not axes and not excluded and not included:
        yield Row(row_id, data, paths, path, variant)
        return
    for values, suffix in points(axes, excluded, variant, included):
        own_id = row_id + suffix if values else row_id
        changes = layers.changes(own_id) if values else []
        if changes:
            changed, all_paths = layers.of([*layers_of_row, *layers.changes(*names), *changes])
            changed = {key: value for key, value in changed.items() if key not in _CROSSING}
            yield Row(own_id, {**changed, "id": own_id}, all_paths, path, variant, values)
        else:
            yield Row(own_id, {**data, "id": own_id}, paths, path, variant, values)


def one_of_each(rows: Iterable[Row]) -> tuple[Row, ...]:
    """One row of those with the same layers: the others have another id and other values of axes, and nothing else.

    What an unrendered row says is looked at once, however many rows its axes make.
    """
    alike: dict[tuple[object, ...], Row] = {}
    for row in reversed(tuple(rows)):
        alike[(row.path, row.variant, row.layers) if row.axes else (row.path, row.variant)] = row
    return tuple(alike.values())[::-1]


class Few:
    """Counts problems of rows. Where axes make many rows of an entry, the first of them say what is wrong with all."""

    MOST = 20

    def __init__(self) -> None:
        self._reported: dict[tuple[Path, str | None], int] = {}

    def room_for(self, row: Row) -> bool:
        """True if another problem of the row's entry or variant is worth telling."""
        key = (row.path, row.variant)
        self._reported[key] = self._reported.get(key, 0) + 1
        return self._reported[key] <= self.MOST


def duplicates(document: Document) -> tuple[Diagnostic, ...]:
    """Entries with an id that an earlier one has. Takes data of any shape, as the schema may not have passed."""
    matrix = document.data.get("matrix")
    if not isinstance(matrix, list):
        return ()
    first: dict[object, int] = {}
    problems: list[Diagnostic] = []
    for index, entry in enumerate(matrix):
        entry_id = entry.get("id") if isinstance(entry, dict) else None
        if isinstance(entry_id, str) and first.setdefault(entry_id, index) != index:
            problems.append(_duplicate(document, entry_id, first[entry_id], index))
    return tuple(problems)


def _duplicate(document: Document, entry_id: str, first: int, second: int) -> Diagnostic:
    path: Path = ("matrix", second, "id")
    earlier = document.locate(("matrix", first, "id"))
    where = f"line {earlier.line}" if earlier.file == document.locate(path).file else str(earlier)
    message = f"the id {entry_id!r} is already used in {where}"
    hint = "ids are what reports and --select go by: give each entry its own, or make them variants of one"
    related = (earlier, f"{entry_id!r} stands here first")
    return problem(document, path, message, code=Code.DUPLICATE_ID, hint=hint, related=(related,))


def _nothing(document: Document) -> Diagnostic:
    message, hint = "the matrix is empty: there is nothing to run", "add an entry with an id and a selection of tests"
    return problem(document, ("matrix",), message, code=Code.NOTHING_TO_RUN, hint=hint, key=True)


# --- places -----------------------------------------------------------------------------------------------------------


def place_of(manifest: Manifest, row: Row, path: Path, *, key: bool = False) -> Place:
    """Where a value of a merged row was really written: in its variant, its entry or the defaults.

    For `()`, and for a key that no layer has, that is the row's own line: the variant's key, or the entry's start.
    Ids of a lock were written as names.
    """
    if row.named and path:
        path = next(((name,) for name in row.named if BY_NAME[name] == path[0]), path)
    if not path or all(_child(manifest.document.at(layer), path[0]) is ABSENT for layer in row.layers):
        entry = row.path if row.variant is None else (*row.path, "variants", row.variant)
        return manifest.document.locate(entry, key=row.variant is not None)
    return manifest.document.locate(_written(manifest, row.layers, path)[1], key=key)


def layer_of(manifest: Manifest, row: Row, path: Path) -> Path:
    """Which of the row's layers a value of it comes from: that of its variant, its entry, a profile or the defaults."""
    return _written(manifest, row.layers, path)[0]


class _Part(NamedTuple):
    """A value in one of the layers, and the path to it in the document."""

    layer: Path
    path: Path
    value: object


def _written(manifest: Manifest, layers: Sequence[Path], path: Path) -> tuple[Path, Path]:
    """The layer that decides a path, and where in the document that is.

    For a path that does not exist, the layer with the longest part of it.
    """
    alive = [_Part(layer, layer, manifest.document.at(layer)) for layer in layers]
    layer, there = layers[0], layers[0]
    for number, step in enumerate(path):
        written = [
            _Part(part.layer, (*part.path, step), child)
            for part in alive
            if (child := _child(part.value, step)) is not ABSENT
        ]
        if isinstance(step, int) and len(alive) > 1:
            written = _item(alive, step)
        if not written:
            return layer, (*there, *path[number:])
        layer, there = written[0].layer, written[0].path
        # Below a mapping that is merged only mappings go on, down to the first layer that replaces everything.
        depth = next((n for n, part in enumerate(written) if not isinstance(part.value, dict)), len(written))
        adds = appended(written[0].value) is not None
        alive = written[: 1 if path[:1] == (WHOLE,) else max(depth + 1 if adds else depth, 1)]
    return layer, there


def _item(lists: Sequence[_Part], index: int) -> list[_Part]:
    """An item of a list that layers added to; they stand highest first."""
    for part in reversed(lists):
        more = appended(part.value)
        items = part.value if isinstance(part.value, list) else more or []
        if index < len(items):
            above = (*part.path, APPEND) if more is not None else part.path
            return [_Part(part.layer, (*above, index), items[index])]
        index -= len(items)
    return []


def _child(value: object, step: str | int) -> object:
    if isinstance(value, dict):
        return value.get(step, ABSENT)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return value[step]
    return ABSENT


class SectionLocator:
    """A section at the top as a Locator: its paths are those of the data that was merged from the profile's and it."""

    __slots__ = ("_layers", "_manifest")

    def __init__(self, manifest: Manifest, name: str) -> None:
        self._manifest = manifest
        self._layers = manifest.layers(name)

    def locate(self, path: Path, *, key: bool = False) -> Place:
        return self._manifest.document.locate(_written(self._manifest, self._layers, path)[1], key=key)

    def source_line(self, place: Place) -> str | None:
        return self._manifest.document.source_line(place)


class RowLocator:
    """A row as a Locator: its paths are those of the merged data."""

    __slots__ = ("_manifest", "_row")

    def __init__(self, manifest: Manifest, row: Row) -> None:
        self._manifest = manifest
        self._row = row

    def locate(self, path: Path, *, key: bool = False) -> Place:
        return place_of(self._manifest, self._row, path, key=key)

    def source_line(self, place: Place) -> str | None:
        return self._manifest.document.source_line(place)


# --- the rules for a whole row ----------------------------------------------------------------------------------------


def check_rows(manifest: Manifest, rows: Sequence[Row], *, are_sound: bool = False) -> tuple[Diagnostic, ...]:
    """What the schema says of merged rows, such as that each has one selection; templates are still allowed.

    `are_sound`: it has nothing against their layers. The same problem in several variants of an entry is reported once.
    """
    different = one_of_each(rows)
    problems: list[Diagnostic] = []
    for row in different:
        layers = [manifest.section(path) for path in row.layers] if are_sound else ()
        if not schema.is_valid_row(row.data, layers=layers):
            problems += row_problems(manifest, row, row.data)
    return in_order([*problems, *(problem for row in different for problem in _unappended(manifest, row))])


def _unappended(manifest: Manifest, row: Row) -> Iterator[Diagnostic]:
    """Lists that were to be added to what is no list."""
    for key, _ in _additions(row.data):
        message = f"{key}: there is no list to append to: what lies below is an expression"
        hint = "write the whole list, or keep the values under vars"
        yield problem(RowLocator(manifest, row), (key, APPEND), message, code=Code.LAYER, hint=hint, key=True)


def check_nothings(document: Document) -> Iterator[Diagnostic]:
    """Keys that hold nothing, where no lower layer has what they would take away. A written `null` is meant so."""
    for path, below in _taken_away(document.data):
        place = document.locate(path)
        text = (document.source_line(place) or "")[place.column - 1 :]
        if text.startswith(("null", "~", "Null", "NULL")) or any(_has(path_below, path) for path_below in below):
            continue
        message = f"{path[-1]}: expected a value, got nothing"
        hint = "give it a value, or remove the key; null takes away what a lower layer has"
        yield problem(document, path, message, code=WRONG_TYPE, hint=hint)


def _taken_away(data: Mapping[str, object]) -> Iterator[tuple[Path, list[tuple[int, object]]]]:
    """Each key of a layer that holds nothing, and the layers that may lie below, each with the length of its path."""
    profiles = as_mapping(data.get("profiles"))
    vendors = as_mapping(data.get("vendors"))
    general: list[tuple[Path, object]] = [(("defaults",), data.get("defaults"))]
    general += [(("profiles", name, "defaults"), as_mapping(body).get("defaults")) for name, body in profiles.items()]
    general += [(("vendors", name, "defaults"), as_mapping(body).get("defaults")) for name, body in vendors.items()]
    layers = [(path, layer, general) for path, layer in general]
    matrix = data.get("matrix")
    for index, entry in enumerate(matrix if isinstance(matrix, list) else ()):
        if not _takes_away(as_mapping(entry)):
            continue
        path: Path = ("matrix", index)
        entry_layer = {
            key: value for key, value in as_mapping(entry).items() if key not in {"id", "variants", *_CROSSING}
        }
        layers.append((path, entry_layer, general))
        for name, variant in as_mapping(as_mapping(entry).get("variants")).items():
            layers.append(((*path, "variants", name), variant, [*general, (path, entry_layer)]))
    for path, layer, below in layers:
        for removed in _nothings(as_mapping(layer), path):
            yield removed, [(len(path), other) for where, other in below if where != path]


def _nothings(layer: Mapping[str, object], path: Path) -> Iterator[Path]:
    for key, value in layer.items():
        if value is None:
            yield (*path, key)
        elif isinstance(value, dict):
            yield from _nothings(value, (*path, key))


def _has(layer: tuple[int, object], path: Path) -> bool:
    length, data = layer
    value = value_at(data, path[length:])
    return value is not ABSENT and value is not None


def row_problems(
    manifest: Manifest, row: Row, data: Mapping[str, object], *, templates: bool = True
) -> Iterator[Diagnostic]:
    """The schema's complaints about a row's data, each where the value was written.

    Without `templates`, braces are text like any other: so are rendered rows to be checked.
    """
    for fault in schema.faults(data, part="row", templates=templates):
        place, hint = place_of(manifest, row, fault.path, key=fault.key), fault.hint
        key = str(fault.path[0]) if fault.path else ""
        if isinstance(row.data.get(key), str) and isinstance(data.get(key), (list, dict)):
            hint = f"it is the value of {row.data[key]}" + (f"; {hint}" if hint else "")
        yield Diagnostic(
            code=fault.code,
            message=fault.message,
            place=place,
            hint=hint,
            source=manifest.document.source_line(place),
        )
