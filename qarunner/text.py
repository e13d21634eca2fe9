"""Text on its way out: what is not our own commands nothing, and numbers read alike everywhere."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Container, Sequence  # noqa: TC003  an alias is made of one when the module is read
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict, replace

from qarunner.regex import regex

if TYPE_CHECKING:
    from decimal import Decimal

Clean: TypeAlias = "Callable[[str], str]"
"""Takes out of a text what must not be shown, such as a secret's value. Texts with a NUL between them may be one text:
it makes of them what it makes of each."""

_UNSAFE = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # C0 and C1, which command terminals, but for spaces and line ends
    "\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # unseen, or turn the direction
    "\ud800-\udfff\ufffe\uffff\U000e0000-\U000e007f"  # no characters, and unseen copies of ASCII
)
_LINE_ENDS = "\n\x0b\x0c\r\x85\u2028\u2029"
_CONTROLS = regex(f"[{_UNSAFE}\t{_LINE_ENDS}]+")
_CONTROLS_IN_TEXT = regex(f"[{_UNSAFE}]|\r(?!\n)|[\x0b\x0c\x85\u2028\u2029]")
_ANY_CONTROL = regex(f"[{_UNSAFE}\r\x0b\x0c\x85\u2028\u2029]")
_ONE_CONTROL = regex(f"[{_UNSAFE}{_LINE_ENDS}]")
_IN_JSON = regex(f"[{_UNSAFE}\x85\u2028\u2029]|#(?=#(?:\\[|[A-Za-z]+\\[))")
_COMMAND = regex(r"^\s*::|##(?=\[|[A-Za-z]+\[)")
"""GitHub takes `::command` at the start of a line; Azure, TeamCity and others take `##[` and `##name[` anywhere."""
_COMMANDS = regex(r"^[ \t]*::|##(?=\[|[A-Za-z]+\[)", re.MULTILINE)

_LINE_COMMAND = regex(r"^[ \t]*::", re.MULTILINE)

MOST = 10_000
"""Characters of a line: longer ones are somebody else's, and no log shows them."""


class Styled(Struct, frozen=True):
    """A piece of a line that may be shown in these styles."""

    text: str
    styles: tuple[str, ...]


class Quoted(Struct, frozen=True):
    """A line of a file, or what stands below it: every character stays in its column, and no line is broken."""

    text: str
    styles: tuple[str, ...] = ()


Piece: TypeAlias = "str | Styled | Quoted"
Line: TypeAlias = "Piece | tuple[Piece, ...]"
"""What is printed in one line: pieces beside each other."""


def styled(text: str, *styles: str) -> Styled:
    return Styled(text, styles)


def pieces_of(line: Line) -> tuple[Piece, ...]:
    return line if isinstance(line, tuple) else (line,)


def plain(line: Line) -> str:
    """A line without its styles."""
    if isinstance(line, str):
        return line
    if isinstance(line, Styled):
        return line.text
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces_of(line))


# --- text that commands nothing ---------------------------------------------------------------------------------------


def is_plain(text: str) -> bool:
    """True for a line that no terminal and no CI system can take for a command; few others are false."""
    return text.isprintable() and "::" not in text and "##" not in text


def inert(text: str, most: int = MOST) -> str:
    """Somebody else's text as one line that no terminal and no CI system takes for a command."""
    if is_plain(text) and len(text) <= most:
        return text  # almost every line
    return without_command(cut(_CONTROLS.sub(" ", text), most))


def without_command(line: str) -> str:
    """A line that no CI system takes for a command."""
    if "::" not in line and "##" not in line:
        return line
    return _COMMAND.sub(lambda match: " ".join(match[0]), line)


def inert_lines(text: str) -> str:
    """The same of a text that keeps its lines, such as a report."""
    if _ANY_CONTROL.search(text):  # a plain class of characters is found three times as fast
        text = _CONTROLS_IN_TEXT.sub(" ", text)
    if "##" not in text and not _LINE_COMMAND.search(text):
        return text
    return _COMMANDS.sub(lambda match: " ".join(match[0]), text)


def inert_source(line: str) -> str:
    """A line of a file, in which every character stays in its column; tabs are not changed."""
    return _COMMAND.sub(lambda match: match[0][:-1] + " ", _ONE_CONTROL.sub(" ", line))


