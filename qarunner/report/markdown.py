"""The report as Markdown: what failed first, then as much as fits into GitHub's step summary.

Names and messages are a vendor's or a stranger's: they stand in code spans, where nothing links, mentions or is HTML.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qarunner.decode import collected
from qarunner.engine.decide.trend import News, is_bad
from qarunner.regex import regex
from qarunner.report.notes import REHEARSAL, Said, notes
from qarunner.report.summary import (
    WORST_FIRST,
    cost_words,
    facts,
    failures_first,
    headline,
    is_web,
    news,
    unsaid,
)
from qarunner.review.markdown import Page, code
from qarunner.secret import mask
from qarunner.text import duration, inert_lines, listed, plural
from qarunner.vendors.api import GOOD, Case, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qarunner.report.summary import EntrySummary, RunLink, Summary

STEP_SUMMARY = 1024 * 1024
"""GitHub drops a step's summary whole if it is larger than this many bytes."""
_SIGNS = {Verdict.PASSED: "✅", Verdict.FLAKY: "🔁", Verdict.SKIPPED: "⏭️"}
_BAD = "❌"
_WEB = regex(r"https?://[A-Za-z0-9._~:/?#@!$&*+,;=%-]+")
_NAMED, _CASES, _LINES, _PIECE = 20, 20, 12, 200
"""Of one thing so many names, tests, lines of a text and rows of the table are in one part of the page."""


def render(summary: Summary, limit: int = STEP_SUMMARY - 1024) -> str:
    """The page, at most `limit` bytes of UTF-8; it says what did not fit."""
    page = Page(limit)
    for block in _blocks(summary):
        page.add(inert_lines(mask(block)))
    return page.text("`report.json` in the run's folder has everything")


def _blocks(summary: Summary) -> Iterator[str]:
    sign = _SIGNS.get(summary.verdict, _BAD)
    yield f"### {sign} {code(summary.name)}: {headline(summary).removeprefix('qarunner: ')}"
    yield from _about(summary)
    if summary.rehearsal:
        yield f"_A rehearsal: {REHEARSAL}._"
    if summary.manifests:
        yield "\n".join(_manifests(summary))
    for failure in summary.gate:
        yield f"**gate: {code(failure.name)}**: {code(failure.message)}"
    yield from _attention(summary)
    yield from _news(summary)
    rows = failures_first(summary)
    for row in rows:
        if row.verdict not in GOOD and row.verdict is not Verdict.SKIPPED:
            yield "\n".join(_failure(row))
    skipped = [row for row in rows if row.verdict is Verdict.SKIPPED]
    if skipped:
        yield "\n".join(["**Skipped**", "", *(f"- {code(row.entry.id)}{_why(row.reason)}" for row in skipped)])
    for start in range(0, len(rows), _PIECE):
        yield "\n".join(_table(rows, start))


def _manifests(summary: Summary) -> Iterator[str]:
    """What each of several matrices came to, the red ones first."""
    yield from ("| | manifest | matrix | exit code |", "|---|---|---|---:|")
    for part in sorted(summary.manifests, key=lambda part: part.verdict in GOOD):
        sign = _SIGNS.get(part.verdict, _BAD)
        yield f"| {sign} {part.verdict.words} | {code(part.label)} | {code(part.name)} | {int(part.exit_code)} |"


def _about(summary: Summary) -> Iterator[str]:
    """Counts of tests and of entries, and what was tested."""
    counts = {"tests": summary.totals, "entries": Counter(row.verdict for row in summary.entries)}
    heads = [verdict for verdict in WORST_FIRST if any(by_verdict.get(verdict) for by_verdict in counts.values())]
    if heads:
        lines = [
            f"| | {' | '.join([verdict.words for verdict in heads])} | in all |",
            f"|---|{'---:|' * (len(heads) + 1)}",
        ]
        for what, by_verdict in counts.items():
            numbers = [by_verdict.get(verdict, 0) for verdict in heads]
            lines.append(f"| {what} | {' | '.join(map(str, numbers))} | {sum(numbers)} |")
        yield "\n".join(lines)
    parts = [duration(summary.wall_s), *(f"{name} {code(value)}" for name, value in facts(summary))]
    parts += [f"run {code(summary.run_id)}"]
    url = summary.ci.get("url")
    parts += [_link("build", url)] if url and _WEB.fullmatch(url) else []
    yield " · ".join(parts)
    if cost := cost_words(summary):
        yield f"Cost: {cost}."


