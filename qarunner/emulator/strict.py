"""Reads plain data strictly: every field is of the right kind, and no field is left over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Self, TypeVar, get_type_hints
from urllib.parse import urlsplit

from msgspec import structs

T = TypeVar("T")
K = TypeVar("K")

Reader = Callable[[object, str], T]
"""Turns a plain value into a typed one, or raises `Wrong` naming the path."""


class Wrong(ValueError):  # noqa: N818 (a message about data, not a failure of the program)
    """A value that is not what its place asks for; the text begins with the path of the value."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: {problem}" if path else problem)


def kind_of(value: object) -> str:
    """Says a value's JSON kind in the words of a message."""
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else kinds.get(type(value), type(value).__name__)


class Fields:
    """The fields of one object; as a context manager, refuses at its end whatever was not read."""

    def __init__(self, data: object, path: str = "") -> None:
        if not isinstance(data, dict):
            raise Wrong(path, f"expected an object, got {kind_of(data)}")
        self._data: dict[object, object] = data
        self._path = path
        self._known: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self.done()

    def at(self, key: str) -> str:
        """The path of one field."""
        return f"{self._path}.{key}" if self._path else key

    def has(self, key: str) -> bool:
        """Whether the field is there, and marks it as known."""
        if key not in self._known:
            self._known.append(key)
        return key in self._data

    def need(self, key: str, read: Reader[T]) -> T:
        """Reads a required field."""
        if not self.has(key):
            raise Wrong(self.at(key), "is required")
        return read(self._data[key], self.at(key))

    def take(self, key: str, read: Reader[T], default: T) -> T:
        """Reads an optional field."""
        return read(self._data[key], self.at(key)) if self.has(key) else default

    def maybe(self, key: str, read: Reader[T]) -> T | None:
        """Reads an optional field that has no default."""
        return read(self._data[key], self.at(key)) if self.has(key) else None

    def forbid(self, key: str, why: str) -> None:
        """Refuses a field that exists but is out of place here."""
        if self.has(key):
            raise Wrong(self.at(key), why)

    def at_most_one(self, *keys: str) -> str | None:
        """The one field of an exclusive set that is there, if any."""
        present = [key for key in keys if self.has(key)]
        if len(present) > 1:
            raise Wrong(self._path, f"only one of {' and '.join(present)} may be given")
        return present[0] if present else None

    def exactly_one(self, *keys: str) -> str:
        """The one field of an exclusive set; zero and several are both refused."""
        present = self.at_most_one(*keys)
        if present is None:
            raise Wrong(self._path, f"exactly one of {', '.join(keys)} is required")
        return present

    def fill(self, cls: Callable[..., T], default: T | None = None, **values: object) -> T:
        """A struct from the fields that have a reader there: `Annotated[int, whole()]`.

        `values` are of the other fields; what is left out is as in `default`.
        """
        for name, (read, is_required) in _readers_of(cls).items():
            if is_required or self.has(name):
                values[name] = self.need(name, read)
            elif default is not None:
                values[name] = getattr(default, name)
        return cls(**values)

    def done(self) -> None:
        """Refuses the fields that were not read."""
        for key in self._data:
            if key not in self._known:
                raise Wrong(self._path, f"unknown field {key!r}; {suggestion(key, self._known)}")


def suggestion(word: object, valid: Iterable[str]) -> str:
    """Names the closest valid word, and all of them."""
    words = list(valid)
    close = get_close_matches(str(word), words, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}valid: {', '.join(words) or 'none'}"


