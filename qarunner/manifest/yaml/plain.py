"""The plain part of YAML, line by line: mappings and lists in block style, simple scalars, and flow style in one line.

It is here for speed alone. At the first line that is anything else, or wrong, it gives up, and the parser's events are
read from the start: every message comes from there. What it does read, they say in the same way: a test compares both.
"""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any, TypeAlias

from qarunner.manifest.yaml.nodes import BITS, FIRST, BadNumber, Positions, resolve
from qarunner.regex import regex

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

_OTHER_BREAKS = regex("[\x85\u2028\u2029]")

_KEY = r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}"

_QUOTED = r""""[^"\\]*"|'[^']*'"""

_FIRST = r"(?:[^\x00-#%-'),\-:-@\[-^`{-}\x7f*]|-(?=[0-9.]))"
"""The characters that begin no other kind of value; written as all but those that do."""

_HEAD = regex(rf"( *)(- +)?({_KEY})")
"""What stands before a ':'."""

_DASH = regex(r" *-(?: +|$)")

_NOTHING = regex(r" *(?:#.*)?")

_VALUE = regex(
    rf" *(?:({_FIRST}[^:#]*(?:(?::(?=[^ ])|(?<=[^ ])#)[^:#]*)*)|({_QUOTED}) *|(?=([\[{{])).*)?"
    r"(?:(?<![^ ])#.*)?"
)
"""What stands behind it, or behind a '-'."""

_ITEM = regex(
    rf" *(?:({_KEY}):(?= ) *)?"
    rf"(?:(?:({_QUOTED}) *|({_FIRST}[^:#,\[\]{{}}?]*(?::(?=[A-Za-z0-9/])[^:#,\[\]{{}}?]*)*))([,\]}}])|(?=[\[{{]))"
)
"""An item or a pair in flow style, with what follows it where that is no list and no mapping."""

_AFTER = regex(r" *([,\]}])")

_EMPTY = regex(r"\[ *]|\{ *}")

_REST = regex(r" *(?:(?<= )#.*)?")

_NULLS = frozenset({"null", "Null", "NULL"})

_DEEPEST = 16

_MOST = 4096
"""Equal values are read once, and are one object, as long as there are few of them."""

_PIECE = 1 << 16
"""So many characters are parted into lines at once: all lines of a large file take twice its memory."""


class _GiveUp(Exception):  # noqa: N818  no error: another reader takes over
    """This is not plain, or not right."""


_Place: TypeAlias = "tuple[int, int, str | None]"
"""How a line begins: its indentation, where the content of an item of a list begins, else -1, and its key."""

_Value: TypeAlias = "tuple[object, tuple[int, ...]]"
"""With its nodes: where they begin and, shifted, how many there are before the end of each."""

_BELOW = object()
"""The value stands in the lines below."""

_AT_ONCE = (0,)


def read_plain(text: str) -> tuple[dict[str, object], Positions] | None:
    """The data, and where it stands; None for a text that is not plain throughout."""
    if "\t" in text or "\r" in text or not (text.isascii() or _OTHER_BREAKS.search(text) is None):
        return None
    positions = Positions()
    try:
        data = _Reader(positions).read(text)
    except (_GiveUp, BadNumber):
        return None
    return (data, positions) if isinstance(data, dict) else None