def inert_json(text: str) -> str:
    """A JSON document that says the same, with everything escaped that could command something."""
    if "##" not in text and not _ANY_CONTROL.search(text):
        return text
    return _IN_JSON.sub(lambda match: _escaped(match[0]), text)


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFFFF:  # noqa: PLR2004  one escape holds it
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def to_json(data: object, clean: Clean, *, indent: int | None = 2) -> str:
    """Data as a JSON document for any output. `clean` is asked about each text in it, so that it stays JSON."""
    text = json.dumps(cleaned(data, clean), indent=indent, ensure_ascii=False, default=lambda value: clean(str(value)))
    return inert_json(text)


def record(source: object, *names: str) -> dict[str, object]:
    """These fields of an object, for a document that calls them as the object does."""
    return {name: getattr(source, name) for name in names}


_WORD = regex(r"[a-zA-Z_]+")


def cleaned(data: object, clean: Clean) -> object:
    """Data of JSON with other texts. A key that is a plain word is one of ours, whatever a secret is called."""
    if isinstance(data, str):
        return clean(data)
    if isinstance(data, dict):
        return {_cleaned_key(key, clean): cleaned(child, clean) for key, child in data.items()}
    if isinstance(data, (list, tuple)):
        return [cleaned(value, clean) for value in data]
    return cleaned(asdict(data), clean) if isinstance(data, Struct) else data


def _cleaned_key(key: object, clean: Clean) -> object:
    return clean(key) if isinstance(key, str) and not _WORD.fullmatch(key) else key


LONGEST_NAME = 100
"""Characters of a vendor's or a manifest's name in a message or a table."""


def cut(text: str, most: int) -> str:
    """The beginning of a text, with how much is missing; a whole one if it is no longer than that."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most} more characters)"


def listed(names: Sequence[str], most: int, more: str = " and {} more") -> str:
    """The first names; of more, also how many."""
    rest = more.format(len(names) - most) if len(names) > most else ""
    return ", ".join(names[:most]) + rest


# --- numbers ----------------------------------------------------------------------------------------------------------


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


_SHORT_S = 10
_MINUTE_S = 60
_HOUR_S = 3600


@lru_cache(maxsize=4096)
def duration(seconds: float) -> str:
    """`0.4s`, `47s`, `12m30s`, `1h`, `1h00m05s`: to the second, and to a tenth of the first ten."""
    tenths = round(seconds, 1)
    if 0 < tenths < _SHORT_S and tenths != round(tenths):
        return f"{tenths}s"
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // _HOUR_S, whole // _MINUTE_S % 60, whole % 60
    units = ((hours, "h"), (minutes, "m"), (rest, "s"))
    first = next((index for index, (number, _) in enumerate(units) if number), 2)
    last = max((index for index, (number, _) in enumerate(units) if number), default=2)
    return "".join(
        f"{number}{unit}" if index == first else f"{number:02}{unit}"
        for index, (number, unit) in enumerate(units)
        if first <= index <= last
    )


_DAY_S = 86_400


def ago(seconds: float) -> str:
    """`12 s ago`, `4 min ago`, `5 h ago`, `3 days ago`: in the largest unit that fits twice."""
    units = ((_DAY_S, "day"), (_HOUR_S, "h"), (_MINUTE_S, "min"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= 2 * size), (1, "s"))
    number = max(0, int(seconds // size))
    return f"{plural(number, unit) if size == _DAY_S else f'{number} {unit}'} ago"


def money(amount: Decimal, currency: str) -> str:
    """`4.25 EUR`, `0.125 EUR`: with two places behind the point, or with as many as it has."""
    whole, _, places = f"{amount:f}".partition(".")
    return f"{whole}.{places.rstrip('0'):0<2} {currency}"


def as_number(amount: Decimal) -> float:
    """An amount as JSON has it: the shortest number that is read as the same decimal."""
    return float(amount)


# --- how wide it is ---------------------------------------------------------------------------------------------------


def cells(text: str) -> int:
    """The columns of a terminal that a text takes: most characters one, those of East Asia and emoji two."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def fitted(text: str, most: int, *, middle: bool = False, mark: str = "…") -> str:
    """A text in at most so many columns; what is too long loses its end or its middle, where `mark` stands."""
    if cells(text) <= most:
        return text
    room = most - cells(mark)
    if room <= 0:
        return mark[:most]
    tail = room // 2 if middle else 0
    return _head(text, room - tail) + mark + _head(text[::-1], tail)[::-1]


