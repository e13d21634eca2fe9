"""`runs`, `status` and `watch`: which runs are kept, and where each of them stands, without the network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.app import reports as reporting
from qarunner.app.options import NextCommand
from qarunner.app.runs import Secrets, doubt, find_run, load, refuse_tracked, remove_run
from qarunner.cli.progress import OTHER_SIGN, SIGNS, entry_words, trouble_of, waits_for
from qarunner.cli.result import left
from qarunner.engine.io.journal import by_age, folders, is_driven
from qarunner.engine.io.seal import Trust
from qarunner.engine.state.run import Run
from qarunner.errors import ExitCode, UserError
from qarunner.report.summary import Summary, headline, summarise, timestamp, words
from qarunner.text import plural, styled, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qarunner.app.options import RunsOptions, StatusOptions
    from qarunner.cli.console import Console
    from qarunner.engine.state.run import RunState
    from qarunner.entry import Entry
    from qarunner.text import Line

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
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
        return NextCommand(run_id=self.folder.name, runs_dir=self.folder.parent)


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
        state=_state(run, driven=driven),
        seal=stored.recorded.trust,
        doubt=doubt(stored),
    )


def _state(run: Run, *, driven: bool) -> str:
    if driven:
        return "running"
    if run.detached:
        return "detached"
    return "finished" if run.over else "interrupted"


# --- runs -------------------------------------------------------------------------------------------------------------


SHOWN_RUNS = 20


def runs(console: Console, environ: Mapping[str, str], options: RunsOptions) -> ExitCode:
    """Lists the newest runs, or removes old ones."""
    if options.all and options.limit is not None:
        raise UserError("--all does not go with --limit", hint="--all shows every run")
    if options.prune is (options.keep is None):
        raise UserError("--prune and --keep go together", hint="qarunner runs --prune --keep 100")
    if options.keep is not None:
        return _prune(console, environ, options.runs_dir, options.keep)
    return _list(console, options.runs_dir, None if options.all else options.limit or SHOWN_RUNS)


def _list(console: Console, runs_dir: Path, limit: int | None) -> ExitCode:
    """The newest runs, the newest first. A folder that cannot be read is reported, and hides no other."""
    there = by_age(runs_dir)
    shown = there if limit is None else there[:limit]
    found, broken = [], []
    for folder in shown:
        try:
            found.append(_read(console, folder))
        except UserError as error:
            broken.append((folder, error.message))
    older = len(there) - len(shown)
    if console.output == "json":
        rows = [_row(each) for each in found]
        rows += [{"id": folder.name, "state": "unreadable", "message": message} for folder, message in broken]
        console.data({"version": VERSION, "runs": rows, "older": older})
        return ExitCode.OK
    for line in _table(found):
        console.result(line)
    for _, message in broken:
        console.warn(f"qarunner: warning: {message}")
    if older:
        console.note(f"{plural(older, 'older run')} not shown: qarunner runs --all")
    if not there:
        console.warn(f"no runs in {runs_dir}")
    return ExitCode.OK


def _prune(console: Console, environ: Mapping[str, str], runs_dir: Path, keep: int) -> ExitCode:
    """Removes finished runs, but for the newest of all runs. What has anything left at a vendor stays."""
    removed = []
    for folder in by_age(runs_dir)[keep:]:
        try:
            refuse_tracked(folder, environ)
            standing = _read(console, folder)
            if standing.over and not _has_leftovers(standing.summary):
                remove_run(folder)
                removed.append(folder.name)
        except UserError as error:
            console.warn(f"qarunner: warning: {error.message}")
    if console.output == "json":
        console.data({"version": VERSION, "removed": removed})
        return ExitCode.OK
    for name in removed:
        console.result(f"removed {name}")
    console.note(f"{plural(len(removed), 'run')} removed, {plural(len(folders(runs_dir)), 'run')} kept")
    return ExitCode.OK


def _has_leftovers(summary: Summary) -> bool:
    """True if something at a vendor is known from this run's folder alone."""
    return bool(summary.running or summary.uncertain or summary.left)


def _row(standing: Standing) -> dict[str, object]:
    run, summary = standing.run, standing.summary
    return {
        "id": standing.folder.name,
        "name": summary.name,
        "started_at": timestamp(standing.run.started_at),
        "state": standing.state,
        "verdict": str(summary.verdict) if standing.over else None,
        "exit_code": run.exit_code if standing.over else None,
        "rehearsal": summary.rehearsal,
        "entries_total": len(run.plan.entries),
        "entries_closed": len(run.closed),
        "totals": {str(verdict): number for verdict, number in _totals(standing).items()},
    }


def _totals(standing: Standing) -> dict[str, int]:
    """Tests by verdict, of the entries that are closed."""
    totals: dict[str, int] = {}
    for row in standing.summary.entries:
        if row.entry.id in standing.run.closed:
            for verdict, number in row.counts.items():
                totals[words(verdict)] = totals.get(words(verdict), 0) + number
    return totals


