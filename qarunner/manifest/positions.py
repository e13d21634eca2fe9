"""Where each node of a document was written, in eight bytes a node; paths are looked up only when one is asked for.

Nodes are numbered as they are written: a mapping, then its first key, then that key's value, and so on. For each there
is the offset of its first character and, for lists and mappings, the number of the node after its last one.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qarunner.diagnostics import Path

_BITS = 32
_OFFSET = (1 << _BITS) - 1


class _Spot(NamedTuple):
    """A node with its data. `key` is the node of its key in a mapping, else the node itself."""

    node: int
    key: int
    value: object


class Positions:
    """Filled by the reader as it goes, in document order."""

    __slots__ = ("_aliases", "_items", "_keys", "nodes")

    def __init__(self) -> None:
        self.nodes: array[int] = array("Q")  # the reader appends the offset of each node
        self._aliases: dict[int, int] = {}
        self._keys: dict[int, Sequence[int]] = {}
        self._items: dict[int, Sequence[int]] = {}

    def close(self, node: int) -> None:
        """The list or mapping ends here."""
        self.nodes[node] |= len(self.nodes) << _BITS

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
        """The offset of the value at a path of the data, or of its key; of the nearest ancestor if there is none."""
        spot = _Spot(0, 0, data)
        for step in path:
            child = self._child(spot, step)
            if child is None:
                return self.offset(spot.node)
            spot = child
        return self.offset(spot.key if key else spot.node)

    def _child(self, parent: _Spot, step: str | int) -> _Spot | None:
        node = self.target(parent.node)
        match parent.value:
            case dict() as mapping if step in mapping:
                key = self.keys(node, len(mapping))[_index(mapping, step)]
                return _Spot(key + 1, key, mapping[step])
            case list() as items if isinstance(step, int) and 0 <= step < len(items):
                item = self.items(node, len(items))[step]
                return _Spot(item, item, items[step])
            case _:
                return None

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
        return self.nodes[node] >> _BITS or node + 1


def _index(keys: Iterable[object], wanted: object) -> int:
    return next(index for index, key in enumerate(keys) if key == wanted)
