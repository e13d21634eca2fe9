"""Which rows an apply runs: what the command line chooses, what that needs, and what the manifest itself leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field

from qarunner.app.files import FileVariable
from qarunner.app.git import Git, changed_since, files_of
from qarunner.errors import NothingSelected
from qarunner.known import Known
from qarunner.manifest.expand import place_of
from qarunner.manifest.model import Manifest, Row
from qarunner.manifest.needs import closure, resolve
from qarunner.manifest.rules import Condition, conditions, without_condition
from qarunner.manifest.select import KEY, KNOWN_LATER, check_paths, concerns, patterns_of, select, suggestion, unmatched
from qarunner.manifest.templates.env import Values
from qarunner.manifest.templates.evaluate import with_known
from qarunner.plan.model import NotPlanned

if TYPE_CHECKING:
    from pathlib import Path

    from qarunner.diagnostics import Diagnostic


Hide: TypeAlias = "Callable[[Iterable[str]], None]"
"""Called with values that no output may show, as soon as they are known."""


def hide_nothing(_: Iterable[str]) -> None:
    """For callers that print nothing."""


class Inputs(Struct, frozen=True, kw_only=True):
    """What the command line says about values: which may be read, which it gives itself, and what env files give."""

    values: Values = field(default_factory=Values)
    env_lines: tuple[FileVariable, ...] = ()


_SHOWN = 10


class Earlier(Struct, frozen=True, kw_only=True):
    """A run that is over, or was given up: which of its rows passed, and which have to run again."""

    run_id: str
    failed: tuple[str, ...]
    passed: frozenset[str]
    remarks: tuple[str, ...]
    unverified: bool = False
    """True if no key was there to verify it with."""


class RowFilter(Struct, frozen=True, kw_only=True):
    """What the command line asks for. `untouched` tells of a row why no change concerns it, or None."""

    select: Sequence[str] = ()
    untouched: Callable[[Row], str | None] | None = None
    earlier: Earlier | None = None


class Chosen(Struct, frozen=True, kw_only=True):
    """The rows to be planned, in the manifest's order, and what each needs of them.

    `planned` has each of them, with the row that needs it if it was not chosen; `reasons` say why others are left out.
    """

    rows: tuple[Row, ...]
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    planned: Mapping[str, str | None] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[NotPlanned, ...] = ()
    remarks: tuple[str, ...] = ()


def choose_rows(manifest: Manifest, rows: Sequence[Row], wanted: RowFilter, values: Values) -> Chosen:
    """NothingSelected if nothing is left, with the reasons; ManifestError for a condition that cannot be computed."""
    chosen = weigh_rows(manifest, rows, wanted, values)
    if not chosen.planned:
        raise _nothing(chosen.reasons)
    return chosen


def weigh_rows(manifest: Manifest, rows: Sequence[Row], wanted: RowFilter, values: Values) -> Chosen:
    """The same, where nothing may be left of what the words choose. NothingSelected if they choose nothing."""
    known = with_known(manifest, rows, values, *KNOWN_LATER.values()) if wanted.select or manifest.select else rows
    # --select chooses among what the profile chooses. A profile that chooses nothing was a problem before.
    named, remarks = _selected(select(known, manifest.select), wanted.select)
    chosen_ids = {row.id for row in named}
    selected = tuple(row for row in rows if row.id in chosen_ids)
    needs = resolve(rows)
    if wanted.earlier is not None:
        selected = _only_failed(selected, wanted.earlier)
        remarks = (*remarks, *wanted.earlier.remarks, *_gone(rows, wanted.earlier))
        needs = {row: tuple(need for need in all_ if need not in wanted.earlier.passed) for row, all_ in needs.items()}
    reasons: dict[str, str] = {}
    if wanted.untouched is not None:
        reasons = {row.id: reason for row in selected if (reason := wanted.untouched(row)) is not None}
    chosen = [row.id for row in selected if row.id not in reasons]
    by_id = {row.id: row for row in rows}
    # What is needed runs whether it was chosen or not; where it cannot, what needs it does not run either.
    wide = closure(chosen, needs)
    ruled_out = _ruled_out(wide, needs, conditions(manifest, [by_id[row] for row in wide], values))
    planned = closure([row for row in chosen if row not in ruled_out], needs)
    reasons |= {row: ruled_out[row] for row in chosen if row in ruled_out}
    reasons = {row: reason for row, reason in reasons.items() if row not in planned}  # no change of it, but of another
    included = [f"{row} is included: {by} needs it" for row, by in planned.items() if by is not None]
    return Chosen(
        rows=tuple(without_condition(row) for row in rows if row.id in planned),
        needs={row: of_row for row, of_row in needs.items() if row in planned},
        planned=planned,
        reasons=reasons,
        left_out=tuple(
            NotPlanned(id=row.id, reason=reasons[row.id], origin=place_of(manifest, row, ()))
            for row in rows
            if row.id in reasons
        ),
        remarks=(*remarks, *_some(included)),
    )


def _ruled_out(
    rows: Iterable[str], needs: Mapping[str, tuple[str, ...]], asked: Mapping[str, Condition]
) -> dict[str, str]:
    """Rows whose condition is false, and those that need one of them, near or far; with the reason."""
    waiting: dict[str, list[str]] = {}
    for row in rows:
        for need in needs.get(row, ()):
            waiting.setdefault(need, []).append(row)
    reasons = {
        row: f"skipped by if: {condition.text}{condition.absent}"
        for row, condition in asked.items()
        if not condition.holds
    }
    queue = list(reasons)
    for row in queue:
        for other in waiting.get(row, ()):
            if other not in reasons:
                reasons[other] = f"needs {row}, which is not planned: {reasons[row]}"
                queue.append(other)
    return reasons


def _selected(rows: Sequence[Row], expressions: Sequence[str]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The selected rows, and a remark for each term that names nothing."""
    chosen = select(rows, expressions)
    missing = [(term, suggestion(rows, term)) for term in unmatched(rows, expressions)]
    if not chosen:
        hint = "; ".join(f"{term!r}: {help_}" for term, help_ in missing) or None
        raise NothingSelected(f"--select chose none of {len(rows)} entries", hint=hint)
    return chosen, tuple(f"--select: {term!r} matches no entry; {help_}" for term, help_ in missing)


