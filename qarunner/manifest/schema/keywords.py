"""What the generated validator asks of a value in more than a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from re import Pattern

    Check = Callable[[object], object]


def always(_: object) -> bool:
    return True


def is_number(value: object) -> bool:
    return type(value) is int or isinstance(value, float)  # true and false are no numbers


def is_whole(value: object) -> bool:
    """For JSON Schema, 1.0 is an integer."""
    return type(value) is int or (isinstance(value, float) and value.is_integer())


def is_unique(items: Sequence[object]) -> bool:
    try:
        if len(set(items)) == len(items):
            return True
    except TypeError:  # lists and mappings have no hash
        pass
    return len(set(map(_comparable, items))) == len(items)


def _comparable(value: object) -> object:
    """Equal where JSON values are equal: true is not 1."""
    match value:
        case bool():
            return bool, value
        case list():
            return list, *map(_comparable, value)
        case dict():
            return dict, frozenset((key, _comparable(child)) for key, child in value.items())
        case _:
            return value


def members(
    mapping: Mapping[str, object],
    known: Mapping[str, Check],
    *,
    rest: Check | None = None,
    free: Pattern[str] | None = None,
) -> bool:
    """Whether each value is valid. A key that is not `known` has to pass `rest`, or be `free`."""
    for key, value in mapping.items():
        check = known.get(key)
        if check is not None:
            if not check(value):
                return False
        elif not (rest(value) if rest else free and free.search(key)):
            return False
    return True
