"""Runs join the history, and reports show what earlier runs say. A fault of the history is a warning at most."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from qarunner.app.ci import base_branch
from qarunner.app.runs import load
from qarunner.engine.decide.trend import LATEST, Past, trend
from qarunner.engine.io.journal import JOURNAL, by_age
from qarunner.errors import UserError
from qarunner.paths import history_file, remove_file
from qarunner.report.summary import Summary, summarise

if TYPE_CHECKING:
    from qarunner.history.index import Index, ResultRow, RunRow

T = TypeVar("T")
MONTH_S = 30 * 86_400.0
_MOST_NEW = 100
"""So many runs are read at once that the history does not know."""


class History(Struct):
    """The history beside a folder of runs. `trouble` is what was wrong with it, once."""

    runs_dir: Path
    environ: Mapping[str, str]
    trouble: str | None = None
    usable: bool = True
    """False after it was waited for in vain: one command does not wait twice."""

    def _asked(self, use: Callable[[Index], T], otherwise: T, *, copied: bool = False) -> T:
        """What the index says; something else where it cannot be had. `copied`: nothing is written to disk."""
        from qarunner.history.index import HistoryDamaged, HistoryUnavailable, Index

        if not self.usable:
            return otherwise
        try:
            with Index(history_file(self.runs_dir), copied=copied) as index:
                if index.rebuilt:
                    self.trouble = f"was damaged ({index.rebuilt}), and was made again from the stored runs"
                return use(index)
        except (HistoryUnavailable, OSError) as error:
            self.trouble, self.usable = f"cannot be used: {error}", False
        except HistoryDamaged as error:
            self.trouble = f"is damaged ({error}), and is made again from the stored runs"
            with contextlib.suppress(OSError):
                remove_file(history_file(self.runs_dir))
        return otherwise

    def about(self, summary: Summary) -> Summary:
        """The summary with what earlier runs of its manifest say of each entry."""

        def join(index: Index) -> Summary:
            _read_folders(index, self.runs_dir, but=summary.run_id)
            return self._joined(index, summary)

        return self._asked(join, summary, copied=True)

    def _joined(self, index: Index, summary: Summary) -> Summary:
        matrix, began = matrix_of(summary), _seconds(summary.started_at)
        branch = self._compared(index, summary, matrix)
        earlier: dict[str, list[Past]] = {}
        from qarunner.history.index import past

        rows = index.results(
            matrix=matrix, rehearsal=summary.rehearsal, branch=branch, before=began, but=(summary.run_id,)
        )
        for run, result in rows:
            known = earlier.setdefault(result.entry, [])
            if len(known) < LATEST:
                known.append(past(run, result))
        if not earlier:
            return summary
        commit = summary.git.get("sha")
        entries = tuple(
            replace(
                row,
                trend=trend(
                    earlier.get(row.entry.id, ()),
                    Past(run=summary.run_id, verdict=row.verdict, at=began, duration_s=row.duration_s, commit=commit),
                ),
            )
            for row in summary.entries
        )
        return replace(summary, entries=entries, compared=branch or "earlier runs")

    def _compared(self, index: Index, summary: Summary, matrix: str) -> str | None:
        """The branch whose runs count: a pull request's target, else the run's own; None for all of them."""
        known = index.branches(matrix, rehearsal=summary.rehearsal)
        return next(
            (branch for branch in (base_branch(self.environ), summary.git.get("branch")) if branch and branch in known),
            None,
        )

    def keep(self, summary: Summary) -> None:
        """Writes a run down that has come to its end."""
        row, results = rows_of(summary, _size(self.runs_dir / summary.run_id))

        def add(index: Index) -> None:
            _read_folders(index, self.runs_dir, but=summary.run_id)
            index.add(row, results)

        self._asked(add, None)

    def times_run(self, manifest: str, now: float) -> dict[str, int]:
        """How often each entry of a manifest, named from the repository's root, ran in the last MONTH_S seconds."""
        return self._asked(lambda index: index.times_run(manifest, now - MONTH_S, now), {}, copied=True)

    def results(self, *, rehearsal: bool) -> list[tuple[RunRow, ResultRow]]:
        """All that is known, the newest first."""

        def read(index: Index) -> list[tuple[RunRow, ResultRow]]:
            _read_folders(index, self.runs_dir)
            return list(index.results(matrix=None, rehearsal=rehearsal, branch=None, before=float("inf")))

        return self._asked(read, [])


def matrix_of(summary: Summary) -> str:
    """Names the manifest: two of one repository may have the same name."""
    return f"{summary.name} {summary.manifest_from_root or summary.manifest}"


def rows_of(summary: Summary, size: int) -> tuple[RunRow, list[ResultRow]]:
    """A run as the index holds it."""
    from qarunner.history.index import ResultRow, RunRow, TestRow

    run = RunRow(
        id=summary.run_id,
        matrix=matrix_of(summary),
        at=_seconds(summary.started_at),
        branch=summary.git.get("branch"),
        commit=summary.git.get("sha"),
        verdict=summary.verdict,
        exit_code=int(summary.exit_code),
        rehearsal=summary.rehearsal,
        size=size,
    )
    results = [
        ResultRow(
            entry=row.entry.id,
            vendor=row.entry.vendor,
            verdict=row.verdict,
            duration_s=row.duration_s,
            url=row.url,
            tests=tuple(TestRow(case.id, case.name, case.verdict, case.duration_s) for case in row.cases),
        )
        for row in summary.entries
    ]
    return run, results


def _read_folders(index: Index, runs_dir: Path, *, but: str | None = None) -> None:
    """Indexes the finished runs that are new here, or have gone on: a cache or an artifact may have brought them."""
    known = index.known()
    new = [folder for folder in by_age(runs_dir) if folder.name != but and known.get(folder.name) != _size(folder)]
    for folder in new[:_MOST_NEW]:
        with contextlib.suppress(UserError):  # a damaged run tells nothing, and `runs` says so
            stored = load(folder)
            run, results = rows_of(summarise(stored.run), _size(folder))
            index.add(run, results if stored.run.over else ())


def _size(folder: Path) -> int:
    try:
        return (folder / JOURNAL).stat().st_size
    except OSError:
        return 0


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
