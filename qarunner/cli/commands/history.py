"""`history`: how entries and tests did over the stored runs, without the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qarunner.app.history import History
from qarunner.decode import collected
from qarunner.diagnostics import choose
from qarunner.engine.decide.trend import Past, Trend, trend
from qarunner.errors import ExitCode, UserError
from qarunner.history.index import ResultRow, RunRow, past
from qarunner.report.json import history_document
from qarunner.report.summary import timestamp
from qarunner.text import duration, record, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qarunner.app.options import HistoryOptions
    from qarunner.cli.console import Console

    Results = dict[str, list[tuple[RunRow, ResultRow]]]

_SHOWN = 20


def history(console: Console, environ: Mapping[str, str], options: HistoryOptions) -> ExitCode:
    """All entries, those that fail or are flaky first; or one, with its runs and its tests."""
    known = History(options.runs_dir, environ)
    entries = collected((row[1].entry, row) for row in known.results(rehearsal=options.rehearsals))
    if known.trouble:
        console.warn(f"qarunner: warning: the history {known.trouble}")
    if options.entry is not None:
        if options.entry not in entries:
            hint = choose(options.entry, tuple(entries)) if entries else _why_empty(known, options)
            raise UserError(f"no result of an entry {options.entry!r}", hint=hint)
        entries = {options.entry: entries[options.entry]}
    if options.form == "json":
        console.output = "json"
    lines = _one(entries[options.entry]) if options.entry is not None else _all(entries)
    console.answer(lambda: {"entries": [_document(name, rows) for name, rows in entries.items()]}, lines)
    if not entries and console.output != "json":
        console.warn(f"no result: {_why_empty(known, options)}")
    return ExitCode.OK


def _why_empty(past: History, options: HistoryOptions) -> str:
    """Rehearsals and other runs do not mix: a folder may have the other kind alone."""
    if not past.usable:
        return "the history could not be read"
    if past.results(rehearsal=not options.rehearsals):
        if options.rehearsals:
            return "no rehearsal has ended; other runs: qarunner history"
        return "only rehearsals have ended: qarunner history --rehearsals"
    return f"a run joins the history when it has ended, and there is no such run in {options.runs_dir}"


def _trend(rows: Sequence[Past]) -> Trend | None:
    return trend(rows[1:], rows[0])


def _pasts(rows: Iterable[tuple[RunRow, ResultRow]]) -> list[Past]:
    return [past(run, result) for run, result in rows]


def _all(entries: Results) -> Iterator[str]:
    if not entries:
        return
    lines: list[tuple[str, ...]] = [("ENTRY", "VENDOR", "RESULTS", "LAST", "NOT PASSED", "FLAKY", "USUALLY", "WHAT")]
    trends = {name: _trend(_pasts(rows)) for name, rows in entries.items()}

    def rank(name: str) -> tuple[int, int]:
        trend = trends[name]
        return (-trend.failing, -trend.flaky - trend.bad) if trend is not None else (0, 0)

    for name in sorted(entries, key=rank):
        (_, last), trend = entries[name][0], trends[name]
        marks, *numbers = _cells(trend)
        text = ", ".join(trend.words) if trend is not None else ""
        lines.append((name, last.vendor, marks, last.verdict.words, *numbers, text))
    yield from table(lines, right={4, 5, 6})


def _cells(trend: Trend | None) -> tuple[str, str, str, str]:
    """Results, how many did not pass or were flaky, and how long it usually takes; one result is no trend."""
    if trend is None:
        return "▁", "0", "0", "-"
    return trend.marks, str(trend.bad), str(trend.flaky), "-" if trend.usual_s is None else duration(trend.usual_s)


def _one(rows: Sequence[tuple[RunRow, ResultRow]]) -> Iterator[str]:
    trend = _trend(_pasts(rows))
    yield f"{rows[0][1].entry} at {rows[0][1].vendor}: {', '.join(trend.words) if trend else ''}".rstrip(": ")
    yield ""
    lines = [("RUN", "STARTED", "BRANCH", "COMMIT", "TIME", "RESULT")]
    for run, result in rows[:_SHOWN]:
        took = duration(result.duration_s) if result.duration_s is not None else "-"
        began = timestamp(run.at)[:16] + "Z"
        line = (run.id, began, run.branch or "-", (run.commit or "-")[:7], took, result.verdict.words)
        lines.append(line)
    yield from table(lines, right={4})
    yield ""
    tests = [("TEST", "NAME", "RESULTS", "NOT PASSED", "FLAKY", "USUALLY")]
    for test, (name, pasts) in _tests(rows).items():
        tests.append((test, name or "-", *_cells(_trend(pasts))))
    yield from table(tests, right={3, 4, 5})


def _tests(rows: Iterable[tuple[RunRow, ResultRow]]) -> dict[str, tuple[str | None, list[Past]]]:
    """The results of each test, the newest first."""
    by_id = collected((test.id, (test.name, past(run, test))) for run, result in rows for test in result.tests)
    return {test: (results[0][0], [result for _, result in results]) for test, results in by_id.items()}


def _document(name: str, rows: Sequence[tuple[RunRow, ResultRow]]) -> dict[str, object]:
    return {
        "id": name,
        "vendor": rows[0][1].vendor,
        **_figures(_pasts(rows)),
        "results": [
            {
                "run": run.id,
                "started_at": timestamp(run.at),
                **record(run, "branch", "commit"),
                **record(result, "verdict", "duration_s", "url"),
            }
            for run, result in rows
        ],
        "tests": [
            {"id": test, "name": test_name, **_figures(pasts)} for test, (test_name, pasts) in _tests(rows).items()
        ],
    }


def _figures(pasts: Sequence[Past]) -> dict[str, object]:
    trend = _trend(pasts)
    rate = round(trend.flaky / trend.runs, 3) if trend is not None else 0.0
    return {"verdict": pasts[0].verdict, "flake_rate": rate, **(history_document(trend) if trend else {})}
