"""The one view of a changed matrix that all of its formats share: grouped by cause, the biggest group first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from qarunner.decode import Json, collected
from qarunner.plan.cost import amount_of, with_retries
from qarunner.regex import regex
from qarunner.review.model import Change, Difference, Field, Line, Month, Setting, Size
from qarunner.review.reasons import Notice, shown
from qarunner.text import money, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_UNSEEN = regex(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\uffff]"
)


_LONGEST = 2000


class Review(Struct, frozen=True, kw_only=True):
    """A difference and what it is against. `base` is a commit or a file, `wording` the same for people."""

    file: str
    base: str
    wording: str
    difference: Difference
    month: Month | None = None
    notices: tuple[Notice, ...] = ()
    warnings: tuple[str, ...] = ()
    profile: str | None = None
    profiles: tuple[Review, ...] = ()
    """What differs in single profiles, and not without one."""

    def __bool__(self) -> bool:
        """True if anything differs."""
        return bool(self.difference or self.profiles)


class Group(Struct, frozen=True, kw_only=True):
    """Rows with one cause. `fields` are of the first row, where the cause does not say all."""

    sign: str
    cause: str
    lines: tuple[Line, ...]
    fields: tuple[Field, ...] = ()

    @property
    def obvious(self) -> bool:
        """Whether the cause names the only row."""
        return self.sign == "~" and len(self.lines) == 1 and self.cause.startswith(f"{self.lines[0].id}: ")

    @property
    def tests(self) -> int:
        return sum(line.tests for line in self.lines)


def groups(difference: Difference) -> tuple[Group, ...]:
    """Every cause with its rows; those with the most tests first, else in the manifest's order."""
    plain = [*_rows("-", difference.removed), *_rows("+", difference.added), *_changes(difference.changed)]
    return tuple(sorted(plain, key=lambda group: -group.tests))


def _rows(sign: str, lines: Iterable[Line]) -> list[Group]:
    together = collected((line.cause, line) for line in lines)
    return [Group(sign=sign, cause=cause, lines=tuple(rows)) for cause, rows in together.items()]


def _changes(changes: Iterable[Change]) -> list[Group]:
    """What was edited in one place is one group; what one value at the top did to many rows is another."""
    lines: dict[str, dict[str, Line]] = {}
    fields: dict[str, dict[str, Field]] = {}
    for change in changes:
        for field in change.fields:
            beside = [other for other in change.fields if field.where is not None and other.where == field.where]
            key = "\n".join(other.cause for other in beside) if beside else field.cause
            lines.setdefault(key, {})[change.after.id] = change.after
            fields.setdefault(key, {}).setdefault(field.path, field)
    return [_changed(tuple(rows.values()), tuple(fields[key].values())) for key, rows in lines.items()]


def _changed(rows: tuple[Line, ...], fields: tuple[Field, ...]) -> Group:
    cause, where = fields[0].cause, fields[0].where
    if where is not None and len(fields) > 1:
        return Group(sign="~", cause=f"{where}: {len(fields)} fields", lines=rows, fields=fields)
    shown = tuple(field for field in fields if field.path != "id" and not _says_both(cause, field))
    if shown and where is not None and len(rows) == 1:
        cause = f"{where}: {fields[0].path}"
    return Group(sign="~", cause=cause, lines=rows, fields=shown)


def settings(review: Review) -> tuple[Setting, ...]:
    """The values at the top that no group and no notice is about already."""
    causes_shown = {setting.cause for change in review.difference.changed for setting in change.fields}
    causes_shown |= {notice.message.partition("; ")[0] for notice in review.notices}
    return tuple(
        setting
        for setting in review.difference.settings
        if f"{setting.path} {shown(setting.before)} → {shown(setting.after)}" not in causes_shown
    )


def worded(setting: Setting) -> str:
    """`gate.min_tests 10 → 1`, `env.TOKEN.secret true` with its sign."""
    if setting.before is None:
        return f"+ {setting.path} {whole(setting.after)}"
    if setting.after is None:
        return f"- {setting.path} {whole(setting.before)}"
    return f"~ {setting.path} {whole(setting.before)} → {whole(setting.after)}"


def _says_both(cause: str, changed: Field) -> bool:
    """Whether the cause holds both values whole."""
    return cause.endswith(f"{changed.path} {whole(changed.before)} → {whole(changed.after)}")


def whole(value: Json) -> str:
    return shown(value, _LONGEST)


