"""How long the runs of earlier applies took: a small file in each run's folder, read within bounds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from qarunner.paths import open_regular, write_whole

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


class StoredDurations(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds by the names of `habits.names_of`. Runs of a rehearsal say nothing about real ones."""

    version: int
    rehearsal: bool
    took: dict[str, list[float]]


def keep(folder: Path, took: Mapping[str, Sequence[float]], *, rehearsal: bool) -> None:
    """Writes down what an apply has learnt, besides what it had before a resume. OSError if it cannot."""
    if not took:
        return
    before, _ = _read(folder / DURATIONS, LARGEST)
    known = before.took if before is not None else {}
    both = known | {name: [*known.get(name, ()), *durations] for name, durations in took.items()}
    write_whole(
        folder / DURATIONS, msgspec.json.encode(StoredDurations(version=VERSION, rehearsal=rehearsal, took=both))
    )


def recall(runs: Path, *, rehearsal: bool) -> dict[str, list[float]]:
    """What the newest runs in a folder took. Whatever cannot be read is left out: it only makes polls less clever."""
    by_name: dict[str, list[float]] = {}
    left = LARGEST
    for path in _newest(runs):
        kept, size = _read(path, left)
        if kept is None or kept.rehearsal is not rehearsal:
            continue
        left -= size
        for name, durations in kept.took.items():
            known = by_name.setdefault(name, [])
            known.extend(durations[: ENOUGH_EACH - len(known)])
    return by_name


def _newest(runs: Path) -> list[Path]:
    """The newest files; a run may be removed while they are listed."""
    files = []
    with contextlib.suppress(OSError):
        for path in runs.glob(f"*/{DURATIONS}"):
            with contextlib.suppress(OSError):
                files.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(files, reverse=True)[:LATEST_RUNS]]


def _read(path: Path, largest: int) -> tuple[StoredDurations | None, int]:
    """What a file says, and its size; None for one that is gone, too large, or makes no sense."""
    try:
        with open_regular(path) as file:
            data = file.read(largest + 1)
        kept = msgspec.json.decode(data, type=StoredDurations) if len(data) <= largest else None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None, 0
    plausible = kept is not None and all(0 <= seconds <= LONGEST_S for took in kept.took.values() for seconds in took)
    return (kept, len(data)) if kept is not None and kept.version == VERSION and plausible else (None, 0)