def _table(found: list[Standing]) -> Iterator[Line]:
    if not found:
        return
    rows = [("RUN", "NAME", "STARTED", "STATE", "RESULT")]
    for each in found:
        code = f"exit {each.run.exit_code}: " if each.over else f"{len(each.run.closed)}/{len(each.run.plan.entries)} "
        counts = ", ".join(f"{number} {verdict}" for verdict, number in _totals(each).items())
        result = f"{code}{counts}" if each.over else f"{code}entries closed" + (f": {counts}" if counts else "")
        name = each.summary.name + (" (rehearsal)" if each.summary.rehearsal else "")
        rows.append((each.folder.name, name, timestamp(each.run.started_at)[:19] + "Z", each.state, result))
    heading, *lines = table(rows)
    yield styled(heading, "dim")
    yield from lines


# --- status -----------------------------------------------------------------------------------------------------------


def status(console: Console, environ: Mapping[str, str], options: StatusOptions) -> ExitCode:
    """One run, entry by entry."""
    standing = _read(console, find_run(options.runs_dir, options.run_id), Secrets(environ=environ))
    if console.output == "json":
        console.data(_document(standing))
        return ExitCode.OK
    for line in _text(standing):
        console.result(line)
    return ExitCode.OK


def _document(standing: Standing) -> dict[str, object]:
    summary = standing.summary
    rows = {row.entry.id: row for row in summary.entries}
    commands = {
        job: [standing.follow.resume()]
        if job in summary.repeatable
        else [standing.follow.resume("--resubmit", job), standing.follow.resume("--drop", job)]
        for job in summary.uncertain
    }
    return {
        "version": VERSION,
        **_row(standing),
        "updated_at": summary.finished_at,
        "seal": str(standing.seal),
        "entries": [
            _entry(standing.run, entry, rows[entry.id].reason, str(rows[entry.id].verdict))
            for entry in standing.run.plan.entries
        ],
        "uncertain": [
            {
                "job": job,
                "entries": list(standing.run.jobs[job].job.entries),
                "message": message,
                "commands": commands[job],
            }
            for job, message in summary.uncertain.items()
        ],
    }


def _entry(run: Run, entry: Entry, reason: str | None, verdict: str) -> dict[str, object]:
    state = run.job_of[entry.id]
    closed = entry.id in run.closed
    return {
        "id": entry.id,
        "vendor": entry.vendor,
        "state": "closed" if closed else str(state.phase),
        "verdict": verdict if closed else None,
        "reason": reason if closed else _phase(run, entry.id),
        "attempt": state.attempt,
        "runs": [
            {
                "id": remote.remote.id,
                "url": remote.remote.url,
                "attempt": each.attempt,
                "state": remote_state(remote),
            }
            for each in run.attempts[entry.id]
            for remote in each.runs.values()
        ],
    }


def remote_state(remote: RunState) -> str:
    """What became of a run at its vendor, as far as we know."""
    if remote.cancelled:
        return "cancelled"
    return "running" if remote.live else "finished"


def _phase(run: Run, entry: str) -> str:
    """Where an open entry stands, and why it does not go on."""
    state = run.job_of[entry]
    return waits_for(run, state) or ": ".join(filter(None, (entry_words(entry, state), trouble_of(state))))


def _text(standing: Standing) -> Iterator[Line]:
    run, summary = standing.run, standing.summary
    rehearsal = ", a rehearsal" if summary.rehearsal else ""
    began = f"started {summary.started_at}"
    yield f"{summary.name}: run {standing.folder.name}, {standing.state}{rehearsal}, {began}"
    widths = [max((len(getattr(entry, name)) for entry in run.plan.entries), default=0) for name in ("id", "vendor")]
    for row in summary.entries:
        closed = row.entry.id in run.closed
        sign, colour = SIGNS.get(row.verdict, OTHER_SIGN) if closed else ("·", "cyan")
        told = words(row.verdict) if closed else _phase(run, row.entry.id)
        reason = f": {row.reason}" if closed and row.reason else ""
        line = f"{sign} {row.entry.id.ljust(widths[0])}  {row.entry.vendor.ljust(widths[1])}  {told}{reason}"
        yield styled(line, colour)
        yield from _remotes(run, row.entry.id)
    if standing.doubt is not None:
        yield f"seal: {standing.doubt}"
    if standing.state == "running":
        yield "another process is at work on it"
        return
    yield from left(_without_running(standing), standing.follow)
    if standing.over:
        yield headline(summary)


def _remotes(run: Run, entry: str) -> Iterator[str]:
    attempts = run.attempts[entry]
    for state in attempts:
        for remote in state.runs.values():
            number = f", attempt {state.attempt}" if len(attempts) > 1 else ""
            told = f"    {remote_state(remote)}{number}: run {remote.remote.id}"
            yield f"{told}  {remote.remote.url or ''}".rstrip()


def _without_running(standing: Standing) -> Summary:
    """The summary without what the list of entries has shown."""
    return replace(standing.summary, running=())
