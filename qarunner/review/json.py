"""A changed matrix as JSON, for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from qarunner.plan.cost import money_data
from qarunner.text import as_number

if TYPE_CHECKING:
    from qarunner.plan.model import Cost
    from qarunner.review.model import Change, Line, Month
    from qarunner.review.view import Review


VERSION = 1


def render(review: Review) -> str:
    """One document; ASCII, so that no value of a manifest reaches a terminal as a command."""
    return json.dumps(document(review), indent=2) + "\n"


def document(review: Review) -> dict[str, object]:
    head = {"version": VERSION, "base": review.base, "file": review.file}
    profiles = {str(profile.profile): _changes(profile) for profile in review.profiles}
    return head | _changes(review) | {"warnings": list(review.warnings)} | ({"profiles": profiles} if profiles else {})


def _changes(review: Review) -> dict[str, object]:
    """What differs; the same shape for the whole and for a profile."""
    difference = review.difference
    return {
        "added": [_row(line) for line in difference.added],
        "removed": [_row(line) for line in difference.removed],
        "changed": [_changed(change) for change in difference.changed],
        "tests": {"before": difference.before.tests, "after": difference.after.tests},
        "rows": {"before": difference.before.rows, "after": difference.after.rows},
        "runs": {"before": dict(difference.before.runs), "after": dict(difference.after.runs)},
        **_cost(difference.before.cost, difference.after.cost),
        **({"month": _month(review.month)} if review.month is not None else {}),
        "settings": [
            {"path": group.path, "before": group.before, "after": group.after} for group in difference.settings
        ],
        "notices": [
            {"kind": str(group.kind), "message": group.message, "rows": list(group.rows)} for group in review.notices
        ],
    }


def _cost(before: Cost | None, after: Cost | None) -> dict[str, object]:
    """What a run costs on both sides; nothing where no vendor has a price."""
    if before is None and after is None:
        return {}
    return {"cost": {"before": before and money_data(before), "after": after and money_data(after)}}


def _month(month: Month) -> dict[str, object]:
    """`runs`: so often the matrix ran in the last 30 days; `tests` and `cost` are the change times that."""
    money = {} if month.money is None else {"cost": as_number(month.money), "currency": month.currency}
    return {"runs": month.runs, "tests": month.tests, **money}


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
        {"path": field.path, "before": field.before, "after": field.after, "cause": field.cause}
        for field in change.fields
    ]
    return {
        "id": change.after.id,
        "was": change.was,
        "file": change.after.origin.file,
        "line": change.after.origin.line,
        "fields": fields,
    }
