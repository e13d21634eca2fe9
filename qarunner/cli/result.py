"""How an apply ended, for people: a table, what needs attention, and where everything is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qarunner.app import files as reporting
from qarunner.app.options import Follow
from qarunner.cli.console import Console
from qarunner.cli.progress import OTHER_SIGN, SIGNS, Outlook, open_progress
from qarunner.engine.decide.gate import exit_code_so_far
from qarunner.engine.state.run import Phase
from qarunner.report.summary import words
from qarunner.text import cut, duration, plural, styled
from qarunner.vendors.api import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from qarunner.app.session import Progress
    from qarunner.engine.schedule.timing import DurationHistory
    from qarunner.engine.state.run import Run
    from qarunner.errors import ExitCode
    from qarunner.report.summary import EntrySummary, Summary
    from qarunner.text import Line

_LONGEST_MESSAGE = 2000
"""Characters of a vendor's text in the result; the reports have all of it."""

_NAMED = 3
"""Tests that an annotation names."""


@dataclass(frozen=True, slots=True)
class RunObserver:
    """Tells a console of a run: what the use cases of `app/` say."""

    console: Console

    @property
    def as_data(self) -> bool:
        return self.console.output == "json"

    @property
    def lost(self) -> bool:
        return self.console.lost

    def hide(self, values: Iterable[str]) -> None:
        self.console.hide(values)

    def clean(self, text: str) -> str:
        return self.console.clean(text)

    def note(self, line: Line) -> None:
        self.console.note(line)

    def warn(self, line: Line) -> None:
        self.console.warn(line)

    def progress(
        self,
        run: Run,
        now: Callable[[], float],
        durations: DurationHistory,
        *,
        cancellable: frozenset[str],
        detaches: bool,
    ) -> Progress:
        outlook = Outlook(durations=durations, cancellable=cancellable, detaches=detaches)
        return open_progress(self.console, run, now, outlook)

    def result(self, summary: Summary, folder: Path, follow: Follow) -> None:
        show(self.console, summary, folder, follow)

    def left(self, summary: Summary, follow: Follow) -> None:
        for line in left(summary, follow):
            self.console.warn(line)

    def detached(self, run: Run, summary: Summary, follow: Follow) -> ExitCode:
        return show_detached(self.console, run, summary, follow)

    def parting_words(self, run: Run, follow: Follow) -> list[str]:
        return [self.console.safe(line) for line in parting_words(run, follow)]

    def conclude(self, line: Line, instead: Line) -> bool:
        return self.console.conclude(line, instead)


def show(console: Console, summary: Summary, folder: Path, follow: Follow | None = None) -> None:
    """The result on stdout; only what failed where the user wants it quiet. `follow` knows how to go on."""
    if console.output == "json":
        show_report(console, summary, "json")
        return
    annotate(console, summary)
    whole = _text(summary, folder, follow or Follow(run_id=folder.name, runs_dir=folder.parent), quiet=console.quiet)
    for line in whole:
        console.result(line)


def show_report(console: Console, summary: Summary, form: str) -> None:
    """A report on stdout, as it would stand in a file."""
    text = reporting.render(summary, form, console.clean)
    console.json(text) if form in {"json", "ctrf"} else console.report(text)


def _text(summary: Summary, folder: Path, follow: Follow, *, quiet: bool) -> Iterator[Line]:
    if not quiet:
        yield from _table(summary.entries)
    yield from _failures(summary)
    yield from left(summary, follow)
    if not quiet:
        yield f"report: {(folder / 'report.json').as_posix()}"
    if summary.rehearsal:
        yield "rehearsal: emulated vendors; nothing was sent to a real one, nothing was paid"


def _table(rows: Sequence[EntrySummary]) -> Iterator[Line]:
    table = [("", "ENTRY", "VENDOR", "TESTS", "TIME", "RESULT"), *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    for number, cells in enumerate(table):
        padded = [
            cell.rjust(width) if column in {3, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells[:5], widths, strict=True))
        ]
        line = "  ".join([*padded, cells[5]]).rstrip()
        if number == 0:
            yield styled(line, "dim")
        else:
            yield styled(line, SIGNS.get(rows[number - 1].verdict, OTHER_SIGN)[1])


def _cells(row: EntrySummary) -> tuple[str, str, str, str, str, str]:
    sign, _ = SIGNS.get(row.verdict, OTHER_SIGN)
    tests = sum(row.counts.values())
    good = sum(number for verdict, number in row.counts.items() if verdict in GOOD)
    took = duration(row.duration_s) if row.duration_s is not None else "-"
    result = words(row.verdict) + _free(row)
    return sign, row.entry.id, row.entry.vendor, f"{good}/{tests}", took, result


def _free(row: EntrySummary) -> str:
    """Why a row does not gate."""
    quarantine = row.entry.policy.quarantine
    if quarantine is not None:
        return f" (in quarantine until {quarantine.until})"
    return "" if row.gating else " (does not gate)"


