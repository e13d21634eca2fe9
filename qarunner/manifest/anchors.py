"""Anchors and aliases, with bounds on what aliases may expand to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qarunner.diagnostics import choose
from qarunner.manifest import fault_codes as codes

if TYPE_CHECKING:
    from qarunner.manifest.findings import Findings

DEEPEST = 64
_FREE = 100_000
_RATIO = 10
"""Aliases may stand for ten times as many nodes as are written before them, and for 100,000 in any case."""


class Anchored(NamedTuple):
    """A node that aliases stand for. `size` and `height` count its nodes and levels, with its own aliases expanded."""

    value: object
    node: int
    size: int
    height: int


class Mark(NamedTuple):
    """An anchor whose node is still being read, and what was counted before it."""

    name: str
    node: int
    depth: int
    aliased: int
    deepest: int


class Anchors:
    """Counts how deep the data is and how much aliases add to it, as everybody who walks it later will see it."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._known: dict[str, Anchored | None] = {}  # None while the anchored node is still open
        self._aliased = 0  # nodes that aliases stand for
        self._deepest = 0  # level reached since the innermost open anchor

    def enter(self, depth: int, offset: int) -> None:
        """A list or mapping at a level begins."""
        if depth > self._deepest:
            self._deepest = depth
            if depth > DEEPEST:
                message = f"lists and mappings are nested more than {DEEPEST} deep"
                raise self._findings.stop(offset, message, codes.TOO_DEEP)

    def open(self, name: str, node: int, depth: int) -> Mark:
        mark = Mark(name, node, depth, self._aliased, self._deepest)
        self._known[name] = None
        self._deepest = depth
        return mark

    def close(self, mark: Mark, value: object, written: int) -> None:
        """The anchored node is complete, when `written` nodes were in all."""
        size = written - mark.node + self._aliased - mark.aliased
        self._known[mark.name] = Anchored(value, mark.node, size, self._deepest - mark.depth)
        self._deepest = max(mark.deepest, self._deepest)

    def follow(self, name: str, node: int, depth: int, offset: int) -> Anchored | None:
        """What an alias at a node stands for; None, and a problem, if that is nothing or itself."""
        found = self._known.get(name)
        if found is None:
            self._unknown(name, offset)
            return None
        self._aliased += found.size
        if self._aliased > max(_FREE, _RATIO * node):
            message = "aliases stand for far more than is written in this file"
            raise self._findings.stop(offset, message, codes.TOO_MUCH_ALIASING)
        self.enter(depth + found.height, offset)
        return found

    def _unknown(self, name: str, offset: int) -> None:
        if name in self._known:
            message = f"the alias *{name} stands inside of what it stands for"
            self._findings.add(offset, message, codes.ALIAS)
            return
        hint = choose(name, tuple(self._known)) if self._known else "text that begins with '*' needs quotes"
        self._findings.add(offset, f"no anchor &{name} stands before this alias", codes.ALIAS, hint)
