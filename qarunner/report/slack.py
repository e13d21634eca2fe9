"""What is new, as a message in Slack's Block Kit; posting it is the pipeline's business.

Somebody else's text is escaped as Slack asks for it, so that it mentions no person (docs.slack.dev: formatting text).
"""

from __future__ import annotations

from qarunner.engine.decide.trend import News, is_bad
from qarunner.report.json import json_text
from qarunner.report.summary import EntrySummary, Summary, facts, failures_first, headline, is_web, news, unsaid
from qarunner.text import cut, duration, inert

_MOST_FAILURES = 20
"""A message has 50 blocks at most; fewer are readable."""
_HEADER, _SECTION, _REASON = 150, 3000, 300
"""Characters of a header and of a section, by Slack's limits, and of one reason."""


def render(summary: Summary) -> str:
    """The message as JSON text: `text` for notifications, `blocks` for the channel."""
    title = f"{summary.name}: {summary.verdict.words}"
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:_HEADER]}},
        _section(_escaped(headline(summary).removeprefix("qarunner: "))),
    ]
    rows = [row for row in failures_first(summary) if is_bad(row.verdict) and _is_news(row)]
    blocks += [_section(_failure(row)) for row in rows[:_MOST_FAILURES]]
    if len(rows) > _MOST_FAILURES:
        blocks.append(_section(f"and {len(rows) - _MOST_FAILURES} more"))
    if fixed := [row.entry.id for row in news(summary)[News.FIXED]]:
        blocks.append(_section(f"*fixed*: {_escaped(', '.join(fixed))}"))
    known = sum(is_bad(row.verdict) for row in summary.entries) - len(rows)
    about = [duration(summary.wall_s), *(f"{name} {_escaped(value)}" for name, value in facts(summary))]
    about += [f"{known} known failures are left out"] if known else []
    about += [_link("build", summary.ci.get("url"))] if is_web(summary.ci.get("url")) else []
    blocks.append({"type": "context", "elements": [_text(" · ".join(about))]})
    return json_text({"text": _escaped(title), "blocks": blocks}) + "\n"


def _is_news(row: EntrySummary) -> bool:
    """A failure that was there before is no news; without any history all of them are."""
    return row.trend is None or row.trend.news is not News.KNOWN


def _failure(row: EntrySummary) -> str:
    name = _link(row.entry.id, row.url)
    line = f"*{name}* ({', '.join([row.verdict.words, *row.notes])}) at {_escaped(row.entry.vendor)}"
    reason = unsaid(row.reason, row.verdict.words)
    return f"{line}\n{_escaped(cut(reason, _REASON))}" if reason else line


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> dict[str, object]:
    # `verbatim`: what looks like a channel or a link in a vendor's text stays plain.
    return {"type": "mrkdwn", "text": text[:_SECTION], "verbatim": True}


def _link(text: str, url: str | None) -> str:
    plain = _escaped(text)
    return f"<{_escaped(url).replace('|', '%7C')}|{plain}>" if url and is_web(url) else plain


def _escaped(text: str) -> str:
    return inert(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
