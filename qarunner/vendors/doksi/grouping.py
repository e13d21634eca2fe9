"""Which entries can share one Doksi run: entries whose results differ in test id, platform or URL.

That is the test's id, the platform and, for the web, the address (docs.doksi.ai/api-reference/getRun). Neither the
account nor, assumed, the Android build comes back.
"""

from __future__ import annotations

import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from msgspec import Struct, field

from qarunner.entry import Entry, Platform, SelectionKind
from qarunner.secret import CLOSE, OPEN, without_encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Destination(NamedTuple):
    """Where an entry's tests run, as far as a result tells; `address` is None but for the web."""

    platform: str
    address: str | None

    @property
    def secret(self) -> bool:
        return self.address is not None and OPEN in self.address


def destination(entry: Entry) -> Destination:
    platform = entry.platform.value if entry.platform else ""
    if entry.platform is not Platform.WEB or entry.target is None:
        return Destination(platform, None)
    return Destination(platform, address(entry.target.value))


@lru_cache(maxsize=4096)
def address(url: str) -> str:
    """A web address so that two which a browser or a vendor might write alike are equal; coarse on purpose."""
    text = without_encoding(url).strip()
    try:
        parts = urlsplit(text)
    except ValueError:  # such as an IPv6 address that never ends
        return text
    host = parts.netloc.rpartition("@")[2].lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, ""))
    path = posixpath.normpath("/" + unquote(parts.path).replace("\\", "/").lstrip("/"))
    query = f"?{unquote(parts.query)}" if parts.query else ""
    return f"{parts.scheme}://{_ascii(host.rstrip('.:'))}{path.rstrip('/')}{query}"


def _ascii(host: str) -> str:
    """A host with its umlauts as DNS has them."""
    try:
        return host if host.isascii() or OPEN in host else host.encode("idna").decode()
    except UnicodeError:
        return host


def alike(one: str, other: str) -> bool:
    """Whether two addresses may be the same: a secret in one of them may stand for any text."""
    if one == other:
        return True
    if OPEN not in one and OPEN not in other:
        return False
    start, start_other = one.partition(OPEN)[0], other.partition(OPEN)[0]
    if not (start.startswith(start_other) or start_other.startswith(start)):
        return False
    end, end_other = one.rpartition(CLOSE)[2], other.rpartition(CLOSE)[2]
    return end.endswith(end_other) or end_other.endswith(end)


def asked(entry: Entry) -> frozenset[str] | None:
    """The tests that an entry names; None for a category, whose tests nobody knows beforehand."""
    if entry.selection is None or entry.selection.kind is not SelectionKind.TEST_IDS:
        return None
    return frozenset(map(without_encoding, entry.selection.ids))


def group(entries: Sequence[Entry]) -> Iterable[tuple[Entry, ...]]:
    """Each entry joins the first run where its results cannot be taken for another's; runs in order of their first."""
    runs: list[_Run] = []
    full: dict[tuple[Destination, frozenset[str] | None], int] = {}  # so many runs have no room for the like of it
    for entry in entries:
        place, tests = destination(entry), asked(entry)
        index = full.get((place, tests), 0)
        while index < len(runs) and not runs[index].admits(place, tests):
            index += 1
        if index == len(runs):
            runs.append(_Run())
        runs[index].add(entry, place, tests)
        full[place, tests] = index + 1
    return [tuple(run.entries) for run in runs]


_MOST_SECRETS = 32
"""Addresses with secrets are compared one by one: more of them in a run would cost a large matrix quadratic time."""


class _Run(Struct):
    """The entries of a run, and what is taken at each destination: some tests, or all (None)."""

    entries: list[Entry] = field(default_factory=list)
    taken: dict[Destination, set[str] | None] = field(default_factory=dict)
    secrets: list[Destination] = field(default_factory=list)

    def admits(self, place: Destination, tests: frozenset[str] | None) -> bool:
        if place.secret and place not in self.taken and len(self.secrets) >= _MOST_SECRETS:
            return False
        return all(_apart(self.taken[near], tests) for near in self._near(place))

    def _near(self, place: Destination) -> Iterable[Destination]:
        """The destinations so far which a result may not tell from this one."""
        if place.address is None or not (place.secret or self.secrets):
            return (place,) if place in self.taken else ()
        known = self.taken if place.secret else (place, *self.secrets)
        return [near for near in known if near in self.taken and near.address and alike(near.address, place.address)]

    def add(self, entry: Entry, place: Destination, tests: frozenset[str] | None) -> None:
        if place.secret and place not in self.taken:
            self.secrets.append(place)
        self.entries.append(entry)
        taken = self.taken.setdefault(place, set())
        if tests is None or taken is None:
            self.taken[place] = None
        else:
            taken.update(tests)


def _apart(taken: set[str] | None, tests: frozenset[str] | None) -> bool:
    return taken is not None and tests is not None and taken.isdisjoint(tests)