class _Reader:
    """Knows the mapping or list that the next line most likely belongs to, and those around it."""

    __slots__ = (
        "_below",
        "_data",
        "_indent",
        "_is_list",
        "_node",
        "_nodes",
        "_outer",
        "_places",
        "_positions",
        "_values",
    )

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self._nodes = positions.nodes
        self._places: dict[str, _Place] = {}
        self._values: dict[str, _Value] = {}
        self._outer: list[tuple[int, bool, Any, int]] = []
        self._indent = -1
        self._is_list = False
        self._data: Any = {}
        self._node = 0
        self._below: str | int | None = ""  # what in the data gets the value that stands below

    def read(self, text: str) -> object:
        root, nodes, note = self._data, self._nodes, self._nodes.append
        places, values = self._places, self._values
        end = 0
        for line in _lines(text):
            begin, end = end, end + len(line) + 1
            head, colon, written = line.partition(": ")
            place = places.get(head) if colon else None
            if place is None:
                head, written, place = self._split(line, head, colon, written)
            at, column, key = place
            if at < 0:
                continue
            is_item = column >= 0
            if at != self._indent or is_item is not self._is_list or self._below is not None:
                self._move(at, is_item=is_item, begin=begin + at)
            value, starts = values.get(written) or self._value(written)
            if key is None:
                self._data.append(value)
            else:
                if is_item:
                    at = column
                    self._data.append({})
                    self._enter(at, self._data[-1], begin + at)
                elif key in self._data:
                    raise _GiveUp
                note(begin + at)
                self._data[key] = value
            if value is _BELOW:
                self._below = -1 if key is None else key
            begin = end - 1 - len(written)
            if starts is _AT_ONCE:
                note(begin)
            else:
                nodes.extend(_moved(starts, begin, len(nodes)))
        self._move(-1)
        return root[""]

    def _move(self, at: int, *, is_item: bool = False, begin: int = 0) -> None:
        """To the block that a line belongs to: one that begins here, or one that goes on behind those that end."""
        below, self._below = self._below, None
        if below is not None:
            # A list in a mapping may stand as far to the left as its key.
            is_deeper = at > self._indent or (at == self._indent and is_item and not self._is_list)
            if not is_deeper or len(self._outer) > _DEEPEST:
                raise _GiveUp
            self._data[below] = [] if is_item else {}
            self._enter(at, self._data[below], begin)
        while at < self._indent or (at == self._indent and self._is_list and not is_item):
            self._positions.close(self._node)
            self._indent, self._is_list, self._data, self._node = self._outer.pop()
        if at != self._indent or is_item is not self._is_list:
            raise _GiveUp

    def _enter(self, indent: int, data: Any, begin: int) -> None:  # noqa: ANN401  a mapping or a list
        self._outer.append((self._indent, self._is_list, self._data, self._node))
        self._indent, self._is_list, self._data, self._node = indent, type(data) is list, data, len(self._nodes)
        self._nodes.append(begin)

    def _split(self, line: str, head: str, colon: str, written: str) -> tuple[str, str, _Place]:
        """A line's head, what is written behind it, and what the head says."""
        if not colon and line[-1:] == ":":
            head, colon = line[:-1], ":"
        match = _HEAD.fullmatch(head) if colon else None
        if match is not None and match[3] not in _NULLS:
            place: _Place = len(match[1]), match.start(3) if match[2] else -1, intern(match[3])
            if len(self._places) < _MOST:
                self._places[head] = place
            return head, written, place
        if _NOTHING.fullmatch(line):
            return head, "", (-1, -1, None)
        match = _DASH.match(line)
        if match is None:
            raise _GiveUp
        return head, line[match.end() :], (line.index("-"), match.end(), None)

    def _value(self, written: str) -> _Value:
        match = _VALUE.fullmatch(written)
        if match is None:
            raise _GiveUp
        plain, quoted, flow = match.groups()
        value: _Value = _BELOW, ()
        if plain is not None:
            begin = match.start(1)
            value = _scalar(plain), (begin,) if begin else _AT_ONCE
        elif quoted is not None:
            value = quoted[1:-1], (match.start(2),)
        elif flow is not None:
            nodes: list[int] = []
            data, end = _flow(written, match.start(3), nodes)
            if not _REST.fullmatch(written, end):
                raise _GiveUp
            value = data, tuple(nodes)
        if len(self._values) < _MOST:
            self._values[written] = value
        return value


def _lines(text: str) -> Iterator[str]:
    begin = 0
    while begin <= len(text):
        end = text.find("\n", begin + _PIECE)
        end = len(text) if end < 0 else end
        yield from text[begin:end].split("\n")
        begin = end + 1


def _moved(starts: tuple[int, ...], begin: int, node: int) -> list[int]:
    """Nodes of a value that begins here."""
    both = begin + (node << BITS)
    return [start + (both if start >> BITS else begin) for start in starts]


def _scalar(written: str) -> object:
    text = written.rstrip(" ")
    return resolve(text) if text[0] in FIRST else text


def _flow(written: str, begin: int, nodes: list[int], depth: int = 0) -> tuple[object, int]:
    """The list or mapping that begins at a bracket, and where it ends."""
    data: Any = [] if written[begin] == "[" else {}
    node = len(nodes)
    nodes.append(begin)
    at, after = begin + 1, ","
    while after == ",":
        match = _ITEM.match(written, at)
        if match is None:
            match, after = None if data else _EMPTY.match(written, begin), ""
        if match is None or depth > _DEEPEST:
            raise _GiveUp
        at = match.end()
        if after:
            after, at = _item(data, match, nodes, depth + 1)
    if after == ("}" if type(data) is list else "]"):
        raise _GiveUp
    nodes[node] |= len(nodes) << BITS
    return data, at


def _item(data: Any, match: re.Match[str], nodes: list[int], depth: int) -> tuple[str, int]:  # noqa: ANN401
    """Adds an item or a pair. What follows it, and where that ends."""
    key, quoted, plain, after = match.groups()
    at = match.end()
    if key is not None:
        nodes.append(match.start(1))
    if after is None:
        value, at = _flow(match.string, at, nodes, depth)
        following = _AFTER.match(match.string, at)
        if following is None:
            raise _GiveUp
        after, at = following[1], following.end()
    else:
        value = _scalar(plain) if quoted is None else quoted[1:-1]
        nodes.append(match.start(3 if quoted is None else 2))
    if key is None and type(data) is list:
        data.append(value)
    elif key is None or type(data) is list or key in data or key in _NULLS:
        raise _GiveUp
    else:
        data[intern(key)] = value
    return after, at
