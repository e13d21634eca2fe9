"""`if`: whether a row is planned at all. No secret may decide it: what a plan leaves out would tell of the secret."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qarunner.diagnostics import in_order, problem
from qarunner.errors import ManifestError
from qarunner.manifest.codes import Code
from qarunner.manifest.expand import Placed
from qarunner.manifest.expression import holds_template, parse
from qarunner.manifest.scope import IN_ROWS, Scope
from qarunner.manifest.template import answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qarunner.diagnostics import Diagnostic
    from qarunner.manifest.model import Manifest, Row
    from qarunner.manifest.variables import Values

KEY = "if"
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a row's `if` says of it, and how it was written."""

    holds: bool
    text: str


def check_conditions(manifest: Manifest, rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    """Conditions that a secret would decide; no variable needs to be set."""
    if not any(declaration.secret for declaration in manifest.env.values()):
        return ()
    scope = Scope(manifest, IN_ROWS)
    return in_order(found for row in rows for found in _secrets(manifest, scope, row))


def _secrets(manifest: Manifest, scope: Scope, row: Row) -> Iterator[Diagnostic]:
    text = row.data.get(KEY)
    if isinstance(text, str) and holds_template(text):
        for name in scope.secrets(parse(text)):
            message = f"if: {name} is secret, and cannot decide what is planned"
            hint = "whoever sees the plan would learn of it; use a variable that is not secret"
            yield problem(Placed(manifest, row), (KEY,), message, code=Code.SECRET_CHANGED, hint=hint)


def conditions(manifest: Manifest, rows: Sequence[Row], values: Values) -> dict[str, Condition]:
    """By id, what holds of the rows that have a condition. ManifestError has all that are neither true nor false."""
    asked = [row for row in rows if KEY in row.data]
    templated = [row for row in asked if isinstance(row.data[KEY], str)]
    known = answers(manifest, [replace(row, data={KEY: row.data[KEY]}) for row in templated], values, KEY)
    found: dict[str, Condition] = {}
    problems: list[Diagnostic] = []
    for row in asked:
        value = known.get(row.id, row.data[KEY])
        truth = _WORDS.get(value.strip().lower()) if isinstance(value, str) else value
        if not isinstance(truth, bool):
            problems.append(_neither(manifest, row, value))
        else:
            found[row.id] = Condition(holds=truth, text=_written(row.data[KEY]))
    if problems:
        raise ManifestError(in_order(problems))
    return found


def _neither(manifest: Manifest, row: Row, value: object) -> Diagnostic:
    message = f"if: expected true or false, got {value!r}"
    hint = "compare it with something: {{ git.branch == 'main' }}"
    return problem(Placed(manifest, row), (KEY,), message, code=Code.NO_CONDITION, hint=hint)


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def without_condition(row: Row) -> Row:
    """The row, once its condition is known: it is not asked again."""
    return replace(row, data={key: value for key, value in row.data.items() if key != KEY}) if KEY in row.data else row
