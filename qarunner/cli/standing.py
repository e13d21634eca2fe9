"""`runs` and `status`: what the journals know, without the network; also of a run that another process drives."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qarunner.cli.applying import find_run, read_plan
from qarunner.cli.console import inert
from qarunner.cli.follow import Follow
from qarunner.cli.progress import OTHER_SIGN, SIGNS, state_words
from qarunner.cli.result import left
from qarunner.engine.journal import folders, is_driven, read
from qarunner.engine.order import awaited
from qarunner.engine.state import Phase, Run, fold
from qarunner.errors import ExitCode, UserError
from qarunner.report.summary import Summary, headline, summarise, timestamp, words
from qarunner.secret import mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.cli.console import Console
    from qarunner.engine.state import JobState, RunState
    from qarunner.entry import Entry

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A run as it stands: `state` is `running`, `detached`, `interrupted` or `finished`."""

    folder: Path
    run: Run
    summary: Summary
    state: str

    @property
    def over(self) -> bool:
        return self.state == "finished"

    @property
    def follow(self) -> Follow:
        return Follow(run_id=self.folder.name, runs_dir=self.folder.parent)


def _read(folder: Path) -> Standing:
    """UserError for a folder that holds no run of ours."""
    driven = is_driven(folder)
    plan = read_plan(folder)
    try:
        run = fold(plan, read(folder)[0])
    except KeyError as error:
        raise UserError(f"{folder}: its journal speaks of {error}, which its plan does not know") from error
    return Standing(folder=folder, run=run, summary=summarise(run), state=_state(run, driven=driven))


def _state(run: Run, *, driven: bool) -> str:
    if driven:
        return "running"
    if run.detached:
        return "detached"
    return "finished" if run.complete and run.exit_code is not None else "interrupted"


# --- runs -------------------------------------------------------------------------------------------------------------


def runs(console: Console, runs_dir: Path) -> ExitCode:
    """All runs, the newest first. A folder that cannot be read is told, and hides no other."""
    found, broken = [], []
    for folder in folders(runs_dir):
        try:
            found.append(_read(folder))
        except UserError as error:
            broken.append((folder, error.message))
    found.sort(key=lambda each: (_began(each), each.folder.name), reverse=True)
    if console.output == "json":
        rows = [_row(each) for each in found]
        rows += [{"id": folder.name, "state": "unreadable", "message": message} for folder, message in sorted(broken)]
        console.result(json.dumps({"version": VERSION, "runs": rows}, indent=2, ensure_ascii=False))
        return ExitCode.OK
    for line in _table(console, found):
        console.result(mask(line))
    for _, message in sorted(broken):
        console.warn(f"qarunner: warning: {message}")
    if not found:
        console.warn(f"no runs in {runs_dir}")
    return ExitCode.OK


def _began(standing: Standing) -> float:
    return standing.run.started_at or standing.folder.stat().st_mtime


def _row(standing: Standing) -> dict[str, object]:
    run, summary = standing.run, standing.summary
    return {
        "id": standing.folder.name,
        "name": summary.name,
        "started_at": timestamp(_began(standing)),
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


def _table(console: Console, found: list[Standing]) -> Iterator[str]:
    if not found:
        return
    rows = [("RUN", "NAME", "STARTED", "STATE", "RESULT")]
    for each in found:
        code = f"exit {each.run.exit_code}: " if each.over else f"{len(each.run.closed)}/{len(each.run.plan.entries)} "
        counts = ", ".join(f"{number} {verdict}" for verdict, number in _totals(each).items())
        result = f"{code}{counts}" if each.over else f"{code}entries closed" + (f": {counts}" if counts else "")
        name = inert(each.summary.name) + (" (rehearsal)" if each.summary.rehearsal else "")
        rows.append((each.folder.name, name, timestamp(_began(each))[:19] + "Z", each.state, result))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for number, row in enumerate(rows):
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        line = "  ".join([*padded, row[4]]).rstrip()
        yield console.style(line, "dim") if number == 0 else line


# --- status -----------------------------------------------------------------------------------------------------------


def status(console: Console, runs_dir: Path, run_id: str | None) -> ExitCode:
    """One run, entry by entry."""
    standing = _read(find_run(runs_dir, run_id))
    if console.output == "json":
        console.result(mask(json.dumps(_document(standing), indent=2, ensure_ascii=False)))
        return ExitCode.OK
    for line in _text(console, standing):
        console.result(mask(line))
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
        "reason": reason if closed else _phase(run, state),
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


def _phase(run: Run, state: JobState) -> str:
    waits = awaited(run, state) if state.phase is Phase.WAITING else []
    return f"waits for {', '.join(waits)}" if waits else state_words(state)


def _text(console: Console, standing: Standing) -> Iterator[str]:
    run, summary = standing.run, standing.summary
    rehearsal = ", a rehearsal" if summary.rehearsal else ""
    began = f"started {summary.started_at}"
    yield f"{inert(summary.name)}: run {standing.folder.name}, {standing.state}{rehearsal}, {began}"
    widths = [max((len(getattr(entry, name)) for entry in run.plan.entries), default=0) for name in ("id", "vendor")]
    for row in summary.entries:
        closed = row.entry.id in run.closed
        sign, colour = SIGNS.get(row.verdict, OTHER_SIGN) if closed else ("·", "cyan")
        told = words(row.verdict) if closed else _phase(run, run.job_of[row.entry.id])
        reason = f": {inert(row.reason)}" if closed and row.reason else ""
        line = f"{sign} {row.entry.id.ljust(widths[0])}  {row.entry.vendor.ljust(widths[1])}  {told}{reason}"
        yield console.style(line, colour)
        yield from _remotes(run, row.entry.id)
    if standing.state == "running":
        yield "another process is at work on it"
        return
    yield from left(console, _without_running(standing), standing.follow)
    if standing.over:
        yield headline(summary)


def _remotes(run: Run, entry: str) -> Iterator[str]:
    attempts = run.attempts[entry]
    for state in attempts:
        for remote in state.runs.values():
            number = f", attempt {state.attempt}" if len(attempts) > 1 else ""
            told = f"    {remote_state(remote)}{number}: run {inert(remote.remote.id)}"
            yield f"{told}  {remote.remote.url or ''}".rstrip()


def _without_running(standing: Standing) -> Summary:
    """The summary without what the list of entries has shown."""
    return replace(standing.summary, running=())
