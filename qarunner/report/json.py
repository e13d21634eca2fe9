"""The JSON report: the form that other programs read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from qarunner.report.summary import EntrySummary, Money, Summary, next_step
from qarunner.secret import mask
from qarunner.text import as_number, inert_json, record, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qarunner.engine.decide.trend import Trend
    from qarunner.vendors.api import Case, Step


VERSION = 1


def render(summary: Summary) -> str:
    """The report as JSON text, indented, ending in a newline; no secret and no placeholder in it."""
    return json_text(document(summary)) + "\n"


def json_text(data: object) -> str:
    """A document as indented text for any output: nothing in it commands anything, and no placeholder is in it."""
    try:
        text = msgspec.json.format(msgspec.json.encode(data), indent=2).decode()
    except UnicodeEncodeError:  # half a character, which JSON can escape and UTF-8 cannot hold
        return to_json(data, mask)
    return inert_json(mask(text))


def document(summary: Summary) -> dict[str, object]:
    totals = {str(verdict): number for verdict, number in summary.totals.items()}
    return {
        "version": VERSION,
        **record(summary, "run_id", "name", "verdict", "exit_code", "started_at", "finished_at", "rehearsal", "shard"),
        "git": _known(summary.git),
        "ci": _known({**summary.ci, **summary.who}),
        "next": {"do": step[0], "command": step[1]} if (step := next_step(summary)) is not None else None,
        **({"cost": _cost(summary.cost)} if summary.cost is not None else {}),
        "totals": {"tests": sum(totals.values()), **totals},
        "gate": summary.gate,
        **({"manifests": summary.manifests} if summary.manifests else {}),
        "running": [record(run, "id", "url", "vendor", "entries") for run in summary.running],
        "left": [{**record(left, *_LEFT), "details": dict(sorted(left.details.items()))} for left in summary.left],
        "uncertain": summary.uncertain,
        "not_planned": [
            {**record(row, "id", "reason"), **record(row.origin, "file", "line")} for row in summary.not_planned
        ],
        "entries": [_entry(entry) for entry in summary.entries],
    }


_LEFT = ("vendor", "kind", "what", "certain", "why", "todo")


def _cost(cost: Money) -> dict[str, object]:
    amounts = {"planned": cost.plan.planned, "up_to": cost.plan.up_to, "spent": cost.spent.amount}
    least = {"at_least": True} if cost.plan.at_least or cost.spent.at_least else {}
    return {**{name: as_number(amount) for name, amount in amounts.items()}, "currency": cost.plan.currency, **least}


def _known(facts: Mapping[str, str | int | None]) -> dict[str, str | int]:
    """In the order of a plan that was read back, so that a report is the same whoever renders it."""
    return {name: value for name, value in sorted(facts.items()) if value is not None}


def _seconds(duration: float | None) -> float | None:
    """An adapter may have given an integer, which a journal gives back as a float."""
    return None if duration is None else float(duration)


def _entry(row: EntrySummary) -> dict[str, object]:
    entry = row.entry
    return {
        **record(entry, "id", "name", "labels"),
        **({"owner": entry.owner} if entry.owner else {}),
        **record(entry, "vendor", "platform"),
        **record(row, "verdict", "gating"),
        "quarantine": entry.policy.quarantine,
        **record(row, "reason", "raw_status"),
        **record(entry.origin, "file", "line"),
        "url": row.url,
        "runs": [record(run, "id", "url", "attempt") for run in row.runs],
        "duration_s": _seconds(row.duration_s),
        "counts": row.counts,
        **({"history": history_document(row.trend)} if row.trend is not None else {}),
        "tests": [_test(case, attempt) for attempt, case in row.tried],
    }


def history_document(trend: Trend) -> dict[str, object]:
    """What earlier runs say; a run without earlier ones has no such key."""
    known = {"failing_for": trend.failing, "failing_since": trend.since, "flaky": trend.flaky, "not_passed": trend.bad}
    return {"news": trend.news, **known, **record(trend, "runs", "usual_s", "slower")}


def _test(case: Case, attempt: int) -> dict[str, object]:
    return {
        **record(case, "id", "name", "verdict", "raw_status"),
        "duration_s": _seconds(case.duration_s),
        "url": case.url,
        "attempt": attempt,
        "message": case.message,
        **({"video_url": case.video_url} if case.video_url else {}),
        **({"ids": case.ids} if case.ids else {}),
        "steps": [_step(step) for step in case.steps],
    }


def _step(step: Step) -> dict[str, object]:
    return {
        **record(step, "title", "verdict", "message", "screenshot_url"),
        **({"kind": step.kind} if step.kind else {}),
        **({"duration_s": _seconds(step.duration_s)} if step.duration_s is not None else {}),
    }
