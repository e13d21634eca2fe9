"""Problems as values: what is wrong, where it stands in a file, and how to put it right."""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Path: TypeAlias = "tuple[str | int, ...]"
"""The route into a document: keys of mappings and indexes of lists, from the root."""


class Place(Struct, frozen=True, order=True):
    """A position in a file; line and column count from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Locator(Protocol):
    """Whatever can say where a path of its data was written."""

    def locate(self, path: Path, *, key: bool = False) -> Place:
        """The place of the value at `path` (or of its key); of the nearest ancestor if it does not exist."""
        ...

    def source_line(self, place: Place) -> str | None:
        """The text of the line around a place, for the caret."""
        ...


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Diagnostic(Struct, frozen=True, kw_only=True):
    """One problem. `related` are other places that belong to it, such as the first of two equal keys."""

    code: str
    message: str
    place: Place
    hint: str | None = None
    source: str | None = None
    related: tuple[tuple[Place, str], ...] = ()
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message}"


def problem(
    locator: Locator,
    path: Path,
    message: str,
    *,
    code: str,
    hint: str | None = None,
    key: bool = False,
    related: tuple[tuple[Place, str], ...] = (),
) -> Diagnostic:
    """A diagnostic at `path` of the located document. The letter of a code says how severe it is."""
    severity = Severity.WARNING if code.startswith("W") else Severity.ERROR
    place = locator.locate(path, key=key)
    line = locator.source_line(place)
    return Diagnostic(
        code=code, message=message, place=place, hint=hint, source=line, related=related, severity=severity
    )


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sorted by file, line and column, without repetitions: the same input gives the same list."""
    unique = {(d.place, d.message): d for d in diagnostics}
    return tuple(unique[key] for key in sorted(unique))


_MOST_SUGGESTIONS = 20


_suggestions_left: ContextVar[list[int] | None] = ContextVar("suggestions left", default=None)


@contextmanager
def few_suggestions() -> Iterator[None]:
    """Within, only the first problems say what was probably meant: to look for it costs more than all other checks."""
    if _suggestions_left.get() is not None:
        yield
        return
    token = _suggestions_left.set([_MOST_SUGGESTIONS])
    try:
        yield
    finally:
        _suggestions_left.reset(token)


_LONGEST = 100
_MOST_COMPARED = 2000
_MOST_LISTED = 40


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant, if one is near."""
    left = _suggestions_left.get()
    if len(word) > _LONGEST or left == [0]:
        return None
    if left is not None:
        left[0] -= 1
    compared = [choice for choice in choices if len(choice) <= _LONGEST]
    if len(compared) > _MOST_COMPARED:
        compared = [choice for choice in compared if choice[:1] == word[:1]][:_MOST_COMPARED]
    matches = difflib.get_close_matches(word, compared, n=1, cutoff=0.6)
    return matches[0] if matches else None


def choose(word: str, choices: Sequence[str]) -> str:
    """A hint: the closest match first, then the valid values."""
    return with_valid(closest(word, choices), choices)


def with_valid(near: str | None, choices: Sequence[str]) -> str:
    """The same for a choice that is known already; empty without one."""
    listed = ", ".join(choices[:_MOST_LISTED]) + (", …" if len(choices) > _MOST_LISTED else "")
    return f"did you mean {near!r}? Valid: {listed}" if near else f"valid: {listed}"
