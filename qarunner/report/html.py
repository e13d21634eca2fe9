"""The report as one page of HTML: failures first, readable without its script, and no request before a click."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from functools import cache
from html import escape as _escape
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from qarunner.decode import collected
from qarunner.engine.decide.trend import is_bad
from qarunner.regex import regex
from qarunner.report.notes import REHEARSAL, notes
from qarunner.report.summary import (
    amount,
    cost_words,
    facts,
    failures_first,
    headline,
    is_web,
    news,
    sign_of,
    unsaid,
    verdict_counts,
)
from qarunner.secret import mask
from qarunner.text import duration, inert_lines, listed, plural
from qarunner.vendors.api import GOOD, Case, Step, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qarunner.report.notes import Note
    from qarunner.report.summary import EntrySummary, RunLink, Summary

_ORIGIN = regex(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?")
_IN_FRAGMENT = "!#$&'()*+,/:;=?@[]^{|}~"
"""What stands in a link to an entry as it stands in its id."""

_OPEN = 10
"""So many failures stand open; of more, a line each."""

_MANY = 200
"""Of so many entries, those off the screen are not laid out."""

_NOTES = 1
"""So many notes of one kind stand open: the first failure is on the first screen."""

_LANES = 50
"""A timeline of more entries is folded."""

_MOST_LANES = 2000
_TICKS = 5
_NARROWEST = 4
"""Thousandths of the timeline that a bar is wide at least: a narrower one cannot be seen."""


def escape(text: str) -> str:
    """Somebody's text as text; most of a page's thousands have nothing that could be markup."""
    return _escape(text) if _MARKUP.search(text) else text


_MARKUP = regex("[&<>\"']")


def render(summary: Summary) -> str:
    """The page; no secret and no placeholder in it."""
    return inert_lines(mask("".join(_page(summary)))) + "\n"


@cache
def _file(name: str) -> str:
    return files("qarunner.report").joinpath(name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _page(summary: Summary) -> Iterator[str]:
    rows = failures_first(summary)
    style, script = _file("page.css"), _file("page.js")
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src {_images(rows)}"
    yield f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{escape(summary.name)}: {summary.verdict.words}</title>
<style>{style}</style>
</head>
<body>
"""
    yield from _header(summary)
    yield "<main>\n"
    yield from _notes(summary)
    yield from _tools(summary)
    yield f'<div id="entries"{" class=many" if len(rows) > _MANY else ""}>\n'
    failures = [row.entry.id for row in rows if is_bad(row.verdict) and row.gating][:_OPEN]
    for row in rows:
        yield _entry(row, is_open=row.entry.id in failures)
    yield "</div>\n"
    yield from _not_planned(summary)
    yield from _rollups(summary)
    yield from _timeline(summary)
    yield f"</main>\n<script>{script}</script>\n</body>\n</html>"


def _images(rows: Iterable[EntrySummary]) -> str:
    """The hosts that screenshots lie at; nothing else may be loaded."""
    urls = (
        url
        for row in rows
        for _, case in row.tried
        for step in case.steps
        if (url := step.screenshot_url) and is_web(url)
    )
    return " ".join(dict.fromkeys(["data:", *filter(_ORIGIN.fullmatch, map(_origin, urls))]))


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


# --- the top ----------------------------------------------------------------------------------------------------------


def _header(summary: Summary) -> Iterator[str]:
    tone = _tone(summary.verdict, gating=True)
    yield f'<header>\n<h1><span class="{tone}">{_signed(summary.verdict)}</span> {escape(summary.name)}</h1>\n'
    yield f"<p>{escape(headline(summary).removeprefix('qarunner: '))}</p>\n"
    parts = [
        escape(duration(summary.wall_s)),
        amount(summary),
        f"run {escape(summary.run_id)}",
        escape(summary.started_at),
    ]
    parts += [f"{name} {escape(value)}" for name, value in facts(summary)]
    if is_web(summary.ci.get("url")):
        parts.append(_link("build", summary.ci.get("url")))
    yield f'<p class="quiet">{" · ".join(parts)}</p>\n'
    if told_cost := cost_words(summary):
        yield f"<p>Cost: {escape(told_cost)}</p>\n"
    if summary.compared is not None:
        counts = [f"{len(rows)} {kind}" for kind, rows in news(summary).items()]
        yield f"<p>failures, compared with {escape(summary.compared)}: {', '.join(counts)}</p>\n"
    yield "</header>\n"


