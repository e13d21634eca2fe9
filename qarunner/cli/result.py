"""How an apply ended, for people: a table, what needs attention, and where everything is."""

from __future__ import annotations

from collections import Counter
from textwrap import wrap
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from qarunner.app import reports as reporting
from qarunner.app.options import NextCommand
from qarunner.cli.progress import open_progress
from qarunner.engine.decide.gate import exit_code_so_far
from qarunner.engine.decide.trend import News
from qarunner.engine.state.run import Phase, Run
from qarunner.errors import ExitCode, Unwritten
from qarunner.report.notes import REHEARSAL, notes
from qarunner.report.summary import amount, cost_words, news, running_of, sign_of, unsaid
from qarunner.text import Line, cut, duration, listed, plain, plural, styled, table
from qarunner.vendors.api import GOOD, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from qarunner.app.planning import PlanResult
    from qarunner.app.runs import Outlook, Progress
    from qarunner.cli.console import Console
    from qarunner.report.summary import EntrySummary, RunLink, Summary

_LONGEST_MESSAGE = 2000
"""Characters of a vendor's text in the result; the reports have all of it."""

_NAMED = 3
"""Tests that an annotation names."""
_ALL_SHOWN = 20
"""Entries of a run that the table has all of; of a larger one, those that did not pass."""
_MOST_LISTED = 40
_UNBROKEN = "\xa0"
_MOST_RUN_LINES = 5
"""Runs that go on and have a line each."""
_WIDTH, _INDENT = 98, 2
"""Columns of a list of ids at most, and those before it."""


