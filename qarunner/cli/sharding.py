"""One shard of the chosen rows: the part of them that this job runs, and what the gate asks of a part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.manifest.shards import fingerprint, split, weights
from qarunner.plan.budget import tests_of
from qarunner.plan.model import Sharding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qarunner.entry import Entry
    from qarunner.manifest.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The ids of a shard's rows, how it is written down, and what people should know of it."""

    rows: frozenset[str]
    sharding: Sharding
    remarks: tuple[str, ...] = ()


def part_of(shard: Shard, entries: Sequence[Entry], min_tests: int, seconds: Mapping[str, float]) -> Part:
    """`entries` are those of all shards; `seconds` what each is known to take, the same in every job."""
    tests = {entry.id: tests_of(entry) for entry in entries}
    found = split(weights(tests, seconds), {entry.id: entry.needs for entry in entries}, shard.count)
    rows = frozenset(row for row, number in found.items() if number == shard.index)
    least = _min_tests(rows, entries, min_tests)
    sharding = Sharding(shard=str(shard), count=shard.count, partition=fingerprint(found), min_tests=least)
    return Part(rows=rows, sharding=sharding, remarks=_remarks(shard, rows, len(entries), min_tests))


def _min_tests(rows: frozenset[str], entries: Sequence[Entry], min_tests: int) -> int:
    """What a shard alone has to finish: one test, where anything in it gates. The whole is asked of all together."""
    gating = [entry.id for entry in entries if entry.policy.gating]
    if not gating:
        return min_tests  # no other shard makes up for it
    return min(min_tests, 1) if any(row in rows for row in gating) else 0


def _remarks(shard: Shard, rows: frozenset[str], number: int, min_tests: int) -> tuple[str, ...]:
    if not rows:
        return (f"shard {shard} is empty: {number} chosen entries in {shard.count} shards",)
    if min_tests > 1:
        whole = f"gate.min_tests of {min_tests} is for all {shard.count} shards together"
        return (f"{whole}: here one test has to finish, `qarunner report --merge` asks for the rest",)
    return ()
