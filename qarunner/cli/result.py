"""How an apply ended, for people: a table, what needs attention, and where everything is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qarunner.app.options import Follow
from qarunner.cli.console import escaped, inert
from qarunner.cli.progress import OTHER_SIGN, SIGNS, clock
from qarunner.engine.decide.gate import exit_code_so_far
from qarunner.engine.state.run import Phase
from qarunner.report.summary import words
from qarunner.secret import mask
from qarunner.vendors.api import GOOD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from qarunner.cli.console import Console
    from qarunner.engine.state.run import Run
    from qarunner.errors import ExitCode
    from qarunner.report.summary import EntrySummary, Summary

ANNOTATIONS = 10
"""GitHub shows no more than ten a step."""


def show(console: Console, summary: Summary, folder: Path, follow: Follow | None = None) -> None:
    """The result on stdout; only what failed where the user wants it quiet. `follow` knows how to go on."""
    if console.output == "json":
        from qarunner.report import json as jsondoc

        console.result(jsondoc.render(summary).rstrip())
    elif console.output == "github":
        for line in annotate(summary):
            console.result(line)
    if console.output != "json":
        for line in _text(console, summary, folder, follow or Follow(run_id=folder.name, runs_dir=folder.parent)):
            console.result(mask(line))


def _text(console: Console, summary: Summary, folder: Path, follow: Follow) -> Iterator[str]:
    if not console.quiet:
        yield from _table(console, summary.entries)
    yield from _failures(console, summary)
    yield from left(console, summary, follow)
    if not console.quiet:
        yield f"report: {(folder / 'report.json').as_posix()}"
    if summary.rehearsal:
        yield "rehearsal: emulated vendors; nothing was sent to a real one, nothing was paid"


def _table(console: Console, rows: Sequence[EntrySummary]) -> Iterator[str]:
    table = [("", "ENTRY", "VENDOR", "TESTS", "TIME", "RESULT"), *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    for number, cells in enumerate(table):
        padded = [
            cell.rjust(width) if column in {3, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells[:5], widths, strict=True))
        ]
        line = "  ".join([*padded, cells[5]]).rstrip()
        if number == 0:
            yield console.style(line, "dim")
        else:
            yield console.style(line, SIGNS.get(rows[number - 1].verdict, OTHER_SIGN)[1])


def _cells(row: EntrySummary) -> tuple[str, str, str, str, str, str]:
    sign, _ = SIGNS.get(row.verdict, OTHER_SIGN)
    tests = sum(row.counts.values())
    good = sum(number for verdict, number in row.counts.items() if verdict in GOOD)
    took = clock(row.duration_s) if row.duration_s is not None else "-"
    result = words(row.verdict) + _free(row)
    return sign, row.entry.id, row.entry.vendor, f"{good}/{tests}", took, result


def _free(row: EntrySummary) -> str:
    """Why a row does not gate."""
    quarantine = row.entry.policy.quarantine
    if quarantine is not None:
        return f" (in quarantine until {quarantine.until})"
    return "" if row.gating else " (does not gate)"


def _failures(console: Console, summary: Summary) -> Iterator[str]:
    """Each entry that is not green, with the tests that are to blame and the links to look at."""
    for row in summary.entries:
        if row.verdict in GOOD:
            continue
        yield ""
        heading = f"{row.entry.id}: {words(row.verdict)}"
        yield console.style(heading, "bold") + f"  {row.entry.origin.file}:{row.entry.origin.line}"
        if row.reason:
            yield f"  {inert(row.reason)}"
        for case in row.cases:
            if case.verdict not in GOOD and case.id != row.entry.id:
                name = f"{case.name} ({case.id})" if case.name else case.id
                parts = [words(case.verdict), name]
                parts += [case.message] if case.message and case.message != row.reason else []
                yield f"  {inert(': '.join(parts))}"
                if case.url:
                    yield f"    {inert(case.url)}"
        if row.url and all(case.url is None for case in row.cases):
            yield f"  {inert(row.url)}"


def left(console: Console, summary: Summary, follow: Follow) -> Iterator[str]:
    """What goes on without us, and what a person has to decide."""
    for run in summary.running:
        yield ""
        entries = ", ".join(run.entries)
        yield console.style("still running", "yellow", "bold") + f" at {run.vendor}: run {inert(run.id)} of {entries}"
        if run.url:
            yield f"  {inert(run.url)}"
    for found in summary.left:
        yield ""
        number = found.details.get("id")
        what = found.what + (f" (id {number})" if number else "")
        how = "left" if found.certain else "may be left"
        yield console.style(how, "yellow", "bold") + f" at {found.vendor}: {inert(what)}: {inert(found.why)}"
        again = f"{follow.resume()} tries again to remove it; or " if found.removable else ""
        yield f"  {again}{inert(found.todo)}"
    for job, message in summary.uncertain.items():
        yield ""
        yield (
            console.style("uncertain", "yellow", "bold")
            + f": {job} may or may not have started a run: {inert(message)}"
        )
        if job in summary.repeatable:
            yield f"  {follow.resume()} asks again with the same idempotency key: nothing is paid twice"
            continue
        yield f"  look at the vendor, then: {follow.resume('--resubmit', job)}   (there is none: start it)"
        yield f"                        or: {follow.resume('--drop', job)}   (there is one: leave it)"
    if summary.unfinished:
        yield ""
        yield f"to go on: {follow.resume()}"


def show_detached(console: Console, run: Run, summary: Summary, follow: Follow) -> ExitCode:
    """What goes on at the vendors when an apply is detached, and what has gone wrong so far."""
    code = exit_code_so_far(run)
    if console.output == "json":
        from qarunner.report import json as jsondoc

        console.result(jsondoc.render(summary).rstrip())
    else:
        closed = [row for row in summary.entries if row.entry.id in run.closed]
        for line in (*_failures(console, replace(summary, entries=tuple(closed))), *left(console, summary, follow)):
            console.result(mask(line))
    waiting = [state for state in run.jobs.values() if state.phase is Phase.WAITING and run.open_entries(state)]
    parts = [f"{counted(len(summary.running), 'run')} {'goes' if len(summary.running) == 1 else 'go'} on"]
    if waiting:
        number = sum(len(run.open_entries(state)) for state in waiting)
        waits = "entry waits for what it needs" if number == 1 else "entries wait for what they need"
        parts.append(f"{number} {waits}, and the resume begins {'it' if number == 1 else 'them'}")
    bad = [row for row in summary.entries if row.entry.id in run.closed and row.verdict not in GOOD]
    parts += [f"{counted(len(bad), 'entry', 'entries')} could not be started"] if bad else []
    console.conclude(
        f"qarunner: exit {int(code)}: detached, which is no verdict: {'; '.join(parts)}; to wait: {follow.resume()}"
    )
    return code


def counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def annotate(summary: Summary) -> Iterator[str]:
    """At most ten workflow commands of GitHub, at the manifest's lines."""
    bad = [row for row in summary.entries if row.verdict not in GOOD]
    for row in bad[:ANNOTATIONS]:
        level = "error" if row.gating else "warning"
        file, title = (escaped(mask(part), value=True) for part in (row.entry.origin.file, row.entry.id))
        text = " ".join(part for part in (f"{words(row.verdict)}:", row.reason, row.url) if part)
        yield f"::{level} file={file},line={row.entry.origin.line},title={title}::{escaped(mask(text))}"