class RunObserver:
    """Tells a console of a run: what the use cases of `app/` say."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.as_data = console.output == "json"
        self.hide, self.clean = console.hide, console.clean
        self.note, self.warn, self.conclude = console.note, console.warn, console.conclude

    @property
    def lost(self) -> bool:
        return self.console.lost

    def planned(self, result: PlanResult) -> None:
        from qarunner.cli.commands.plan import tell

        tell(self.console, result)

    def progress(self, run: Run, now: Callable[[], float], outlook: Outlook) -> Progress:
        return open_progress(self.console, run, now, outlook)

    def result(self, summary: Summary, folder: Path, follow: NextCommand) -> None:
        show(self.console, summary, folder, follow)

    def reports(self, paths: Sequence[Path]) -> None:
        if not self.console.quiet:
            for path in paths:
                self.console.result(f"report: {path.as_posix()}")

    def left(self, summary: Summary, follow: NextCommand) -> None:
        for line in left(summary, follow):
            self.console.warn(line)

    def detached(self, run: Run, summary: Summary, follow: NextCommand) -> ExitCode:
        return show_detached(self.console, run, summary, follow)

    def parting_words(self, run: Run, follow: NextCommand) -> list[str]:
        return [self.console.safe(line) for line in parting_words(run, follow)]


def show(console: Console, summary: Summary, folder: Path, follow: NextCommand | None = None) -> None:
    """The result on stdout; only what failed where the user wants it quiet. `follow` knows how to go on."""
    if console.output == "json":
        show_report(console, summary, "json")
        return
    annotate(console, summary)
    console.results(_text(console, summary, follow or NextCommand.of(folder)))


def show_report(console: Console, summary: Summary, form: str) -> None:
    """A report on stdout, as it would stand in a file."""
    text = reporting.render(summary, form, console.clean)
    console.json(text) if form in {"json", "ctrf", "slack"} else console.report(text)


def _text(console: Console, summary: Summary, follow: NextCommand) -> Iterator[Line]:
    quiet, columns = console.quiet, console.columns
    width = min(_WIDTH, (columns or _WIDTH + _INDENT) - _INDENT)
    together = _alike(summary.entries)
    grouped = {row.entry.id for rows in together.values() for row in rows}
    apart = [row for row in summary.entries if row.entry.id not in grouped]
    if not quiet:
        is_large = len(summary.entries) > _ALL_SHOWN
        rows = [row for row in apart if row.verdict not in GOOD] if is_large else summary.entries
        yield from _table(rows, columns, console.ellipsis)
        yield from _passed(summary) if is_large else ()
    yield from _failures(apart)
    yield from _blocks(together, width)
    yield from left(summary, follow, width)
    if not quiet:
        yield ""
        yield f"in all: {amount(summary)}, {duration(summary.wall_s)}"
        if cost := cost_words(summary):
            yield f"cost: {cost}"
        yield from _news(summary)
    if summary.rehearsal:
        yield f"rehearsal: {REHEARSAL}"


def _news(summary: Summary) -> Iterator[Line]:
    """New, known and fixed failures of entries, by what earlier runs say."""
    by_kind = news(summary)
    if summary.compared is None or not any(by_kind.values()):
        return
    parts = [f"{len(rows)} {kind}" for kind, rows in by_kind.items() if rows]
    fixed = [row.entry.id for row in by_kind[News.FIXED]]
    names = f" ({_listed(fixed)})" if fixed else ""
    yield f"failures, compared with {summary.compared}: {', '.join(parts)}{names}"


def _table(rows: Sequence[EntrySummary], columns: int | None, mark: str) -> Iterator[Line]:
    """In a terminal, ids lose their middle where a line would not fit, and results their remark."""
    if not rows:
        return
    heading = ("", "ENTRY", "VENDOR", "TESTS", "TIME", "RESULT")
    cells = [heading, *(_cells(row) for row in rows)]
    remarks = ["", *map(_free, rows)]
    first, *lines = table(cells, right={3, 4}, shorten=1, columns=columns, mark=mark, remarks=remarks)
    yield styled(first, "dim")
    for row, line in zip(rows, lines, strict=True):
        yield styled(line, sign_of(row.verdict)[1])


def _cells(row: EntrySummary) -> tuple[str, str, str, str, str, str]:
    took = duration(row.duration_s) if row.duration_s is not None else "-"
    return sign_of(row.verdict)[0], row.entry.id, row.entry.vendor, row.passed, took, row.verdict.words


def _free(row: EntrySummary) -> str:
    """Why a row does not gate."""
    quarantine = row.entry.policy.quarantine
    if quarantine is not None:
        return f" (in quarantine until {quarantine.until})"
    return "" if row.gating else " (does not gate)"


def _passed(summary: Summary) -> Iterator[Line]:
    """What the table of a large run leaves out."""
    for verdict in (Verdict.FLAKY, Verdict.PASSED):
        names = [row.entry.id for row in summary.entries if row.verdict is verdict]
        if names:
            sign, colour = sign_of(verdict)
            shown = f": {_listed(names)}" if verdict is Verdict.FLAKY else ""
            yield styled(f"{sign}  {plural(len(names), 'entry', 'entries')} {verdict.words}{shown}", colour)


_Alike: TypeAlias = "dict[tuple[Verdict, str], list[EntrySummary]]"


def _alike(rows: Sequence[EntrySummary]) -> _Alike:
    """Entries that did not pass and have nothing to tell of their own, together by what they all tell."""
    ours = Verdict.SKIPPED, Verdict.CANCELLED
    groups: _Alike = {}
    for row in rows:
        reason = _reason_of(row)
        alone = (row.url is not None and row.verdict not in ours) or row.verdict in {*GOOD, *_IN_FULL}
        if not alone and all(case.verdict is row.verdict and (case.message or "") in reason for case in row.cases):
            groups.setdefault((row.verdict, reason), []).append(row)
    return {key: alike for key, alike in groups.items() if len(alike) > 1 or key[0] in ours}


_IN_FULL = frozenset({Verdict.FAILED, Verdict.BLOCKED})


def _reason_of(row: EntrySummary) -> str:
    """Why an entry did not pass, without what the manifest says of it."""
    quarantine = str(row.entry.policy.quarantine) if row.entry.policy.quarantine is not None else None
    free = "allowed to fail" if row.entry.policy.allow_failure else None
    return unsaid(row.reason, quarantine, free) or ""


def _blocks(together: _Alike, width: int) -> Iterator[Line]:
    for (verdict, reason), rows in together.items():
        yield ""
        number = plural(len(rows), "entry", "entries")
        why = reason if reason.startswith(verdict.words) else ": ".join(filter(None, (verdict.words, reason)))
        yield styled(number, "bold"), cut(f": {why}", _LONGEST_MESSAGE)
        yield from _wrapped([row.entry.id for row in rows], width)


def _wrapped(names: Sequence[str], width: int) -> Iterator[str]:
    """A list in lines, below what it belongs to."""
    text = _listed([name.replace(" ", _UNBROKEN) for name in names])
    for line in wrap(text, width, break_on_hyphens=False, break_long_words=False):
        yield f"  {line.replace(_UNBROKEN, ' ')}"


def _listed(names: Sequence[str]) -> str:
    return listed(names, _MOST_LISTED, ", and {} more")


def _failures(rows: Sequence[EntrySummary]) -> Iterator[Line]:
    """Each entry that is not green, with the tests that are to blame and the links to look at."""
    for row in rows:
        if row.verdict in GOOD:
            continue
        yield ""
        heading = f"{row.entry.id}: {row.verdict.words}"
        trend = f" ({', '.join(row.trend.words)})" if row.trend is not None and row.trend.words else ""
        yield styled(heading, "bold"), f"{trend}  {row.entry.origin.file}:{row.entry.origin.line}"
        cases = row.blamed
        # What one test says stands at that test. What all tests say stands once.
        messages = [case.message for case in cases]
        reason = row.reason if len(set(messages)) == 1 < len(cases) else unsaid(row.reason, *messages)
        if reason:
            yield f"  {cut(reason, _LONGEST_MESSAGE)}"
        for case in cases:
            name = f"{case.name} ({case.id})" if case.name else case.id
            message = unsaid(case.message, reason)
            yield f"  {cut(': '.join(filter(None, (case.verdict.words, name, message))), _LONGEST_MESSAGE)}"
            if case.url:
                yield f"    {case.url}"
        if row.url and all(case.url is None for case in row.cases):
            yield f"  {row.url}"


def left(summary: Summary, follow: NextCommand, width: int = _WIDTH) -> Iterator[Line]:
    """What goes on without us, and what a person has to decide."""
    if summary.running:
        yield ""
        yield from _running(summary.running, follow, width)
    for note in notes(replace(summary, running=(), resume=follow.resume())):
        yield ""
        yield styled(note.head, "yellow", "bold"), "".join(cut(piece, _LONGEST_MESSAGE) for piece in note.text)
        yield from (f"  {way}" + (f"   ({when})" if when else "") for way, when in note.ways)


def _running(runs: Sequence[RunLink], follow: NextCommand, width: int) -> Iterator[Line]:
    """The runs that go on: each of them is paid for. A few have a line each, of more each vendor has a block."""
    head = styled("still running", "yellow", "bold")
    if len(runs) <= _MOST_RUN_LINES:
        for run in runs:
            link = f"  {run.url}" if run.url else ""
            yield head, f" at {run.vendor}: run {run.id} of {_first(run.entries)}{link}"
        return
    for vendor, number in Counter(run.vendor for run in runs).items():
        theirs = [run for run in runs if run.vendor == vendor]
        links = f"; each with its link: {follow.status()}" if any(run.url for run in theirs) else ""
        yield head, f" at {vendor}: {plural(number, 'run')}{links}"
        yield from _wrapped([f"{run.id} of {_first(run.entries)}" for run in theirs], width)


def _first(entries: Sequence[str]) -> str:
    return entries[0] if len(entries) == 1 else f"{entries[0]} (+{len(entries) - 1})"


def parting_words(run: Run, follow: NextCommand) -> Iterator[str]:
    """What is said when the process ends at once, from a signal's handler: what runs on, and how to go on."""
    for line in _running(running_of(run), follow, _WIDTH):
        yield plain(line)
    for state in list(run.jobs.values()):
        if state.phase in {Phase.SUBMITTING, Phase.UNCERTAIN}:
            yield f"uncertain: {state.doubt} may or may not have started a run at {state.job.vendor}"
    yield f"to go on: {follow.resume()}"


