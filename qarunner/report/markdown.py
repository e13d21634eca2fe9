"""The report as Markdown: what failed first, then as much as fits into GitHub's step summary.

Names and messages are a vendor's or a stranger's: they stand in code spans, where nothing links, mentions or is HTML.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qarunner.report.summary import headline, words
from qarunner.review.markdown import Page, code
from qarunner.secret import mask
from qarunner.text import duration, inert_lines
from qarunner.vendors.api import GOOD, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qarunner.report.summary import EntrySummary, RunLink, Summary
    from qarunner.vendors.api import Case

STEP_SUMMARY = 1024 * 1024
"""GitHub drops a step's summary whole if it is larger than this many bytes."""
_SIGNS = {Verdict.PASSED: "✅", Verdict.FLAKY: "🔁", Verdict.SKIPPED: "⏭️"}
_BAD = "❌"
_WEB = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&*+,;=%-]+")


def render(summary: Summary, limit: int = STEP_SUMMARY - 1024) -> str:
    """The page, at most `limit` bytes of UTF-8; it says what did not fit."""
    page = Page(limit)
    for block in _blocks(summary):
        page.add(inert_lines(mask(block)))
    return page.text("`report.json` in the run's folder has everything")


def _blocks(summary: Summary) -> Iterator[str]:
    sign = _SIGNS.get(summary.verdict, _BAD)
    yield f"### {sign} {code(summary.name)}: {headline(summary).removeprefix('qarunner: ')}"
    if summary.rehearsal:
        yield "_A rehearsal: emulated vendors; nothing was sent to a real one, nothing was paid._"
    for failure in summary.gate:
        yield f"**gate: {code(failure.name)}**: {code(failure.message)}"
    yield from _attention(summary)
    bad = [row for row in summary.entries if row.verdict not in GOOD]
    for row in sorted(bad, key=lambda each: not each.gating):
        yield "\n".join(_failure(row))
    if summary.entries:
        yield "\n".join(_table(summary))


def _attention(summary: Summary) -> Iterator[str]:
    """What goes on at a vendor, and what a person has to decide."""
    for run in summary.running:
        yield f"> ⚠️ **still running** at {run.vendor}: {_run(run)} of {', '.join(map(code, run.entries))}"
    for left in summary.left:
        how = "left" if left.certain else "may be left"
        yield f"> ⚠️ **{how}** at {left.vendor}: {code(left.what)}: {code(left.why)}; {code(left.todo)}"
    for job, message in summary.uncertain.items():
        yield f"> ⚠️ **uncertain**: {code(job)} may or may not have started a run: {code(message)}"
    if summary.unfinished:
        yield f"> To go on: `qarunner resume {summary.run_id}`"


def _failure(row: EntrySummary) -> Iterator[str]:
    free = "" if row.gating else " (does not gate)"
    place = f"{row.entry.origin.file}:{row.entry.origin.line}"
    yield f"**{code(row.entry.id)}: {words(row.verdict)}**{free} at {row.entry.vendor}, {code(place)}"
    yield ""
    if row.reason:
        yield f"- {code(row.reason)}"
    for case in row.cases:
        if case.verdict not in GOOD and case.id != row.entry.id:
            yield f"- {_case(case)}" + (
                f": {code(case.message)}" if case.message and case.message != row.reason else ""
            )
            for step in case.steps:
                if step.verdict not in GOOD and step.verdict is not Verdict.SKIPPED:
                    yield f"  - {words(step.verdict)}: {code(step.title)}" + _shot(step.screenshot_url)
    links = [_run(run) for run in row.runs]
    if links:
        yield f"- {', '.join(links)}"


def _case(case: Case) -> str:
    name = f"{code(case.name)} ({code(case.id)})" if case.name else code(case.id)
    return f"{words(case.verdict)}: {_link(name, case.url)}"


def _shot(url: str | None) -> str:
    return f", {_link('screenshot', url)}" if url else ""


def _run(run: RunLink) -> str:
    return "run " + _link(code(run.id), run.url)


def _link(text: str, url: str | None) -> str:
    """A link only to what is one beyond doubt."""
    return f"[{text}]({url})" if url and _WEB.fullmatch(url) else text


def _table(summary: Summary) -> Iterator[str]:
    yield f"<details><summary>all {len(summary.entries)} entries</summary>"
    yield ""
    yield "| | entry | vendor | tests | time | result |"
    yield "|---|---|---|---|---|---|"
    for row in summary.entries:
        tests = sum(row.counts.values())
        good = sum(number for verdict, number in row.counts.items() if verdict in GOOD)
        took = duration(row.duration_s) if row.duration_s is not None else ""
        sign = _SIGNS.get(row.verdict, _BAD)
        # A bar would end the cell, even in a code span.
        entry = code(row.entry.id).replace("|", "\\|")
        free = "" if row.gating else " (does not gate)"
        yield f"| {sign} | {entry} | {row.entry.vendor} | {good}/{tests} | {took} | {words(row.verdict)}{free} |"
    yield ""
    yield "</details>"
