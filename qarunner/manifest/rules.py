"""What holds in a row beyond the schema: conditions, timeouts, retries and quarantines."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec import Struct
from msgspec.structs import replace

from qarunner.decode import as_mapping
from qarunner.diagnostics import Diagnostic, in_order, problem
from qarunner.entry import Policy, Quarantine, Retries
from qarunner.errors import ManifestError
from qarunner.known import holds_template
from qarunner.manifest.base import check_days
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import Few, RowLocator, SectionLocator, one_of_each
from qarunner.manifest.model import Manifest, Row, seconds
from qarunner.manifest.templates.evaluate import Evaluated, answers
from qarunner.manifest.templates.parse import parse
from qarunner.manifest.templates.scope import IN_ROWS, Scope
from qarunner.regex import regex
from qarunner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from qarunner.manifest.templates.env import Values


# `if`: whether a row is planned at all. No secret may decide it: what a plan leaves out would tell of the secret.


KEY = "if"


_ASKED = regex(r"\bgit\.(branch|repository)\b(?!\s*(?:\||is\b))")
"""What a condition reads of the build and takes for granted: with a filter or a test, it cares for what is missing."""


_SHOWN = 10
"""A message names so many rows at most."""


_WORDS = {"true": True, "false": False}


class Condition(Struct, frozen=True, kw_only=True):
    """What a row's `if` says of it, and how it was written."""

    holds: bool
    text: str
    absent: str = ""
    """What this build does not have, as the end of a sentence."""


def check_conditions(manifest: Manifest, rows: Sequence[Row], evaluated: Evaluated) -> tuple[Diagnostic, ...]:
    """Conditions that a secret would decide, and known ones that are neither true nor false."""
    scope = Scope(manifest, IN_ROWS) if any(declaration.secret for declaration in manifest.env.values()) else None
    problems = (
        [secret_problem for row in one_of_each(rows) for secret_problem in _secrets(manifest, scope, row)]
        if scope
        else []
    )
    known = [row for row in evaluated.rows if KEY in row.data and (KEY,) not in evaluated.unknown.get(row.id, ())]
    few = Few()
    undecided = [row for row in known if truth(row.data[KEY]) is None and few.room_for(row)]
    secret = {problem.place for problem in problems}  # what it is does not matter then
    neither = [_neither(manifest, row, row.data[KEY]) for row in undecided]
    return in_order([*problems, *(problem for problem in neither if problem.place not in secret)])


def _secrets(manifest: Manifest, scope: Scope, row: Row) -> Iterator[Diagnostic]:
    text = row.data.get(KEY)
    if isinstance(text, str) and holds_template(text):
        for name in scope.secrets(parse(text)):
            message = f"if: {name} is secret, and cannot decide what is planned"
            hint = "everybody who sees the plan would learn it; use a variable that is not secret"
            yield problem(RowLocator(manifest, row), (KEY,), message, code=Code.SECRET_CHANGED, hint=hint)


def conditions(manifest: Manifest, rows: Sequence[Row], values: Values) -> dict[str, Condition]:
    """By id, what holds of the rows that have a condition. ManifestError has all that are neither true nor false."""
    asked = [row for row in rows if KEY in row.data]
    templated = [row for row in asked if isinstance(row.data[KEY], str)]
    known = answers(manifest, [replace(row, data={KEY: row.data[KEY]}) for row in templated], values, KEY)
    by_row: dict[str, Condition] = {}
    problems: list[Diagnostic] = []
    few = Few()
    for row in asked:
        value = known.get(row.id, row.data[KEY])
        holds = truth(value)
        if holds is None:
            problems += [_neither(manifest, row, value)] if few.room_for(row) else []
        else:
            missing = " and ".join(absent_facts(row.data[KEY], values.git))
            absent = f" (this build has no {missing})" if missing else ""
            by_row[row.id] = Condition(holds=holds, text=_written(row.data[KEY]), absent=absent)
    if problems:
        raise ManifestError(in_order(problems))
    return by_row


def absent_facts(text: object, git: Mapping[str, object]) -> list[str]:
    """The facts that a condition asks for, and that this build certainly does not have: they equal nothing."""
    asked = _ASKED.findall(text) if isinstance(text, str) and holds_template(text) else ()
    return [name for name in dict.fromkeys(asked) if git.get(name, "") is None]


def truth(value: object) -> bool | None:
    """What a condition says; None where that is neither true nor false."""
    truth = _WORDS.get(value.strip().lower()) if isinstance(value, str) else value
    return truth if isinstance(truth, bool) else None


def _neither(manifest: Manifest, row: Row, value: object) -> Diagnostic:
    message = f"if: expected true or false, got {value!r}"
    hint = "compare it with something: {{ git.branch == 'main' }}"
    return problem(RowLocator(manifest, row), (KEY,), message, code=Code.NO_CONDITION, hint=hint)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def without_condition(row: Row) -> Row:
    """The row, once its condition is known: it is not asked again."""
    return replace(row, data={key: value for key, value in row.data.items() if key != KEY}) if KEY in row.data else row


