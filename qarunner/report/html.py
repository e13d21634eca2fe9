"""The report as one page of HTML: a timeline, every test and its steps, and no request to anywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from qarunner.report.summary import headline, words
from qarunner.secret import mask
from qarunner.text import duration, inert_lines
from qarunner.vendors.api import GOOD

if TYPE_CHECKING:
    from jinja2 import Template

    from qarunner.report.summary import EntrySummary, Summary
    from qarunner.vendors.api import Verdict

_WEB = re.compile(r"https?://\S+")
_SHORTEST = 0.5
"""Percent of the timeline that a bar is wide at least: one that nobody sees says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """An entry's place in the timeline, in percent of the whole run."""

    left: float
    width: float


def render(summary: Summary) -> str:
    """The page; no secret and no placeholder in it."""
    page = _template().render(summary=summary, headline=headline(summary).removeprefix("qarunner: "))
    return inert_lines(mask(page)) + "\n"


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  for this format alone

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(words=words, tone=tone, web=web, bar=bar, clock=clock)
    text = files("qarunner.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


def tone(verdict: Verdict, *, gating: bool = True) -> str:
    """The class of a verdict's colour."""
    if verdict in GOOD:
        return "good" if verdict == "passed" else "flaky"
    return "bad" if gating and verdict != "skipped" else "quiet"


def web(url: str | None) -> str | None:
    """A URL that may be linked to; never a script's."""
    return url if url and _WEB.fullmatch(url) else None


def bar(row: EntrySummary, summary: Summary) -> Bar | None:
    """None for an entry that never began."""
    if row.began_s is None or row.ended_s is None or summary.wall_s <= 0:
        return None
    left = min(100.0 - _SHORTEST, 100 * row.began_s / summary.wall_s)
    width = max(_SHORTEST, 100 * (row.ended_s - row.began_s) / summary.wall_s)
    return Bar(left=round(max(0.0, left), 2), width=round(min(100.0 - left, width), 2))


def clock(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)
