"""`runs`, `status` and `watch`: which runs are kept, and where each of them stands, without the network."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from qarunner.app import reports as reporting
from qarunner.app.options import NextCommand, RunsOptions, StatusOptions
from qarunner.app.runs import Secrets, doubt, find_run, is_own_rehearsal, load, refuse_tracked, remove_run, state_of
from qarunner.cli.progress import clock, entry_words, trouble_of, waits_for
from qarunner.cli.result import left
from qarunner.engine.io.journal import by_age, folders, is_driven
from qarunner.engine.io.seal import Trust
from qarunner.engine.schedule.timing import began_at
from qarunner.engine.state.run import Run
from qarunner.errors import ExitCode, UserError
from qarunner.report import export
from qarunner.report.summary import WORST_FIRST, Summary, decisions, headline, live_url, sign_of, summarise
from qarunner.text import Line, ago, cells, duration, fitted, padded, plural, styled, table
from qarunner.vendors.api import ResourceKind, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.cli.console import Console
    from qarunner.report.summary import EntrySummary


class Standing(Struct, frozen=True, kw_only=True):
    """A run as it stands: `state` is `running`, `detached`, `interrupted` or `finished`."""

    folder: Path
    run: Run
    summary: Summary
    state: str
    seal: Trust
    doubt: str | None

    @property
    def over(self) -> bool:
        return self.state == "finished"

    @property
    def follow(self) -> NextCommand:
        return NextCommand.of(self.folder)


def _read(console: Console, folder: Path, secrets: Secrets | None = None) -> Standing:
    """UserError for a folder that holds no run of ours."""
    driven = is_driven(folder)
    stored = load(folder, secrets)
    console.hide(reporting.credentials_of(stored.plan, console.environ))
    run = stored.run
    return Standing(
        folder=folder,
        run=run,
        summary=summarise(run),
        state=state_of(run, driven=driven),
        seal=stored.recorded.trust,
        doubt=None if is_own_rehearsal(run, console.environ) else doubt(stored),
    )


# --- runs -------------------------------------------------------------------------------------------------------------


SHOWN_RUNS = 20


def runs(console: Console, environ: Mapping[str, str], options: RunsOptions) -> ExitCode:
    """Lists the newest runs, or removes old ones."""
    if options.prune and options.export:
        raise UserError("--prune does not go with --export", hint="export first")
    if options.prune is (options.keep is None):
        raise UserError("--prune and --keep go together", hint="qarunner runs --prune --keep 100")
    if options.export is not None:
        return _export(console, options)
    if options.keep is not None:
        return _prune(console, environ, options.runs_dir, options.keep)
    return _list(console, options.runs_dir, None if options.all else options.limit or SHOWN_RUNS)


def _list(console: Console, runs_dir: Path, limit: int | None) -> ExitCode:
    """The newest runs, the newest first. A folder that cannot be read is reported, and hides no other."""
    there = by_age(runs_dir)
    shown = there if limit is None else there[:limit]
    standings, broken = [], []
    for folder in shown:
        try:
            standings.append(_read(console, folder))
        except UserError as error:
            broken.append((folder, error.message))
    older = len(there) - len(shown)

    def data() -> dict[str, object]:
        rows = [_row(standing) for standing in standings]
        rows += [{"id": folder.name, "state": "unreadable", "message": message} for folder, message in broken]
        return {"runs": rows, "older": older}

    console.answer(data, _table(standings, time.time(), console.columns, console.ellipsis))
    if console.output == "json":
        return ExitCode.OK
    for _, message in broken:
        console.warn(f"qarunner: warning: {message}")
    if older:
        console.note(f"{plural(older, 'older run')} not shown: qarunner runs --all")
    if not there:
        console.warn(f"no runs in {runs_dir}")
    return ExitCode.OK


def _export(console: Console, options: RunsOptions) -> ExitCode:
    """A line for each vendor run, the newest apply first."""
    for folder in by_age(options.runs_dir)[: options.limit]:
        try:
            standing = _read(console, folder)
        except UserError as error:
            console.warn(f"qarunner: warning: {error.message}")
            continue
        for line in export.lines(standing.run, standing.state):
            console.line(line)
    return ExitCode.OK


def _prune(console: Console, environ: Mapping[str, str], runs_dir: Path, keep: int) -> ExitCode:
    """Removes finished runs, but for the newest of all runs. What has anything left at a vendor stays."""
    removed = []
    for folder in by_age(runs_dir)[keep:]:
        try:
            refuse_tracked(folder, environ)
            standing = _read(console, folder)
            if _is_done_with(standing):
                remove_run(folder)
                removed.append(folder.name)
        except UserError as error:
            console.warn(f"qarunner: warning: {error.message}")
    console.answer(lambda: {"removed": removed}, [f"removed {name}" for name in removed])
    if console.output != "json":
        console.note(f"{plural(len(removed), 'run')} removed, {plural(len(folders(runs_dir)), 'run')} kept")
    return ExitCode.OK


def _is_done_with(standing: Standing) -> bool:
    """False if something at a vendor is known from this run's folder alone, or a resume finds out more."""
    summary = standing.summary
    if summary.rehearsal:
        return standing.state != "running"
    # An uploaded build stays for good: the folder of its run is of no more use for it.
    left = any(leftover.kind != ResourceKind.BUILD for leftover in summary.left)
    return standing.over and not (summary.running or summary.uncertain or left)