def detail(changed: Field) -> str:
    """`test_ids: + t3, - t1` for a list, else both values."""
    first, second = changed.before, changed.after
    if first == second:
        return f"{changed.path}: {whole(second)}"
    if isinstance(first, list) and isinstance(second, list):
        come = [shown(item) for item in second if item not in first]
        gone = [shown(item) for item in first if item not in second]
        signs = [*(f"+ {item}" for item in come), *(f"- {item}" for item in gone)]
        return f"{changed.path}: {', '.join(signs) or 'in another order'}"
    return f"{changed.path}: {whole(first)} → {whole(second)}"


def counts(difference: Difference) -> str:
    """`3 added, 1 removed, 5 changed, 12 as before`."""
    same = difference.after.rows - len(difference.added) - len(difference.changed)
    numbers = {"added": len(difference.added), "removed": len(difference.removed), "changed": len(difference.changed)}
    parts = [f"{number} {what}" for what, number in numbers.items() if number]
    return ", ".join([*parts, f"{same} as before"]) if parts else f"all {same} rows are as before"


def costs(before: Size, after: Size) -> str:
    """`tests 17 → at least 21 (+4), vendor runs 5 → 7 (+2): doksi 3 → 4, certyn 2 → 3`."""
    names = dict.fromkeys((*after.runs, *before.runs))
    parts = [
        f"{name} {before.runs.get(name, 0)} → {after.runs.get(name, 0)}"
        for name in names
        if before.runs.get(name, 0) != after.runs.get(name, 0)
    ]
    runs = moved("vendor runs", before.all_runs, after.all_runs)
    return f"{_tests_moved(before, after)}, {runs}" + (f": {', '.join(parts)}" if parts else "")


def _tests_moved(before: Size, after: Size) -> str:
    """As a plan counts them: a category is one test at least."""
    old, new = (f"{'at least ' if side.at_least else ''}{side.tests}" for side in (before, after))
    if old == new:
        return f"tests {new}"
    by = f" ({after.tests - before.tests:+d})" if before.tests != after.tests else ""
    return f"tests {old} → {new}{by}"


def money_moved(before: Size, after: Size) -> str | None:
    """`a run costs 4.25 EUR → 5.25 EUR (+1.00 EUR), up to 10.50 EUR with retries`; None without a price."""
    old, new = before.cost, after.cost
    if new is None:
        return None if old is None else f"a run has no price any more, before it cost {amount_of(old, old.planned)}"
    if old is None or (old.planned, old.currency) == (new.planned, new.currency):
        return f"a run costs {with_retries(new)}"
    more = money(new.planned - old.planned, new.currency)
    by = f" ({'+' if new.planned > old.planned else ''}{more})" if old.currency == new.currency else ""
    return f"a run costs {amount_of(old, old.planned)} → {with_retries(new).replace(',', f'{by},', 1)}"


def month_of(before: Size, after: Size, times: Sequence[int]) -> Month | None:
    """`times` says how often each row of before ran in the last 30 days. None if none ran, or nothing is dearer."""
    runs = round(sum(times) / len(times)) if times else 0
    old, new = before.cost, after.cost
    more = (new.planned - old.planned) * runs if old and new and old.currency == new.currency else None
    tests = (after.tests - before.tests) * runs
    return Month(runs=runs, tests=tests, money=more, currency=new.currency if new else "") if tests or more else None


def month_words(month: Month) -> str:
    """`a month, with 42 runs as in the last 30 days: tests +168, +42.00 EUR`."""
    parts = [f"tests {month.tests:+d}"] if month.tests else []
    if month.money:
        parts.append(f"{'+' if month.money > 0 else ''}{money(month.money, month.currency)}")
    return f"a month, with {plural(month.runs, 'run')} as in the last 30 days: {', '.join(parts)}"


def moved(what: str, before: int, after: int) -> str:
    return f"{what} {after}" if before == after else f"{what} {before} → {after} ({after - before:+d})"


def described(line: Line) -> str:
    """`doksi web, 2 tests`."""
    where = " ".join(part for part in (line.vendor, line.platform) if part)
    tests = plural(line.tests, "test")
    return ", ".join(part for part in (where, tests if line.listed else f"about {tests}") if part)


def visible(text: str) -> str:
    """Somebody else's text in one line, in which nothing is unseen, turns its direction or moves a cursor."""
    return _UNSEEN.sub(lambda match: _escape(match[0]), text)


def _escape(char: str) -> str:
    code = ord(char)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")  # noqa: PLR2004
