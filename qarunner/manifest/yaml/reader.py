"""YAML text → plain data, and the place of every part of it.

Scalars follow the core schema of YAML 1.2, keys are always strings, and depth, size and alias expansion are bounded.
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from qarunner.diagnostics import Diagnostic, Path, Place, in_order
from qarunner.errors import ManifestError
from qarunner.manifest import codes
from qarunner.manifest.yaml.plain import read_plain
from qarunner.manifest.yaml.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.manifest.yaml.nodes import Positions

# --- a file's text: decoded, and free of characters that YAML forbids -------------------------------------------------

LARGEST_MIB = 64
"""A file of 100,000 entries has about 30 MiB."""


_MANY = 20


_ALLOWED_ASCII = bytes([*b"\t\n\r", *range(0x20, 0x7F)])


# What YAML calls non-printable, and the byte order mark anywhere but at the start.
_FORBIDDEN = r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"


_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


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
    # Most files are ASCII, in which to look for a few bytes takes a tenth of the time that a pattern takes.
    if source.text.isascii() and not source.text.encode().translate(None, _ALLOWED_ASCII):
        return
    for match in re.finditer(_FORBIDDEN, source.text):
        place = source.place(match.start())
        if place.line == seen:
            continue
        seen = place.line
        what = "a NUL character" if match[0] == "\0" else f"the control character U+{ord(match[0]):04X}"
        binary = "the file may be UTF-16 or binary: save it as UTF-8 text"
        hint = binary if match[0] == "\0" else "remove it, or escape it in a quoted string"
        yield source.problem(match.start(), f"{what} is not allowed", code=codes.CHARACTER, hint=hint)


ABSENT = object()
"""What stands at a path that leads nowhere."""


def value_at(data: object, path: Path) -> object:
    """The value at a path in plain data; ABSENT without a value."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step, ABSENT)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return ABSENT
    return data


class Document:
    """A manifest's data, and where each part of it stands."""

    __slots__ = ("_positions", "_source", "data", "name")

    def __init__(self, source: Source, data: dict[str, object], positions: Positions) -> None:
        self.name = source.name
        self.data = data
        self._source = source
        self._positions = positions

    def at(self, path: Path) -> object:
        """The value at `path`; ABSENT without a value."""
        return value_at(self.data, path)

    def locate(self, path: Path, *, key: bool = False) -> Place:
        """The place of the value at `path` (or of its key); of the nearest ancestor if it does not exist."""
        return self._source.place(self._positions.find(self.data, path, key=key))

    def source_line(self, place: Place) -> str | None:
        """The text of a place's line; None if there is none, or if it is too long to be shown."""
        return self._source.line(place.line)


def read(name: str, text: bytes | str, *, start: str = "version: 1") -> Document:
    """Reads one YAML document, a mapping that may `start` so. ManifestError has every problem that was found.

    What aliases share is shared in the data, too: it must not be changed in place.
    """
    source = decode(name, text)
    with _collector_paused():
        data, positions = read_plain(source.text) or _read_any(source, start)
    return Document(source, data, positions)


def _read_any(source: Source, start: str) -> tuple[dict[str, object], Positions]:
    from qarunner.manifest.yaml.events import read_events  # noqa: PLC0415  yaml takes a tenth of a short command

    return read_events(source, f"start with: {start}")


@contextmanager
def _collector_paused() -> Iterator[None]:
    """All that is built stays alive: for the collector to walk it again and again would cost more than building it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
