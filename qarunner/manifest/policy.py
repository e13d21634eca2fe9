"""What holds for a row's runs and verdict: timeout, retries, and a quarantine that ends on its day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple, cast

from qarunner.diagnostics import Severity, in_order, problem
from qarunner.entry import Policy, Quarantine, Retries
from qarunner.manifest.codes import Code
from qarunner.manifest.durations import seconds
from qarunner.manifest.expand import Placed, Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.diagnostics import Diagnostic, Path
    from qarunner.manifest.model import Manifest, Row

TIMEOUT_S = 3600.0
"""How long an entry may take from create to verdict where the manifest says nothing."""
SOON = timedelta(days=7)
"""So long before a quarantine's end people are told of it."""
_SHOWN = 10


def policy_of(data: Mapping[str, object], today: date) -> Policy:
    """The policy of a rendered row. A quarantine whose day has come is none."""
    timeout = data.get("timeout")
    return Policy(
        timeout_s=TIMEOUT_S if timeout is None else seconds(str(timeout)),
        allow_failure=data.get("allow_failure") is True,
        retries=_retries(_mapping(data.get("retries"))),
        quarantine=quarantine_of(data, today),
    )


def _retries(told: Mapping[str, object]) -> Retries:
    usual = Retries()
    return Retries(
        failed=cast("int", told.get("failed", usual.failed)), infra=cast("int", told.get("infra", usual.infra))
    )


def quarantine_of(data: Mapping[str, object], today: date) -> Quarantine | None:
    """A row's quarantine, as long as it holds: `until` is the first day on which it does not."""
    told = _mapping(data.get("quarantine"))
    until = _day(told.get("until"))
    if until is None or today >= until:
        return None
    return Quarantine(reason=str(told.get("reason")), owner=str(told.get("owner")), until=until.isoformat())


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _day(text: object) -> date | None:
    """The day of the calendar; None for what is no day, such as 2026-02-30."""
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


# --- what there is to say of quarantines ------------------------------------------------------------------------------


class Findings(NamedTuple):
    """What is wrong, and what is only worth a look."""

    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]


def check_quarantines(manifest: Manifest, rows: Sequence[Row], today: date) -> Findings:
    """Days that do not exist, and more quarantines than the gate allows; as warnings, those that end soon or ended."""
    known = [(row, told["until"]) for row in rows if "until" in (told := _mapping(row.data.get("quarantine")))]
    errors = [_no_day(Placed(manifest, row)) for row, until in known if isinstance(until, str) and _day(until) is None]
    holding = [row for row, _ in known if quarantine_of(row.data, today) is not None]
    limit = manifest.gate.max_quarantined
    if limit is not None and len(holding) > limit:
        errors.append(_too_many(manifest, holding, limit))
    warnings = [told for row, until in known for told in _ending(manifest, row, _day(until), today)]
    return Findings(in_order(errors), in_order(warnings))


_UNTIL = ("quarantine", "until")


def _no_day(placed: Placed) -> Diagnostic:
    message = "until: there is no such day in the calendar"
    return problem(placed, _UNTIL, message, code=Code.NO_DAY, hint="write it as year-month-day: 2026-12-31")


def _too_many(manifest: Manifest, rows: Sequence[Row], limit: int) -> Diagnostic:
    names = [row.id for row in rows[:_SHOWN]] + ([f"{len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else [])
    message = f"{_entries(len(rows))} in quarantine, at most {limit} may be: {', '.join(names)}"
    places = [(row, Placed(manifest, row).locate(("quarantine",), key=True)) for row in rows[:_SHOWN]]
    related = tuple((place, f"{row.id} is in quarantine") for row, place in places)
    hint = "put one of them right, or raise max_quarantined"
    path = ("max_quarantined",)
    return replace(problem(Section(manifest, "gate"), path, message, code=Code.QUARANTINED, hint=hint), related=related)


def _limit(manifest: Manifest) -> Path:
    """Where the limit stands: in the profile that was chosen, or at the top."""
    profiles = _mapping(manifest.document.data.get("profiles"))
    own = _mapping(_mapping(profiles.get(manifest.profile or "")).get("gate"))
    above = ("profiles", manifest.profile or "") if "max_quarantined" in own else ()
    return (*above, "gate", "max_quarantined")


def _entries(number: int) -> str:
    return "1 entry is" if number == 1 else f"{number} entries are"


def _ending(manifest: Manifest, row: Row, until: date | None, today: date) -> Iterator[Diagnostic]:
    if until is None or until > today + SOON:
        return
    left = (until - today).days
    when = f"ends in {left} {'day' if left == 1 else 'days'}, on {until}" if left > 0 else f"ended on {until}"
    message = f"the quarantine {when}: from then on it gates again"
    hint = "put it right, or review the quarantine and move its day" if left > 0 else "remove it, or move its day"
    yield problem(
        Placed(manifest, row), _UNTIL, message, code=Code.QUARANTINE_ENDS, hint=hint, severity=Severity.WARNING
    )
