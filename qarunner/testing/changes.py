"""Plain data with a single thing in it changed: what a changed API, a proxy or a bug at the vendor may send."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Path: TypeAlias = "tuple[str | int, ...]"

UNKNOWN_WORD = "zz-a-word-that-nobody-documented"


class Change(NamedTuple):
    """What was done, and the data after it. `shorter`: a list lost elements, which not every vendor lets one see."""

    what: str
    data: object
    shorter: bool = False


def changes(data: object) -> Iterator[Change]:
    """Every change of a single place: a key is missing, a value is null, odd, unknown or of another type."""
    for path, value in places(data):
        at = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        if path and isinstance(path[-1], str):
            yield Change(f"{at} is missing", put(data, path, _GONE))
        for odd in _odd(value):
            yield Change(f"{at} is {odd!r}", put(data, path, odd))
        if isinstance(value, list) and value:
            for shorter in dict.fromkeys(map(_Once, ([], value[1:], value[:-1]))):
                yield Change(f"{at} has lost elements", put(data, path, shorter.value), shorter=True)


class _Once:
    """A list that is equal to another by what it holds; lists themselves are no keys."""

    def __init__(self, value: list[object]) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once) and other.value == self.value

    def __hash__(self) -> int:
        return len(self.value)


def _odd(value: object) -> tuple[object, ...]:
    match value:
        case None:
            return (UNKNOWN_WORD,)
        case str():
            return (None, UNKNOWN_WORD, "", 7, {})
        case bool():
            return (None, UNKNOWN_WORD)
        case int() | float():
            return (None, UNKNOWN_WORD, -1)
        case list():
            return (None, {}, UNKNOWN_WORD)
        case _:
            return (None, [], UNKNOWN_WORD)


_GONE = object()


def places(data: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every place in data, the whole first."""
    yield path, data
    for step, child in _children(data):
        yield from places(child, (*path, step))


def leaves(data: object) -> Iterator[tuple[Path, object]]:
    """The places of scalars other than null."""
    return ((path, value) for path, value in places(data) if value is not None and not isinstance(value, (dict, list)))


def _children(data: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(data, dict):
        yield from data.items()
    elif isinstance(data, list):
        yield from enumerate(data)


def put(data: object, path: Path, value: object) -> object:
    """A copy with another value at a place."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(data, list):
        return [put(child, rest, value) if index == step else child for index, child in enumerate(data)]
    mapping = cast("dict[str | int, object]", data)
    changed = put(mapping[step], rest, value)
    return {
        key: changed if key == step else child for key, child in mapping.items() if key != step or changed is not _GONE
    }


def replaced(data: object, change: Callable[[object], object]) -> object:
    """A copy with each scalar changed."""
    if isinstance(data, dict):
        return {key: replaced(child, change) for key, child in data.items()}
    if isinstance(data, list):
        return [replaced(child, change) for child in data]
    return change(data)


def names(data: object, text: str) -> bool:
    """Whether data is this text, or an object that has it, but not in a list below."""
    if isinstance(data, dict):
        return any(names(child, text) for child in data.values())
    return not isinstance(data, (list, bool)) and str(data) == text


def without(data: object, text: str) -> object:
    """A copy without the elements of lists that name a text."""
    if isinstance(data, dict):
        return {key: without(child, text) for key, child in data.items()}
    if isinstance(data, list):
        return [without(child, text) for child in data if not names(child, text)]
    return data


def elements_naming(data: object, text: str) -> Iterator[Path]:
    """Where the objects in lists are that name a text."""
    for path, value in places(data):
        if path and isinstance(path[-1], int) and isinstance(value, dict) and names(value, text):
            yield path
