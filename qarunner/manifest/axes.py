"""Axes: their cross product in the written order, and what `exclude` takes out of it."""

from __future__ import annotations

import math
import unicodedata
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from qarunner.manifest.expression import FIELDS, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Value: TypeAlias = "str | int | float | bool"
Axes: TypeAlias = "Mapping[str, Sequence[Value]]"
Exclusion: TypeAlias = "Mapping[str, Value]"
"""A partial match: every axis that it names, and `variant`, has to be as it says."""

MOST_ROWS = 100_000
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
    names = tuple(axes)
    left_out = _sets(names, excluded, variant)
    columns = [[(f"{name}={spelled(value)}", (name, value)) for value in values] for name, values in axes.items()]
    for cells in product(*columns):
        words = tuple(cell[0] for cell in cells)
        if not any(tuple(words[index] for index in indexes) in found for indexes, found in left_out.items()):
            yield Point(tuple(cell[1] for cell in cells), f"[{','.join(words)}]")


def applies(axes: Axes, exclusion: Exclusion, variant: str | None) -> bool:
    """Whether an exclusion takes anything out. In a full product, whatever names existing values does."""
    return all(
        (name == "variant" and str(value) == variant)
        or (name in axes and spelled(value) in {spelled(each) for each in axes[name]})
        for name, value in exclusion.items()
    )


def _sets(
    names: Sequence[str], excluded: Sequence[Exclusion], variant: str | None
) -> dict[tuple[int, ...], set[tuple[str, ...]]]:
    """Exclusions by the axes that they name: a row is looked up once for each such group, however many there are."""
    found: dict[tuple[int, ...], set[tuple[str, ...]]] = {}
    for each in excluded:
        named = {name: value for name, value in each.items() if name != "variant"}
        if ("variant" in each and str(each["variant"]) != variant) or not named.keys() <= set(names):
            continue
        indexes = tuple(index for index, name in enumerate(names) if name in named)
        words = tuple(f"{names[index]}={spelled(named[names[index]])}" for index in indexes)
        found.setdefault(indexes, set()).add(words)
    return found