TIMEOUT_S = 3600.0
"""How long an entry may take from create to verdict where the manifest says nothing."""


SOON = timedelta(days=7)
"""A quarantine that ends within this time gives a warning."""


def policy_of(data: Mapping[str, object], today: date) -> Policy:
    """The policy of a rendered row. A quarantine ends on its day."""
    if _OF_POLICY.isdisjoint(data):
        return _USUAL
    timeout, retries = data.get("timeout"), as_mapping(data.get("retries"))
    return _policy(
        TIMEOUT_S if timeout is None else seconds(str(timeout)),
        data.get("allow_failure") is True,
        cast("int", retries.get("failed", _USUAL.retries.failed)),
        cast("int", retries.get("infra", _USUAL.retries.infra)),
        quarantine_of(data, today),
    )


_OF_POLICY = frozenset({"timeout", "allow_failure", "retries", "quarantine"})


@lru_cache(maxsize=1024, typed=True)
def _policy(
    timeout_s: float,
    allow_failure: bool,  # noqa: FBT001  passed on by a cache, which takes positions
    failed: int,
    infra: int,
    quarantine: Quarantine | None,
) -> Policy:
    """One object for equal policies: most rows of a matrix have the same."""
    retries = Retries(failed=failed, infra=infra)
    return Policy(timeout_s=timeout_s, allow_failure=allow_failure, retries=retries, quarantine=quarantine)


_USUAL = Policy(timeout_s=TIMEOUT_S)


def quarantine_of(data: Mapping[str, object], today: date) -> Quarantine | None:
    """A row's quarantine, as long as it holds: `until` is the first day on which it does not."""
    written = as_mapping(data.get("quarantine"))
    until = _day(written.get("until"))
    if until is None or today >= until:
        return None
    return Quarantine(reason=str(written.get("reason")), owner=str(written.get("owner")), until=until.isoformat())


def _day(text: object) -> date | None:
    """The day of the calendar; None for what is no day, such as 2026-02-30."""
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


# --- what there is to say of quarantines ------------------------------------------------------------------------------


class RuleResults(NamedTuple):
    """What is wrong, and what is only worth a look."""

    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]


def check_quarantines(manifest: Manifest, rows: Sequence[Row], today: date) -> RuleResults:
    """Days that do not exist, and more quarantines than the gate allows; as warnings, those that end soon or ended.

    The rows have their quarantines as far as these are known: see `evaluate.with_known`.
    """
    written = [(row, as_mapping(row.data["quarantine"])) for row in rows if "quarantine" in row.data]
    holding = [row for row, _ in written if quarantine_of(row.data, today) is not None]
    # Rows of the same layers and the same day have the same to say.
    rows_by_place = {
        (row.path, row.variant, row.layers, str(quarantine.get("until"))): row for row, quarantine in written
    }
    known = [
        (row, until) for (*_, until), row in rows_by_place.items() if "until" in as_mapping(row.data["quarantine"])
    ]
    errors = [
        _no_day(RowLocator(manifest, row)) for row, until in known if _day(until) is None and not holds_template(until)
    ]
    limit = manifest.gate.max_quarantined
    if limit is not None and len(holding) > limit:
        errors.append(_too_many_quarantined(manifest, holding, limit))
    errors += check_days(manifest, rows, today)
    warnings = [problems for row, until in known for problems in _ending(manifest, row, _day(until), today)]
    return RuleResults(in_order(errors), in_order(warnings))


_UNTIL = ("quarantine", "until")


def _no_day(placed: RowLocator) -> Diagnostic:
    message = "until: there is no such day in the calendar"
    return problem(placed, _UNTIL, message, code=Code.NO_DAY, hint="write it as year-month-day: 2026-12-31")


def _too_many_quarantined(manifest: Manifest, rows: Sequence[Row], limit: int) -> Diagnostic:
    names = [row.id for row in rows[:_SHOWN]] + ([f"{len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else [])
    message = f"{_entries(len(rows))} in quarantine, at most {limit} may be: {', '.join(names)}"
    places = [(row, RowLocator(manifest, row).locate(("quarantine",), key=True)) for row in rows[:_SHOWN]]
    related = tuple((place, f"{row.id} is in quarantine") for row, place in places)
    hint = "put one of them right, or raise max_quarantined"
    path, gate = ("max_quarantined",), SectionLocator(manifest, "gate")
    return problem(gate, path, message, code=Code.QUARANTINED, hint=hint, related=related)


def _entries(number: int) -> str:
    return plural(number, "entry is", "entries are")


def _ending(manifest: Manifest, row: Row, until: date | None, today: date) -> Iterator[Diagnostic]:
    if until is None or until > today + SOON:
        return
    left = (until - today).days
    when = f"ends in {plural(left, 'day')}, on {until}" if left > 0 else f"ended on {until}"
    message = f"the quarantine {when}: from then on it gates again"
    hint = "put it right, or review the quarantine and move its day" if left > 0 else "remove it, or move its day"
    yield problem(RowLocator(manifest, row), _UNTIL, message, code=Code.QUARANTINE_ENDS, hint=hint)
