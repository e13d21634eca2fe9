"""What a reader of YAML builds: plain data, and the place of every node."""

from __future__ import annotations

import math
from array import array
from sys import intern
from typing import TYPE_CHECKING, TypeAlias

from qarunner.regex import regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qarunner.diagnostics import Path

# --- plain scalars by the core schema of YAML 1.2: `on`, `yes`, `12:30` and `2026-01-01` are strings ------------------

Scalar: TypeAlias = "str | int | float | bool | None"

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

_SPECIAL = regex(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_INTEGER = regex(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")

_FLOAT = regex(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

_BASES = {"0o": 8, "0x": 16}

_LONGEST = 1_000
"""Digits of a number; Python itself stops at 4,300."""

FIRST = frozenset("0123456789+-.~nNtTfF")
"""The characters with which everything but a string begins."""


class BadNumber(ValueError):  # noqa: N818  it says what was found
    """A number that JSON, and so the rest of the program, cannot hold."""


def is_null(text: str) -> bool:
    """Whether a plain scalar means null."""
    return text in _WORDS and _WORDS[text] is None


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. BadNumber for `.nan`, `.inf` and what is too large."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in FIRST:
        return intern(text)
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _SPECIAL.fullmatch(text):
        raise BadNumber(f"{text} is not a number that JSON can hold")
    return text


def _integer(text: str) -> int:
    if len(text) > _LONGEST:
        raise BadNumber(f"a number of {len(text)} digits is too long")
    return int(text[2:], _BASES[text[:2]]) if text[:2] in _BASES else int(text)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadNumber(f"{text[:20]} is larger than any number that JSON can hold")
    return value


# --- where each node of a document was written ------------------------------------------------------------------------
#
# Eight bytes a node; paths are looked up only when one is asked for.
#
# Nodes are numbered as they are written: a mapping, then its first key, then that key's value, and so on. For each
# there is the offset of its first character and, for lists and mappings, the number of the node after its last one.

BITS = 32

_OFFSET = (1 << BITS) - 1


class Positions:
    """Filled by the reader as it goes, in document order."""

    __slots__ = ("_aliases", "_by_name", "_items", "_keys", "nodes")

    def __init__(self) -> None:
        self.nodes: array[int] = array("Q")  # the reader appends the offset of each node
        self._aliases: dict[int, int] = {}
        self._keys: dict[int, Sequence[int]] = {}
        self._items: dict[int, Sequence[int]] = {}
        self._by_name: dict[int, dict[object, int]] = {}

    def close(self, node: int) -> None:
        """The list or mapping ends here."""
        self.nodes[node] |= len(self.nodes) << BITS

    def alias(self, node: int, target: int) -> None:
        """This node is an alias of an earlier one."""
        self._aliases[node] = target

    def order(self, node: int, keys: Sequence[int]) -> None:
        """The key nodes of a mapping whose data has other keys than those written in it, in the data's order."""
        self._keys[node] = keys

    def target(self, node: int) -> int:
        """The node that an alias stands for; every other node stands for itself."""
        return self._aliases.get(node, node)

    def offset(self, node: int) -> int:
        return self.nodes[node] & _OFFSET

    def keys(self, node: int, count: int) -> Sequence[int]:
        """The key nodes of a mapping, in the order of the data's `count` keys."""
        return self._keys[node] if node in self._keys else self._written(node, count)

    def find(self, data: object, path: Path, *, key: bool) -> int:
        """The offset of the value at a path of the data, or of its key; of the nearest ancestor if it is missing."""
        node = key_node = 0
        for step in path:
            target = self.target(node)
            if isinstance(data, dict) and step in data:
                key_node = self._key(target, data, step)
                node, data = key_node + 1, data[step]
            elif isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data):
                node = key_node = self.items(target, len(data))[step]
                data = data[step]
            else:
                return self.offset(node)
        return self.offset(key_node if key else node)

    def _key(self, node: int, mapping: Mapping[str, object], wanted: str | int) -> int:
        """The node of one key. Large mappings are remembered, so that looking up each key of one takes linear time.

        So is the top one: every path leads through it.
        """
        if len(mapping) < _LARGE and node:
            return self.keys(node, len(mapping))[_index(mapping, wanted)]
        if node not in self._by_name:
            self._by_name[node] = dict(zip(mapping, self.keys(node, len(mapping)), strict=True))
        return self._by_name[node][wanted]

    def items(self, node: int, count: int) -> Sequence[int]:
        """Kept, so that looking up each of 100,000 entries takes linear time."""
        if node not in self._items:
            items = array("I")
            item = node + 1
            for _ in range(count):
                items.append(item)
                item = self._after(item)
            self._items[node] = items
        return self._items[node]

    def _written(self, node: int, count: int) -> list[int]:
        keys = []
        key = node + 1
        for _ in range(count):
            keys.append(key)
            key = self._after(key + 1)
        return keys

    def _after(self, node: int) -> int:
        """The node behind a whole subtree."""
        return self.nodes[node] >> BITS or node + 1


_LARGE = 64
"""Smaller mappings are searched through: their number is not bounded, and memory is."""


def _index(keys: Iterable[object], wanted: object) -> int:
    return next(index for index, key in enumerate(keys) if key == wanted)