def _row(standing: Standing) -> dict[str, object]:
    run, summary = standing.run, standing.summary
    return {
        "id": standing.folder.name,
        "name": summary.name,
        "started_at": summary.started_at,
        "updated_at": summary.finished_at,
        "duration_s": summary.wall_s,
        "state": standing.state,
        "verdict": summary.verdict if standing.over else None,
        "exit_code": run.exit_code if standing.over else None,
        "rehearsal": summary.rehearsal,
        "git": dict(summary.git),
        "ci": {**summary.ci, **(run.who.facts() if run.who is not None else {})},
        "entries_total": len(run.plan.entries),
        "entries_closed": len(run.closed),
        "totals": dict(_totals(standing)),
    }


def _totals(standing: Standing) -> list[tuple[Verdict, int]]:
    """Tests by verdict, of the entries that are closed; the worst first."""
    totals: Counter[Verdict] = Counter()
    for row in standing.summary.entries:
        if row.entry.id in standing.run.closed:
            totals.update(row.counts)
    return [(verdict, totals[verdict]) for verdict in WORST_FIRST if totals[verdict]]


_COLUMNS = ("RUN", "NAME", "STARTED", "TOOK", "BRANCH", "COMMIT", "BY", "RESULT")
_TOOK = _COLUMNS.index("TOOK")
_SPARED = tuple(map(_COLUMNS.index, ("BY", "COMMIT", "TOOK", "BRANCH", "NAME", "STARTED")))
"""Columns that a narrow terminal does without, the first one first."""
_LONGEST_NAME, _SHORTEST_RESULT, _GAP = 24, 28, 2


def _table(standings: Sequence[Standing], now: float, columns: int | None, mark: str = "…") -> Iterator[Line]:
    """A line for each run, which fits into a terminal of so many columns."""
    if not standings:
        return
    rows = [_COLUMNS, *(_cells(standing, now, mark if columns is not None else None) for standing in standings)]
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    shown = [at for at, column in enumerate(zip(*rows, strict=True)) if set(column[1:]) != {""}]
    if len({row[1] for row in rows[1:]}) == 1:
        shown.remove(1)
    for spared in _SPARED if columns is not None else ():
        if sum(widths[at] + _GAP for at in shown[:-1]) + _SHORTEST_RESULT > (columns or 0) and spared in shown:
            shown.remove(spared)
    right = {shown.index(_TOOK)} if _TOOK in shown else set()
    heading, *lines = table([[row[at] for at in shown] for row in rows], right)
    yield styled(heading, "dim")
    yield from lines if columns is None else (fitted(line, columns, mark=mark) for line in lines)


def _cells(standing: Standing, now: float, mark: str | None) -> tuple[str, ...]:
    run, git = standing.run, standing.summary.git
    names = [standing.summary.name, _ref(git), run.who.actor or "" if run.who is not None else ""]
    name, ref, actor = (fitted(cell, _LONGEST_NAME, middle=True, mark=mark) if mark else cell for cell in names)
    commit = (git.get("sha") or "")[:7]
    began = ago(now - run.started_at)
    return standing.folder.name, name, began, _took(standing, now), ref, commit, actor, _result(standing)


def _took(standing: Standing, now: float) -> str:
    """How long a run took, or has been at work; without a process at work, it only waits."""
    if standing.state == "running":
        return clock(now - standing.run.started_at)
    return duration(round(standing.summary.wall_s)) if standing.over else ""


def _ref(git: Mapping[str, str | None]) -> str:
    return git.get("branch") or git.get("tag") or ""


def _result(standing: Standing) -> str:
    """`exit 1: 2 failed, 14 passed` in tests, as the last line of its apply says; else how many entries are closed."""
    counts = ", ".join(f"{number} {verdict.words}" for verdict, number in _totals(standing))
    rehearsal = "rehearsal, " if standing.summary.rehearsal else ""
    if standing.over:
        return f"{rehearsal}exit {standing.run.exit_code}: {counts}"
    closed = f"{standing.state}: {len(standing.run.closed)}/{len(standing.run.plan.entries)} entries closed"
    return rehearsal + (f"{closed}; tests: {counts}" if counts else closed)


# --- status -----------------------------------------------------------------------------------------------------------


def status(console: Console, environ: Mapping[str, str], options: StatusOptions) -> ExitCode:
    """One run, entry by entry."""
    standing = _read(console, find_run(options.runs_dir, options.run_id), Secrets(environ=environ))
    console.answer(lambda: _document(standing), _text(standing, time.time(), console.columns, console.ellipsis))
    return ExitCode.OK


