"""A file's text, able to turn offsets into lines and columns."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from qarunner.diagnostics import Diagnostic, Place
from qarunner.regex import regex

_LONGEST_SHOWN = 2_000


_BREAK = regex(r"\r\n|\r|\n")


class Source:
    """Text under the name that the user gave. Lines end as in editors: LF, CRLF or CR."""

    __slots__ = ("_starts", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._starts: array[int] | None = None

    def place(self, offset: int) -> Place:
        """Line and column of a character, counted from 0."""
        starts = self._line_starts()
        line = bisect_right(starts, offset)
        return Place(self.name, line, offset - starts[line - 1] + 1)

    def line(self, number: int) -> str | None:
        """A line's text (from 1); None if there is none, or if it is too long to be shown."""
        starts = self._line_starts()
        if not 1 <= number <= len(starts):
            return None
        start, end = starts[number - 1], starts[number] if number < len(starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n") if end - start <= _LONGEST_SHOWN else None

    def line_begin(self, offset: int) -> int:
        """The offset at which the line of a character begins."""
        starts = self._line_starts()
        return starts[bisect_right(starts, offset) - 1]

    def line_from(self, offset: int) -> str:
        """The rest of a line; at most as much of it as could be shown."""
        return _BREAK.split(self.text[offset : offset + _LONGEST_SHOWN], maxsplit=1)[0]

    def problem(self, offset: int, message: str, *, code: str, hint: str | None = None) -> Diagnostic:
        place = self.place(offset)
        return Diagnostic(code=code, message=message, place=place, hint=hint, source=self.line(place.line))

    def _line_starts(self) -> array[int]:
        if self._starts is None:
            self._starts = array("I", [0])
            self._starts.extend(match.end() for match in _BREAK.finditer(self.text))
        return self._starts