def _attention(summary: Summary) -> Iterator[str]:
    """What goes on at a vendor, and what a person has to decide. Some of many: what failed has to fit, too."""
    by_head = collected((note.head, note) for note in notes(summary))
    for head, alike in by_head.items():
        for note in alike[:_NAMED]:
            text = "".join(code(piece) if isinstance(piece, Said) else piece for piece in note.text)
            runs = [f"{_link(code(run.id), run.url)} of {_names(run.entries)}" for run in note.runs]
            ways = "".join(f"\n> - {code(way)} {when}".rstrip() for way, when in note.ways)
            mark = "⚠️ " if runs or ways else ""
            yield f"> {mark}**{head}**{text}{listed(runs, _NAMED, _REST)}{ways}"
        if len(alike) > _NAMED:
            yield f"> ⚠️ and {len(alike) - _NAMED} more; `qarunner status` lists all of them"


_REST = ", and {} more: `qarunner status` lists all of them"


def _names(names: Iterable[str]) -> str:
    return listed(list(map(code, names)), _NAMED)


def _news(summary: Summary) -> Iterator[str]:
    """What is new since the runs that this one is compared with."""
    if not summary.compared:
        return
    groups = news(summary)
    new = groups[News.NEW]
    parts = [f"**{plural(len(new), 'new failure')}** since {code(summary.compared)}"]
    parts[0] += f": {_names(row.entry.id for row in new)}" if new else ""
    parts += [
        f"{len(groups[kind])} {kind}: {_names(row.entry.id for row in groups[kind])}"
        for kind in (News.KNOWN, News.FIXED)
        if groups[kind]
    ]
    yield "; ".join(parts)


def _failure(row: EntrySummary) -> Iterator[str]:
    place = f"{row.entry.origin.file}:{row.entry.origin.line}"
    aside = f" ({', '.join(row.notes)})" if row.notes else ""
    yield f"**{code(row.entry.id)}: {row.verdict.words}**{aside} at {code(row.entry.vendor)}, {code(place)}"
    yield ""
    bad = row.blamed
    if reason := unsaid(row.reason, *(case.message for case in bad)):
        yield f"- {_text(reason)}"
    for case in bad[:_CASES]:
        yield from _case(case)
    if len(bad) > _CASES:
        yield f"- and {len(bad) - _CASES} more tests"
    links = [_run(run) for run in row.runs[:_NAMED]]
    if links:
        yield f"- {', '.join(links)}"


def _case(case: Case) -> Iterator[str]:
    name = f"{code(case.name)} ({code(case.id)})" if case.name else code(case.id)
    video = f", {_link('video', case.video_url)}" if is_web(case.video_url) else ""
    yield f"- {case.verdict.words}: {_link(name, case.url)}{_why(case.message)}{video}"
    bad = [step for step in case.steps if is_bad(step.verdict)]
    for step in bad[:_CASES]:
        shot = f", {_link('screenshot', step.screenshot_url)}" if is_web(step.screenshot_url) else ""
        why = _why(unsaid(step.message, case.message, step.title))
        yield f"  - {step.verdict.words}: {code(step.title)}{why}{shot}"


def _why(text: str | None) -> str:
    return f": {_text(text)}" if text else ""


def _text(text: str) -> str:
    """Somebody's text, each of its lines in a code span."""
    lines = [line for line in text.splitlines() if line.strip()]
    more = [f"… {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return "<br>".join([*map(code, lines[:_LINES]), *more]) or code(text)


def _run(run: RunLink) -> str:
    return "run " + _link(code(run.id), run.url)


def _link(text: str, url: str | None) -> str:
    """A link only to what is one beyond doubt."""
    return f"[{text}]({url})" if url and _WEB.fullmatch(url) else text


def _table(rows: list[EntrySummary], start: int) -> Iterator[str]:
    piece = rows[start : start + _PIECE]
    title = f"all {len(rows)} entries" if len(rows) == len(piece) else f"entries {start + 1} to {start + len(piece)}"
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield "| | entry | vendor | tests | time | result |"
    yield "|---|---|---|---|---|---|"
    for row in piece:
        took = duration(row.duration_s) if row.duration_s is not None else ""
        sign = _SIGNS.get(row.verdict, _BAD)
        # A bar would end the cell, even in a code span.
        entry, vendor = (code(text).replace("|", "\\|") for text in (row.entry.id, row.entry.vendor))
        result = ", ".join([row.verdict.words, *row.notes])
        yield f"| {sign} | {entry} | {vendor} | {row.passed} | {took} | {result} |"
    yield ""
    yield "</details>"
