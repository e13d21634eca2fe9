"""How entries and tests did over many runs: one SQLite file, which is never a source of truth.

It comes from caches, so somebody else may have made it: what is not our own schema is damage, and no statement of it
runs for long. Whatever is wrong with it costs a warning, and it is made again from the folders of runs.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from qarunner.engine.decide.trend import Past
from qarunner.paths import make_private_folder, remove_file
from qarunner.vendors.api import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

VERSION = 1
MOST_RUNS, MOST_ROWS = 500, 400_000
"""Older runs go when there are more, or more results of entries."""
_READ_RUNS, _READ_ROWS = 200, 200_000
"""So much is looked at for one answer, the newest first."""
_PATIENCE_S = 5.0
_LARGEST = 256 * 2**20
_STEPS, _MOST_STEPS = 100_000, 5_000
"""A statement that takes so many steps of the database is not ours."""
_SCHEMA = (
    (
        "CREATE TABLE runs (id TEXT PRIMARY KEY, matrix TEXT NOT NULL, at REAL NOT NULL, branch TEXT, commit_ TEXT,"
        " verdict TEXT NOT NULL, exit_code INTEGER NOT NULL, rehearsal INTEGER NOT NULL, size INTEGER NOT NULL)"
    ),
    (
        "CREATE TABLE results (run TEXT NOT NULL, entry TEXT NOT NULL, vendor TEXT NOT NULL, verdict TEXT NOT NULL,"
        " duration_s REAL, url TEXT, tests BLOB NOT NULL, PRIMARY KEY (run, entry)) WITHOUT ROWID"
    ),
)


class HistoryUnavailable(Exception):  # noqa: N818  it is no error: whoever asks goes on without a history
    """Why there is no history now."""


class HistoryDamaged(Exception):  # noqa: N818  likewise
    """What is in the place of the file is not ours, or broken."""


class RunRow(Struct, frozen=True, kw_only=True, array_like=True):
    """A finished run. `matrix` names its manifest, `size` is that of its journal in bytes."""

    id: str
    matrix: str
    at: float
    branch: str | None
    commit: str | None
    verdict: Verdict
    exit_code: int
    rehearsal: bool
    size: int


class TestRow(msgspec.Struct, frozen=True, array_like=True):
    """A test's result in a run."""

    id: str
    name: str | None
    verdict: Verdict
    duration_s: float | None


class ResultRow(Struct, frozen=True, kw_only=True, array_like=True):
    """An entry's result in a run."""

    entry: str
    vendor: str
    verdict: Verdict
    duration_s: float | None
    url: str | None
    tests: tuple[TestRow, ...]