def _document(standing: Standing) -> dict[str, object]:
    summary = standing.summary
    at = replace(summary, resume=standing.follow.resume())
    return {
        **_row(standing),
        "seal": standing.seal,
        "entries": [_entry(standing.run, row) for row in summary.entries],
        "uncertain": [
            {
                "job": state.job.id,
                "entries": state.job.entries,
                "message": summary.uncertain[state.doubt],
                "commands": [command for command, _ in decisions(at, state.doubt)],
            }
            for state in standing.run.jobs.values()
            if state.doubt in summary.uncertain
        ],
    }


def _entry(run: Run, row: EntrySummary) -> dict[str, object]:
    entry, state = row.entry, run.job_of[row.entry.id]
    closed = entry.id in run.closed
    return {
        "id": entry.id,
        "vendor": entry.vendor,
        "state": "closed" if closed else state.phase,
        "verdict": row.verdict if closed else None,
        "reason": row.reason if closed else _phase(run, entry.id),
        "attempt": state.attempt,
        "runs": [
            {
                "id": remote.remote.id,
                "url": live_url(run, remote.remote.url),
                "attempt": attempt.attempt,
                "state": export.remote_state(remote),
            }
            for attempt in run.attempts[entry.id]
            for remote in attempt.runs.values()
        ],
    }


def _phase(run: Run, entry: str) -> str:
    """Where an open entry stands, and why it does not go on."""
    state = run.job_of[entry]
    return waits_for(run, state) or ": ".join(filter(None, (entry_words(entry, state), trouble_of(state))))


def _text(standing: Standing, now: float, columns: int | None, mark: str = "…") -> Iterator[Line]:
    run, summary = standing.run, standing.summary
    yield from _heading(standing, now)
    rows = [("", row.entry.id, row.entry.vendor, _time(standing, row, now)) for row in summary.entries]
    ids, vendors, times = (max((cells(row[at]) for row in rows), default=0) for at in (1, 2, 3))
    if columns is not None:
        ids = min(ids, max(_SHORTEST_ID, columns - vendors - times - 3 * _GAP - _SHORTEST_RESULT))
    for row, (_, _, _, took) in zip(summary.entries, rows, strict=True):
        closed = row.entry.id in run.closed
        sign, colour = sign_of(row.verdict) if closed else ("·", "cyan")
        state = row.verdict.words if closed else _phase(run, row.entry.id)
        reason = f": {row.reason}" if closed and row.reason else ""
        name = padded(row.entry.id if columns is None else fitted(row.entry.id, ids, middle=True, mark=mark), ids)
        time = f"{padded(took, times, right=True)}  " if times else ""
        line = f"{sign} {name}  {padded(row.entry.vendor, vendors)}  {time}{state}{reason}"
        yield styled(line if columns is None else fitted(line, _MOST_ROWS * columns, mark=mark), colour)
        yield from _remotes(run, row.entry.id)
    if standing.doubt is not None:
        yield f"seal: {standing.doubt}"
    if standing.state == "running":
        yield f"another process is at work on it; to look on: {standing.follow.watch()}"
        return
    yield from left(_without_running(standing), standing.follow)
    if standing.over:
        yield headline(summary)


_SHORTEST_ID, _MOST_ROWS = 12, 3


def _heading(standing: Standing, now: float) -> Iterator[str]:
    """Which run, how old and how long; where it comes from, and who began it."""
    run, summary = standing.run, standing.summary
    rehearsal = ", a rehearsal" if summary.rehearsal else ""
    took = f", {duration}" if (duration := _took(standing, now)) else ""
    began = f"started {ago(now - run.started_at)} ({summary.started_at})"
    yield f"{summary.name}: run {standing.folder.name}, {standing.state}{rehearsal}, {began}{took}"
    facts = {"branch": summary.git.get("branch"), "tag": summary.git.get("tag")}
    facts |= {"commit": (summary.git.get("sha") or "")[:7], "by": run.who.actor if run.who is not None else None}
    parts = [f"{name} {value}" for name, value in facts.items() if value]
    if run.who is not None and (run.who.attempt or 1) > 1:
        parts.append(f"attempt {run.who.attempt} of {run.who.job or 'its job'}")
    if parts:
        yield ", ".join(parts)


def _time(standing: Standing, row: EntrySummary, now: float) -> str:
    """How long an entry took; of one that goes on, how long it has until now."""
    if row.entry.id in standing.run.closed:
        return duration(row.duration_s) if row.duration_s is not None else ""
    began = began_at(standing.run.job_of[row.entry.id])
    return clock(now - began) if began is not None and standing.state == "running" else ""


def _remotes(run: Run, entry: str) -> Iterator[str]:
    attempts = run.attempts[entry]
    for state in attempts:
        for remote in state.runs.values():
            number = f", attempt {state.attempt}" if len(attempts) > 1 else ""
            text = f"    {export.remote_state(remote)}{number}: run {remote.remote.id}"
            yield f"{text}  {live_url(run, remote.remote.url) or ''}".rstrip()


def _without_running(standing: Standing) -> Summary:
    """The summary without what the list of entries has shown."""
    return replace(standing.summary, running=())