def _notes(summary: Summary) -> Iterator[str]:
    """What goes on at a vendor, what a person has to decide, and what fails the build for itself."""
    if summary.rehearsal:
        yield f'<p class="note">A rehearsal: {REHEARSAL}.</p>\n'
    for part in summary.manifests:
        text = f"{escape(part.label)} ({escape(part.name)}): exit {int(part.exit_code)}"
        yield f'<p class="note"><b class="{_tone(part.verdict, gating=True)}">{_signed(part.verdict)}</b> {text}</p>\n'
    for failure in summary.gate:
        name, message = escape(failure.name), escape(failure.message)
        yield f'<p class="note"><b class="bad">✗ gate: {name}</b>: {message}</p>\n'
    for head, alike in collected((note.head, note) for note in notes(summary)).items():
        lines = "".join(map(_note, alike))
        number = sum(len(note.runs) or 1 for note in alike)
        is_folded = len(alike) > _NOTES
        yield f"<details><summary>{number} {head}</summary>\n{lines}</details>\n" if is_folded else lines


def _note(note: Note) -> str:
    text = f"{note.head[0].upper()}{note.head[1:]}{''.join(map(escape, note.text))}"
    runs = [f"{_run(run)} of {escape(listed(run.entries, _OPEN))}" for run in note.runs]
    if len(runs) > _NOTES:
        lines = "".join(f"<li>{run}</li>\n" for run in runs)
        return f'<details class="note"><summary>{text.rstrip(": ")}</summary>\n<ul>{lines}</ul></details>\n'
    ways = "".join(f"<br><code>{escape(way)}</code> {when}".rstrip() for way, when in note.ways)
    return f'<p class="note">{text}{"".join(runs)}{ways}</p>\n'


def _tools(summary: Summary) -> Iterator[str]:
    number = plural(len(summary.entries), "entry", "entries")
    yield f'<div class="tools"><span id="shown" role="status">{number}</span>\n<ul class="chips">'
    for verdict, count in verdict_counts(row.verdict for row in summary.entries):
        tone = _tone(verdict, gating=True)
        yield f'<li><span class="chip {tone}" data-q="s:{verdict}">{_signed(verdict, count)}</span></li>'
    states = [state for row in summary.entries for state in _states(row)]
    for state in dict.fromkeys(states):
        title = {"free": "do not gate", "new": "new failures", "known": "known failures"}.get(state, state)
        yield f'<li><span class="chip" data-q="s:{state}">{states.count(state)} {title}</span></li>'
    yield (
        '</ul>\n<input id="search" type="search" data-script hidden placeholder="v:vendor p:web l:smoke s:failed text" '
        'aria-label="Search entries: v: vendor, p: platform, l: label, s: state, or any text">\n'
        '<label data-script hidden>sort <select id="sort"><option value="listed">failures first</option>'
        '<option value="manifest">as in the manifest</option><option value="slowest">slowest first</option>'
        '<option value="name">by id</option></select></label></div>\n'
    )


def _states(row: EntrySummary) -> list[str]:
    """What an entry is besides its verdict."""
    states = [row.trend.news.value] if row.trend is not None and row.trend.news is not None else []
    states += ["quarantined"] if row.entry.policy.quarantine is not None else []
    return states if row.gating else [*states, "free"]


# --- the entries ------------------------------------------------------------------------------------------------------


def anchor(entry_id: str) -> str:
    """The id of an element, from the entry's id alone: a link to it leads to the same entry tomorrow."""
    return f"entry-{quote(entry_id, safe=_IN_FRAGMENT)}"


def _entry(row: EntrySummary, *, is_open: bool) -> str:
    entry = row.entry
    tone = _tone(row.verdict, gating=row.gating)
    states = " ".join([row.verdict.value, *_states(row)])
    labels = " ".join(entry.labels)
    data = (
        f'data-id="{escape(entry.id)}" data-v="{escape(entry.vendor)}" data-p="{entry.platform or ""}" '
        f'data-l="{escape(labels)}" data-s="{states}" data-n="{row.number}" data-d="{row.duration_s or 0}"'
    )
    red = " red" if tone == "bad" else ""
    side = " · ".join(filter(None, (escape(entry.vendor), entry.platform or "", _clock(row.duration_s))))
    name = f" {escape(entry.name)}" if entry.name and entry.name != entry.id else ""
    why = f'<span class="why">{escape(row.reason)}</span>' if row.reason and row.verdict not in GOOD else ""
    return (
        f'<details class="entry{red}" {data}{" open" if is_open else ""}><summary>'
        f'<span class="word {tone}">{_signed(row.verdict)}</span> <span class="id">{escape(entry.id)}</span>{name} '
        f'{_badges(row)}<span class="side">{_spark(row)}{side}</span>{why}</summary>\n'
        f'<div class="body" id="{escape(anchor(entry.id))}">{"".join(_body(row))}</div></details>\n'
    )


def _badges(row: EntrySummary) -> str:
    quarantine = row.entry.policy.quarantine
    badges = [f"in quarantine until {quarantine.until}"] if quarantine is not None else []
    badges += ["does not gate"] if not row.gating and quarantine is None else []
    badges += row.trend.words if row.trend is not None else ()
    return "".join(f'<span class="badge">{escape(word)}</span> ' for word in badges)


