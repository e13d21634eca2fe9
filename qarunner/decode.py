"""Typed reading of plain data along a path, so that a changed API gives a sentence and not a KeyError."""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
    """Plain data as JSON knows it."""
else:
    Json = Any  # a codec reads annotations when the program runs, and cannot follow a recursive alias


K = TypeVar("K")
V = TypeVar("V")

_SHOWN = 60


class UnexpectedData(ValueError):  # noqa: N818  the name says what was found
    """Data that has another shape than its reader was promised."""


def kind(value: object) -> str:
    """A value's type in the words of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"


class _KeyTwiceError(Exception):
    """An object says two things under one key; readers differ in which of them they take."""


def _keys_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _KeyTwiceError(next(key for key in keys if keys.count(key) > 1))
    return mapping


_decode = json.JSONDecoder(object_pairs_hook=_keys_once).decode


class JsonReader:
    """A place in plain data. Methods without `_or` raise UnexpectedData, naming the path."""

    __slots__ = ("_above", "_step", "value")

    def __init__(self, value: object, name: str = "$", above: JsonReader | None = None) -> None:
        self.value = value
        self._step = name
        self._above = above

    @property
    def name(self) -> str:
        """The path, which an error alone asks for: most values are as they were promised."""
        return self._step if self._above is None else f"{self._above.name}{self._step}"

    @classmethod
    def parse(cls, text: str, name: str = "$") -> JsonReader:
        """Reads JSON text; UnexpectedData if it is none."""
        try:
            return cls(_decode(text), name)
        except _KeyTwiceError as error:
            raise UnexpectedData(f"{name}: the key {str(error)[:_SHOWN]!r} stands twice in one object") from error
        except (ValueError, RecursionError) as error:
            shown = text[:_SHOWN].replace("\n", " ")
            raise UnexpectedData(f"{name}: not JSON: {shown!r}") from error

    def fail(self, expected: str) -> UnexpectedData:
        shown = self.value if isinstance(self.value, (int, float, str)) else kind(self.value)
        return UnexpectedData(f"{self.name}: expected {expected}, got {str(shown)[:_SHOWN]!r}")

    def get(self, key: str) -> JsonReader:
        """The value under a key; null where there is none or where this is no object."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return JsonReader(value, f".{key}", self)

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def object(self) -> dict[str, object]:
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        return cast("dict[str, object]", self.value)

    def items(self) -> Iterator[JsonReader]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise self.fail("a list")
        for index, element in enumerate(self.value):
            yield JsonReader(element, f"[{index}]", self)

    def items_or_none(self) -> Iterator[JsonReader]:
        """The elements of a list; nothing where there is no list."""
        return self.items() if isinstance(self.value, list) else iter(())

    def text(self) -> str:
        """A string that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            raise self.fail("a string")
        return self.value

    def text_or(self, default: str | None = None) -> str | None:
        return self.value if isinstance(self.value, str) and self.value else default

    def identifier(self) -> str:
        """A string or an integer, as text."""
        if isinstance(self.value, bool) or not isinstance(self.value, (str, int)) or self.value == "":
            raise self.fail("an id")
        return str(self.value)

    def integer(self) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.fail("an integer")
        return self.value

    def number_or_none(self) -> float | None:
        """A number, if there is one; never negative, infinite or not a number."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            return None
        # JSON can hold integers that no float can.
        return float(self.value) if 0 <= self.value <= sys.float_info.max else None


def collected(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, in their order."""
    values: dict[K, list[V]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return values


def as_mapping(value: object) -> Mapping[str, object]:
    """A mapping, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def children(value: object) -> Iterable[tuple[str | int, object]]:
    """The values of a mapping or a list, each with its key or index; of anything else, nothing."""
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()


def texts(data: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text in plain data that is no key, with its path below `path`."""
    if isinstance(data, str):
        yield path, data
    for step, child in children(data):
        yield from texts(child, (*path, step))


def is_unicode(text: str) -> bool:
    """False for text that was made from bytes which are not UTF-8: nothing could write or send it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_AMOUNT = regex(r"[0-9]{1,9}(?:[.][0-9]{1,6})?", re.ASCII)


def amount(value: object) -> Decimal:
    """An amount of money as people write it, `0.25` or `12`: a decimal, never a binary fraction. Else ValueError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(str(value))
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        return Decimal(value)
    raise ValueError(f"not an amount: {value!r} (write it as 12 or 0.25)")