def text(value: object, path: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise Wrong(path, f"expected a string, got {kind_of(value)}")
    if not value:
        raise Wrong(path, "must not be empty")
    return value


def text_up_to(limit: int, *, least: int = 1) -> Reader[str]:
    """A string of `least` to `limit` characters."""

    def read(value: object, path: str) -> str:
        if not isinstance(value, str):
            raise Wrong(path, f"expected a string, got {kind_of(value)}")
        if not least <= len(value) <= limit:
            raise Wrong(path, f"must have {least} to {limit} characters")
        return value

    return read


def whole(*, least: int | None = None, most: int | None = None) -> Reader[int]:
    """An integer within bounds, and no boolean."""

    def read(value: object, path: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(path, f"expected an integer, got {kind_of(value)}")
        if (least is not None and value < least) or (most is not None and value > most):
            raise Wrong(path, f"{value} is out of range ({least} to {most})" if most else f"must be at least {least}")
        return value

    return read


def digits(*, least: int = 0, most: int | None = None) -> Reader[int]:
    """An integer written as text, as query parameters and paths have it."""
    check = whole(least=least, most=most)

    def read(value: object, path: str) -> int:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,18}", value):
            raise Wrong(path, f"expected an integer, got {value!r}")
        return check(int(value), path)

    return read


def number(value: object, path: str) -> float:
    """A number, and no boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Wrong(path, f"expected a number, got {kind_of(value)}")
    return float(value)


def seconds_of(value: object, path: str) -> float:
    """Seconds, from `200ms`, `3s`, `10m`, `1h30m` or a number."""
    if not isinstance(value, str):
        seconds = number(value, path)
    else:
        parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", value)
        if not value or parts is None:
            raise Wrong(path, f"expected a duration such as 200ms, 3s or 1h30m, got {value!r}")
        hours, minutes, secs, millis = (float(part or 0) for part in parts.groups())
        seconds = hours * 3600 + minutes * 60 + secs + millis / 1000
    if seconds < 0:
        raise Wrong(path, "must not be negative")
    return seconds


def flag(value: object, path: str) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise Wrong(path, f"expected a boolean, got {kind_of(value)}")
    return value


def one_of(*words: str) -> Reader[str]:
    """One of a closed set of strings."""

    def read(value: object, path: str) -> str:
        if text(value, path) not in words:
            raise Wrong(path, f"unknown value {value!r}; {suggestion(value, words)}")
        return str(value)

    return read


def web_address(value: object, path: str) -> str:
    """An absolute http or https URL."""
    if not is_web_address(text(value, path)):
        raise Wrong(path, f"expected an absolute http(s) URL, got {value!r}")
    return str(value)


def is_web_address(value: str) -> bool:
    """Whether a text is an absolute http or https URL."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"\s", value)


def uuid_text(value: object, path: str) -> str:
    """A UUID in its canonical form."""
    canonical = text(value, path).lower()
    if not re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", canonical):
        raise Wrong(path, f"expected a UUID, got {value!r}")
    return canonical


def list_of(read: Reader[T], *, least: int = 0) -> Reader[tuple[T, ...]]:
    """A list whose members are all read by `read`."""

    def read_list(value: object, path: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Wrong(path, f"expected a list, got {kind_of(value)}")
        if len(value) < least:
            raise Wrong(path, "must not be empty")
        return tuple(read(item, f"{path}[{index}]") for index, item in enumerate(value))

    return read_list


def mapping_of(key: Reader[K], read: Reader[T]) -> Reader[Mapping[K, T]]:
    """An object of any keys that `key` accepts."""

    def read_mapping(value: object, path: str) -> Mapping[K, T]:
        if not isinstance(value, dict):
            raise Wrong(path, f"expected an object, got {kind_of(value)}")
        return {key(name, f"{path} key {name!r}"): read(item, f"{path}.{name}") for name, item in value.items()}

    return read_mapping


def record(cls: Callable[..., T], *, alone: str = "") -> Reader[T]:
    """An object as a struct; a text in its place stands for the field `alone`."""

    def read(value: object, path: str) -> T:
        with Fields({alone: value} if alone and isinstance(value, str) else value, path) as fields:
            return fields.fill(cls)

    return read


@cache
def _readers_of(cls: Any) -> Mapping[str, tuple[Reader[Any], bool]]:  # noqa: ANN401  any struct
    """What reads each field of a struct, and whether the field has no default."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        field.name: (hints[field.name].__metadata__[0], field.required)
        for field in structs.fields(cls)
        if hasattr(hints[field.name], "__metadata__")
    }


def anything(value: object, path: str) -> object:  # noqa: ARG001 (a Reader has a path)
    """Any value, untouched."""
    return value
