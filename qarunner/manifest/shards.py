"""Rows split over CI jobs: each in exactly one, wherever it stands in the file, with those that it needs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qarunner.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORM = re.compile(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`th of `count` parts, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """UserError for what is not I/N with 1 ≤ I ≤ N."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UserError(f"--shard {text}: not of the form I/N", hint="the first of four jobs is --shard 1/4")
    shard = Shard(int(match[1]), int(match[2]))
    if not 1 <= shard.index <= shard.count:
        raise UserError(f"--shard {text}: there are shards 1 to {shard.count}", hint="I counts from 1 to N in I/N")
    return shard


def weights(tests: Mapping[str, int], seconds: Mapping[str, float]) -> dict[str, float]:
    """How long each row is expected to take: as it did before, else as its tests would at the others' pace.

    Every job has to know the same `seconds`, or they would split the rows differently.
    """
    known = {row: took for row in tests if (took := seconds.get(row, 0.0)) > 0}
    pace = sum(known.values()) / max(1, sum(tests[row] for row in known)) if known else 1.0
    return {row: known.get(row, max(1, number) * pace) for row, number in tests.items()}


def split(weight: Mapping[str, float], needs: Mapping[str, Iterable[str]], count: int) -> dict[str, int]:
    """Each row's shard, from 1: the heaviest first, each to the shard that has least so far.

    Rows that need each other stay together. Where a row stands in the file does not matter.
    """
    loads = [0.0] * count
    found: dict[str, int] = {}
    for group in sorted(_together(weight, needs), key=lambda rows: (-sum(weight[row] for row in rows), rows)):
        shard = min(range(count), key=loads.__getitem__)
        loads[shard] += sum(weight[row] for row in group)
        found |= dict.fromkeys(group, shard + 1)
    return found


def fingerprint(shards: Mapping[str, int]) -> str:
    """The same in every job that splits the rows in the same way: what puts shards together again can compare it."""
    text = "\n".join(f"{row} {shard}" for row, shard in sorted(shards.items()))
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _together(rows: Iterable[str], needs: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Rows in groups that no need leads out of, each group sorted."""
    leader = {row: row for row in rows}

    def first(row: str) -> str:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    for row in leader:
        for need in needs.get(row, ()):
            if need in leader:
                leader[first(need)] = first(row)
    groups: dict[str, list[str]] = {}
    for row in sorted(leader):
        groups.setdefault(first(row), []).append(row)
    return list(groups.values())