def _spark(row: EntrySummary) -> str:
    """The latest results as bars: a full one did not pass, a half one was flaky."""
    if row.trend is None or row.trend.runs < 2:  # noqa: PLR2004  one bar is no line
        return ""
    said = f"{row.trend.bad} of the latest {row.trend.runs} results did not pass"
    return f'<span class="spark" role="img" aria-label="{said}" title="{said}">{row.trend.marks}</span> '


def _body(row: EntrySummary) -> Iterator[str]:
    entry = row.entry
    known = [
        ("vendor", escape(entry.vendor)),
        ("platform", entry.platform or ""),
        ("target", escape(f"{entry.target.kind.value} {entry.target.value}") if entry.target else ""),
        ("tests", escape(f"{entry.selection.kind.value} {', '.join(entry.selection.ids)}") if entry.selection else ""),
        ("labels", escape(", ".join(entry.labels))),
        ("owner", escape(entry.owner or "")),
        ("needs", escape(", ".join(entry.needs))),
        ("gate", _gate(row)),
        ("attempts", str(row.attempt) if row.attempt > 1 else ""),
        ("counts", ", ".join(f"{number} {verdict.words}" for verdict, number in row.counts.items())),
        ("usually", _clock(row.trend.usual_s) if row.trend is not None else ""),
        ("runs", ", ".join(map(_run, row.runs))),
        ("from", escape(f"{entry.origin.file}:{entry.origin.line}")),
    ]
    yield f'<p class="facts">{" · ".join(f"{name} {value}" for name, value in known if value)}</p>'
    if reason := unsaid(row.reason, *(case.message for _, case in row.tried)):
        yield f'<p class="text">{escape(reason)}</p>'
    tests = [(attempt, case) for attempt, case in row.tried if case.id != entry.id or case.steps or case.message]
    tests.sort(key=lambda tried: not is_bad(tried[1].verdict))
    if tests:
        yield '\n<ul class="tests">'
        for attempt, case in tests:
            yield _test(row, case, attempt)
        yield "</ul>"


def _gate(row: EntrySummary) -> str:
    if row.entry.policy.quarantine is not None:
        return escape(f"no: {row.entry.policy.quarantine}")
    return "yes" if row.gating else "no: allowed to fail"


def _test(row: EntrySummary, case: Case, attempt: int) -> str:
    aside = [case.id] if case.name and case.name != case.id else []
    aside += [f"attempt {attempt}"] if row.attempt > 1 else []
    aside += [_clock(case.duration_s)] if case.duration_s is not None else []
    aside += [f"{name} {value}" for name, value in case.ids.items()]
    line = escape(" · ".join([case.name or case.id, *aside]))
    links = (("at the vendor", case.url), ("video", case.video_url))
    link = "".join(f" {_link(text, url)}" for text, url in links if is_web(url))
    if case.verdict is Verdict.PASSED and not case.steps and not case.message:
        return f"<li>{_signed(case.verdict)} {line}{link}</li>"  # most tests are of this kind: a page holds thousands
    tone = _tone(case.verdict, gating=row.gating)
    line = f'<span class="{tone}">{_signed(case.verdict)}</span> {line}'
    message = f'<p class="text">{escape(case.message)}</p>' if case.message else ""
    if not case.steps:
        return f"<li>{line}{link}{message}</li>"
    steps = "".join(_step(step, case.message, case.url or row.url) for step in case.steps)
    is_open = " open" if is_bad(case.verdict) else ""
    return f"<li><details{is_open}><summary>{line}</summary>{message}{link}<ul>{steps}</ul></details></li>"


def _step(step: Step, said: str | None, vendor: str | None) -> str:
    tone = _tone(step.verdict, gating=True)
    message_left = unsaid(step.message, said, step.title)
    message = f': <span class="text">{escape(message_left)}</span>' if message_left else ""
    shot = ""
    if is_web(step.screenshot_url):
        title = escape(f"screenshot of {step.title}")
        way = f' data-vendor="{escape(vendor)}"' if vendor and is_web(vendor) else ""
        shot = f' <a href="{escape(step.screenshot_url or "")}" data-shot="{title}"{way}>screenshot</a>'
    return f'<li><span class="{tone}">{_signed(step.verdict)}</span> {escape(step.title)}{message}{shot}</li>'


def _run(run: RunLink) -> str:
    number = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    return _link(run.id, run.url) + number


def _link(text: str, url: str | None) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>' if url and is_web(url) else escape(text)


def _signed(verdict: Verdict, count: int | None = None) -> str:
    """The verdict with its sign: colour alone says nothing."""
    number = "" if count is None else f"{count} "
    return f"{sign_of(verdict)[0]} {number}{verdict.words}"


