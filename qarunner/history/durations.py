"""How long the runs of earlier applies took: a small file in each run's folder, read within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from qarunner.paths import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


DURATIONS = "durations.json"


VERSION = 1


LATEST_RUNS = 50


ENOUGH_EACH = 10
"""So many durations of one name say what there is to say; older ones are of another time."""


LONGEST_S = 1e7


LARGEST = 1024 * 1024
"""Bytes that are read in all, newest first: a start must not wait for its past."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds by the names of `habits.names_of`. Runs of a rehearsal say nothing about real ones."""

    version: int
    rehearsal: bool
    took: dict[str, list[float]]


def keep(folder: Path, took: Mapping[str, Sequence[float]], *, rehearsal: bool) -> None:
    """Writes down what an apply has learnt, besides what it had before a resume. OSError if it cannot."""
    if not took:
        return
    before = _read(folder / DURATIONS, LARGEST)
    known = before.took if before is not None else {}
    both = known | {name: [*known.get(name, ()), *durations] for name, durations in took.items()}
    write_whole(folder / DURATIONS, msgspec.json.encode(Kept(version=VERSION, rehearsal=rehearsal, took=both)))


def recall(runs: Path, *, rehearsal: bool) -> dict[str, list[float]]:
    """What the newest runs in a folder took. Whatever cannot be read is left out: it only makes polls less clever."""
    found: dict[str, list[float]] = {}
    left = LARGEST
    for path in _newest(runs):
        kept = _read(path, left)
        if kept is None or kept.rehearsal is not rehearsal:
            continue
        left -= path.stat().st_size
        for name, durations in kept.took.items():
            known = found.setdefault(name, [])
            known.extend(durations[: ENOUGH_EACH - len(known)])
    return found


def _newest(runs: Path) -> list[Path]:
    try:
        found = [(path.stat().st_mtime_ns, path) for path in runs.glob(f"*/{DURATIONS}")]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)[:LATEST_RUNS]]


def _read(path: Path, largest: int) -> Kept | None:
    try:
        if path.stat().st_size > largest:
            return None
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    plausible = all(0 <= seconds <= LONGEST_S for durations in kept.took.values() for seconds in durations)
    return kept if kept.version == VERSION and plausible else None