def _head(text: str, most: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += _cells(char)
        if taken > most:
            return text[:index]
    return text


def padded(text: str, width: int, *, right: bool = False) -> str:
    """A text with spaces up to a width in columns."""
    space = " " * (width - cells(text))
    return space + text if right else text + space


_COMMAND_LINE = r"(?:(?<![\s\S])|(?<=: )|(?<=  ))qarunner [a-z](?:(?!   |;).)*"
_UNBROKEN = regex(rf"(?:{_COMMAND_LINE}|`[^`]+`| +(?=::)|[^ ])+")
"""A word, or a command line: that is copied as a whole. No row begins with what would be a command of GitHub."""
_INDENT = 2
"""Columns by which what was broken off stands further right than its beginning."""


def broken(pieces: tuple[Piece, ...], columns: int) -> tuple[Piece, ...]:
    """A line with line ends at spaces, where a terminal would break a word in two. A quoted one stays whole."""
    whole = plain(pieces)
    if cells(whole) <= columns or any(isinstance(piece, Quoted) for piece in pieces):
        return pieces
    indent = len(whole) - len(whole.lstrip(" ")) + _INDENT
    gaps = breaks(whole, columns, indent)
    lines, at = [], 0
    for piece in pieces:
        text = plain(piece)
        parts, kept = [], 0
        for start, end in gaps:
            if at <= start < at + len(text):
                parts.append(text[kept : start - at])
                kept = end - at
        parts.append(text[kept:])
        shown = f"\n{' ' * indent}".join(parts)
        lines.append(shown if isinstance(piece, str) else replace(piece, text=shown))
        at += len(text)
    return tuple(lines)


def breaks(text: str, columns: int, indent: int = _INDENT) -> list[tuple[int, int]]:
    """The spaces at which a line is broken, each with its end. `indent`: columns before what is broken off."""
    gaps: list[tuple[int, int]] = []
    column = end = 0
    for word in _UNBROKEN.finditer(text):
        column += word.start() - end
        width = cells(word[0])
        if end and column + width > columns >= indent + width:
            gaps.append((end, word.start()))
            column = indent
        column += width
        if column > columns:  # only the terminal can break what is longer than a row
            column %= columns
        end = word.end()
    return gaps


_SHORT, _SHORTEST = 24, 12
"""Columns that a cell keeps: where remarks can go instead, and at least."""


def table(
    rows: Sequence[Sequence[str]],
    right: Container[int] = (),
    *,
    shorten: int | None = None,
    columns: int | None = None,
    mark: str = "…",
    remarks: Sequence[str] = (),
) -> list[str]:
    """A line for each row, whose cells stand below one another; those of the columns `right` end together.

    The cells of `shorten` lose their middle where a line would be wider than `columns`; a line that is still too wide
    loses its end. `mark` stands for what is lost. Each row's remark stands behind it, where there is room.
    """
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    if shorten is not None and columns is not None:
        for least, more in ((_SHORT, max(map(cells, remarks), default=0)), (_SHORTEST, 0)):
            beyond = max(0, sum(widths) + 2 * (len(widths) - 1) + more - columns)
            widths[shorten] = max(min(widths[shorten], least), widths[shorten] - beyond)
        rows = [
            [fitted(cell, widths[at], middle=True, mark=mark) if at == shorten else cell for at, cell in enumerate(row)]
            for row in rows
        ]
    lines = ([padded(cell, widths[at], right=at in right) for at, cell in enumerate(row)] for row in rows)
    whole = ["  ".join(line).rstrip() for line in lines]
    if columns is not None:
        whole = [fitted(line, columns, mark=mark) for line in whole]
    remarked = [f"{line}{remark}" for line, remark in zip(whole, remarks or [""] * len(whole), strict=True)]
    return [
        one if columns is None or cells(one) <= columns else line for one, line in zip(remarked, whole, strict=True)
    ]
