"""YAML text → plain data, and the place of every part of it.

Scalars follow the core schema of YAML 1.2, keys are always strings, and depth, size and alias expansion are bounded.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import yaml

from qarunner.diagnostics import in_order
from qarunner.errors import ManifestError
from qarunner.manifest import fault_codes as codes
from qarunner.manifest.anchors import Anchors
from qarunner.manifest.findings import Findings, Stop
from qarunner.manifest.positions import Positions
from qarunner.manifest.scalars import FIRST, BadNumber, is_null, resolve
from qarunner.manifest.source import decode
from qarunner.manifest.syntax import Complaint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qarunner.diagnostics import Path, Place
    from qarunner.manifest.scalars import Scalar
    from qarunner.manifest.source import Source

_STR = "tag:yaml.org,2002:str"
_ODD_KEYS = frozenset({"<<", "", "~", "null", "Null", "NULL"})
_START = "start with: version: 1"

_Event: TypeAlias = Any  # the stubs call every mark optional; in what a parser delivers none is missing


class Document:
    """A manifest's data, and where each part of it stands."""

    __slots__ = ("_positions", "_source", "data", "name")

    def __init__(self, source: Source, data: dict[str, object], positions: Positions) -> None:
        self.name = source.name
        self.data = data
        self._source = source
        self._positions = positions

    def locate(self, path: Path, *, key: bool = False) -> Place:
        """The place of the value at `path` (or of its key); of the nearest ancestor if it does not exist."""
        return self._source.place(self._positions.find(self.data, path, key=key))

    def source_line(self, place: Place) -> str | None:
        """The text of a place's line; None if there is none, or if it is too long to be shown."""
        return self._source.line(place.line)


def read(name: str, text: bytes | str) -> Document:
    """Reads one YAML document, a mapping. ManifestError has every problem that was found.

    What aliases share is shared in the data too: nobody may change it in place.
    """
    source = decode(name, text)
    findings = Findings(source)
    positions = Positions()
    with _collector_paused():
        data = _Reader(source.text, positions, findings).read()
    if findings.problems or data is None:
        raise ManifestError(in_order(findings.problems))
    return Document(source, data, positions)


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


class _Open(NamedTuple):
    """A mapping that is being read: its data, the nodes of its keys in the same order, and what `<<` brings."""

    data: dict[str, object]
    keys: list[int]
    merges: list[tuple[int, object]]