def _only_failed(rows: tuple[Row, ...], earlier: Earlier) -> tuple[Row, ...]:
    """Of the selected rows, those that did not pass in an earlier run."""
    if not earlier.failed:
        raise NothingSelected(f"every entry of run {earlier.run_id} passed: there is nothing to run again")
    chosen = tuple(row for row in rows if row.id in earlier.failed)
    if not chosen:
        names = ", ".join(_some(earlier.failed))
        raise NothingSelected(f"no chosen entry failed in run {earlier.run_id}", hint=f"these did not pass: {names}")
    return chosen


def _gone(rows: Sequence[Row], earlier: Earlier) -> list[str]:
    known = {row.id for row in rows}
    gone = [row for row in earlier.failed if row not in known]
    return _some([f"{row} did not pass in run {earlier.run_id}, and is not in the matrix any more" for row in gone])


def _nothing(reasons: Mapping[str, str]) -> NothingSelected:
    lines = _some([f"{row}: {reason}" for row, reason in reasons.items()])
    number = "the one chosen entry is" if len(reasons) == 1 else f"all {len(reasons)} chosen entries are"
    return NothingSelected(f"nothing to run: {number} left out", details=lines)


def _some(lines: Sequence[str]) -> list[str]:
    return [*lines[:_SHOWN], *([f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])]


# --- `paths` and --changed-since --------------------------------------------------------------------------------------


def untouched(ref: str, manifest: Path, environ: Mapping[str, str]) -> Callable[[Row], str | None]:
    """Tells of a row why no change since `ref` concerns it; None where one does, and for a row without `paths`."""
    files = sorted(changed_since(ref, Git(manifest.parent, environ)))
    known: dict[tuple[str, ...], bool] = {}

    def reason(row: Row) -> str | None:
        patterns = patterns_of(row)
        if patterns and patterns not in known:
            known[patterns] = concerns(patterns, files) is not None
        return f"nothing in its paths changed since {ref}" if patterns and not known[patterns] else None

    return reason


def unmatched_paths(
    path: Path, manifest: Manifest, rows: Sequence[Row], environ: Mapping[str, str]
) -> tuple[Diagnostic, ...]:
    """Warnings for globs that match no file; empty where git does not say which files there are."""
    if not any(KEY in row.data for row in rows):
        return ()
    files = files_of(Git(path.parent, environ))
    return check_paths(manifest, rows, files.value) if isinstance(files, Known) else ()