def _failures(summary: Summary) -> Iterator[Line]:
    """Each entry that is not green, with the tests that are to blame and the links to look at."""
    for row in summary.entries:
        if row.verdict in GOOD:
            continue
        yield ""
        heading = f"{row.entry.id}: {words(row.verdict)}"
        yield styled(heading, "bold"), f"  {row.entry.origin.file}:{row.entry.origin.line}"
        if row.reason:
            yield f"  {cut(row.reason, _LONGEST_MESSAGE)}"
        for case in row.cases:
            if case.verdict not in GOOD and case.id != row.entry.id:
                name = f"{case.name} ({case.id})" if case.name else case.id
                parts = [words(case.verdict), name]
                parts += [case.message] if case.message and case.message != row.reason else []
                yield f"  {cut(': '.join(parts), _LONGEST_MESSAGE)}"
                if case.url:
                    yield f"    {case.url}"
        if row.url and all(case.url is None for case in row.cases):
            yield f"  {row.url}"


def left(summary: Summary, follow: Follow) -> Iterator[Line]:
    """What goes on without us, and what a person has to decide."""
    for run in summary.running:
        yield ""
        entries = ", ".join(run.entries)
        yield styled("still running", "yellow", "bold"), f" at {run.vendor}: run {run.id} of {entries}"
        if run.url:
            yield f"  {run.url}"
    for found in summary.left:
        yield ""
        number = found.details.get("id")
        what = found.what + (f" (id {number})" if number else "")
        how = "left" if found.certain else "may be left"
        why = cut(found.why, _LONGEST_MESSAGE)
        yield styled(how, "yellow", "bold"), f" at {found.vendor}: {what}: {why}"
        again = f"{follow.resume()} tries again to remove it; or " if found.removable else ""
        yield f"  {again}{found.todo}"
    for job, message in summary.uncertain.items():
        yield ""
        why = cut(message, _LONGEST_MESSAGE)
        yield styled("uncertain", "yellow", "bold"), f": {job} may or may not have started a run: {why}"
        if job in summary.repeatable:
            yield f"  {follow.resume()} asks again with the same idempotency key: nothing is paid twice"
            continue
        yield f"  look at the vendor, then: {follow.resume('--resubmit', job)}   (there is none: start it)"
        yield f"                        or: {follow.resume('--drop', job)}   (there is one: leave it)"
    if summary.unfinished:
        yield ""
        yield f"to go on: {follow.resume()}"


def parting_words(run: Run, follow: Follow) -> Iterator[str]:
    """What is said when the process ends at once, from a signal's handler: what runs on, and how to go on."""
    for state, remote in list(run.live_runs()):
        url = f"  {remote.remote.url}" if remote.remote.url else ""
        yield f"still running at {state.job.vendor}: run {remote.remote.id} of {', '.join(state.job.entries)}{url}"
    for state in list(run.jobs.values()):
        if state.phase in {Phase.SUBMITTING, Phase.UNCERTAIN}:
            yield f"uncertain: {state.job.id} may or may not have started a run at {state.job.vendor}"
    yield f"to go on: {follow.resume()}"


def show_detached(console: Console, run: Run, summary: Summary, follow: Follow) -> ExitCode:
    """What goes on at the vendors when an apply is detached, and what has gone wrong so far."""
    code = exit_code_so_far(run)
    if console.output == "json":
        show_report(console, summary, "json")
    else:
        closed = [row for row in summary.entries if row.entry.id in run.closed]
        for line in (*_failures(replace(summary, entries=tuple(closed))), *left(summary, follow)):
            console.result(line)
    waiting = [state for state in run.jobs.values() if state.phase is Phase.WAITING and run.open_entries(state)]
    parts = [f"{plural(len(summary.running), 'run')} {'goes' if len(summary.running) == 1 else 'go'} on"]
    if waiting:
        number = sum(len(run.open_entries(state)) for state in waiting)
        waits = "entry waits for what it needs" if number == 1 else "entries wait for what they need"
        parts.append(f"{number} {waits}, and the resume begins {'it' if number == 1 else 'them'}")
    bad = [row for row in summary.entries if row.entry.id in run.closed and row.verdict not in GOOD]
    parts += [f"{plural(len(bad), 'entry', 'entries')} could not be started"] if bad else []
    console.conclude(
        f"qarunner: exit {int(code)}: detached, which is no verdict: {'; '.join(parts)}; to wait: {follow.resume()}"
    )
    return code


def annotate(console: Console, summary: Summary) -> None:
    """On GitHub: marks the lines of the entries that are not green; those that fail the build come first."""
    bad = [row for row in summary.entries if row.verdict not in GOOD]
    for row in sorted(bad, key=lambda each: not each.gating):
        origin, named = row.entry.origin, _names(row)
        tests = f"{words(row.verdict)}: {named}" if named else words(row.verdict)
        text = "; ".join(part for part in (tests, row.reason, row.url) if part)
        level = "error" if row.gating else "warning"
        console.annotate(level, text, file=origin.file, line=origin.line, title=row.entry.id)


def _names(row: EntrySummary) -> str:
    """The tests that are to blame; an entry without tests of its own has nothing to name."""
    names = [case.name or case.id for case in row.cases if case.verdict not in GOOD and case.id != row.entry.id]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