class Index:
    """The open file. `rebuilt` says why it had to be begun anew."""

    def __init__(self, path: Path, *, copied: bool = False) -> None:
        """`copied`: works on a copy in memory, and writes nothing: what has to be written first has the disk.

        HistoryUnavailable if the file is locked, of a newer qarunner, or cannot be written.
        """
        self.rebuilt: str | None = None
        try:
            self._database = self._copied(path) if copied else self._opened(path)
        except HistoryDamaged as error:
            self.rebuilt = str(error)
            try:
                if not copied:
                    remove_file(path)
                self._database = self._connected(":memory:") if copied else self._opened(path)
            except (OSError, HistoryDamaged) as again:
                raise HistoryUnavailable(f"{path}: {again}") from again

    def _opened(self, path: Path) -> sqlite3.Connection:
        _check(path)
        make_private_folder(path.parent)
        return self._connected(path)

    def _copied(self, path: Path) -> sqlite3.Connection:
        _check(path)
        memory = sqlite3.connect(":memory:", isolation_level=None)
        if path.exists():
            with contextlib.closing(self._connected(path)) as source, _explained():
                source.execute("BEGIN")  # a copy would wait for ever for a lock; a read waits as long as it may
                source.execute("SELECT count(*) FROM runs").fetchone()
                source.backup(memory)
        try:
            self._prepare(memory)
        except BaseException:
            memory.close()
            raise
        return memory

    def _connected(self, path: Path | str) -> sqlite3.Connection:
        with _explained():
            database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
        try:
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        return database

    @staticmethod
    def _prepare(database: sqlite3.Connection) -> None:
        steps = iter(range(_MOST_STEPS))
        database.set_progress_handler(lambda: next(steps, None) is None, _STEPS)
        with _explained():
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA synchronous = OFF")  # what a power cut costs is made again
            (version,) = database.execute("PRAGMA user_version").fetchone()
            schema = [text for (text,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
            if version > VERSION:
                raise HistoryUnavailable("a newer qarunner has written it")
            if not schema and version == 0:
                database.execute("PRAGMA auto_vacuum = FULL")
                database.execute("BEGIN IMMEDIATE")
                if database.execute("PRAGMA user_version").fetchone() == (
                    0,
                ):  # no other process has begun it meanwhile
                    for statement in _SCHEMA:
                        database.execute(statement)
                    database.execute(f"PRAGMA user_version = {VERSION}")
                database.execute("COMMIT")
            elif schema != list(_SCHEMA):
                raise HistoryDamaged("it is no history of qarunner's")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def known(self) -> dict[str, int]:
        """The runs that are indexed, each with the size that its journal had then."""
        with _explained():
            return dict(self._database.execute("SELECT id, size FROM runs"))

    def add(self, run: RunRow, results: Iterable[ResultRow]) -> None:
        """Writes a run down in the place of what was known of it; older ones go where there are too many."""
        rows = [
            (run.id, row.entry, row.vendor, row.verdict, row.duration_s, row.url, msgspec.json.encode(row.tests))
            for row in results
        ]
        with _explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._forget([run.id])
                self._database.execute("INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?)", msgspec.structs.astuple(run))
                self._database.executemany("INSERT OR REPLACE INTO results VALUES (?,?,?,?,?,?,?)", rows)
                self._forget(self._too_many())
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _forget(self, runs: Sequence[str]) -> None:
        for run in runs:
            self._database.execute("DELETE FROM results WHERE run = ?", (run,))
            self._database.execute("DELETE FROM runs WHERE id = ?", (run,))

    def _too_many(self) -> list[str]:
        counted = self._database.execute(
            "SELECT id, (SELECT count(*) FROM results WHERE run = id) FROM runs ORDER BY at DESC, id DESC"
        )
        gone, rows = [], 0
        for number, (run, size) in enumerate(counted.fetchall()):
            rows += size
            if number >= MOST_RUNS or (rows > MOST_ROWS and number):
                gone.append(run)
        return gone

    def branches(self, matrix: str, *, rehearsal: bool) -> set[str | None]:
        with _explained():
            rows = self._database.execute(
                "SELECT DISTINCT branch FROM runs WHERE matrix = ? AND rehearsal = ?"
                " AND EXISTS (SELECT 1 FROM results WHERE run = id)",
                (matrix, rehearsal),
            )
            return {branch for (branch,) in rows}

    def times_run(self, manifest: str, since: float, until: float) -> dict[str, int]:
        """How often each entry of a manifest ran between two times; rehearsals are left out."""
        with _explained():
            rows = self._database.execute(
                "SELECT entry, count(*) FROM results JOIN runs ON run = id"
                " WHERE rehearsal = 0 AND at > ? AND at <= ? AND substr(matrix, -length(?)) = ? GROUP BY entry",
                (since, until, f" {manifest}", f" {manifest}"),
            )
            return dict(rows)

    def results(
        self, *, matrix: str | None, rehearsal: bool, branch: str | None, before: float, but: Iterable[str] = ()
    ) -> Iterator[tuple[RunRow, ResultRow]]:
        """What entries came to in runs that began before a time, the newest first; `branch` None means any."""
        asked = (matrix, matrix, rehearsal, branch, branch, before, _READ_RUNS)
        with _explained():
            heads = self._database.execute(
                "SELECT * FROM runs WHERE (? IS NULL OR matrix = ?) AND rehearsal = ? AND (? IS NULL OR branch = ?)"
                " AND at < ? ORDER BY at DESC, id DESC LIMIT ?",
                asked,
            ).fetchall()
            left = _READ_ROWS
            for head in heads:
                run = msgspec.convert(head, RunRow, strict=False)
                if run.id in but or left <= 0:
                    continue
                rows = self._database.execute("SELECT * FROM results WHERE run = ? LIMIT ?", (run.id, left)).fetchall()
                left -= len(rows)
                for _, *values, tests in rows:
                    yield run, msgspec.convert((*values, msgspec.json.decode(tests)), ResultRow, strict=False)


def _check(path: Path) -> None:
    """Nothing is read or written through a link, and nothing is made of a file that is far too large."""
    for beside in (path, path.with_name(f"{path.name}-journal")):
        if beside.is_symlink() or (beside.exists() and not beside.is_file()):
            raise HistoryUnavailable(f"{beside}: is a link or no file")
    if path.exists() and path.stat().st_size > _LARGEST:
        raise HistoryDamaged("it is larger than any that qarunner writes")


def past(run: RunRow, result: ResultRow | TestRow) -> Past:
    return Past(run=run.id, verdict=result.verdict, at=run.at, duration_s=result.duration_s, commit=run.commit)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What the database says, in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise HistoryUnavailable(str(error)) from error
    except (sqlite3.DatabaseError, ValueError, TypeError, msgspec.MsgspecError) as error:
        raise HistoryDamaged(str(error)) from error