class _Reader:
    """One pass over the parser's events. Problems are collected; only what makes going on senseless stops it."""

    def __init__(self, text: str, positions: Positions, findings: Findings) -> None:
        self._next = _events(text)
        self._positions = positions
        self._nodes = positions.nodes
        self._findings = findings
        self._anchors = Anchors(findings)

    def read(self) -> dict[str, object] | None:
        """The document's data; None if nothing was left to be read."""
        try:
            return self._document()
        except Stop:
            return None
        except yaml.YAMLError as error:
            self._findings.syntax_error(_complaint(error))
            return None

    def _document(self) -> dict[str, object]:
        self._next()  # the stream's start
        if type(self._next()) is yaml.StreamEndEvent:
            raise self._findings.stop(0, "the file is empty", codes.EMPTY, _START)
        top = self._next()
        data = self._node(top, 0)
        if data is None:
            raise self._findings.stop(0, "the file is empty", codes.EMPTY, _START)
        if not isinstance(data, dict):
            found = "a list" if isinstance(data, list) else "a single value"
            message = f"the top level is {found}, not a mapping"
            raise self._findings.stop(_at(top), message, codes.NOT_A_MAPPING, _START)
        self._next()  # the document's end
        following = self._next()
        if type(following) is yaml.DocumentStartEvent:
            hint = "a manifest is one document: remove the line `---`, or split the file"
            message = "a second document begins here"
            raise self._findings.stop(_at(following), message, codes.SECOND_DOCUMENT, hint)
        return data

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _node(self, event: _Event, depth: int) -> object:
        """Any value. `depth` counts the lists and mappings around it."""
        if type(event) is yaml.AliasEvent:
            return self._alias(event, depth)
        if event.tag is not None and not (type(event) is yaml.ScalarEvent and event.tag == _STR):
            self._findings.bad_tag(_at(event), event.tag)
        if event.anchor is None:
            return self._content(event, depth)
        mark = self._anchors.open(event.anchor, len(self._nodes), depth)
        value = self._content(event, depth)
        self._anchors.close(mark, value, len(self._nodes))
        return value

    def _content(self, event: _Event, depth: int) -> object:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._nodes.append(_at(event))
            return self._scalar(event)
        self._anchors.enter(depth + 1, _at(event))
        return self._mapping(event, depth + 1) if kind is yaml.MappingStartEvent else self._list(event, depth + 1)

    def _alias(self, event: _Event, depth: int) -> object:
        node = len(self._nodes)
        self._nodes.append(_at(event))
        found = self._anchors.follow(event.anchor, node, depth, _at(event))
        if found is None:
            return None
        self._positions.alias(node, found.node)
        return found.value

    def _scalar(self, event: _Event) -> Scalar:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text and text[0] not in FIRST:
            return intern(text)
        try:
            return resolve(text)
        except BadNumber as bad:
            self._findings.add(_at(event), str(bad), codes.BAD_NUMBER, "quote it if it is text")
            return None

    def _list(self, start: _Event, depth: int) -> list[object]:
        nodes, following, scalar, end = self._nodes, self._next, yaml.ScalarEvent, yaml.SequenceEndEvent
        node = len(nodes)
        nodes.append(_at(start))
        items: list[object] = []
        while True:
            event = following()
            kind = type(event)
            if kind is end:
                break
            if kind is scalar and event.anchor is None and event.tag is None:
                nodes.append(event.start_mark.index)
                items.append(self._scalar(event))
            else:
                items.append(self._node(event, depth))
        self._positions.close(node)
        return items

    def _mapping(self, start: _Event, depth: int) -> dict[str, object]:
        # Most of a manifest is read by this loop: it does the ordinary case itself and leaves the rest to _odd_pair.
        nodes, following, scalar, end = self._nodes, self._next, yaml.ScalarEvent, yaml.MappingEndEvent
        node = len(nodes)
        nodes.append(_at(start))
        data: dict[str, object] = {}
        keys: list[int] = []
        mapping = _Open(data, keys, [])
        while True:
            event = following()
            kind = type(event)
            if kind is end:
                break
            if kind is not scalar or event.value in _ODD_KEYS or event.anchor is not None or event.tag is not None:
                self._odd_pair(mapping, event, depth)
                continue
            key, key_node = event.value, len(nodes)
            nodes.append(event.start_mark.index)
            event = following()
            if type(event) is scalar and event.anchor is None and event.tag is None:
                nodes.append(_at(event))
                value: object = self._scalar(event)
            else:
                value = self._node(event, depth)
            if key in data:
                self._duplicate(mapping, key, key_node)
            else:
                data[intern(key)] = value
                keys.append(key_node)
        self._positions.close(node)
        if mapping.merges:
            self._merge(node, mapping)
        return data

    # --- what is rare in mappings -------------------------------------------------------------------------------------

    def _odd_pair(self, mapping: _Open, event: _Event, depth: int) -> None:
        """A pair whose key is `<<`, anchored, tagged, or no key at all."""
        merge = type(event) is yaml.ScalarEvent and event.value == "<<" and event.implicit[0]
        key_node = len(self._nodes)
        key = self._odd_key(event, depth)
        value_node = len(self._nodes)
        value = self._node(self._next(), depth)
        if merge:
            self._note_merge(mapping, _at(event), (value_node, value))
        elif key in mapping.data:
            self._duplicate(mapping, key, key_node)
        elif key is not None:
            mapping.data[key] = value
            mapping.keys.append(key_node)

    def _odd_key(self, event: _Event, depth: int) -> str | None:
        """The key's text; None, and a problem, if it cannot be a key."""
        if type(event) is yaml.ScalarEvent:
            self._node(event, depth)
            if not (event.implicit[0] and is_null(event.value)):
                return str(event.value)
            hint = "a key that is really called null needs quotes"
            self._findings.add(_at(event), "a key is missing or null", codes.BAD_KEY, hint)
            return None
        what = {yaml.AliasEvent: "an alias", yaml.MappingStartEvent: "a mapping"}.get(type(event), "a list")
        self._findings.bad_key(_at(event), what)
        self._node(event, depth)
        return None

    def _duplicate(self, mapping: _Open, key: str, key_node: int) -> None:
        first = mapping.keys[list(mapping.data).index(key)]
        self._findings.duplicate(self._positions.offset(key_node), key, self._positions.offset(first))

    def _note_merge(self, mapping: _Open, offset: int, merge: tuple[int, object]) -> None:
        if mapping.merges:
            self._findings.duplicate(offset, "<<", self._positions.offset(mapping.merges[0][0] - 1))
        else:
            mapping.merges.append(merge)

    def _merge(self, node: int, mapping: _Open) -> None:
        """Takes over what `<<` brings: keys that are written out win, then the earlier of several mappings."""
        for source, value in self._merged(*mapping.merges[0]):
            if not isinstance(value, dict):
                hint = "write <<: *name, or <<: [*one, *two]"
                self._findings.add(self._positions.offset(source), "`<<` merges mappings only", codes.MERGE, hint)
                continue
            keys = self._positions.keys(self._positions.target(source), len(value))
            for (key, brought), key_node in zip(value.items(), keys, strict=True):
                if key not in mapping.data:
                    mapping.data[key] = brought
                    mapping.keys.append(key_node)
        self._positions.order(node, mapping.keys)

    def _merged(self, node: int, value: object) -> Iterator[tuple[int, object]]:
        """The one mapping, or those of a list, each with its node."""
        if isinstance(value, list):
            items = self._positions.items(self._positions.target(node), len(value))
            yield from zip(items, value, strict=True)
        else:
            yield node, value


def _at(event: _Event) -> int:
    """Where a node begins: the offset of its first character."""
    offset: int = event.start_mark.index
    return offset


def _events(text: str) -> Callable[[], _Event]:
    """The parser: libyaml where PyYAML was built with it, else PyYAML's own."""
    if yaml.__with_libyaml__:
        return yaml.CLoader(text).get_event
    loader: Any = yaml.SafeLoader(text)

    def checked() -> _Event:
        # Unlike libyaml it lets an escape stand for half a character, which cannot be written anywhere again.
        event: _Event = loader.get_event()
        if type(event) is yaml.ScalarEvent and any("\ud800" <= character <= "\udfff" for character in event.value):
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem="invalid Unicode character", problem_mark=mark)
        return event

    return checked


def _complaint(error: yaml.YAMLError) -> Complaint:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Complaint(str(error), 0)
    context, mark, context_mark = error.context or "", error.problem_mark, error.context_mark
    offset = mark.index if mark else 0
    return Complaint(error.problem or "", offset, context, context_mark.index if context_mark else None)
