"""A file's text: decoded, free of characters that YAML forbids, and able to turn offsets into lines and columns."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING

from qarunner.diagnostics import Diagnostic, Place, in_order
from qarunner.errors import ManifestError
from qarunner.manifest import fault_codes as codes

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_MIB = 64
"""A file of 100,000 entries has about 30 MiB."""

_LONGEST_SHOWN = 2_000
_MANY = 20
_BREAK = re.compile(r"\r\n|\r|\n")
# What YAML calls non-printable, and the byte order mark anywhere but at the start.
_FORBIDDEN_ASCII = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_FORBIDDEN = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


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


def decode(name: str, text: bytes | str) -> Source:
    """The text of a file; ManifestError if it is too large, not UTF-8, or holds characters that YAML forbids."""
    if len(text) > LARGEST_MIB * 2**20:
        raise _at_start(name, f"the file is larger than {LARGEST_MIB} MiB", codes.TOO_LARGE)
    source = Source(name, (_utf8(name, text) if isinstance(text, bytes) else text).removeprefix("\ufeff"))
    problems = tuple(islice(_forbidden(source), _MANY))
    if problems:
        raise ManifestError(in_order(problems))
    return source


def _utf8(name: str, raw: bytes) -> str:
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            raise _at_start(name, f"the file is {encoding}, not UTF-8", codes.ENCODING, hint="save it as UTF-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _undecodable(name, raw, error.start) from error


def _undecodable(name: str, raw: bytes, position: int) -> ManifestError:
    """Shows the line as Latin-1, which can show every byte."""
    byte, source = raw[position], Source(name, raw.decode("latin-1"))
    message = f"the file is not UTF-8: byte 0x{byte:02X} at offset {position}"
    looks = f"; in Latin-1 the byte is {chr(byte)!r}" if chr(byte).isprintable() else ""
    return ManifestError([source.problem(position, message, code=codes.ENCODING, hint=f"save it as UTF-8{looks}")])


def _at_start(name: str, message: str, code: str, *, hint: str | None = None) -> ManifestError:
    return ManifestError([Diagnostic(code=code, message=message, place=Place(name, 1, 1), hint=hint)])


def _forbidden(source: Source) -> Iterator[Diagnostic]:
    """One problem for each line that has such characters."""
    seen = 0
    # Most files are ASCII, for which the pattern compiles in a tenth of the time: it counts at this program's start.
    for match in re.finditer(_FORBIDDEN_ASCII if source.text.isascii() else _FORBIDDEN, source.text):
        place = source.place(match.start())
        if place.line == seen:
            continue
        seen = place.line
        what = "a NUL character" if match[0] == "\0" else f"the control character U+{ord(match[0]):04X}"
        binary = "the file may be UTF-16 or binary: save it as UTF-8 text"
        hint = binary if match[0] == "\0" else "remove it, or escape it in a quoted string"
        yield source.problem(match.start(), f"{what} is not allowed", code=codes.CHARACTER, hint=hint)
