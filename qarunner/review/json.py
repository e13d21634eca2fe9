"""A changed matrix as JSON, for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.plan.cost import money_data

if TYPE_CHECKING:
    from qarunner.plan.model import Cost
    from qarunner.review.model import Change, Line
    from qarunner.review.view import Review


VERSION = 1


def render(review: Review) -> str:
    """One document; ASCII, so that no value of a manifest reaches a terminal as a command."""
    return json.dumps(document(review), indent=2) + "\n"


def document(review: Review) -> dict[str, object]:
    head = {"version": VERSION, "base": review.base, "file": review.file}
    profiles = {str(each.profile): _changes(each) for each in review.profiles}
    return head | _changes(review) | {"warnings": list(review.warnings)} | ({"profiles": profiles} if profiles else {})


def _changes(review: Review) -> dict[str, object]:
    """What differs; the same shape for the whole and for a profile."""
    found = review.difference
    return {
        "added": [_row(line) for line in found.added],
        "removed": [_row(line) for line in found.removed],
        "changed": [_changed(change) for change in found.changed],
        "tests": {"before": found.before.tests, "after": found.after.tests},
        "rows": {"before": found.before.rows, "after": found.after.rows},
        "runs": {"before": dict(found.before.runs), "after": dict(found.after.runs)},
        **_cost(found.before.cost, found.after.cost),
        "settings": [{"path": each.path, "before": each.before, "after": each.after} for each in found.settings],
        "notices": [
            {"kind": str(each.kind), "message": each.message, "rows": list(each.rows)} for each in review.notices
        ],
    }


def _cost(before: Cost | None, after: Cost | None) -> dict[str, object]:
    """What a run costs on both sides; nothing where no vendor has a price."""
    if before is None and after is None:
        return {}
    return {"cost": {"before": before and money_data(before), "after": after and money_data(after)}}


def _row(line: Line) -> dict[str, object]:
    """`from` is what the row was expanded from; `cause` why it is here, or no longer."""
    return {
        "id": line.id,
        "vendor": line.vendor,
        "platform": line.platform,
        "tests": line.tests,
        "line": line.origin.line,
        "from": {"file": line.origin.file, "entry": line.entry, "variant": line.variant, "axes": dict(line.axes)},
        "cause": line.cause,
    }


def _changed(change: Change) -> dict[str, object]:
    fields = [
        {"path": each.path, "before": each.before, "after": each.after, "cause": each.cause} for each in change.fields
    ]
    return {
        "id": change.after.id,
        "was": change.was,
        "file": change.after.origin.file,
        "line": change.after.origin.line,
        "fields": fields,
    }
