"""What no schema can say of `axes` and `exclude`: before one row is built, each problem at its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from qarunner.diagnostics import choose, problem
from qarunner.manifest.axes import MOST_ROWS, RESERVED, Axes, Exclusion, applies, points, size, spelled
from qarunner.manifest.codes import Code
from qarunner.manifest.merge import overlay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from qarunner.diagnostics import Diagnostic, Path
    from qarunner.manifest.document import Document

_NUMBER = re.compile(r"[-+.0-9][-+.0-9a-zA-Z]*")


class Fault(NamedTuple):
    """A problem, and the entry that cannot be expanded because of it; None: none can."""

    entry: int | None
    problem: Diagnostic


def check_axes(document: Document, sound: Iterable[int]) -> tuple[Fault, ...]:
    """Looks at the entries of a document that the schema has nothing against."""
    matrix = cast("list[dict[str, object]]", document.data.get("matrix") or [])
    faults: list[Fault] = []
    sizes: list[tuple[int, Path]] = []
    for index in sorted(sound):
        entry = matrix[index]
        if not (entry.keys() & {"axes", "exclude", "variants"}):
            sizes.append((1, ("matrix", index)))
            continue
        grid = _Grid(document, ("matrix", index), entry)
        faults += [Fault(index, found) for found in grid.problems()]
        sizes.append((grid.size(), ("matrix", index)))
    return (*faults, *_too_many(document, sizes))


def _too_many(document: Document, sizes: list[tuple[int, Path]]) -> Iterator[Fault]:
    whole = sum(each for each, _ in sizes)
    if whole > MOST_ROWS:
        largest, path = max(sizes, key=lambda each: each[0])
        share = f", {largest:,} of them from this entry" if len(sizes) > 1 else ""
        message = f"the matrix would have {whole:,} rows{share}; at most {MOST_ROWS:,} are taken"
        hint = "each row is a run at a vendor: leave out axes or values, or split the manifest"
        where = (*path, "axes") if largest > 1 else ("matrix",)
        yield Fault(None, problem(document, where, message, code=Code.TOO_MANY_ROWS, hint=hint, key=True))


@dataclass(frozen=True, slots=True)
class _Variant:
    """An entry's axes and exclusions, with those of one variant over them. `name` is None without variants."""

    name: str | None
    axes: Axes
    exclude: list[Exclusion]
    own_exclude: bool


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

    def size(self) -> int:
        return sum(size(each.axes) for each in self._variants)

    def problems(self) -> Iterator[Diagnostic]:
        """Those of the axes alone, where there are some: what is excluded from them would only repeat it."""
        found = [problem for path, axes in self._axes() for problem in self._of_axes(path, axes)]
        yield from found or self._of_exclusions()
        if not found and self.size() <= MOST_ROWS:
            yield from self._nothing_left()

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
            first: dict[str, int] = {}
            for index, value in enumerate(values):
                text = spelled(value)
                if first.setdefault(text, index) != index:
                    message = f"{name}: {text!r} stands here twice, and both rows would have the same id"
                    yield problem(self._document, (*path, name, index), message, code=Code.AXIS, hint="remove one")
                elif odd := self._odd((*path, name, index), value, text):
                    message = f"{name}: {odd}"
                    yield problem(self._document, (*path, name, index), message, code=Code.AXIS, hint="quote it")

    def _odd(self, path: Path, value: object, text: str) -> str | None:
        """Why a value would stand in ids otherwise than whoever wrote it expects."""
        if not text.isprintable():
            return f"{text!r} has a character that nobody can see in an id"
        if isinstance(value, (str, bool)):
            return None
        place = self._document.locate(path)
        written = _NUMBER.match((self._document.source_line(place) or "")[place.column - 1 :])
        if written is None or written[0] == text:  # an alias has another text
            return None
        return f"{written[0]} is the number {text}, and ids would have that"

    # --- exclude ------------------------------------------------------------------------------------------------------

    def _of_exclusions(self) -> Iterator[Diagnostic]:
        inherited = [each for each in self._variants if not each.own_exclude]
        if "exclude" in self._entry:
            path, exclude = (*self._path, "exclude"), cast("list[Exclusion]", self._entry["exclude"])
            for index, each in enumerate(exclude):
                yield from self._of_exclusion((*path, index), each, inherited)
        for variant in self._variants:
            if variant.own_exclude:
                for index, each in enumerate(variant.exclude):
                    path = (*self._path, "variants", str(variant.name), "exclude", index)
                    yield from self._of_exclusion(path, each, [variant])

    def _of_exclusion(self, path: Path, exclusion: Exclusion, variants: list[_Variant]) -> Iterator[Diagnostic]:
        if any(applies(each.axes, exclusion, each.name) for each in variants):
            return
        found = False
        for name, value in exclusion.items():
            for message, hint, key in _unknown(name, spelled(value), variants):
                found = True
                yield problem(self._document, (*path, name), message, code=Code.EXCLUDE, hint=hint, key=key)
        if not found:
            message = "exclude: no row has all of these values"
            yield problem(self._document, path, message, code=Code.EXCLUDE, hint="remove it, or change a value")

    def _nothing_left(self) -> Iterator[Diagnostic]:
        """An entry, or a variant by an `exclude` of its own, of which no row is left."""
        empty = [each for each in self._variants if not _first(each)]
        own = [(("variants", str(each.name)), f"variant {each.name!r}") for each in empty if each.own_exclude]
        whole = len(empty) == len(self._variants) and "exclude" in self._entry
        for path, what in [((), repr(self._entry["id"]))] if whole else own:
            message, hint = f"exclude leaves no row of {what}", "exclude less, or remove it"
            where = (*self._path, *path, "exclude")
            yield problem(self._document, where, message, code=Code.NOTHING_LEFT, hint=hint, key=True)


def _variant(entry: Mapping[str, object], name: str | None, body: Mapping[str, object] | None) -> _Variant:
    body = body or {}
    axes = overlay(cast("Axes", entry.get("axes") or {}), cast("Axes", body.get("axes") or {}))
    exclude = cast("list[Exclusion]", body.get("exclude", entry.get("exclude")) or [])
    return _Variant(name, cast("Axes", axes), exclude, "exclude" in body)


def _first(variant: _Variant) -> bool:
    return next(points(variant.axes, variant.exclude, variant.name), None) is not None


def _unknown(name: str, text: str, variants: list[_Variant]) -> Iterator[tuple[str, str, bool]]:
    """What an exclusion names that no row has: message, hint, and whether it is about the key."""
    names = tuple(dict.fromkeys(axis for each in variants for axis in each.axes))
    if name == "variant":
        known = tuple(each.name for each in variants if each.name is not None)
        if text not in known:
            what = f"there is no variant {text!r}" if known else "the entry has no variants"
            yield f"exclude: {what}", choose(text, known) if known else "remove it", False
    elif name not in names:
        hint = choose(name, (*names, "variant")) if names else "the entry has no axes: exclude goes with them"
        yield f"exclude: there is no axis {name!r}", hint, True
    else:
        values = tuple(dict.fromkeys(spelled(value) for each in variants for value in each.axes.get(name, ())))
        if text not in values:
            yield f"exclude: {name} has no value {text!r}", choose(text, values), False
