"""How long this plan's runs are expected to take: from earlier applies, and from what has ended in this one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from qarunner.engine.expectation import MIXED_SPREAD, SPREAD, UNKNOWN, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qarunner.engine.expectation import Expected
    from qarunner.engine.state import JobState
    from qarunner.entry import Entry
    from qarunner.plan.model import Plan

Durations: TypeAlias = Mapping[str, Sequence[float]]
"""Seconds that runs took, by what was run: the names are those of `names_of`."""
ENOUGH = 3
"""So many runs of other tests at the same vendor say more than nothing does."""


def names_of(entry: Entry) -> tuple[str, str]:
    """What an entry's durations are known under: itself, and whatever runs the same tests on the same platform.

    An attempt at the failed tests alone is neither, since it takes less time.
    """
    selection = entry.selection
    tests = [] if selection is None else [str(selection.kind), *sorted(selection.ids)]
    same = [entry.vendor, entry.platform, *tests]
    return json.dumps([entry.id, *same]), json.dumps(same)


class Habits:
    """Learns while an apply runs. `took` is what it has learnt, for the next one."""

    def __init__(self, plan: Plan, earlier: Durations) -> None:
        self._names: dict[str, list[tuple[str, str]]] = {}
        self._tallies: dict[str, Tally] = {}
        self._vendors: dict[str, Tally] = {name: Tally() for name in plan.vendors}
        self.took: dict[str, list[float]] = {}
        for name, durations in earlier.items():
            self._learn(name, durations)

    def _learn(self, name: str, durations: Iterable[float]) -> None:
        tally = self._tallies.setdefault(name, Tally())
        for seconds in durations:
            tally.add(seconds)

    def expected(self, state: JobState) -> Expected:
        """Of a run for several entries, the slowest of them counts: it ends with its last test."""
        known = [found for names in self._of(state) if (found := self._known(names)) is not None]
        if known:
            return max(known, key=lambda each: each.median_s)
        vendor = self._vendors[state.job.vendor]
        return vendor.expected(MIXED_SPREAD) if vendor.count >= ENOUGH else UNKNOWN

    def _of(self, state: JobState) -> list[tuple[str, str]]:
        names = self._names.get(state.job.id)
        if names is None:
            names = self._names[state.job.id] = [names_of(entry) for entry in state.entries.values()]
        return names

    def _known(self, names: tuple[str, str]) -> Expected | None:
        found = next((self._tallies[name] for name in names if name in self._tallies), None)
        return None if found is None else found.expected(SPREAD)

    def ended(self, state: JobState, *, known_s: float, found_s: float) -> None:
        """A run was going on at the first of these ages, and over at the second."""
        seconds = self.expected(state).took_s(known_s, found_s)
        self._vendors[state.job.vendor].add(seconds)
        for name in dict.fromkeys(name for names in self._of(state) for name in names):
            self._learn(name, [seconds])
            self.took.setdefault(name, []).append(round(seconds, 1))
