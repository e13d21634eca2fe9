"""A changed matrix as JSON, for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from qarunner.plan.cost import money_data
from qarunner.text import as_number, record

if TYPE_CHECKING:
    from qarunner.plan.model import Cost
    from qarunner.review.model import Change, Line, Month
    from qarunner.review.view import Review


VERSION = 1


def render(review: Review) -> str:
    """One document; ASCII, so that no value of a manifest reaches a terminal as a command."""
    return json.dumps(document(review), indent=2, default=asdict) + "\n"


def document(review: Review) -> dict[str, object]:
    head = {"version": VERSION, **record(review, "base", "file")}
    profiles = {str(profile.profile): _changes(profile) for profile in review.profiles}
    return head | _changes(review) | {"warnings": review.warnings} | ({"profiles": profiles} if profiles else {})


def _changes(review: Review) -> dict[str, object]:
    """What differs; the same shape for the whole and for a profile."""
    difference = review.difference
    before, after = difference.before, difference.after
    return {
        "added": [_row(line) for line in difference.added],
        "removed": [_row(line) for line in difference.removed],
        "changed": [_changed(change) for change in difference.changed],
        **{
            name: {"before": getattr(before, name), "after": getattr(after, name)} for name in ("tests", "rows", "runs")
        },
        **_cost(before.cost, after.cost),
        **({"month": _month(review.month)} if review.month is not None else {}),
        "settings": difference.settings,
        "notices": review.notices,
    }


def _cost(before: Cost | None, after: Cost | None) -> dict[str, object]:
    """What a run costs on both sides; nothing where no vendor has a price."""
    if before is None and after is None:
        return {}
    return {"cost": {"before": before and money_data(before), "after": after and money_data(after)}}


def _month(month: Month) -> dict[str, object]:
    """`runs`: so often the matrix ran in the last 30 days; `tests` and `cost` are the change times that."""
    money = {} if month.money is None else {"cost": as_number(month.money), "currency": month.currency}
    return {**record(month, "runs", "tests"), **money}


def _row(line: Line) -> dict[str, object]:
    """`from` is what the row was expanded from; `cause` why it is here, or no longer."""
    return {
        **record(line, "id", "vendor", "platform", "tests"),
        "line": line.origin.line,
        "from": {"file": line.origin.file, **record(line, "entry", "variant", "axes")},
        "cause": line.cause,
    }


def _changed(change: Change) -> dict[str, object]:
    return {
        "id": change.after.id,
        "was": change.was,
        **record(change.after.origin, "file", "line"),
        "fields": [record(field, "path", "before", "after", "cause") for field in change.fields],
    }