def show_detached(console: Console, run: Run, summary: Summary, follow: NextCommand) -> ExitCode:
    """What goes on at the vendors when an apply is detached, and what has gone wrong so far."""
    code = exit_code_so_far(run)
    closed = [row for row in summary.entries if row.entry.id in run.closed]
    try:
        if console.output == "json":
            show_report(console, summary, "json")
        else:
            console.results([*_failures(closed), *left(summary, follow)])
    except Unwritten as error:  # what goes on is named all the same
        console.warn(f"qarunner: error: {error.message}")
        for line in left(summary, follow):
            console.warn(line)
    waiting = [state for state in run.jobs.values() if state.phase is Phase.WAITING and run.open_entries(state)]
    parts = [f"{plural(len(summary.running), 'run')} {'goes' if len(summary.running) == 1 else 'go'} on"]
    if waiting:
        number = sum(len(run.open_entries(state)) for state in waiting)
        waits = "entry waits for what it needs" if number == 1 else "entries wait for what they need"
        parts.append(f"{number} {waits}, and the resume begins {'it' if number == 1 else 'them'}")
    bad = [row for row in closed if row.verdict not in GOOD]
    parts += [f"{plural(len(bad), 'entry', 'entries')} could not be started"] if bad else []
    return console.end(code, f"detached, which is no verdict: {'; '.join(parts)}; to wait: {follow.resume()}")


def annotate(console: Console, summary: Summary) -> None:
    """On GitHub: marks the lines of the entries that are not green; those that fail the build come first."""
    bad = [row for row in summary.entries if row.verdict not in GOOD]
    for row in sorted(bad, key=lambda row: not row.gating):
        origin, named = row.entry.origin, _names(row)
        tests = f"{row.verdict.words}: {named}" if named else row.verdict.words
        text = "; ".join(part for part in (tests, row.reason, row.url) if part)
        level = "error" if row.gating else "warning"
        console.annotate(level, text, file=origin.file, line=origin.line, title=row.entry.id)


def _names(row: EntrySummary) -> str:
    """The tests that are to blame."""
    return listed([case.name or case.id for case in row.blamed], _NAMED)
