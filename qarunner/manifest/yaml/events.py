"""YAML by the events of its parser: all of the language that a manifest can have, and every problem of a text."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import yaml
from msgspec.structs import replace

from qarunner.diagnostics import Diagnostic, choose, in_order
from qarunner.errors import ManifestError
from qarunner.manifest import codes
from qarunner.manifest.yaml import messages as syntax
from qarunner.manifest.yaml.messages import SyntaxMessage
from qarunner.manifest.yaml.nodes import FIRST, BadNumber, Positions, Scalar, is_null, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qarunner.manifest.yaml.source import Source

# --- the problems that a reader collects on its way through a text ----------------------------------------------------

MOST = 200
"""With so many problems the file is something else than a manifest; the rest is not looked for."""


class Stop(Exception):  # noqa: N818  not an error of its own: its problem is already written down
    """Nothing behind this problem can be read."""


class Problems:
    def __init__(self, source: Source) -> None:
        self.problems: list[Diagnostic] = []
        self._source = source

    def add(self, offset: int, message: str, code: str, hint: str | None = None) -> None:
        self._keep(self._source.problem(offset, message, code=code, hint=hint))

    def stop(self, offset: int, message: str, code: str, hint: str | None = None) -> Stop:
        """To be raised."""
        self.problems.append(self._source.problem(offset, message, code=code, hint=hint))
        return Stop()

    def duplicate(self, offset: int, key: str, first: int) -> None:
        """A key that stands at an earlier offset already."""
        hint = "merge several with <<: [*one, *two]" if key == "<<" else "remove one of the two, or rename it"
        diagnostic = self._source.problem(offset, f"duplicate key {key!r}", code=codes.DUPLICATE_KEY, hint=hint)
        self._keep(replace(diagnostic, related=((self._source.place(first), f"{key!r} stands here first"),)))

    def bad_key(self, offset: int, what: str) -> None:
        """Something that cannot be a key; most often a template without quotes."""
        if what == "a mapping" and self._source.text[offset - 1 : offset + 1] == "{{":
            self._keep(syntax.unquoted_template(self._source, offset - 1))
            return
        self.add(offset, f"{what} cannot be a key", codes.BAD_KEY, "keys are text; text with brackets needs quotes")

    def bad_tag(self, offset: int, tag: str) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        hint = "remove it; text that begins with '!' needs quotes"
        self.add(offset, f"the tag {shown} is not supported", codes.TAG, hint)

    def syntax_error(self, complaint: syntax.SyntaxMessage) -> None:
        """What the parser stopped at, unless a template without quotes in the same line is its cause."""
        diagnostic = syntax.explain(self._source, complaint)
        causes = {problem.place.line for problem in self.problems if problem.code == codes.UNQUOTED_TEMPLATE}
        if diagnostic.place.line not in causes:
            self.problems.append(diagnostic)

    def _keep(self, diagnostic: Diagnostic) -> None:
        """Of several problems at one place the first is the cause, such as an alias of nothing that is then merged."""
        if any(problem.place == diagnostic.place for problem in self.problems):
            return
        self.problems.append(diagnostic)
        if len(self.problems) >= MOST:
            raise Stop


# --- anchors and aliases, with bounds on what aliases may expand to ---------------------------------------------------

DEEPEST = 64

_FREE = 100_000

_RATIO = 10
"""Aliases may stand for ten times as many nodes as are written before them, and for 100,000 in any case."""


class Anchored(NamedTuple):
    """A node that aliases stand for. `size` and `height` count its nodes and levels, with aliases inside expanded."""

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

    def __init__(self, findings: Problems) -> None:
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
        anchored = self._known.get(name)
        if anchored is None:
            self._unknown(name, offset)
            return None
        self._aliased += anchored.size
        if self._aliased > max(_FREE, _RATIO * node):
            message = "aliases stand for far more than is written in this file"
            raise self._findings.stop(offset, message, codes.TOO_MUCH_ALIASING)
        self.enter(depth + anchored.height, offset)
        return anchored

    def _unknown(self, name: str, offset: int) -> None:
        if name in self._known:
            message = f"the alias *{name} stands inside of what it stands for"
            self._findings.add(offset, message, codes.ALIAS)
            return
        hint = choose(name, tuple(self._known)) if self._known else "text that begins with '*' needs quotes"
        self._findings.add(offset, f"no anchor &{name} stands before this alias", codes.ALIAS, hint)


_STR = "tag:yaml.org,2002:str"

_ODD_KEYS = frozenset({"<<", "", "~", "null", "Null", "NULL"})

_MOST_WORDS = 4096
"""Equal texts are one object as long as there are few of them: most that repeat in a file stand in its first entries,
and ids and URLs do not repeat.
"""

_Event: TypeAlias = Any  # the stubs call every mark optional; in what a parser delivers each is there


def read_events(source: Source, start: str) -> tuple[dict[str, object], Positions]:
    """The data, and where it stands. ManifestError has every problem that was found."""
    findings = Problems(source)
    positions = Positions()
    data = _Reader(source.text, positions, findings, start).read()
    if findings.problems or data is None:
        raise ManifestError(in_order(findings.problems))
    return data, positions


class _Open(NamedTuple):
    """A mapping that is being read: its data, the nodes of its keys in the same order, and what `<<` brings."""

    data: dict[str, object]
    keys: list[int]
    merges: list[tuple[int, object]]


class _Reader:
    """One pass over the parser's events. Problems are collected; only what makes going on senseless stops it."""

    def __init__(self, text: str, positions: Positions, findings: Problems, start: str) -> None:
        self._start = start
        self._next = _events(text)
        self._positions = positions
        self._nodes = positions.nodes
        self._findings = findings
        self._anchors = Anchors(findings)
        self._words: dict[str, str] = {}
        self._shared: Callable[[str, str], str] = self._words.setdefault

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
            raise self._findings.stop(0, "the file is empty", codes.EMPTY, self._start)
        top = self._next()
        data = self._node(top, 0)
        if data is None:
            raise self._findings.stop(0, "the file is empty", codes.EMPTY, self._start)
        if isinstance(data, str) and data.startswith("<<<<<<< "):
            self._findings.syntax_error(SyntaxMessage("a text", _at(top)))
            raise Stop
        if not isinstance(data, dict):
            kind = "a list" if isinstance(data, list) else "a single value"
            message = f"the top level is {kind}, not a mapping"
            raise self._findings.stop(_at(top), message, codes.NOT_A_MAPPING, self._start)
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
        anchored = self._anchors.follow(event.anchor, node, depth, _at(event))
        if anchored is None:
            return None
        self._positions.alias(node, anchored.node)
        return anchored.value

    def _scalar(self, event: _Event) -> Scalar:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text and text[0] not in FIRST:
            return self._shared(text, text)
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
        if len(self._words) > _MOST_WORDS:
            self._shared = self._words.get
        return items

    def _mapping(self, start: _Event, depth: int) -> dict[str, object]:
        # Most of a manifest is read by this loop: it does the ordinary case itself and leaves the rest to _odd_pair.
        nodes, following, scalar, end = self._nodes, self._next, yaml.ScalarEvent, yaml.MappingEndEvent
        shared = self._shared
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
            kind = type(event)
            if kind is scalar and event.anchor is None and event.tag is None:
                nodes.append(event.start_mark.index)
                text: str = event.value
                value: object = text
                if not text or text[0] in FIRST:
                    value = self._scalar(event)
                elif event.implicit[0]:
                    value = shared(text, text)
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


def _complaint(error: yaml.YAMLError) -> SyntaxMessage:
    if not isinstance(error, yaml.MarkedYAMLError):
        return SyntaxMessage(str(error), 0)
    context, mark, context_mark = error.context or "", error.problem_mark, error.context_mark
    offset = mark.index if mark else 0
    return SyntaxMessage(error.problem or "", offset, context, context_mark.index if context_mark else None)