def _tone(verdict: Verdict, *, gating: bool) -> str:
    """The class of a verdict's colour."""
    if verdict in GOOD:
        return "good" if verdict is Verdict.PASSED else "flaky"
    return "bad" if gating and verdict is not Verdict.SKIPPED else "quiet"


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


# --- below them -------------------------------------------------------------------------------------------------------


def _not_planned(summary: Summary) -> Iterator[str]:
    if summary.not_planned:
        yield f'<details class="part"><summary><h2>Not planned: {len(summary.not_planned)}</h2></summary>\n<ul>'
        for row in summary.not_planned:
            yield f"<li>{escape(row.id)}: {escape(row.reason)} <small>{escape(str(row.origin))}</small></li>\n"
        yield "</ul></details>\n"


def _rollups(summary: Summary) -> Iterator[str]:
    groups: tuple[tuple[str, str, Callable[[EntrySummary], tuple[str, ...]]], ...] = (
        ("vendor", "v", lambda row: (row.entry.vendor,)),
        ("platform", "p", lambda row: (row.entry.platform or "",)),
        ("label", "l", lambda row: row.entry.labels),
    )
    tables = []
    for title, key, names_of in groups:
        parts = collected((name, row) for row in summary.entries for name in names_of(row))
        if any(parts):
            tables.append(_table(title, key, parts))
    if tables:
        yield '<details class="part" open><summary><h2>Vendors, platforms, labels</h2></summary>\n<div class="rolls">'
        yield "".join(tables) + "</div></details>\n"


def _table(title: str, key: str, parts: dict[str, list[EntrySummary]]) -> str:
    lines = []
    for name, rows in sorted(parts.items()):
        bad = sum(is_bad(row.verdict) for row in rows)
        tests = sum(sum(row.counts.values()) for row in rows)
        took = sum(row.duration_s or 0.0 for row in rows)
        shown = escape(name) or "(no platform)"
        asked = shown if not name or re.search(r'[\s"]', name) else f'<span data-q="{key}:{shown}">{shown}</span>'
        bad_ = f'<span class="bad">✗ {bad}</span>' if bad else "0"
        lines.append(
            f'<tr><th scope="row">{asked}</th><td>{len(rows)}</td><td>{bad_}</td><td>{tests}</td>'
            f"<td>{_clock(took)}</td></tr>\n"
        )
    heads = "".join(f'<th scope="col">{name}</th>' for name in (title, "entries", "not passed", "tests", "time"))
    return (
        f'<div class="wide"><table><caption>By {title}</caption><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{''.join(lines)}</tbody></table></div>\n"
    )


def _timeline(summary: Summary) -> Iterator[str]:
    """A bar for each entry, from the vendor's answer to its create until its verdict."""
    began = [row for row in summary.entries if row.began_s is not None and row.ended_s is not None]
    if not began or summary.wall_s <= 0:
        return
    step = _tick(summary.wall_s)
    ticks = [step * number for number in range(math.ceil(summary.wall_s / step) + 1)]
    is_open = " open" if len(began) <= _LANES else ""
    yield f'<details class="part"{is_open}><summary><h2>Timeline</h2></summary>\n'
    yield "<p>From the vendor's answer to the create until the verdict.</p>\n"
    if len(began) > _MOST_LANES:
        yield f"<p>The {_MOST_LANES} longest of {len(began)} entries.</p>\n"
        began = sorted(began, key=lambda row: (row.began_s or 0) - (row.ended_s or 0))[:_MOST_LANES]
    axis = "".join(f"<span>{_clock(at)}</span>" for at in ticks)
    head = '<span class="head"></span>'
    yield f'<div class="lane">{head}<div class="axis bar">{axis}</div>{head}</div>\n'
    for row in sorted(began, key=lambda row: row.began_s or 0):
        yield _lane(row, ticks[-1])
    yield "</details>\n"


def _lane(row: EntrySummary, whole: float) -> str:
    began, ended = row.began_s or 0.0, row.ended_s or 0.0
    left = min(1000 - _NARROWEST, round(1000 * began / whole))
    width = max(_NARROWEST, min(1000 - left, round(1000 * (ended - began) / whole)))
    tone, sign = _tone(row.verdict, gating=row.gating), sign_of(row.verdict)[0]
    name = escape(row.entry.id)
    return (
        f'<div class="lane"><a href="#{escape(anchor(row.entry.id))}"><span class="{tone}">{sign}</span> {name}</a>'
        f'<svg class="bar {tone}" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="{left}" width="{width}" height="10" fill="currentColor"/></svg>'
        f"<span>{_clock(ended - began)}</span></div>\n"
    )


def _tick(whole: float) -> float:
    """A round step, so that about five of them make the whole."""
    least = whole / _TICKS
    rounds = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    return next((float(step) for step in rounds if step >= least), math.ceil(least / 3600) * 3600.0)
