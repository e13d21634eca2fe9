"""Manifest → rows: every entry over the defaults, once for each variant and each point of its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from qarunner.diagnostics import Diagnostic, in_order
from qarunner.errors import ManifestError
from qarunner.manifest import schema
from qarunner.manifest.axes import points
from qarunner.manifest.codes import Code
from qarunner.manifest.merge import WHOLE, overlay_row
from qarunner.manifest.model import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.diagnostics import Path, Place
    from qarunner.manifest.axes import Axes, Exclusion
    from qarunner.manifest.document import Document
    from qarunner.manifest.model import Manifest

__all__ = ["Placed", "Row", "check_rows", "duplicates", "expand", "locate"]


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
    found = [problem for row in rows for problem in row_problems(manifest, row, row.data)]
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
